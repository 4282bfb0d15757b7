"""What an approval is bound to: a hash over everything that decides what would happen (pure).

Two deeds have one hash only if they are the same: every part goes in with its kind and its length,
so that no text can pretend to be the end of one part and the beginning of the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from appliance.approvals.requests import Deed
from appliance.recording.parameters import BinaryValue, CutValue, Parameter
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Facts, Statement

_DEED = b"gatepost deed 1"
_REQUEST = b"gatepost request 1"
_NOTHING: Mapping[str, str | bytes] = {}
_NO_VIEWS: Mapping[str, str] = {}


def deed_of(
    text: bytes | str,
    parameters: bytes | Sequence[Parameter],
    identity: str,
    credential_id: int | None,
    session_id: str,
    target: str,
    database: str,
    role: str,
    search_path: Sequence[str] | None,
    facts: Facts,
    catalog: Catalog | None,
    prepared: Mapping[str, str | bytes] = _NOTHING,
    *,
    acting_role: str = "",
    parameter_types: Sequence[int] = (),
    temp_views: Mapping[str, str] = _NO_VIEWS,
) -> Deed:
    """Return the hashes of one message of one session, as its names mean something now.

    ``text``: as the client sent it. ``parameters``: all of a Bind message that follows its names
    (formats and values as they came: nothing is cut from those), or the values one by one.
    ``search_path``: as ``NameContext`` has it. ``prepared``: texts of SQL-level prepared
    statements by name; those that ``facts`` says are executed count. ``catalog``: as fresh as the
    facts are; release a statement only by a catalog read after its approval.
    ``temp_views``: of the session, see ``Catalog.definitions``.

    Raises:
        ValueError: a parameter was cut, so that nobody knows what it was.
    """
    definitions = catalog.definitions(facts, temp_views) if catalog is not None else None
    deed = _hash(
        _DEED,
        (
            _text(text),
            parameters if isinstance(parameters, bytes) else [_parameter(p) for p in parameters],
            tuple(parameter_types),
            identity,
            credential_id,
            target,
            database,
            role,
            acting_role or role,
            None if search_path is None else tuple(search_path),
            facts.refusal,
            [_statement(statement) for statement in facts.statements],
            definitions,
            [(name, _run(prepared, name)) for name in _executed(facts)],
        ),
    )
    return Deed(request_hash=_hash(_REQUEST, (deed, session_id)), deed_hash=deed)


def _statement(statement: Statement) -> tuple[object, ...]:
    """Return what a statement would do; where it stands in the text is the text's matter."""
    return (
        statement.kind,
        statement.fingerprint,
        statement.unknown,
        statement.transaction,
        statement.copy,
        [
            (
                effect.cls.value,
                effect.object,
                effect.function is not None,
                effect.columns,
                effect.without_where,
                effect.via,
                effect.default_exempt,
            )
            for effect in statement.effects
        ],
        [(change.name, change.value, change.scope) for change in statement.settings],
        (statement.prepares, statement.executes, statement.deallocates),
        sorted(statement.flags),
        list(statement.flag_details),
    )


def _executed(facts: Facts) -> list[str]:
    return sorted({s.executes for s in facts.statements if s.executes is not None})


def _run(prepared: Mapping[str, str | bytes], name: str) -> bytes | None:
    found = prepared.get(name)
    return None if found is None else _text(found)


def _text(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)


def _parameter(value: Parameter) -> object:
    if isinstance(value, CutValue):
        raise ValueError("a parameter that was cut cannot be bound: pass the Bind message's bytes")
    if isinstance(value, BinaryValue):
        return ("binary", value.oid, value.data)
    return None if value is None else ("text", _text(value))


def _hash(what: bytes, value: object) -> str:
    found = hashlib.sha256(what)
    _feed(found, value)
    return found.hexdigest()


def _feed(into: hashlib._Hash, value: object) -> None:
    """Add a value as its kind, its length and itself; a sequence as its length and its items."""
    if value is None:
        into.update(b"N")
    elif isinstance(value, bool):
        into.update(b"T" if value else b"F")
    elif isinstance(value, bytes):
        into.update(b"B%d:" % len(value))
        into.update(value)
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        into.update(b"S%d:" % len(data))
        into.update(data)
    elif isinstance(value, int):
        into.update(b"I%d:" % value)
    elif isinstance(value, tuple | list):
        into.update(b"L%d:" % len(value))
        for item in value:
            _feed(into, item)
    else:
        raise TypeError(f"a deed has no {type(value).__name__}")
