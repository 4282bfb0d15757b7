"""Statements for reading: those of one session, and search over all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.recording.masked import MaskedColumn, from_json
from appliance.store.database import Store
from appliance.store.pages import Page, contains, paginate
from appliance.store.record_models import SessionRow, StatementRow, TextRow

_MAX = 10_000  # of one session in one call


@dataclass(frozen=True, slots=True)
class StatementRecord:
    """One statement with its verdict and outcome; ``state`` as in ``recording.State``."""

    session: str
    seq: int
    at: datetime
    identity: str
    target: str
    text: str
    fingerprint: str
    parameters: Any
    verdict: str
    rule: str
    reason: str
    effects: tuple[tuple[str, str], ...]
    state: str
    tag: str
    rows: int | None
    duration_ms: float | None
    sqlstate: str
    bytes_out: int
    masked: tuple[MaskedColumn, ...]
    decision: Any
    journal: str
    position: int


def of_session(
    store: Store, session_id: str, *, after: int = 0, limit: int = _MAX
) -> tuple[StatementRecord, ...]:
    """Return the statements of a session with a number over ``after``, in order."""
    with store.reading():
        query = _query().where((StatementRow.session_id == session_id) & (StatementRow.seq > after))
        return tuple(_record(row) for row in query.order_by(StatementRow.seq).limit(limit))


def find(
    store: Store,
    text: str = "",
    *,
    identity_id: int | None = None,
    target: str = "",
    session: str = "",
    verdict: str = "",
    state: str = "",
    rule: str = "",
    fingerprint: str = "",
    object_name: str = "",
    masked_column: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    sort: str = "-at",
    page: int = 1,
    size: int = 50,
) -> Page[StatementRecord]:
    """Return statements whose SQL holds ``text``; ``object_name`` such as ``public.orders``.

    ``masked_column``: "public.people.ssn" that was masked for whoever ran them, shown or looked at.
    """
    with store.reading():
        row = StatementRow
        query = _query()
        if text:
            ids = TextRow.alias()
            query = query.where(row.text_id.in_(ids.select(ids.id).where(contains(ids.text, text))))
        if fingerprint:
            ids = TextRow.alias()
            query = query.where(
                row.text_id.in_(ids.select(ids.id).where(ids.fingerprint == fingerprint))
            )
        for column, value in (
            (row.identity_id, identity_id),
            (SessionRow.target, target or None),
            (row.session_id, session or None),
            (row.verdict, verdict or None),
            (row.state, state or None),
            (row.rule, rule or None),
        ):
            if value is not None:
                query = query.where(column == value)
        if object_name:
            query = query.where(contains(row.effects, f'"{object_name}"'))
        if masked_column:
            query = query.where(contains(row.masked, f'"{masked_column}"'))
        if since is not None:
            query = query.where(row.at >= since)
        if until is not None:
            query = query.where(row.at < until)
        columns = {"at": row.at, "duration_ms": row.duration_ms, "rows": row.rows}
        return paginate(
            query, _record, sort=sort, columns=columns, tie=row.seq, page=page, size=size
        )


def _query() -> Any:
    return (
        StatementRow.select(
            StatementRow, TextRow.text, TextRow.fingerprint, SessionRow.identity, SessionRow.target
        )
        .join(TextRow, "LEFT OUTER JOIN", on=(TextRow.id == StatementRow.text_id), attr="text_row")
        .switch(StatementRow)
        .join(
            SessionRow,
            "LEFT OUTER JOIN",
            on=(SessionRow.id == StatementRow.session_id),
            attr="session",
        )
    )


def _record(row: Any) -> StatementRecord:
    text, session = getattr(row, "text_row", None), getattr(row, "session", None)
    return StatementRecord(
        session=row.session_id,
        seq=row.seq,
        at=row.at,
        identity=session.identity if session else "",
        target=session.target if session else "",
        text=text.text if text else "",
        fingerprint=row.fingerprint or (text.fingerprint if text else ""),
        parameters=row.parameters,
        verdict=row.verdict,
        rule=row.rule,
        reason=row.reason,
        effects=tuple((cls, name) for cls, name in row.effects or ()),
        state=row.state,
        tag=row.tag,
        rows=row.rows,
        duration_ms=row.duration_ms,
        sqlstate=row.sqlstate,
        bytes_out=row.bytes_out,
        masked=from_json(row.masked),
        decision=row.decision,
        journal=row.journal,
        position=row.position,
    )
