"""What the first page and the cards say: the last day, what is live, what is set up so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import peewee

from appliance.entities import IdentityKind, IdentityStatus
from appliance.store.database import Store
from appliance.store.fields import to_micros
from appliance.store.models import (
    CredentialRow,
    GrantRow,
    GroupRow,
    IdentityRow,
    RoleRow,
    RuleRow,
    TargetRow,
)
from appliance.store.record_models import JournalRow, SessionRow, StatementRow, TextRow

HOURS = 24
DAYS = 90
_DAY = timedelta(hours=HOURS)
_HOUR_MICROS = 3_600_000_000
_TEXT_CHARS = 400


@dataclass(frozen=True, slots=True)
class LastDay:
    """Counts of the last 24 hours. ``statements_by_hour``: oldest hour first."""

    statements: int
    refused: int
    held: int
    identities: int
    targets: int
    statements_by_hour: tuple[int, ...]
    refused_by_hour: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetUp:
    """Which of the first steps are done."""

    has_target: bool
    has_secret: bool
    has_identity: bool
    has_credential: bool
    has_grant: bool
    has_session: bool
    has_rule: bool

    @property
    def is_done(self) -> bool:
        return self.has_session and self.has_target


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One statement of the live feed; ``text`` is its beginning."""

    session_id: str
    seq: int
    at: datetime
    identity: str
    kind: str
    target: str
    verdict: str
    state: str
    rule: str
    tag: str
    text: str

    @property
    def key(self) -> tuple[str, int, str]:
        """Return what makes an entry news: a statement whose state changed is shown again."""
        return self.session_id, self.seq, self.state


@dataclass(frozen=True, slots=True)
class SessionBrief:
    """A session as cards mention it."""

    id: str
    identity: str
    target: str
    role: str
    source: str
    application_name: str
    started_at: datetime
    ended_at: datetime | None
    statements: int
    refused: int


@dataclass(frozen=True, slots=True)
class TargetUse:
    """How a target is used. ``first`` is its first session ever recorded."""

    live: int
    first: SessionBrief | None
    last: SessionBrief | None


