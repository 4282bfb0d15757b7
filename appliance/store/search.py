"""Search over everything that has a name: identities, targets, sessions, statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee

from appliance.store.database import Store
from appliance.store.models import IdentityRow, TargetRow
from appliance.store.pages import contains
from appliance.store.record_models import SessionRow, StatementRow, TextRow
from appliance.store.sessions import SessionRecord, record

MOST = 8  # of each kind
MOST_STATEMENTS = 25
_SHOWN = 400
_SHORTEST_ID = 4


@dataclass(frozen=True, slots=True)
class FoundIdentity:
    name: str
    kind: str
    purpose: str


@dataclass(frozen=True, slots=True)
class FoundTarget:
    name: str
    address: str
    environment: str


@dataclass(frozen=True, slots=True)
class FoundStatement:
    """A text that was sent, with its latest use; ``text`` is its beginning.

    ``times``: how often it was sent in all.
    """

    session: str
    seq: int
    at: datetime
    identity: str
    target: str
    verdict: str
    state: str
    text: str
    times: int


def identities(store: Store, text: str) -> tuple[FoundIdentity, ...]:
    """Return identities whose name or purpose holds ``text``."""
    row = IdentityRow
    with store.reading():
        query = row.select(row.name, row.kind, row.purpose).where(
            contains(row.name, text) | contains(row.purpose, text)
        )
        return tuple(
            FoundIdentity(*found) for found in query.order_by(row.name).limit(MOST).tuples()
        )


def targets(store: Store, text: str) -> tuple[FoundTarget, ...]:
    """Return targets whose name, host, database or environment holds ``text``."""
    row = TargetRow
    with store.reading():
        query = row.select().where(
            contains(row.name, text)
            | contains(row.host, text)
            | contains(row.database, text)
            | contains(row.environment, text)
        )
        return tuple(
            FoundTarget(r.name, f"{r.host}:{r.port}/{r.database}", r.environment)
            for r in query.order_by(row.name).limit(MOST)
        )


def sessions(store: Store, text: str) -> tuple[SessionRecord, ...]:
    """Return sessions whose id begins with ``text``, the latest first."""
    if len(text) < _SHORTEST_ID:
        return ()
    row = SessionRow
    with store.reading():
        query = row.select().where((row.id >= text) & (row.id < text + "\U0010ffff"))
        return tuple(record(r) for r in query.order_by(row.started_at.desc()).limit(MOST))


def statements(store: Store, text: str) -> tuple[FoundStatement, ...]:
    """Return the texts that hold ``text``, the latest used first, each with its latest use."""
    row = StatementRow
    with store.reading():
        last = peewee.fn.MAX(row.at)
        latest = (
            row.select(row.text_id, last, peewee.fn.COUNT(row.seq))
            .where(row.text_id.in_(TextRow.select(TextRow.id).where(contains(TextRow.text, text))))
            .group_by(row.text_id)
            .order_by(last.desc())
            .limit(MOST_STATEMENTS)
        )
        found = (_latest(text_id, int(times)) for text_id, _, times in latest.tuples())
        return tuple(one for one in found if one is not None)


def _latest(text_id: str, times: int) -> FoundStatement | None:
    row = StatementRow
    query = (
        row.select(
            row.session_id,
            row.seq,
            row.at,
            SessionRow.identity,
            SessionRow.target,
            row.verdict,
            row.state,
            peewee.fn.SUBSTR(TextRow.text, 1, _SHOWN),
        )
        .join(SessionRow, on=(SessionRow.id == row.session_id))
        .switch(row)
        .join(TextRow, on=(TextRow.id == row.text_id))
        .where(row.text_id == text_id)
        .order_by(row.at.desc(), row.seq.desc())
        .limit(1)
    )
    found: Any = query.tuples().first()
    return FoundStatement(*(*found, times)) if found else None
