"""Recorded statements for a dry run: by fingerprint where that is exact, else one by one.

The table of fingerprints by day says in a moment what tens of millions of statements were. Only
those that a proposal can touch are read one by one, and only where a rule asks for what differs
from run to run: application name, source, hours, rows.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import orjson

from appliance.entities import Snapshot
from appliance.identity.startup_options import BadOptions, parse_options
from appliance.policy.history import DryRun, Judge, Recorded, dry_run
from appliance.policy.proposal import Proposal
from appliance.recording.fingerprint_days import DAY_MICROS
from appliance.recording.records import State
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from appliance.store import catalogs
from appliance.store.database import Store
from appliance.store.fields import from_micros, to_micros
from appliance.store.fingerprint_days import day_of

DAYS = 30
# Of the time: until when to find what can be touched, and to read that one by one.
_TO_FIND, _TO_READ = 0.5, 0.75
_IN_LIST = 200
_CHUNK = 2_000
_MINUTE_MICROS = 60_000_000
_WHOLE_CHARS = 1 << 20  # of longer texts the store may have the beginning only


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a dry run looks at: so many distinct statements, rows of the record, seconds."""

    groups: int = 20_000
    rows: int = 500_000
    seconds: float = 8.0


@dataclass(frozen=True, slots=True)
class Work:
    """How to go about it where an event loop must not stand still.

    ``aside`` does what takes long off the loop; ``breathe`` lets others have their turn.
    """

    aside: Callable[[Callable[[], Any]], Any] = lambda work: work()
    breathe: Callable[[], None] = lambda: None


class _Key(NamedTuple):
    identity: str
    target: str
    database: str
    role: str
    fingerprint: str


class _Use(NamedTuple):
    key: _Key
    statements: int
    last_at: int
    text_id: str
    session_id: str
    seq: int
    effects: str | None


class _Session(NamedTuple):
    identity: str
    target: str
    database: str
    role: str
    application_name: str
    source: str
    search_path: str


def run(
    store: Store,
    now: datetime,
    present: Snapshot,
    proposed: Snapshot,
    parser: Parser,
    *,
    days: int = DAYS,
    limits: Limits | None = None,
    work: Work | None = None,
) -> DryRun:
    """Return what a proposal would have done to what was recorded in ``days`` whole days."""
    bounds, how = limits or Limits(), work or Work()
    began = time.monotonic()
    since = from_micros(day_of(now - timedelta(days=days)) * DAY_MICROS)
    proposal = Proposal(present, proposed)
    found = _by_fingerprint(store, since, now, how)
    total = sum(use.statements for use in found)
    kept, cut = found[: bounds.groups], found[bounds.groups :]
    judge = Judge(proposal, _catalogs(store, kept, how), parser)

    def in_time(share: float) -> bool:
        return time.monotonic() - began < bounds.seconds * share

    touched: list[Recorded] = []
    looked_at = 0
    back_to = from_micros(cut[0].last_at) if cut else None
    for uses in _parts(kept):
        if not in_time(_TO_FIND):
            back_to = from_micros(uses[0].last_at)
            break
        part = _with_examples(store, uses)
        read = _parse_large(parser, part, partial(in_time, _TO_FIND))
        touched += how.aside(partial(_concerned, judge, read))
        looked_at += sum(one.count for one in read)
        if len(read) < len(part):
            back_to = part[len(read)].last_at
            break
        how.breathe()
    untouched = looked_at - sum(one.count for one in touched)
    if proposal.details.is_any and touched:
        touched, stopped = _one_by_one(
            store, proposal, touched, since, now, bounds, partial(in_time, _TO_READ), how
        )
        back_to = max(filter(None, (back_to, stopped)), default=None)
    may_judge = partial(in_time, 1.0)
    return _judged(judge, touched, how, may_judge, since, now, total, untouched, back_to)


def _concerned(judge: Judge, part: list[Recorded]) -> list[Recorded]:
    return [one for one in part if judge.concerns(one)]


