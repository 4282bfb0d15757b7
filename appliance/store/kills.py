"""Requests to end a live session: the page and the shell ask, the worker that has it does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.store import names
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import KillRow

_STALE = timedelta(hours=1)  # nobody had that session


@dataclass(frozen=True, slots=True)
class Kill:
    session_id: str
    requested_by: str
    requested_at: datetime
    reason: str


def request(store: Store, by: Actor, now: datetime, session_id: str, reason: str = "") -> None:
    """Ask for the end of a session; asking twice is once."""
    reason = names.one_line("reason", reason)
    with change(store, by, now) as doing:
        waiting = (KillRow.session_id == session_id) & KillRow.done_at.is_null()
        if KillRow.select().where(waiting).exists():
            return
        KillRow.delete().where(
            KillRow.done_at.is_null() & (KillRow.requested_at < now - _STALE)
        ).execute()
        KillRow.insert(
            session_id=session_id, requested_by=by.name, requested_at=now, reason=reason
        ).execute()
        doing.note("session.kill", session_id, reason=reason)


def open(store: Store) -> list[Kill]:
    """Return what was asked for and not done yet, oldest first."""
    with store.reading():
        query = KillRow.select().where(KillRow.done_at.is_null()).order_by(KillRow.id)
        return [Kill(r.session_id, r.requested_by, r.requested_at, r.reason) for r in query]


def done(store: Store, now: datetime, session_id: str) -> None:
    """Say that the session has ended."""
    with store.transaction():
        waiting = (KillRow.session_id == session_id) & KillRow.done_at.is_null()
        KillRow.update(done_at=now).where(waiting).execute()


def is_done(store: Store, session_id: str) -> bool:
    """Return whether nothing is left of what was asked for this session."""
    with store.reading():
        waiting = (KillRow.session_id == session_id) & KillRow.done_at.is_null()
        return not KillRow.select().where(waiting).exists()