@dataclass(frozen=True, slots=True)
class RecordingState:
    """How the recording stands. ``head``: the newest chain head in hex, signed at ``head_at``."""

    records: int
    open_journals: int
    head_at: datetime | None
    head: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What is recorded of an identity over ``DAYS`` days; pairs are a value and its sessions."""

    sessions: int
    statements: int
    refused: int
    statements_by_day: tuple[int, ...]
    sources: tuple[tuple[str, int], ...]
    application_names: tuple[tuple[str, int], ...]
    targets: tuple[tuple[str, int], ...]


def last_day(store: Store, now: datetime) -> LastDay:
    """Return what the first sentence of the first page says."""
    since = now - _DAY
    with store.reading():
        by_hour = _by_hour(since)
        refused = _by_hour(since, StatementRow.state == "refused")
        held = StatementRow.select().where(
            (StatementRow.at > since) & (StatementRow.verdict == "hold")
        )
        who = SessionRow.select(
            peewee.fn.COUNT(SessionRow.identity.distinct()),
            peewee.fn.COUNT(SessionRow.target.distinct()),
        ).where(
            (SessionRow.started_at > since)
            | SessionRow.ended_at.is_null()
            | (SessionRow.ended_at > since)
        )
        identities, targets = next(iter(who.tuples()))
        return LastDay(
            statements=sum(by_hour),
            refused=sum(refused),
            held=held.count(),
            identities=identities,
            targets=targets,
            statements_by_hour=by_hour,
            refused_by_hour=refused,
        )


def set_up(store: Store) -> SetUp:
    """Return which first steps are done."""
    with store.reading():
        secret = RoleRow.select().where(
            RoleRow.sealed_secret.is_null(False)
            | RoleRow.password_env.is_null(False)
            | RoleRow.password_file.is_null(False)
        )
        return SetUp(
            has_target=TargetRow.select().exists(),
            has_secret=secret.exists(),
            has_identity=IdentityRow.select().count() > 1,  # besides whoever set this up
            has_credential=CredentialRow.select()
            .where(CredentialRow.revoked_at.is_null())
            .exists(),
            has_grant=GrantRow.select().exists(),
            has_session=SessionRow.select().exists(),
            has_rule=RuleRow.select().exists(),
        )


def feed(store: Store, limit: int = 20) -> list[FeedEntry]:
    """Return the newest statements, newest first."""
    with store.reading():
        row = StatementRow
        query = (
            row.select(
                row.session_id,
                row.seq,
                row.at,
                SessionRow.identity,
                SessionRow.identity_kind,
                SessionRow.target,
                row.verdict,
                row.state,
                row.rule,
                row.tag,
                peewee.fn.SUBSTR(TextRow.text, 1, _TEXT_CHARS),
            )
            .join(SessionRow, on=(SessionRow.id == row.session_id))
            .join(
                IdentityRow, peewee.JOIN.LEFT_OUTER, on=(IdentityRow.id == SessionRow.identity_id)
            )
            .join(TextRow, peewee.JOIN.LEFT_OUTER, on=(TextRow.id == row.text_id))
            .order_by(row.at.desc(), row.session_id, row.seq.desc())
            .limit(limit)
        )
        return [
            FeedEntry(
                session_id=session,
                seq=seq,
                at=at,
                identity=identity,
                kind=kind or IdentityKind.HUMAN.value,
                target=target,
                verdict=verdict,
                state=state,
                rule=rule,
                tag=tag,
                text=text or "",
            )
            for session, seq, at, identity, kind, target, verdict, state, rule, tag, text in (
                query.tuples()
            )
        ]


def target_use(store: Store, target: str) -> TargetUse:
    """Return how a target is used."""
    mine = SessionRow.target == target
    with store.reading():
        return TargetUse(
            live=SessionRow.select().where(mine & SessionRow.ended_at.is_null()).count(),
            first=_session(SessionRow.select().where(mine).order_by(SessionRow.started_at)),
            last=_session(SessionRow.select().where(mine).order_by(SessionRow.started_at.desc())),
        )


def first_session(store: Store) -> SessionBrief | None:
    """Return the first session ever recorded."""
    with store.reading():
        return _session(SessionRow.select().order_by(SessionRow.started_at))


def live_sessions(
    store: Store,
    *,
    identity: str = "",
    credential_id: int | None = None,
    grant_id: int | None = None,
) -> tuple[SessionBrief, ...]:
    """Return the sessions that run now, as narrowed, newest first."""
    query = SessionRow.select().where(SessionRow.ended_at.is_null())
    if identity:
        query = query.where(SessionRow.identity == identity)
    if credential_id is not None:
        query = query.where(SessionRow.credential_id == credential_id)
    if grant_id is not None:
        query = query.where(SessionRow.grant_id == grant_id)
    with store.reading():
        return tuple(_brief(row) for row in query.order_by(SessionRow.started_at.desc()).limit(200))


def ownerless(store: Store) -> tuple[str, ...]:
    """Return the machines that nobody answers for, by name."""
    with store.reading():
        query = (
            IdentityRow.select(IdentityRow.name)
            .where(
                (IdentityRow.kind != IdentityKind.HUMAN.value)
                & (IdentityRow.status != IdentityStatus.RETIRED.value)
                & IdentityRow.owner.is_null()
            )
            .order_by(IdentityRow.name)
        )
        return tuple(name for (name,) in query.tuples())


def group_names(store: Store) -> tuple[str, ...]:
    """Return the names of all groups."""
    with store.reading():
        query = GroupRow.select(GroupRow.name).order_by(GroupRow.name)
        return tuple(name for (name,) in query.tuples())


def owner_names(store: Store) -> tuple[str, ...]:
    """Return the people who own something, by name."""
    owned = IdentityRow.alias()
    with store.reading():
        query = (
            IdentityRow.select(IdentityRow.name)
            .where(IdentityRow.id.in_(owned.select(owned.owner).where(owned.owner.is_null(False))))
            .order_by(IdentityRow.name)
        )
        return tuple(name for (name,) in query.tuples())


def recording_state(store: Store) -> RecordingState:
    """Return how the recording stands."""
    with store.reading():
        query = JournalRow.select(
            peewee.fn.COALESCE(peewee.fn.SUM(JournalRow.records), 0),
            peewee.fn.MAX(JournalRow.head_at),
        )
        records, head_at = next(iter(query.tuples()))
        opened = JournalRow.select().where(JournalRow.closed_at.is_null()).count()
        newest = JournalRow.select().where(JournalRow.head_at.is_null(False))
        row = newest.order_by(JournalRow.head_at.desc()).first()
        return RecordingState(
            records=int(records),
            open_journals=opened,
            head_at=head_at if isinstance(head_at, datetime) else row and row.head_at,
            head=row.last_hash if row else "",
        )


def identity_usage(store: Store, name: str, now: datetime) -> Usage:
    """Return what is recorded of an identity's use over the last 90 days."""
    since = now - timedelta(days=DAYS)
    mine = (SessionRow.identity == name) & (SessionRow.started_at > since)
    day = (SessionRow.started_at - to_micros(since)) / peewee.SQL(str(24 * _HOUR_MICROS))
    with store.reading():
        by_day = [0] * DAYS
        query = SessionRow.select(day.alias("day"), peewee.fn.SUM(SessionRow.statements))
        for index, number in query.where(mine).group_by(peewee.SQL("day")).tuples():
            by_day[min(max(int(index), 0), DAYS - 1)] += int(number or 0)
        totals = SessionRow.select(
            peewee.fn.COUNT(peewee.SQL("*")),
            peewee.fn.COALESCE(peewee.fn.SUM(SessionRow.statements), 0),
            peewee.fn.COALESCE(peewee.fn.SUM(SessionRow.refused), 0),
        ).where(mine)
        sessions, statements, refused = next(iter(totals.tuples()))
        return Usage(
            sessions=int(sessions),
            statements=int(statements),
            refused=int(refused),
            statements_by_day=tuple(by_day),
            sources=_most(SessionRow.source, mine),
            application_names=_most(SessionRow.application_name, mine),
            targets=_most(SessionRow.target, mine),
        )


