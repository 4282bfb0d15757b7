"""What each message of the target does: the backend half of the session's state table."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final

from appliance.errors import JournalUnavailable, ProtocolError
from appliance.recording.recorder import State
from proxy import refusal
from proxy.deciding import forget_deallocated
from proxy.inflight import InFlight, Kind
from proxy.own import first_column
from proxy.wire import backend
from proxy.wire.notices import parse_error_response

if TYPE_CHECKING:
    from proxy.session import Session

_HEADER = struct.Struct("!i")
_ROWS = frozenset(b"Dd")  # DataRow, CopyData
_LARGEST_CONTROL = 64 << 20  # bytes of a message that is looked at whole

# What a handler returns instead of replacement bytes.
FORWARD: Final = None
DROP: Final = b""


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
            if head is None or head.kind not in _ROWS_FOR:
                raise ProtocolError("upstream", "rows came that nothing asked for")
            if head.plan is None and not head.own:
                first = pos
                while True:
                    pos = end
                    if size - pos < 5 or view[pos] != kind:
                        break
                    end = pos + 1 + unpack(view, pos + 1)[0]
                    if end < pos + 5:
                        raise ProtocolError("upstream", "invalid message length of a row")
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


def _head(session: Session, view: memoryview, pos: int) -> InFlight:
    """Return the message that this answer belongs to, or end the session: the table says no."""
    head = session.queue.head
    kind = view[pos]
    if head is None or head.kind not in _ANSWERS[kind]:
        waiting = head.kind.name if head is not None else "nothing"
        raise ProtocolError("upstream", f"answer {chr(kind)} came while {waiting} was in flight")
    return head


def _row(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """A row that is the gateway's own, or that a plan rewrites."""
    head = _head(session, view, pos)
    if head.own:
        if head.row is None:
            head.row = first_column(bytes(view[pos + 5 : end]))
        return DROP
    if head.plan is None:
        return FORWARD
    replaced = bytes(head.plan.row(view[pos:end]))
    head.bytes_out += len(replaced)
    return replaced


