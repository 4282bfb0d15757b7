"""Remove rows of the record whose journal segments are gone, and old decisions: in small batches.

Each batch is a transaction of its own, so that nobody waits long. ``?`` stands for a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from appliance.recording.fingerprint_days import DAY_MICROS
from appliance.store.database import Store

_BATCH = 1_000
_IN_LIST = 200
# A yes that may still be used, or whose grant still stands, is no history yet.
_OLD_APPROVAL = (
    "state <> 'waiting' AND created_at < ? AND expires_at < ?"
    " AND COALESCE(decided_at, expires_at) < ? AND COALESCE(retry_until, expires_at) < ?"
    " AND COALESCE(used_at, expires_at) < ?"
    " AND NOT EXISTS (SELECT 1 FROM access_grant g WHERE g.request_id = approval_request.id)"
)
_OLD_STATEMENT = (
    "SELECT t.session_id, t.seq, t.text_id FROM statement t JOIN session s ON s.id = t.session_id"
    " WHERE s.journal = ? AND s.position < ? AND t.position < ? LIMIT ?"
)
_OLD_SESSION = (
    "SELECT id FROM session WHERE journal = ? AND position < ? AND NOT EXISTS"
    " (SELECT 1 FROM statement WHERE session_id = session.id AND statement.position >= ?)"
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows went, or would go."""

    sessions: int = 0
    statements: int = 0
    texts: int = 0
    events: int = 0
    changes: int = 0
    fingerprint_days: int = 0
    approvals: int = 0

    def __add__(self, other: Counts) -> Counts:
        both = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        return Counts(*both)


def held_from(store: Store, journal: str, cutoff: datetime) -> int | None:
    """Return where the first session begins that lives, or ended since; None when there is none."""
    sql = (
        "SELECT MIN(position) FROM session WHERE journal = ?"
        " AND (ended_at IS NULL OR ended_at >= ?)"
    )
    with store.reading():
        found = next(_rows(store, sql, (journal, _micros(cutoff))))[0]
        return None if found is None else int(found)


def closed_at(store: Store, journal: str) -> int | None:
    """Return when a journal was closed, in microseconds; None while it is not."""
    with store.reading():
        found = next(_rows(store, "SELECT closed_at FROM journal WHERE name = ?", (journal,)), None)
        return found[0] if found else None


def count(store: Store, journal: str, before: int) -> Counts:
    """Count a journal's rows before a position; texts are only known when they go."""
    here = (journal, before)
    sessions = f"SELECT COUNT(*) FROM ({_OLD_SESSION}) s"  # noqa: S608 - our own
    statements = (
        "SELECT COUNT(*) FROM statement t JOIN session s ON s.id = t.session_id"
        " WHERE s.journal = ? AND s.position < ? AND t.position < ?"
    )
    events = "SELECT COUNT(*) FROM record_event WHERE journal = ? AND position < ?"
    with store.reading(consistent=True):
        return Counts(
            sessions=_one(store, sessions, (*here, before)),
            statements=_one(store, statements, (*here, before)),
            events=_one(store, events, here),
            changes=len(_changes(store, journal, before)),
        )


def remove(store: Store, journal: str, before: int) -> Counts:
    """Remove a journal's rows before a position: call it again after a fault."""
    done = Counts()
    here = (journal, before)
    while True:
        with store.transaction():
            found = list(_rows(store, _OLD_STATEMENT, (*here, before, _BATCH)))
            for session, seq, _ in found:
                sql = "DELETE FROM statement WHERE session_id = ? AND seq = ?"
                _changed(store, sql, (session, seq))
            texts = _remove_texts(store, {text for _, _, text in found})
        done += Counts(statements=len(found), texts=texts)
        if len(found) < _BATCH:
            break
    while True:
        with store.transaction():
            sql = f"DELETE FROM session WHERE id IN ({_OLD_SESSION} LIMIT ?)"  # noqa: S608 - made of constants and marks
            gone = _changed(store, sql, (*here, before, _BATCH))
        done += Counts(sessions=gone)
        if gone < _BATCH:
            break
    while True:
        with store.transaction():
            numbers = _changes(store, journal, before)[:_BATCH]
            for part in _parts(numbers):
                marks = ", ".join("?" * len(part))
                _changed(store, f"DELETE FROM audit_event WHERE id IN ({marks})", part)  # noqa: S608 - made of constants and marks
            old = "SELECT id FROM record_event WHERE journal = ? AND position < ? LIMIT ?"
            sql = f"DELETE FROM record_event WHERE id IN ({old})"  # noqa: S608 - made of constants and marks
            gone = _changed(store, sql, (*here, _BATCH))
        done += Counts(events=gone, changes=len(numbers))
        if max(gone, len(numbers)) < _BATCH:
            return done


