"""Which messages in flight an answer of the target may belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.errors import ProtocolError
from proxy.inflight import InFlight, Kind

if TYPE_CHECKING:
    from proxy.session import Session

# What a handler of an answer returns instead of replacement bytes.
FORWARD: Final = None
DROP: Final = b""

ROWS_FOR = frozenset({Kind.QUERY, Kind.EXECUTE})

# Which messages an answer may belong to; another combination ends the session.
ANSWERS: Final = {
    ord("1"): frozenset({Kind.PARSE}),
    ord("2"): frozenset({Kind.BIND}),
    ord("3"): frozenset({Kind.CLOSE}),
    ord("C"): frozenset({Kind.QUERY, Kind.EXECUTE}),
    ord("D"): ROWS_FOR,
    ord("d"): ROWS_FOR,
    ord("G"): ROWS_FOR,
    ord("H"): ROWS_FOR,
    ord("I"): ROWS_FOR,
    ord("T"): frozenset({Kind.QUERY, Kind.DESCRIBE, Kind.EXECUTE}),
    ord("V"): frozenset({Kind.FUNCTION}),
    ord("W"): ROWS_FOR,
    ord("Z"): frozenset({Kind.QUERY, Kind.SYNC, Kind.FUNCTION}),
    ord("c"): ROWS_FOR,
    ord("n"): frozenset({Kind.DESCRIBE}),
    ord("s"): frozenset({Kind.EXECUTE}),
    ord("t"): frozenset({Kind.DESCRIBE}),
}


def head_of(session: Session, view: memoryview, pos: int) -> InFlight:
    """Return the message that this answer belongs to, or end the session: the table says no."""
    head = session.queue.head
    kind = view[pos]
    if head is None or head.kind not in ANSWERS[kind]:
        waiting = head.kind.name if head is not None else "nothing"
        raise ProtocolError("upstream", f"answer {chr(kind)} came while {waiting} was in flight")
    return head


def note_executed(session: Session, item: InFlight) -> None:
    """Take note of what may have changed by what ran, or began to."""
    if item.decision is not None and item.refusal is None:
        session.judge.finished(item.decision)
        if session.screen.rules is not None:
            session.screen.ran(item)
