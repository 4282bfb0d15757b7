"""The list of sessions: its filters from the address, its rows, its file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from flask import Response, request

from appliance.store import session_search
from appliance.store.pages import Page
from appliance.store.session_search import Hit, SessionFilter
from appliance.store.sessions import SessionRecord
from web.listing import Choice, Filter, ListState, csv_response, read_list
from web.services import now, services

_VALUES_DAYS = 30
_OUTCOMES = (
    ("refused", "with a refusal"),
    ("held", "with a hold"),
    ("failed", "with an error"),
    ("clean", "without any"),
)
_TIMES = (("1h", "last hour"), ("24h", "last 24 h"), ("7d", "last 7 days"), ("30d", "last 30 days"))
_SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_CSV_ROWS = 1_000
_CSV_HEAD = (
    "id",
    "identity",
    "kind",
    "credential",
    "target",
    "database",
    "role",
    "source",
    "application_name",
    "started_at",
    "ended_at",
    "end_reason",
    "statements",
    "refused",
    "held",
    "failed",
    "rows_out",
)
MOST_LIVE = 50


def read_state(*, own: bool = False) -> ListState:
    """Read the list's state; what somebody sees of their own has fewer filters."""
    values = session_search.filter_values(services().store, now() - timedelta(days=_VALUES_DAYS))
    everybody = (
        _offered("identity", "Identity", values.identities),
        _offered("target", "Target", values.targets),
        _offered("application_name", "Application", values.application_names),
        _offered("source", "From", values.sources),
    )
    mine = (
        Filter("verdict", "Outcome", tuple(Choice(v, w) for v, w in _OUTCOMES)),
        Filter("started", "Started", tuple(Choice(v, w) for v, w in _TIMES)),
    )
    filters = mine if own else (*everybody, *mine)
    return read_list(sorts=session_search.SORTS, default_sort="-started_at", filters=filters)


def wanted(state: ListState, *, in_statements: bool, identity: str = "") -> SessionFilter:
    """Return what the state asks for; ``identity`` narrows it to one whatever it says."""
    span = _SPANS.get(state.value("started"))
    return SessionFilter(
        text=state.search,
        in_statements=in_statements,
        identity=identity or state.value("identity"),
        target=state.value("target"),
        application_name=state.value("application_name"),
        source=state.value("source"),
        outcome=state.value("verdict"),
        since=now() - span if span else None,
    )


def live(filtered: SessionFilter) -> tuple[SessionRecord, ...]:
    """Return the sessions that run now, the latest first."""
    asked = replace(filtered, live=True)
    return session_search.find(services().store, asked, size=MOST_LIVE).items


def ended(state: ListState, filtered: SessionFilter, *, csv: bool = False) -> Page[SessionRecord]:
    """Return a page of those that have ended; a file has them all, live ones too."""
    return session_search.find(
        services().store,
        filtered if csv else replace(filtered, live=False),
        sort=state.order,
        page=1 if csv else state.page,
        size=_CSV_ROWS if csv else state.size,
    )


def hits(filtered: SessionFilter, shown: tuple[SessionRecord, ...]) -> dict[str, Hit]:
    """Return the first statement of each session that holds what was searched for."""
    if not filtered.in_statements:
        return {}
    ids = tuple(session.id for session in shown)
    return session_search.first_hits(services().store, filtered.text, ids)


def as_csv(found: Page[SessionRecord]) -> Response:
    """Return sessions as a file."""
    return csv_response("sessions", _CSV_HEAD, [_csv_row(session) for session in found.items])


def _offered(name: str, label: str, values: tuple[str, ...]) -> Filter:
    """Return a filter that also knows the value asked for, however rare it is."""
    given = request.args.get(name, "")[:300]
    known = values if not given or given in values else (given, *values)
    return Filter(name, label, tuple(Choice(value, value) for value in known))


def _csv_row(session: SessionRecord) -> tuple[object, ...]:
    return (
        session.id,
        session.identity,
        session.identity_kind,
        session.credential,
        session.target,
        session.database,
        session.role,
        session.source,
        session.application_name,
        session.started_at.isoformat(),
        session.ended_at.isoformat() if session.ended_at else "",
        session.end_reason,
        session.statements,
        session.refused,
        session.held,
        session.failed,
        session.rows_out,
    )
