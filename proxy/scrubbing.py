"""What a masked session's client gets of the messages that are no rows: errors, notices, the like.

Whatever code in the database can put a value into is made anew or left out; 8-wire-facts.md G.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Protocol

from appliance.errors import ProtocolError
from appliance.masking import errors
from appliance.sql.facts import Statement
from proxy.decision import Decision
from proxy.inflight import InFlight, Kind
from proxy.wire import backend
from proxy.wire.framing import frame

if TYPE_CHECKING:
    from proxy.session import Session

_NOTIFY: Final = "pg_catalog.pg_notify"
_MOST_KNOWN: Final = 1024
_LONGEST_KNOWN: Final = 1024  # characters
_ENDING = frozenset({"TransactionStmt", "ConstraintsSetStmt"})  # what was deferred runs there

# Settings that the target reports and whose values are few, whoever sets them.
_FINITE = frozenset(
    {
        "client_encoding",
        "datestyle",
        "default_transaction_read_only",
        "in_hot_standby",
        "integer_datetimes",
        "intervalstyle",
        "is_superuser",
        "server_encoding",
        "server_version",
        "standard_conforming_strings",
    }
)
# A zone's name without digits is one that the target's database of zones has; with them it could
# be a rule of its own ("ABC5"), which anything can be written into.
_ZONE = re.compile(r"[A-Za-z_]+(?:[/-][A-Za-z_]+)*|Etc/GMT[+-][0-9]{1,2}")
_OF_DATA = (b"COPY ", b"JSON data, line ")  # contexts that are none of code
_TAG = re.compile(r"[A-Z][A-Z ]{1,47}(?: [0-9]{1,20}){0,2}")


class Rules(Protocol):
    """What of a session's masking rules decides here."""

    @property
    def safe_functions(self) -> tuple[str, ...]:
        """Return the patterns of functions that an admin vouches for."""
        ...


@dataclass(slots=True)
class Screen:
    """One session's state. ``rules`` None: no masking rule bites, and everything passes.

    ``reached``: something masked was in reach since the transaction began. ``known``: (setting,
    value) that the login reported or the client itself asked for.
    """

    rules: Rules | None = None
    reached: bool = False
    known: set[tuple[str, str]] = field(default_factory=set)

    def follow(self, rules: Rules | None) -> None:
        """Mask by these rules; what has run without them may have left something for the end."""
        if self.rules is None and rules is not None:
            self.reached = True
        self.rules = rules

    def ran(self, item: InFlight) -> None:
        """Take note of what ran, or began to."""
        decision = item.decision
        if decision is None:
            return
        if item.scrubs or (decision.mask is not None and decision.mask.scrubs_errors):
            self.reached = True
        self.heard(decision)

    def heard(self, decision: Decision) -> None:
        """Remember which values of settings the client's own text has."""
        for statement in decision.facts.statements:
            for change in statement.settings:
                if change.value is not None:
                    self._know(change.name, change.value)

    def _know(self, name: str, value: str) -> None:
        if len(value) > _LONGEST_KNOWN:
            return  # it is cut, or no setting that is reported takes it
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known.add((name, value))

    def scrubs(self, head: InFlight | None, body: bytes) -> bool:
        """Return whether what the target says about this message may hold masked values.

        Where a statement reaches nothing at all, it runs no code of users': then a text that
        comes from such code says that this was wrong.
        """
        if self.rules is None:
            return False
        if head is None or head.own or head.scrubs:
            return True
        if head.kind in (Kind.SYNC, Kind.COPY_END):
            return self.reached
        decisions = _decisions(head)
        if not decisions or any(map(self._reaches, decisions)):
            return True
        return all(one.mask is None for one in decisions) and _is_of_code(body)

    def _reaches(self, decision: Decision) -> bool:
        if self.reached and any(map(_ends, decision.facts.statements)):
            return True
        return decision.mask is not None and decision.mask.scrubs_errors

    def status(self, name: str, old: str, value: str, schemas: frozenset[str]) -> bool:
        """Return whether the client may learn of a setting's new value."""
        key = name.lower()
        if self.rules is None or key in _FINITE or value in ("", old):
            return True
        if old:
            self._know(key, old)  # it comes again when a transaction ends
        if (key, value) in self.known:
            return True
        if key == "timezone":
            return _ZONE.fullmatch(value) is not None
        return key == "search_path" and _schemas(value) <= schemas


