"""What an error of the target ends, and what the target skips after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import JournalUnavailable
from appliance.recording.recorder import State
from proxy import refusal, scrubbing
from proxy.expected import DROP, FORWARD, note_executed
from proxy.inflight import InFlight, Kind
from proxy.refusal import Refusal
from proxy.wire.notices import parse_error_response

if TYPE_CHECKING:
    from proxy.session import Session

_BY_POLICY = "42501"
_IDLE = ord("I")
_ENDING = frozenset({"FATAL", "PANIC"})


def error_response(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    body = bytes(view[pos + 5 : end])
    head = session.queue.head
    passed, error = FORWARD, parse_error_response(body)
    if session.screen.scrubs(head, body):
        passed = scrubbing.error(body)
        error = parse_error_response(passed[5:])
    if error.severity in _ENDING:
        session.saw_fatal = True
    if head is None:
        return passed  # the server ends the session on its own
    session.queue.copy_in = False
    if head.refusal is not None and refusal.matches(head.refusal, body):
        result: bytes | None = _refused(session, head, head.refusal, body)
    else:
        _failed(session, head, error.sqlstate)
        result = DROP if head.own else passed
    if session.status != _IDLE:
        session.failed = True
    if head.kind in (Kind.QUERY, Kind.FUNCTION, Kind.SYNC):
        if head.undo is not None:
            head.undo()
        return result
    return _skip(session, head, result, passed)


def _refused(session: Session, head: InFlight, refused: Refusal, body: bytes) -> bytes:
    if refused.sqlstate != _BY_POLICY and not head.is_noted:
        for seq in head.records:  # the record takes a verdict's no for a 42501
            session.outcome(seq, State.REFUSED, head, sqlstate=refused.sqlstate)
    return refusal.rewrite(refused, body)


def _skip(
    session: Session, head: InFlight, result: bytes | None, passed: bytes | None
) -> bytes | None:
    """Forget what the target skips up to the next Sync; return what the client gets."""
    skipped = session.queue.skip_to_sync()
    following = session.queue.head
    if following is None:
        session.skipping = True
    if head.own and (following is None or not following.own):
        result = passed  # it has failed the client's own batch: the client must know
    for item in skipped:
        _skipped(session, item, is_head=item is head)
    return result


def _failed(session: Session, head: InFlight, sqlstate: str) -> None:
    """Journal what an error ended."""
    if head.own:
        head.sqlstate = sqlstate
        if head.ahead_of is not None:
            _failed(session, head.ahead_of, sqlstate)
            head.ahead_of.records = ()  # it is skipped too, and noted
        return
    if head.kind is Kind.PARSE and head.prepared is not None and head.decision is not None:
        try:  # a text that the target could not parse has run nothing, but was tried
            head.records = session.record(head.prepared.raw, head.decision, (), whole=True)
        except JournalUnavailable:
            return
    if head.kind is not Kind.PARSE:
        note_executed(session, head)
    for index, seq in enumerate(head.records):
        if head.kind is not Kind.QUERY or index == head.at:
            session.outcome(seq, State.FAILED, head, sqlstate=sqlstate)
        elif index > head.at:
            session.outcome(seq, State.WITHDRAWN, head)
    head.at = len(head.records)


def _skipped(session: Session, item: InFlight, *, is_head: bool) -> None:
    """Undo what the target does not do any more: everything up to the next Sync."""
    if item.undo is not None and (item.kind is not Kind.CLOSE or not is_head):
        item.undo()
    if not is_head and not item.own and item.refusal is None:
        portal = item.portal
        if portal is None or not portal.is_done:
            for seq in item.records:
                session.outcome(seq, State.WITHDRAWN, item)
            if portal is not None and item.records:
                portal.is_done = True
    if item.on_done is not None:
        item.on_done()