def _pop(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """ParseComplete, BindComplete, CloseComplete, NoData: the head is answered."""
    head = _head(session, view, pos)
    session.queue.pop()
    if head.on_done is not None:
        head.on_done()
    return DROP if head.own else FORWARD


def _row_description(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    if head.kind is Kind.DESCRIBE:
        session.queue.pop()
    return DROP if head.own else _planned(session, head, view[pos:end])


def _copy_out(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    return DROP if head.own else _planned(session, head, view[pos:end])


def _planned(session: Session, head: InFlight, description: memoryview) -> bytes | None:
    """Decide what happens to the rows that are announced; keep it where Execute finds it."""
    if session.planner is None:
        return FORWARD
    portal, prepared = head.portal, head.prepared
    decision = head.decision
    if portal is not None:
        decision = portal.prepared.decision
    elif prepared is not None:
        decision = prepared.decision
    plan = session.planner.plan(decision, description)
    if portal is not None:
        portal.plan = plan
    elif prepared is not None:
        prepared.plan = plan
    if head.kind is not Kind.DESCRIBE:
        head.plan = plan
    return FORWARD if plan is None else bytes(plan.description(description))


def _pass(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    return DROP if head.own else FORWARD


def _parameter_description(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    if head.prepared is not None:  # binary values are read by it, in records and by approvers
        found = backend.parse_parameter_description(view[pos + 5 : end])
        head.prepared.described = found.parameter_types
    return DROP if head.own else FORWARD


def _anytime(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """NoticeResponse and NotificationResponse come whenever they like."""
    return FORWARD


def _parameter_status(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    name, _, value = bytes(view[pos + 5 : end - 1]).partition(b"\0")
    key = name.decode("ascii", "replace")
    session.parameters[key] = value.decode("utf-8", "replace")
    if key == "client_encoding":
        session.judge.encoding_is(session.parameters[key])
    return FORWARD


def _copy_in(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    session.queue.begin_copy_in()
    return DROP if head.own else FORWARD


def _command_complete(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    if head.own:
        session.queue.pop()
        return DROP
    tag, rows = backend.command_tag(view[pos + 5 : end])
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
    _executed(session, head)
    portal = head.portal
    if portal is not None:
        if rows is not None and portal.rows:
            rows += portal.rows
        portal.is_done = True
    for seq in head.records:
        session.outcome(seq, State.DONE, head, tag=tag, rows=rows)
    return FORWARD


def _portal_suspended(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    session.queue.pop()
    if head.own:
        return DROP
    _executed(session, head)
    if head.portal is not None:
        head.portal.rows += head.max_rows
        head.portal.is_done = True
        for seq in head.records:
            session.outcome(seq, State.DONE, head, tag="SUSPENDED", rows=head.portal.rows)
    return FORWARD


def _empty(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    if head.kind is Kind.QUERY:
        for seq in head.records[head.at :]:
            session.outcome(seq, State.DONE, head)
        head.at = len(head.records)
        return FORWARD
    session.queue.pop()
    for seq in head.records:
        session.outcome(seq, State.DONE, head)
    return DROP if head.own else FORWARD


def _executed(session: Session, item: InFlight) -> None:
    """Take note of what may have changed by what ran, or began to."""
    if item.decision is not None and item.refusal is None:
        session.judge.finished(item.decision)


def _error(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    body = bytes(view[pos + 5 : end])
    error = parse_error_response(body)
    if error.severity in ("FATAL", "PANIC"):
        session.saw_fatal = True
    head = session.queue.head
    if head is None:
        return FORWARD  # the server ends the session on its own
    session.queue.copy_in = False
    result: bytes | None = FORWARD
    if head.refusal is not None and refusal.matches(head.refusal, body):
        result = refusal.rewrite(head.refusal, body)
        if head.refusal.sqlstate != _BY_POLICY and not head.is_noted:
            for seq in head.records:  # the record takes a verdict's no for a 42501
                session.outcome(seq, State.REFUSED, head, sqlstate=head.refusal.sqlstate)
    else:
        _failed(session, head, error.sqlstate)
        if head.own:
            result = DROP
    if session.status != _IDLE:
        session.failed = True
    if head.kind in (Kind.QUERY, Kind.FUNCTION, Kind.SYNC):
        if head.undo is not None:
            head.undo()
        return result
    return _skip(session, head, result)


def _skip(session: Session, head: InFlight, result: bytes | None) -> bytes | None:
    """Forget what the target skips up to the next Sync; return what the client gets."""
    skipped = session.queue.skip_to_sync()
    following = session.queue.head
    if following is None:
        session.skipping = True
    if head.own and (following is None or not following.own):
        result = FORWARD  # it has failed the client's own batch: the client must know
    for item in skipped:
        _skipped(session, item, is_head=item is head)
    return result


def _failed(session: Session, head: InFlight, sqlstate: str) -> None:
    """Journal what an error ended."""
    if head.own:
        return
    if head.kind is Kind.PARSE and head.prepared is not None and head.decision is not None:
        try:  # a text that the target could not parse has run nothing, but was tried
            head.records = session.record(head.prepared.raw, head.decision, (), whole=True)
        except JournalUnavailable:
            return
    if head.kind is not Kind.PARSE:
        _executed(session, head)
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
            if portal is not None:
                portal.is_done = True
    if item.on_done is not None:
        item.on_done()


def _ready(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = _head(session, view, pos)
    session.queue.pop()
    session.queue.copy_in = False
    status = view[pos + 5]
    if status != session.status:
        if session.status == _IDLE:
            session.transaction_began = time.monotonic()
        session.status = status
    session.failed = session.status == _FAILED
    if head.kind is not Kind.SYNC:
        _executed(session, head)
    if session.status == _IDLE:
        session.judge.transaction_ended()
        if not session.queue and not session.unsynced:
            session.portals.clear()
    if head.on_done is not None:
        head.on_done()
    return DROP if head.own else FORWARD


_TURNS = 256  # messages that are looked at in one go: a few ms
_BY_POLICY = "42501"
_IDLE, _FAILED = ord("I"), ord("E")
_FORGETTING = frozenset({"DEALLOCATE", "DEALLOCATE ALL", "DISCARD ALL"})
_ROWS_FOR = frozenset({Kind.QUERY, Kind.EXECUTE})

# Which messages an answer may belong to; another combination ends the session.
_ANSWERS: Final = {
    ord("1"): frozenset({Kind.PARSE}),
    ord("2"): frozenset({Kind.BIND}),
    ord("3"): frozenset({Kind.CLOSE}),
    ord("C"): frozenset({Kind.QUERY, Kind.EXECUTE}),
    ord("D"): _ROWS_FOR,
    ord("d"): _ROWS_FOR,
    ord("G"): _ROWS_FOR,
    ord("H"): _ROWS_FOR,
    ord("I"): _ROWS_FOR,
    ord("T"): frozenset({Kind.QUERY, Kind.DESCRIBE, Kind.EXECUTE}),
    ord("V"): frozenset({Kind.FUNCTION}),
    ord("W"): _ROWS_FOR,
    ord("Z"): frozenset({Kind.QUERY, Kind.SYNC, Kind.FUNCTION}),
    ord("c"): _ROWS_FOR,
    ord("n"): frozenset({Kind.DESCRIBE}),
    ord("s"): frozenset({Kind.EXECUTE}),
    ord("t"): frozenset({Kind.DESCRIBE}),
}

# The backend half of the state table: what is not in it ends the session.
TABLE: Final = {
    ord("1"): _pop,
    ord("2"): _pop,
    ord("3"): _pop,
    ord("A"): _anytime,
    ord("C"): _command_complete,
    ord("D"): _row,
    ord("E"): _error,
    ord("G"): _copy_in,
    ord("H"): _copy_out,
    ord("I"): _empty,
    ord("N"): _anytime,
    ord("S"): _parameter_status,
    ord("T"): _row_description,
    ord("V"): _pass,
    ord("W"): _pass,
    ord("Z"): _ready,
    ord("c"): _pass,
    ord("d"): _row,
    ord("n"): _pop,
    ord("s"): _portal_suspended,
    ord("t"): _parameter_description,
}
