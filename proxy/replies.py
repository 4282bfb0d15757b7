"""What each message of the target does: the backend half of the session's state table."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final

from appliance.errors import ProtocolError
from appliance.masking.rows import end_of_run
from appliance.recording.recorder import State
from proxy import failures, row_answers, scrubbing
from proxy.deciding import forget_deallocated
from proxy.expected import DROP, FORWARD, ROWS_FOR, head_of, note_executed
from proxy.inflight import Kind
from proxy.wire import backend

if TYPE_CHECKING:
    from proxy.session import Session

_HEADER = struct.Struct("!i")
_ROWS = frozenset(b"Dd")  # DataRow, CopyData
_LARGEST_CONTROL = 64 << 20  # bytes of a message that is looked at whole


def scan(session: Session, view: memoryview) -> int:  # noqa: C901 - one loop, on the hot path
    """Handle the messages in ``view``; returns how many bytes were used.

    Rows that no plan rewrites are jumped over from frame to frame and forwarded in runs.
    """
    size = len(view)
    pos = start = 0
    out = session.to_client
    session.target_tail_needs = 5
    session.has_more = False
    turns = _TURNS
    if session.pass_from_target:
        pos = min(size, session.pass_from_target)
        session.pass_from_target -= pos
    unpack = _HEADER.unpack_from
    while size - pos >= 5:
        kind = view[pos]
        end = pos + 1 + unpack(view, pos + 1)[0]
        if end < pos + 5:
            raise ProtocolError("upstream", f"invalid message length for type {chr(kind)}")
        if kind in _ROWS:
            head = session.queue.head
            if head is None or head.kind not in ROWS_FOR:
                raise ProtocolError("upstream", "rows came that nothing asked for")
            if head.plan is not None and not head.own:
                if start < pos:
                    out.append(view[start:pos])
                    start = pos
                after = row_answers.rewritten(session, head, view, pos, end)
                if after == row_answers.NOT_YET:
                    session.target_tail_needs = end - pos
                    break
                pos = start = after
                continue
            if not head.own:
                if session.screen.rules is not None and not head.is_planned:
                    raise ProtocolError("upstream", "rows came that nothing had announced")
                first = pos
                pos = end_of_run(view, pos, size, kind)
                head.bytes_out += pos - first
                if pos > size:
                    session.pass_from_target = pos - size
                    pos = size
                    break
                continue
        elif end - pos > _LARGEST_CONTROL:
            raise ProtocolError("upstream", f"message of type {chr(kind)} is too large")
        if end > size:
            session.target_tail_needs = end - pos
            break
        turns -= 1
        if turns < 0:
            session.has_more = True  # others have waited long enough for this session
            break
        handler = session.table.get(kind)
        if handler is None:
            raise ProtocolError("upstream", f"unexpected message type {chr(kind)}")
        result = handler(session, view, pos, end)
        if result is not FORWARD:
            if start < pos:
                out.append(view[start:pos])
            if result:
                out.append(result)
            start = end
        pos = end
    if start < pos:
        out.append(view[start:pos])
    return pos


def _pop(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """ParseComplete, BindComplete, CloseComplete, NoData: the head is answered."""
    head = head_of(session, view, pos)
    session.queue.pop()
    if head.on_done is not None:
        head.on_done()
    return DROP if head.own else FORWARD


def _function_result(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    return DROP if head.own else scrubbing.function_result(session, head)


def _copy_both(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if session.screen.rules is not None:
        raise ProtocolError("upstream", "a masked session would be sent the write-ahead log")
    return DROP if head.own else FORWARD


def _parameter_description(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if head.prepared is not None:  # binary values are read by it, in records and by approvers
        found = backend.parse_parameter_description(view[pos + 5 : end])
        head.prepared.described = found.parameter_types
    return DROP if head.own else FORWARD


def _command_complete(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if head.own:
        session.queue.pop()
        return DROP
    tag, rows = backend.command_tag(view[pos + 5 : end])
    scrubbing.tag(session, tag)
    if tag in ("ROLLBACK", "COMMIT"):
        session.failed = False
    session.queue.copy_in = False
    if tag in _FORGETTING:
        forget_deallocated(session, head, tag)
    if head.kind is Kind.QUERY:
        if head.at < len(head.records):
            session.outcome(head.records[head.at], State.DONE, head, tag=tag, rows=rows)
            head.bytes_out = 0
        head.at += 1
        return FORWARD
    session.queue.pop()
    note_executed(session, head)
    portal = head.portal
    if portal is not None:
        if rows is not None and portal.rows:
            rows += portal.rows
        portal.is_done = True
    for seq in head.records:
        session.outcome(seq, State.DONE, head, tag=tag, rows=rows)
    return FORWARD


def _portal_suspended(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    session.queue.pop()
    if head.own:
        return DROP
    note_executed(session, head)
    if head.portal is not None:
        head.portal.rows += head.max_rows
        head.portal.is_done = True
        for seq in head.records:
            session.outcome(seq, State.DONE, head, tag="SUSPENDED", rows=head.portal.rows)
    return FORWARD


def _empty(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if head.kind is Kind.QUERY:
        for seq in head.records[head.at :]:
            session.outcome(seq, State.DONE, head)
        head.at = len(head.records)
        return FORWARD
    session.queue.pop()
    for seq in head.records:
        session.outcome(seq, State.DONE, head)
    return DROP if head.own else FORWARD


def _copy_in(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    session.queue.begin_copy_in()
    return DROP if head.own else FORWARD


def _ready(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    session.queue.pop()
    session.queue.copy_in = False
    status = view[pos + 5]
    if status != session.status:
        if session.status == _IDLE:
            session.transaction_began = time.monotonic()
        session.status = status
    session.failed = session.status == _FAILED
    if head.kind is not Kind.SYNC:
        note_executed(session, head)
    if session.status == _IDLE:
        session.judge.transaction_ended()
        session.screen.reached = False
        if not session.queue and not session.unsynced:
            session.portals.clear()
    if head.on_done is not None:
        head.on_done()
    return DROP if head.own else FORWARD


_TURNS = 256  # messages that are looked at in one go: a few ms
_IDLE, _FAILED = ord("I"), ord("E")
_FORGETTING = frozenset({"DEALLOCATE", "DEALLOCATE ALL", "DISCARD ALL"})
# The backend half of the state table: what is not in it ends the session.
TABLE: Final = {
    ord("1"): _pop,
    ord("2"): _pop,
    ord("3"): _pop,
    ord("A"): scrubbing.notification,
    ord("C"): _command_complete,
    ord("D"): row_answers.row,
    ord("E"): failures.error_response,
    ord("G"): _copy_in,
    ord("H"): row_answers.copy_out,
    ord("I"): _empty,
    ord("N"): scrubbing.anytime,
    ord("S"): scrubbing.parameter_status,
    ord("T"): row_answers.row_description,
    ord("V"): _function_result,
    ord("W"): _copy_both,
    ord("Z"): _ready,
    ord("c"): row_answers.copy_done,
    ord("d"): row_answers.row,
    ord("n"): _pop,
    ord("s"): _portal_suspended,
    ord("t"): _parameter_description,
}