def count_aged(store: Store, cutoff: datetime) -> Counts:
    """Count what goes by its age alone."""
    at = _micros(cutoff)
    with store.reading():
        days = "SELECT COUNT(*) FROM fingerprint_day WHERE day < ?"
        old = f"SELECT COUNT(*) FROM approval_request WHERE {_OLD_APPROVAL}"  # noqa: S608 - made of constants and marks
        return Counts(
            fingerprint_days=_one(store, days, (at // DAY_MICROS,)),
            approvals=_one(store, old, (at,) * 5),
        )


def remove_aged(store: Store, cutoff: datetime) -> Counts:
    """Remove what goes by its age alone: the use of fingerprints by day, and decided requests."""
    done, at = Counts(), _micros(cutoff)
    key = "identity, fingerprint, day, target, database, role"
    while True:
        with store.transaction():
            sql = f"SELECT {key}, text_id FROM fingerprint_day WHERE day < ? LIMIT ?"  # noqa: S608 - made of constants and marks
            found = list(_rows(store, sql, (at // DAY_MICROS, _BATCH)))
            here = " AND ".join(f"{column} = ?" for column in key.split(", "))
            for row in found:
                _changed(store, f"DELETE FROM fingerprint_day WHERE {here}", row[:6])  # noqa: S608 - made of constants and marks
            texts = _remove_texts(store, {row[6] for row in found})
        done += Counts(fingerprint_days=len(found), texts=texts)
        if len(found) < _BATCH:
            break
    while True:
        with store.transaction():
            old = f"SELECT id FROM approval_request WHERE {_OLD_APPROVAL} LIMIT ?"  # noqa: S608 - made of constants and marks
            sql = f"DELETE FROM approval_request WHERE id IN ({old})"  # noqa: S608 - made of constants and marks
            gone = _changed(store, sql, (*(at,) * 5, _BATCH))
        done += Counts(approvals=gone)
        if gone < _BATCH:
            return done


def _remove_texts(store: Store, ids: set[str]) -> int:
    """Remove those texts that nothing refers to any more."""
    if not ids:
        return 0
    if not store.is_sqlite:  # an indexer that meets the text anew must not find it half gone
        _changed(store, "LOCK TABLE statement_text IN SHARE ROW EXCLUSIVE MODE", ())
    gone = 0
    for part in _parts(sorted(ids)):
        marks = ", ".join("?" * len(part))
        sql = (
            f"DELETE FROM statement_text WHERE id IN ({marks})"  # noqa: S608 - made of constants and marks
            " AND NOT EXISTS (SELECT 1 FROM statement WHERE text_id = statement_text.id)"
            f" AND id NOT IN (SELECT text_id FROM fingerprint_day WHERE text_id IN ({marks}))"
        )
        gone += _changed(store, sql, (*part, *part))
    return gone


def _changes(store: Store, journal: str, before: int) -> list[int]:
    """Return the audit events that are chained in a journal before a position."""
    sql = "SELECT id, journaled FROM audit_event WHERE journaled >= ? AND journaled < ? ORDER BY id"
    rows = _rows(store, sql, (f"{journal}:", f"{journal};"))
    return [number for number, place in rows if int(place.rpartition(":")[2]) < before]


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1e6)


def _one(store: Store, sql: str, values: Sequence[Any]) -> int:
    return int(next(_rows(store, sql, values))[0])


def _changed(store: Store, sql: str, values: Sequence[Any]) -> int:
    return int(store.database.execute_sql(_dialect(store, sql), values).rowcount)


def _rows(store: Store, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    yield from store.database.execute_sql(_dialect(store, sql), values).fetchall()


def _dialect(store: Store, sql: str) -> str:
    return sql if store.is_sqlite else sql.replace("?", "%s")


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _IN_LIST):
        yield values[start : start + _IN_LIST]
