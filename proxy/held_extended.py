"""Holds in the extended protocol: at Bind, and the batch from the held statement's Parse with it.

Bind plans, and planning runs code; Parse and Describe run nothing, but once they are on the target
a transaction and its timeouts have begun (8-wire-facts.md D). So a Parse whose Bind has come in the
same batch waits for that Bind's decision; where the client asks for answers first (Flush, Sync),
it goes on, and the Bind waits when it comes.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy import counting, held, hold_words
from proxy.decision import Decision
from proxy.holds import LOOK_ANEW, Asked
from proxy.inflight import InFlight, Kind
from proxy.wire import bindings, frontend

if TYPE_CHECKING:
    from proxy.session import Session
    from proxy.statements import Portal

_HEADER = struct.Struct("!i")
RECORDED: Final = 60 << 10  # bytes of all parameters together: with notes within a record's bound
_FRESH_S: Final = 1.0  # from the last look at what was approved to its Execute
_AHEAD_BYTES = 256 << 10  # how far behind a Parse its Bind is looked for
_AHEAD_MESSAGES = 64
_BIND, _PARSE, _CLOSE = ord("B"), ord("P"), ord("C")
_ENDS = frozenset(b"SHQFXp")  # the client asks for answers, or it is no batch


def parse_waits(
    session: Session,
    view: memoryview,
    pos: int,
    end: int,
    name: bytes,
    raw: bytes,
    types: Sequence[int],
    decision: Decision,
) -> bool:
    """Return whether a Parse that is to be held waits; else it is forwarded, and Bind decides."""
    hold = session.hold
    if hold is not None and hold.is_decided:
        return False
    found = _bind_ahead(session, view, end, name)
    if found is None:
        return False
    if found < 0:  # not all there yet
        session.tail_needs = -found - pos
        return True
    bind = bytes(view[found + 5 : found + 1 + _HEADER.unpack_from(view, found + 1)[0]])
    _, _, offset = frontend.bind_names(bind)
    asked = asked_at_bind(session, bind, offset, raw, raw, types, types)
    if decision.row_limits:
        counted = counting.with_rows(session, decision, asked)
        if counted is None:
            return True
        decision = counted
    if not held.is_held(session, decision):
        return False
    return not held.settle(session, InFlight(Kind.BIND), decision, asked)


def _bind_ahead(session: Session, view: memoryview, pos: int, name: bytes) -> int | None:
    """Return where the Bind of a statement begins, None = not in this batch as far as one waits.

    Negative: nobody knows until that many bytes are there.
    """
    size, first = len(view), pos
    for _ in range(_AHEAD_MESSAGES):
        if size - pos < 5:
            return -(pos + 5)
        kind = view[pos]
        end: int = pos + 1 + _HEADER.unpack_from(view, pos + 1)[0]
        if kind in _ENDS or end < pos + 5:
            return None
        if kind == _BIND and end - pos > held.LARGEST:
            return None  # its own handler says no
        if end - first > _AHEAD_BYTES + (held.LARGEST if kind == _BIND else 0):
            return None
        if end > size:
            return -end
        body = bytes(view[pos + 5 : end])
        if kind == _BIND:
            _, statement, _ = frontend.bind_names(body)
            if session.key(statement) == name:
                return pos
        elif (kind == _PARSE and session.key(body.partition(b"\0")[0]) == name) or (
            kind == _CLOSE and body[:1] == b"S" and session.key(body[1:-1]) == name
        ):
            return None  # made anew, or gone, before anybody binds it
        pos = end
    return None


def settled_bind(
    session: Session,
    view: memoryview,
    pos: int,
    end: int,
    item: InFlight,
    decision: Decision,
    asked: Asked,
) -> Decision | None:
    """Return what is decided on a Bind by its rows and by a human; None = the client must wait."""
    if decision.row_limits and session.gate.closed is None:
        length = _HEADER.unpack_from(view, pos + 1)[0]
        if length > held.LARGEST:
            why = "its parameters are too large"
            verdict = session.judge.policy.decide(decision.facts, None, why)
            decision = replace(decision, verdict=verdict)
        elif end < pos + 1 + length:
            session.tail_needs = length + 1
            return None
        else:
            counted = counting.with_rows(session, decision, asked)
            if counted is None:
                return None
            decision = counted
        item.refusal = session.refuses(decision)
    return None if bind_waits(session, view, pos, end, item, decision, asked) else decision


def bind_waits(
    session: Session,
    view: memoryview,
    pos: int,
    end: int,
    item: InFlight,
    decision: Decision,
    asked: Asked,
) -> bool:
    """Take a held Bind one step further; returns whether the client must wait."""
    if not held.is_held(session, decision) and not (session.hold and session.hold.is_for(asked)):
        return False  # another one, between the Parse that waited and its Bind
    length = _HEADER.unpack_from(view, pos + 1)[0]
    if held.is_held(session, decision) and session.hold is None and length > held.LARGEST:
        item.refusal = hold_words.too_large(held.LARGEST).armed()
        return False
    if end < pos + 1 + length <= pos + 1 + held.LARGEST:
        session.tail_needs = length + 1  # what is looked at is looked at whole
        return True
    return not held.settle(session, item, decision, asked)


def looked_again(session: Session, portal: Portal, item: InFlight) -> bool:
    """Look again at what was approved where its Execute comes late; False = the client waits.

    A client could bind it, and have what it calls replaced before it runs. In a failed
    transaction the target runs nothing.
    """
    hold = portal.released
    if hold is None or session.failed or session.gate.closed is not None:
        return True
    if time.monotonic() - portal.checked_at < _FRESH_S:
        return True
    if session.queue:
        session.wait_for_answers()
        return False
    if not portal.is_looked_at:
        portal.is_looked_at = True
        hold.looks = list(LOOK_ANEW)
    why = held.why_not_as_approved(session, hold, portal.prepared.raw)
    if why is None:
        return False
    portal.is_looked_at = False
    portal.checked_at = time.monotonic()
    if why:
        item.refusal = hold_words.changed(hold.settlement, why).armed()
    return True


def asked_at_bind(
    session: Session,
    body: bytes,
    offset: int,
    raw: bytes,
    shown: bytes,
    types: Sequence[int],
    shown_types: Sequence[int],
) -> Asked:
    """Return what a Bind asks for, with all of its parameters.

    ``types``: those that the client gave, to which a yes is bound; ``shown_types``: to read by.
    """
    parameters = bindings.bind_parameters(body, offset, RECORDED, shown_types, session.judge.codec)
    return Asked(raw, shown, parameters, body[offset:], tuple(types), is_bind=True)