def _most(column: Any, condition: Any) -> tuple[tuple[str, int], ...]:
    """Return the commonest values of a column with how often they came."""
    count = peewee.fn.COUNT(peewee.SQL("*"))
    query = SessionRow.select(column, count).where(condition & (column != "")).group_by(column)
    return tuple(
        (str(value), int(n)) for value, n in query.order_by(count.desc()).limit(5).tuples()
    )


def _by_hour(since: datetime, condition: Any = None) -> tuple[int, ...]:
    """Return counts of statements by hour, the first hour beginning at ``since``."""
    hour = (StatementRow.at - to_micros(since)) / peewee.SQL(str(_HOUR_MICROS))
    where = StatementRow.at > since
    if condition is not None:
        where &= condition
    query = (
        StatementRow.select(hour.alias("hour"), peewee.fn.COUNT(peewee.SQL("*")))
        .where(where)
        .group_by(peewee.SQL("hour"))
    )
    counts = [0] * HOURS
    for index, number in query.tuples():
        counts[min(max(int(index), 0), HOURS - 1)] += number
    return tuple(counts)


def _session(query: Any) -> SessionBrief | None:
    row = query.first()
    return _brief(row) if row is not None else None


def _brief(row: Any) -> SessionBrief:
    return SessionBrief(
        id=row.id,
        identity=row.identity,
        target=row.target,
        role=row.role,
        source=row.source,
        application_name=row.application_name,
        started_at=row.started_at,
        ended_at=row.ended_at,
        statements=row.statements,
        refused=row.refused,
    )
