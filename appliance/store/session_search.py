"""Sessions by what was said in them: the list's filters, and search over their statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee

from appliance.store.database import Store
from appliance.store.pages import Page, contains, paginate
from appliance.store.record_models import SessionRow, StatementRow, TextRow
from appliance.store.sessions import SessionRecord, record

_CHOICES = 40
_BEFORE = 40  # characters shown before what was searched for
_SHOWN = 300
SORTS = ("started_at", "identity", "target", "statements", "refused")


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """What sessions a list shows; "" and None mean any.

    ``text`` is looked for in names, addresses and ids, and in the statements with
    ``in_statements``. ``outcome``: refused, held, failed, or clean (none of these).
    """

    text: str = ""
    in_statements: bool = False
    identity: str = ""
    target: str = ""
    application_name: str = ""
    source: str = ""
    outcome: str = ""
    since: datetime | None = None
    live: bool | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """The first statement of a session that holds what was searched for."""

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class FilterValues:
    """What the filters of the list offer: the commonest values, by name."""

    identities: tuple[str, ...]
    targets: tuple[str, ...]
    application_names: tuple[str, ...]
    sources: tuple[str, ...]


def find(
    store: Store,
    wanted: SessionFilter,
    *,
    sort: str = "-started_at",
    page: int = 1,
    size: int = 50,
) -> Page[SessionRecord]:
    """Return a page of the sessions that fit."""
    row = SessionRow
    with store.reading():
        query = row.select().where(_condition(wanted))
        columns = {name: getattr(row, name) for name in SORTS}
        return paginate(query, record, sort=sort, columns=columns, tie=row.id, page=page, size=size)


def first_hits(store: Store, text: str, sessions: tuple[str, ...]) -> dict[str, Hit]:
    """Return, of those sessions that have one, the first statement that holds ``text``."""
    if not text or not sessions:
        return {}
    row = StatementRow
    with store.reading():
        firsts = (
            row.select(row.session_id, peewee.fn.MIN(row.seq))
            .where(row.session_id.in_(sessions) & row.text_id.in_(_texts(text)))
            .group_by(row.session_id)
        )
        found = {}
        for session, seq in firsts.tuples():
            text_id = row.select(row.text_id).where((row.session_id == session) & (row.seq == seq))
            shown = TextRow.select(_around(store, text)).where(TextRow.id == text_id).scalar()
            found[session] = Hit(seq, shown or "")
        return found


def filter_values(store: Store, since: datetime) -> FilterValues:
    """Return the commonest values among the sessions that started since then."""
    row = SessionRow
    with store.reading():
        return FilterValues(
            identities=_most(row.identity, since),
            targets=_most(row.target, since),
            application_names=_most(row.application_name, since),
            sources=_most(row.source, since),
        )


def _condition(wanted: SessionFilter) -> Any:
    row = SessionRow
    found = row.id.is_null(False)
    if wanted.text:
        found &= _holds(wanted)
    for column, value in (
        (row.identity, wanted.identity),
        (row.target, wanted.target),
        (row.application_name, wanted.application_name),
        (row.source, wanted.source),
    ):
        if value:
            found &= column == value
    match wanted.outcome:
        case "refused":
            found &= row.refused > 0
        case "held":
            found &= row.held > 0
        case "failed":
            found &= row.failed > 0
        case "clean":
            found &= (row.refused == 0) & (row.held == 0) & (row.failed == 0)
    if wanted.since is not None:
        found &= row.started_at >= wanted.since
    if wanted.live is not None:
        found &= row.ended_at.is_null(wanted.live)
    return found


def _holds(wanted: SessionFilter) -> Any:
    row, text = SessionRow, wanted.text
    found = (
        contains(row.identity, text)
        | contains(row.target, text)
        | contains(row.application_name, text)
        | contains(row.source, text)
        | (row.id == text)
    )
    if wanted.in_statements:
        said = StatementRow.select(StatementRow.session_id).where(
            StatementRow.text_id.in_(_texts(text))
        )
        found |= row.id.in_(said)
    return found


def _texts(text: str) -> Any:
    return TextRow.select(TextRow.id).where(contains(TextRow.text, text))


def _around(store: Store, text: str) -> Any:
    """Return the part of a statement in which ``text`` is seen, however long it is."""
    find_in = peewee.fn.INSTR if store.is_sqlite else peewee.fn.STRPOS
    at = find_in(peewee.fn.LOWER(TextRow.text), text.lower())
    begin = peewee.Case(None, ((at > _BEFORE, at - _BEFORE),), 1)
    return peewee.fn.SUBSTR(TextRow.text, begin, _SHOWN)


def _most(column: Any, since: datetime) -> tuple[str, ...]:
    query = (
        SessionRow.select(column)
        .where((SessionRow.started_at >= since) & (column != ""))
        .group_by(column)
        .order_by(peewee.fn.COUNT(peewee.SQL("*")).desc(), column)
        .limit(_CHOICES)
    )
    return tuple(sorted(str(value) for (value,) in query.tuples()))
