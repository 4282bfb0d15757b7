"""A statement's fingerprint: what stays the same when only its constants change.

Profiles, pre-approvals and records keep fingerprints, so one must be the same in every process and
after every restart: nothing in it may depend on what was asked before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import orjson

from appliance.sql.facts import FINGERPRINT_VERSION, Effect
from appliance.sql.native import PgQuery

# Definitions: a constant in one (a policy's USING, a default, a comment) is what is defined, so
# all of the tree counts. What may carry a query with constants of its own is not among them.
_DEFINITIONS = frozenset(
    {
        "AlterDatabaseSetStmt",
        "AlterDomainStmt",
        "AlterEnumStmt",
        "AlterFunctionStmt",
        "AlterPolicyStmt",
        "AlterTableStmt",
        "CreateCastStmt",
        "CreateDomainStmt",
        "CreateEnumStmt",
        "CreateFunctionStmt",
        "CreatePolicyStmt",
        "CreatePublicationStmt",
        "CreateStmt",
        "CreateTrigStmt",
        "DefineStmt",
        "RuleStmt",
        "ViewStmt",
    }
)
# Statements in which a password or a connection string may stand: no literal of theirs counts,
# for even a hash of a password would say which one it is.
_SECRETS = frozenset(
    {
        "AlterForeignServerStmt",
        "AlterRoleSetStmt",
        "AlterRoleStmt",
        "AlterSubscriptionStmt",
        "AlterSystemStmt",
        "AlterUserMappingStmt",
        "CreateForeignServerStmt",
        "CreateRoleStmt",
        "CreateSubscriptionStmt",
        "CreateUserMappingStmt",
    }
)
_PLACE = rb'"(?:location|stmt_len|[a-z_]*_location|(?:[a-z]+_)?list_(?:start|end))":-?[0-9]+'
_PLACES = re.compile(rb"," + _PLACE + rb"(?=[,}])|" + _PLACE + rb",?")
_STRING = rb'"(?:[^"\\]|\\.)*+"'
# A_Const holds one value; a field of JSON's that says zero, false or "" is left out.
_CONSTANTS = re.compile(
    rb'\{"(?:A_Const":\{"[a-z]+":(?:true|\{(?:"[a-z]+":(?:' + _STRING + rb"|[a-z0-9-]+))?\})"
    rb'|ParamRef":\{(?:"number":[0-9]+)?)\}\}'
)
_CONSTANT = b'"?"'
# Names that a program makes up as it goes, of what lives no longer than its session; and payloads.
_PASSING = re.compile(
    rb'("(?:portalname|savepoint_name|gid|payload)":|"(?:PrepareStmt|ExecuteStmt)":\{"name":)'
    + _STRING
)
# Where the number of values does not count: IN, ARRAY and VALUES.
_LISTS = re.compile(rb'"(?:AEXPR_IN|elements|valuesLists)"')
_LITERAL = 261  # SCONST of the grammar


def structure(library: PgQuery, tag: str, tree: dict[str, Any], text: bytes) -> int:
    """Return the hash of one statement's structure.

    Raises:
        GrammarError: ``text`` is not the statement whose ``tree`` this is.
    """
    if tag in _DEFINITIONS:
        return _hash(tag.encode() + _PLACES.sub(b"", orjson.dumps(tree)))
    if tag in _SECRETS:
        return _hash(b" ".join(_words(library, text)))
    return _hash(_shape({tag: tree}))


def _shape(tree: dict[str, Any]) -> bytes:
    """Return a statement without constants: all else, and its order, may change what it does.

    libpg_query's own fingerprint is too coarse to sign: it sorts arguments, columns and tables and
    leaves out aliases, so that ``f(a, b)`` were ``f(b, a)``, and ``s.x FROM s, t`` were ``t.x``.
    """
    data = _PLACES.sub(b"", orjson.dumps(tree))
    data = _PASSING.sub(rb'\1""', _CONSTANTS.sub(_CONSTANT, data))
    return _shortened(data) if _LISTS.search(data) else data


def _shortened(data: bytes) -> bytes:
    """Let what stands many times in a row in a list of values stand there once."""
    tree = orjson.loads(data)
    lists: list[list[Any]] = []
    pending = [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            if value.get("kind") == "AEXPR_IN":
                lists.append(value.get("rexpr", {}).get("List", {}).get("items", []))
            lists += (value[key] for key in ("elements", "valuesLists") if key in value)
    for values in reversed(lists):  # the inner ones first
        kept = [one for at, one in enumerate(values) if not at or one != values[at - 1]]
        values[:] = kept
    return orjson.dumps(tree)


def of_text(text: str) -> str:
    """Return what stands for a text in a fingerprint when nothing else is known of it."""
    return "text " + blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def fingerprint(structure: int, effects: Iterable[Effect], code: Iterable[str]) -> str:
    """Return the fingerprint: of structure, resolved objects, and literals that are code.

    Whether a WHERE restricts anything counts as well: in ``id = 1 OR 1 = 0`` a constant decides.

    What is reached through views, rules, partitions and keys is left out: they are found by OID,
    so no search_path leads elsewhere, and a new partition makes no new statement. The bodies of
    functions are looked up in the session's search_path, so what they reach is in.
    """
    touched = {
        f"{effect.cls} {effect.object}{' all' if effect.without_where else ''}"
        for effect in effects
        if not effect.via or effect.via.endswith("()")
    }
    parts = (FINGERPRINT_VERSION, f"{structure:016x}", *sorted(touched), "", *code)
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _words(library: PgQuery, text: bytes) -> Iterable[bytes]:
    """Return the tokens of a text without literals and comments; case counts only in quotes."""
    for token in library.scan(text):
        word = text[token.start : token.end]
        if token.number == _LITERAL or word.startswith((b"--", b"/*")) or word == b";":
            continue
        yield word if word.startswith((b'"', b"U&", b"u&")) else word.lower()


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())
