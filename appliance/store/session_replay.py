"""A session's statements for the replay, by chapters: a long session is never read whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import peewee

from appliance.errors import NotFound
from appliance.recording.masked import MaskedColumn, from_json
from appliance.store.database import Store
from appliance.store.record_models import JournalRow, StatementRow, TextRow

FAILED = ("failed",)
REFUSED = ("refused", "held")
_SOON = timedelta(minutes=5)
_SEVERITY = (("refused", 4), ("held", 3), ("failed", 2), ("sent", 1), ("withdrawn", 1))


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A statement as the list shows it; ``text`` is its beginning, ``length`` that of all of it."""

    seq: int
    at: datetime
    text: str
    length: int
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
    journal: str
    position: int
    decision: Any  # of a held one: how it was decided, as the journal has it
    approval_id: int | None

    @property
    def is_cut(self) -> bool:
        return self.length > len(self.text)


@dataclass(frozen=True, slots=True)
class Bar:
    """Some statements of the overview: where they begin, how many, and the worst of them."""

    first: int
    count: int
    state: str


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a journal's chain, as far as it was taken into the store."""

    journal: str
    hash: str
    signed_at: datetime | None


def chapter(
    store: Store, session_id: str, first: int, size: int, characters: int
) -> tuple[StatementLine, ...]:
    """Return ``size`` statements from number ``first`` on, each text cut to ``characters``."""
    with store.reading():
        row = StatementRow
        query = _query(characters).where(
            (row.session_id == session_id) & (row.seq >= first) & (row.seq < first + size)
        )
        return tuple(_line(found) for found in query.order_by(row.seq))


def statement(store: Store, session_id: str, seq: int, characters: int) -> StatementLine:
    """Return one statement. Raises: NotFound."""
    with store.reading():
        row = StatementRow
        found = _query(characters).where((row.session_id == session_id) & (row.seq == seq)).first()
        if found is None:
            raise NotFound(f"session {session_id[:40]} has no statement {seq}")
        return _line(found)


def approved(store: Store, request_id: int, since: datetime) -> tuple[str, StatementLine] | None:
    """Return the session and record of what an approval let through at ``since`` or soon after."""
    with store.reading():
        row = StatementRow
        window = (row.at >= since - _SOON) & (row.at <= since + _SOON)
        query = _query(0).where(window & (row.approval_id == request_id))
        found = query.order_by(row.at.desc()).first()
        return (found.session_id, _line(found)) if found else None


def ended_before(store: Store, session_id: str, seq: int) -> datetime | None:
    """Return when the statement before ``seq`` had ended; None when there is none."""
    with store.reading():
        row = StatementRow
        query = row.select(row.at, row.duration_ms).where(
            (row.session_id == session_id) & (row.seq < seq)
        )
        found = query.order_by(row.seq.desc()).first()
        if found is None:
            return None
        at: datetime = found.at
        return at + timedelta(milliseconds=found.duration_ms or 0)


def begun_after(store: Store, session_id: str, seq: int) -> datetime | None:
    """Return when the statement after ``seq`` began; None when there is none."""
    with store.reading():
        row = StatementRow
        query = row.select(row.at).where((row.session_id == session_id) & (row.seq > seq))
        found = query.order_by(row.seq).first()
        return found.at if found else None


def last_seq(store: Store, session_id: str) -> int:
    """Return the number of a session's last statement, 0 when it has none."""
    with store.reading():
        row = StatementRow
        query = row.select(peewee.fn.MAX(row.seq)).where(row.session_id == session_id)
        return int(query.scalar() or 0)


def next_in(store: Store, session_id: str, after: int, states: tuple[str, ...]) -> int | None:
    """Return the next statement after ``after`` in one of these states, else the first, or None."""
    return _next(session_id, after, StatementRow.state.in_(states), store)


def next_hold(store: Store, session_id: str, after: int) -> int | None:
    """Return the next statement after ``after`` that was held, whatever came of it."""
    return _next(session_id, after, StatementRow.verdict == "hold", store)


def next_masked(store: Store, session_id: str, after: int) -> int | None:
    """Return the next statement after ``after`` that had to do with masked columns."""
    return _next(session_id, after, StatementRow.masked.is_null(False), store)


def _next(session_id: str, after: int, condition: Any, store: Store) -> int | None:
    with store.reading():
        row = StatementRow
        base = row.select(peewee.fn.MIN(row.seq)).where((row.session_id == session_id) & condition)
        found: int | None = base.where(row.seq > after).scalar()
        return found if found is not None else base.scalar()


def overview(store: Store, session_id: str, last: int, bars: int) -> tuple[Bar, ...]:
    """Return the whole session as at most ``bars`` bars of as many statements each."""
    if not last:
        return ()
    width = max(1, -(-last // bars))
    row = StatementRow
    rank = peewee.Case(row.state, _SEVERITY, 0)
    with store.reading():
        group = (row.seq - 1) / peewee.SQL(str(width))
        query = (
            row.select(group.alias("bar"), peewee.fn.COUNT(row.seq), peewee.fn.MAX(rank))
            .where(row.session_id == session_id)
            .group_by(peewee.SQL("bar"))
            .order_by(peewee.SQL("bar"))
        )
        words = {number: state for state, number in reversed(_SEVERITY)}
        return tuple(
            Bar(int(bar) * width + 1, int(count), words.get(worst, "done"))
            for bar, count, worst in query.tuples()
        )


def head(store: Store, journal: str) -> Head | None:
    """Return the chain head of the journal that a session is written to."""
    with store.reading():
        found = JournalRow.get_or_none(JournalRow.name == journal)
        return Head(found.name, found.last_hash, found.head_at) if found else None


def _query(characters: int) -> Any:
    row = StatementRow
    text = peewee.fn.COALESCE(peewee.fn.SUBSTR(TextRow.text, 1, characters), "")
    length = peewee.fn.COALESCE(peewee.fn.LENGTH(TextRow.text), 0)
    return row.select(row, text.alias("shown"), length.alias("length")).join(
        TextRow, peewee.JOIN.LEFT_OUTER, on=(TextRow.id == row.text_id), attr="text_row"
    )


def _line(row: Any) -> StatementLine:
    return StatementLine(
        seq=row.seq,
        at=row.at,
        text=row.shown,
        length=row.length,
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
        journal=row.journal,
        position=row.position,
        decision=row.decision,
        approval_id=row.approval_id,
    )
