"""Sessions for reading: live ones, finished ones, search. The indexer writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.errors import NotFound
from appliance.store.database import Store
from appliance.store.pages import Page, contains, paginate
from appliance.store.record_models import SessionRow


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One client connection from login to end; ``ended_at`` None = live, or its end is unknown."""

    id: str
    identity: str
    identity_id: int | None
    identity_kind: str
    credential_id: int | None
    grant_id: int | None
    way: str
    target: str
    target_id: int | None
    database: str
    role: str
    reason: str
    source: str
    source_port: int | None
    peer: str
    application_name: str
    client: str
    tls: str
    parameters: dict[str, str]
    started_at: datetime
    ended_at: datetime | None
    end_reason: str
    statements: int
    refused: int
    held: int
    failed: int
    rows_out: int
    bytes_in: int
    bytes_out: int
    journal: str
    demo: bool

    @property
    def credential(self) -> str:
        return f"c-{self.credential_id}" if self.credential_id is not None else ""

    @property
    def is_live(self) -> bool:
        return self.ended_at is None


def get(store: Store, session_id: str) -> SessionRecord:
    """Return one session. Raises: NotFound."""
    with store.reading():
        row = SessionRow.get_or_none(SessionRow.id == session_id)
        if row is None:
            raise NotFound(f"no session has the id {session_id[:40]}")
        return record(row)


def live(store: Store, limit: int = 1000) -> tuple[SessionRecord, ...]:
    """Return the sessions without an end, the latest first."""
    with store.reading():
        query = SessionRow.select().where(SessionRow.ended_at.is_null())
        return tuple(
            record(row) for row in query.order_by(SessionRow.started_at.desc()).limit(limit)
        )


def find(
    store: Store,
    text: str = "",
    *,
    identity: str = "",
    target: str = "",
    credential_id: int | None = None,
    source: str = "",
    live: bool | None = None,
    refused: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    sort: str = "-started_at",
    page: int = 1,
    size: int = 50,
) -> Page[SessionRecord]:
    """Return sessions whose id, identity, target, source or application name holds ``text``.

    ``refused``: only those with a refused or held statement. ``since`` <= start < ``until``.
    """
    with store.reading():
        row = SessionRow
        query = row.select()
        if text:
            query = query.where(
                contains(row.identity, text)
                | contains(row.target, text)
                | contains(row.application_name, text)
                | contains(row.source, text)
                | (row.id == text.strip())
            )
        for column, value in (
            (row.identity, identity or None),
            (row.target, target or None),
            (row.credential_id, credential_id),
            (row.source, source or None),
        ):
            if value is not None:
                query = query.where(column == value)
        if live is not None:
            query = query.where(row.ended_at.is_null(live))
        if refused:
            query = query.where((row.refused > 0) | (row.held > 0))
        if since is not None:
            query = query.where(row.started_at >= since)
        if until is not None:
            query = query.where(row.started_at < until)
        columns = {
            "started_at": row.started_at,
            "identity": row.identity,
            "target": row.target,
            "statements": row.statements,
            "refused": row.refused,
        }
        return paginate(query, record, sort=sort, columns=columns, tie=row.id, page=page, size=size)


def record(row: Any) -> SessionRecord:
    """Return a row as a value."""
    values = {name: getattr(row, name) for name in SessionRecord.__dataclass_fields__}
    return SessionRecord(**values)