def _decisions(head: InFlight) -> list[Decision]:
    """Return what was decided about a message, and about what it names: by the rules of when."""
    holders = (head, head.portal, head.prepared)
    return [one.decision for one in holders if one is not None and one.decision is not None]


def _is_of_code(body: bytes) -> bool:
    """Return whether an error or notice comes from a function's body, by its context."""
    for part in body.split(b"\0"):
        if part[:1] == b"q":
            return True
        if part[:1] == b"W":
            return not all(line.startswith(_OF_DATA) for line in part[1:].split(b"\n"))
    return False


def _ends(statement: Statement) -> bool:
    return statement.kind in _ENDING


def _schemas(path: str) -> set[str]:
    """Return the names in a search_path as it is reported; commas in names make others of them."""
    names = {name.strip().strip('"') for name in path.split(",")}
    return names - {"$user", "public", "pg_catalog", "pg_temp"}


def error(body: bytes) -> bytes:
    """Return the ErrorResponse that the client gets for one that may hold masked values."""
    return frame(ord("E"), errors.scrub(body, is_error=True))


def anytime(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """NoticeResponse, which comes whenever it likes."""
    if session.screen.rules is None:
        return None
    body = bytes(view[pos + 5 : end])
    if not session.screen.scrubs(session.queue.head, body):
        return None
    return frame(ord("N"), errors.scrub(body, is_error=False))


def notification(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """NotificationResponse: whoever sent it may have been shown what this client is not."""
    rules = session.screen.rules
    if rules is None or any(fnmatchcase(_NOTIFY, safe) for safe in rules.safe_functions):
        return None
    came = backend.parse_notification_response(view[pos + 5 : end])
    return backend.NotificationResponse(came.process_id, came.channel, b"").encode()


def parameter_status(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """ParameterStatus: code can set settings too."""
    found = backend.parse_parameter_status(view[pos + 5 : end])
    name, value = found.name.decode("ascii", "replace"), found.value.decode("utf-8", "replace")
    old = session.parameters.get(name, "")
    session.parameters[name] = value
    if name == "client_encoding":
        session.judge.encoding_is(value)
    screen = session.screen
    if screen.rules is None:
        return None
    head = session.queue.head
    if head is not None and head.decision is not None:
        screen.heard(head.decision)
    return None if screen.status(name, old, value, _schemas_of(session)) else b""


def _schemas_of(session: Session) -> frozenset[str]:
    catalog = session.judge.catalog
    return frozenset(catalog.schemas) if catalog is not None else frozenset()


def tag(session: Session, found: str) -> None:
    """End a session whose target reports what no command of PostgreSQL does."""
    if session.screen.rules is not None and _TAG.fullmatch(found) is None:
        raise ProtocolError("upstream", "a command tag of no known shape came")


def function_result(session: Session, head: InFlight) -> bytes | None:
    """FunctionCallResponse: what a mask is on comes as NULL."""
    decision = head.decision
    if session.screen.rules is None:
        return None
    if decision is not None and (decision.mask is None or decision.mask.is_untouched):
        return None
    return frame(ord("V"), b"\xff\xff\xff\xff")


def described(session: Session, head: InFlight, body: memoryview) -> bytes | None:
    """RowDescription that the client asked for, where code may have chosen the columns' names.

    So it is with a cursor that a function opened: names and type modifiers can hold anything.
    """
    if session.screen.rules is None:
        return None
    decisions = _decisions(head)
    masks = [decision.mask for decision in decisions if decision.mask is not None]
    if decisions and all(mask.outputs is not None for mask in masks):
        return None
    return nameless(bytes(body))


def nameless(body: bytes) -> bytes:
    """Return the RowDescription without names and type modifiers: only types and formats."""
    fields = backend.parse_row_description(body).fields
    bare = (replace(field, name=b"?column?", type_modifier=-1) for field in fields)
    return backend.RowDescription(tuple(bare)).encode()
