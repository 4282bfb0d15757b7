"""What ``audit verify`` reads of the record tables: rows as they are, to compare with journals.

Every function runs in the caller's ``store.reading(consistent=True)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from appliance.recording.entries import EventEntry, SessionEntry, SessionTotals
from appliance.store.database import Store

_IN_LIST = 200
_TEXTS_AT_ONCE = 500
_EVENT_COLUMNS = ", ".join(EventEntry._fields)
_SESSION_COLUMNS = ", ".join((*SessionEntry._fields, *SessionTotals._fields))


class JournalEntry(NamedTuple):
    """A row of ``journal`` as far as its records decide it."""

    writer: str
    appliance: str
    opened_at: int
    closed_at: int | None
    records: int
    head_signature: str
    head_at: int | None


class AuditEntry(NamedTuple):
    """A row of ``audit_event``; moments in microseconds, ``detail`` as JSON."""

    id: int
    at: int
    actor: str
    via: str
    source: str
    action: str
    subject: str
    detail: str
    journaled: str | None


class TextStored(NamedTuple):
    """A row of ``statement_text``."""

    id: str
    text: str
    fingerprint: str


def journal_entry(store: Store, name: str) -> JournalEntry | None:
    """Return one journal's row."""
    sql = f"SELECT {', '.join(JournalEntry._fields)} FROM journal WHERE name = ?"  # noqa: S608 - made of constants and marks
    return next((JournalEntry(*row) for row in _rows(store, sql, (name,))), None)


def sessions(store: Store, ids: Iterable[str]) -> dict[str, tuple[SessionEntry, SessionTotals]]:
    """Return those sessions' rows."""
    count = len(SessionEntry._fields)
    found = {}
    for marks, part in _parts(sorted(ids)):
        sql = f"SELECT {_SESSION_COLUMNS} FROM session WHERE id IN ({marks})"  # noqa: S608 - made of constants and marks
        for row in _rows(store, sql, part):
            entry = SessionEntry(*row[:count])
            found[entry.id] = (
                entry._replace(demo=bool(entry.demo)),
                SessionTotals(*row[count:]),
            )
    return found


def statement_counts(store: Store, ids: Iterable[str]) -> dict[str, int]:
    """Return how many statements each of those sessions has."""
    found: dict[str, int] = {}
    for marks, part in _parts(sorted(ids)):
        where = f"WHERE session_id IN ({marks}) GROUP BY session_id"
        sql = f"SELECT session_id, COUNT(*) FROM statement {where}"  # noqa: S608 - made of constants and marks
        found.update({row[0]: int(row[1]) for row in _rows(store, sql, part)})
    return found


def session_ids(store: Store, journal: str) -> set[str]:
    """Return the sessions that say they are of this journal."""
    return {row[0] for row in _rows(store, "SELECT id FROM session WHERE journal = ?", (journal,))}


def events(store: Store, journal: str, after: int, upto: int) -> list[EventEntry]:
    """Return a journal's events with after < position <= upto."""
    sql = (
        f"SELECT {_EVENT_COLUMNS} FROM record_event"  # noqa: S608 - made of constants and marks
        " WHERE journal = ? AND position > ? AND position <= ? ORDER BY position, id"
    )
    return [EventEntry(*row) for row in _rows(store, sql, (journal, after, upto))]


def audit_entries(store: Store, ids: Iterable[int]) -> dict[int, AuditEntry]:
    """Return those audit events' rows."""
    found = {}
    for marks, part in _parts(sorted(ids)):
        sql = (
            f"SELECT {', '.join(AuditEntry._fields)} FROM audit_event"  # noqa: S608 - made of constants and marks
            f" WHERE id IN ({marks})"
        )
        for row in _rows(store, sql, part):
            found[row[0]] = AuditEntry(*row)
    return found


def audit_count(store: Store, journal: str) -> int:
    """Return how many audit events say that they are chained in this journal."""
    sql = "SELECT COUNT(*) FROM audit_event WHERE journaled >= ? AND journaled < ?"
    return int(next(_rows(store, sql, (f"{journal}:", f"{journal};")))[0])


def texts(store: Store) -> Iterator[TextStored]:
    """Return all statement texts, by id."""
    last = ""
    while True:
        sql = "SELECT id, text, fingerprint FROM statement_text WHERE id > ? ORDER BY id LIMIT ?"
        rows = [TextStored(*row) for row in _rows(store, sql, (last, _TEXTS_AT_ONCE))]
        if not rows:
            return
        yield from rows
        last = rows[-1].id


def latest_moment(store: Store) -> int:
    """Return when the latest session began, in microseconds; 0 when there was none."""
    return int(next(_rows(store, "SELECT MAX(started_at) FROM session"))[0] or 0)


def signing_keys(store: Store) -> dict[str, str]:
    """Return the public keys (hex) that the store knows, by their id."""
    return {row[0]: row[1] for row in _rows(store, "SELECT key_id, public_key FROM signing_key")}


def strays(store: Store, journals: set[str]) -> list[tuple[str, str]]:
    """Return (where, what) of rows that belong to no journal or session."""
    found = []
    named = (
        ("session", "SELECT DISTINCT journal FROM session"),
        ("record_event", "SELECT DISTINCT journal FROM record_event"),
    )
    for table, sql in named:
        for (journal,) in _rows(store, sql):
            if journal not in journals:
                found.append((f"{table} of journal {journal}", "no such journal was written"))
    sql = (
        "SELECT session_id, seq FROM statement WHERE NOT EXISTS"
        " (SELECT 1 FROM session WHERE session.id = statement.session_id)"
        " ORDER BY session_id, seq LIMIT 10"
    )
    for session, seq in _rows(store, sql):
        found.append((f"statement {session} #{seq}", "its session was never recorded"))
    return found


def _parts(values: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    for start in range(0, len(values), _IN_LIST):
        part = values[start : start + _IN_LIST]
        yield ", ".join("?" * len(part)), part


def _rows(store: Store, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    text = sql if store.is_sqlite else sql.replace("?", "%s")
    yield from store.database.execute_sql(text, values).fetchall()