def _judged(
    judge: Judge,
    touched: list[Recorded],
    how: Work,
    in_time: Callable[[], bool],
    since: datetime,
    until: datetime,
    total: int,
    untouched: int,
    back_to: datetime | None,
) -> DryRun:
    made: DryRun = how.aside(
        lambda: dry_run(
            judge,
            sorted(touched, key=lambda one: one.last_at, reverse=True),
            since=since,
            until=until,
            total=total,
            untouched=untouched,
            back_to=back_to,
            go_on=in_time,
        )
    )
    return made


def _by_fingerprint(store: Store, since: datetime, now: datetime, how: Work) -> list[_Use]:
    """Return all statements by fingerprint, the latest first."""
    sql = (
        "SELECT identity, target, database, role, fingerprint, statements, last_at, text_id,"
        " session_id, seq, effects FROM fingerprint_day WHERE day = ?"
    )
    counts: dict[_Key, int] = {}
    latest: dict[_Key, tuple[Any, ...]] = {}
    for day in range(day_of(now), day_of(since) - 1, -1):
        with store.reading():
            rows = list(_rows(store, sql, (day,)))
        for row in rows:
            key = _Key._make(row[:5])
            counts[key] = counts.get(key, 0) + int(row[5])
            latest.setdefault(key, row)
        how.breathe()
    found = [_Use(key, counts[key], *row[6:]) for key, row in latest.items()]
    return sorted(found, key=lambda use: use.last_at, reverse=True)


def _with_examples(store: Store, uses: list[_Use]) -> list[Recorded]:
    """Return uses with their example's text, and what its session had set."""
    with store.reading():
        texts = _texts(store, [use.text_id for use in uses])
        sessions = _sessions(store, [use.session_id for use in uses])
    made = []
    for use in uses:
        text = texts.get(use.text_id, "")
        session = sessions.get(use.session_id)
        made.append(
            Recorded(
                text=text,
                fingerprint=use.key.fingerprint,
                identity=use.key.identity,
                target=use.key.target,
                database=use.key.database,
                role=use.key.role,
                count=use.statements,
                last_at=from_micros(use.last_at),
                session_id=use.session_id,
                seq=use.seq,
                search_path=session.search_path if session else "",
                is_whole=bool(text) and len(text) < _WHOLE_CHARS,
                effects=tuple((cls, on) for cls, on in orjson.loads(use.effects or "[]")),
            )
        )
    return made


def _one_by_one(
    store: Store,
    proposal: Proposal,
    touched: list[Recorded],
    since: datetime,
    now: datetime,
    bounds: Limits,
    in_time: Callable[[], bool],
    how: Work,
) -> tuple[list[Recorded], datetime | None]:
    """Read the record of what can be touched, the newest first; say how far back if not all."""
    details = proposal.details
    like = {_key(one): one for one in touched}
    sessions: dict[str, _Session] = {}
    states: dict[tuple[str, ...], object] = {}  # by application name and source
    closed: dict[int, object] = {}  # by minute: no hours are finer
    found: dict[tuple[object, ...], Recorded] = {}
    read = 0
    for rows in _newest_first(store, since, now):
        missing = {row[0] for row in rows} - sessions.keys()
        with store.reading():
            sessions |= _sessions(store, sorted(missing))
        for session_id, seq, at, fingerprint, state, row_count in rows:
            session = sessions.get(session_id)
            if session is None or not fingerprint:
                continue
            example = like.get(_Key(*session[:4], fingerprint))
            if example is None:
                continue
            when = from_micros(at)
            minute = at // _MINUTE_MICROS
            if details.hours and minute not in closed:
                closed[minute] = proposal.closed_at(when)
            if details.session and session[4:6] not in states:
                states[session[4:6]] = proposal.session_state(*session[4:6])
            many = row_count if state == State.DONE else None
            key = (
                _key(example),
                states[session[4:6]] if details.session else None,
                closed[minute] if details.hours else None,
                (many is None, bisect_left(details.rows, many or 0)) if details.rows else None,
            )
            before = found.get(key)
            if before is not None:
                found[key] = replace(before, count=before.count + 1)
                continue
            if len(found) >= bounds.groups:
                return list(found.values()), when
            found[key] = replace(
                example,
                count=1,
                last_at=when,
                session_id=session_id,
                seq=seq,
                application_name=session.application_name if details.session else None,
                source=session.source if details.session else None,
                rows=many if details.rows else 0,
            )
        read += len(rows)
        how.breathe()
        if read >= bounds.rows or not in_time():
            return list(found.values()), from_micros(rows[-1][2])
    return list(found.values()), None


