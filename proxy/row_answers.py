"""What the target says of rows: their description, the rows themselves, and COPY out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy import scrubbing
from proxy.expected import DROP, FORWARD, head_of
from proxy.inflight import InFlight, Kind
from proxy.own import first_column
from proxy.results import LARGEST_ROW, RowTooLargeError

if TYPE_CHECKING:
    from proxy.session import Session

NOT_YET: Final = -1


def row(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """A row that is the gateway's own; it keeps the first."""
    head = head_of(session, view, pos)
    if not head.own:
        return FORWARD
    if head.row is None:
        head.row = first_column(bytes(view[pos + 5 : end]))
    return DROP


def rewritten(session: Session, head: InFlight, view: memoryview, pos: int, end: int) -> int:
    """Let the plan rewrite a run of rows; return where it ended, or NOT_YET.

    ``end``: of the first of them, by its length.
    """
    plan = head.plan
    assert plan is not None  # noqa: S101 - the caller has looked
    replaced, after = plan.rows(view, pos, len(view))
    if after == pos:
        if end - pos > LARGEST_ROW:
            raise RowTooLargeError(end - pos)
        return NOT_YET
    head.bytes_out += len(replaced)
    session.to_client.append(replaced)
    return after


def row_description(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if head.kind is not Kind.DESCRIBE:
        return DROP if head.own else _planned(session, head, bytes(view[pos:end]))
    session.queue.pop()
    if head.own:
        if head.on_description is not None:
            head.on_description(bytes(view[pos:end]))
        result: bytes | None = DROP
    else:
        result = scrubbing.described(session, head, view[pos + 5 : end])
    if head.on_done is not None:
        head.on_done()
    return result


def copy_out(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    return DROP if head.own else _planned(session, head, bytes(view[pos:end]))


def copy_done(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if head.own:
        return DROP
    left = head.plan.end() if head.plan is not None else b""
    return left + bytes(view[pos:end]) if left else FORWARD


def _planned(session: Session, head: InFlight, message: bytes) -> bytes | None:
    """Decide what happens to the rows that are announced."""
    if session.planner is None:
        return FORWARD
    plan = head.plan = session.planner.plan(head, message)
    return FORWARD if plan is None else bytes(plan.description(message))
