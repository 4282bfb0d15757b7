"""What the target says of rows: their description, the rows themselves, and COPY out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.expected import DROP, FORWARD, head_of
from proxy.inflight import InFlight, Kind
from proxy.own import first_column

if TYPE_CHECKING:
    from proxy.session import Session


def row(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """A row that is the gateway's own, or that a plan rewrites."""
    head = head_of(session, view, pos)
    if head.own:
        if head.row is None:
            head.row = first_column(bytes(view[pos + 5 : end]))
        return DROP
    if head.plan is None:
        return FORWARD
    replaced = bytes(head.plan.row(view[pos:end]))
    head.bytes_out += len(replaced)
    return replaced


def row_description(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
    if head.kind is Kind.DESCRIBE:
        session.queue.pop()
    return DROP if head.own else _planned(session, head, view[pos:end])


def copy_out(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    head = head_of(session, view, pos)
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
