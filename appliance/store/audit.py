"""Audit events: what was changed, by whom; an outbox until the indexer has chained them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.database import Store
from appliance.store.models import AuditRow
from appliance.store.pages import Page, contains, paginate

_CLAIM = "claim:"  # the indexer is chaining it (see recordings.claim_audit)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """``journaled``: "JOURNAL:POSITION" of its record, None while it waits for the indexer."""

    id: int
    at: datetime
    actor: str
    via: str
    source: str
    action: str
    subject: str
    detail: dict[str, Any]
    journaled: str | None


def find(
    store: Store,
    text: str = "",
    *,
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    sort: str = "-at",
    page: int = 1,
    size: int = 50,
) -> Page[AuditEvent]:
    """Return events, the latest first; ``action`` may be a prefix such as "credential."."""
    with store.reading():
        row = AuditRow
        query = row.select()
        if text:
            query = query.where(
                contains(row.actor, text)
                | contains(row.action, text)
                | contains(row.subject, text)
                | contains(row.detail, text)
            )
        if actor:
            query = query.where(row.actor == actor)
        if action:
            # a range instead of LIKE: the index serves it on both stores
            query = query.where((row.action >= action) & (row.action < action + "\U0010ffff"))
        if subject:
            query = query.where(row.subject == subject)
        if since is not None:
            query = query.where(row.at >= since)
        if until is not None:
            query = query.where(row.at < until)
        columns = {"at": row.at, "actor": row.actor, "action": row.action}
        return paginate(query, _event, sort=sort, columns=columns, tie=row.id, page=page, size=size)


def _event(row: Any) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        at=row.at,
        actor=row.actor,
        via=row.via,
        source=row.source,
        action=row.action,
        subject=row.subject,
        detail=dict(row.detail),
        journaled=None if (row.journaled or "").startswith(_CLAIM) else row.journaled,
    )