def _newest_first(store: Store, since: datetime, now: datetime) -> Iterator[list[tuple[Any, ...]]]:
    sql = (
        "SELECT session_id, seq, at, fingerprint, state, rows FROM statement WHERE at >= ?"  # noqa: S608 - made of constants and marks
        " AND at <= ? AND (at < ? OR session_id < ? OR (session_id = ? AND seq < ?))"
        f" ORDER BY at DESC, session_id DESC, seq DESC LIMIT {_CHUNK}"
    )
    first, last = to_micros(since), to_micros(now)
    at, session, seq = last + 1, "", 0
    while True:
        with store.reading():
            rows = list(_rows(store, sql, (first, min(at, last), at, session, session, seq)))
        if not rows:
            return
        yield rows
        session, seq, at = rows[-1][:3]


def _texts(store: Store, ids: Sequence[str]) -> dict[str, str]:
    wanted = sorted(set(ids))
    marks = ", ".join("?" * len(wanted))
    sql = f"SELECT id, text FROM statement_text WHERE id IN ({marks})"  # noqa: S608 - made of constants and marks
    return dict(_rows(store, sql, wanted)) if wanted else {}


def _sessions(store: Store, ids: Sequence[str]) -> dict[str, _Session]:
    found: dict[str, _Session] = {}
    for start in range(0, len(ids), _IN_LIST):
        part = ids[start : start + _IN_LIST]
        marks = ", ".join("?" * len(part))
        sql = (
            "SELECT id, identity, target, database, role, application_name, source, parameters"  # noqa: S608 - made of constants and marks
            f" FROM session WHERE id IN ({marks})"
        )
        for row in _rows(store, sql, part):
            path = _search_path(orjson.loads(row[7] or "{}"))
            found[row[0]] = _Session(row[1], row[2], row[3], row[4], row[5], row[6], path)
    return found


def _search_path(parameters: dict[str, str]) -> str:
    """Return the search_path that a start-up packet set, "" for none."""
    found = parameters.get("search_path", "")
    try:
        for option in parse_options(parameters.get("options", "")):
            if option.name == "search_path":
                found = option.value
    except BadOptions:
        pass
    return found


def _catalogs(store: Store, found: list[_Use], how: Work) -> dict[tuple[str, str], Catalog | None]:
    made: dict[tuple[str, str], Catalog | None] = {}
    for place in dict.fromkeys((use.key.target, use.key.database) for use in found):
        stored = catalogs.get(store, *place)
        try:
            made[place] = how.aside(partial(Catalog.from_json, stored.data)) if stored else None
        except ValueError:  # written by another version
            made[place] = None
    return made


def _parse_large(
    parser: Parser, part: list[Recorded], in_time: Callable[[], bool]
) -> list[Recorded]:
    """Parse here what goes to the planner, which waits without keeping a loop busy.

    Return the part up to where time was over: hostile texts can take seconds each.
    """
    for place, one in enumerate(part):
        if not parser.is_cheap(one.text):
            if not in_time():
                return part[:place]
            parser.parse(one.text)
    return part


def _key(one: Recorded) -> _Key:
    return _Key(one.identity, one.target, one.database, one.role, one.fingerprint)


def _parts(values: list[_Use]) -> Iterator[list[_Use]]:
    for start in range(0, len(values), _IN_LIST):
        yield values[start : start + _IN_LIST]


def _rows(store: Store, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    text = sql if store.is_sqlite else sql.replace("?", "%s")
    yield from store.database.execute_sql(text, values).fetchall()
