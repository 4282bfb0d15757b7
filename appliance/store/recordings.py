"""What the indexer writes and ``audit verify`` reads: the record tables, in batches.

Plain SQL instead of models: 20,000 records a second. Every function runs in the caller's
``store.transaction()`` or ``store.reading()``. ``?`` stands for a value on both stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
import peewee

from appliance.recording.entries import (
    Begun,
    EventEntry,
    SessionEntry,
    SessionTotals,
    SessionUse,
    StatementEntry,
    TextEntry,
)
from appliance.recording.projection import Projection
from appliance.recording.records import GENESIS, TEXT_PART_CHARS
from appliance.store.database import Store

_IN_LIST = 200
_SESSION_COLUMNS = ", ".join(SessionEntry._fields)
_USE_COLUMNS = ", ".join(("id", *SessionUse._fields[1:]))
_COUNTS = SessionTotals._fields[:7]
_STATEMENT_COLUMNS = ", ".join(StatementEntry._fields)
_JOURNALS = "SELECT name, writer, appliance, indexed_offset, last_hash, closed_at FROM journal"
_EVENT_COLUMNS = ", ".join(EventEntry._fields)


class JournalState(NamedTuple):
    """How far a journal was taken in."""

    name: str
    writer: str
    appliance: str
    position: int
    chain: bytes
    closed: bool


def journal_states(store: Store) -> list[JournalState]:
    """Return every journal that the store knows, oldest first."""
    return [_state(row) for row in _rows(store, f"{_JOURNALS} ORDER BY opened_at, name")]


def journal_state(store: Store, name: str) -> JournalState | None:
    """Return how far one journal was taken in; None when it is new."""
    return next((_state(row) for row in _rows(store, f"{_JOURNALS} WHERE name = ?", (name,))), None)


def register(store: Store, journal: str, begun: Begun) -> None:
    """Make a journal known."""
    sql = (
        "INSERT INTO journal (name, writer, appliance, opened_at, indexed_offset, records,"
        " last_hash, head_signature) VALUES (?, ?, ?, ?, 0, 0, '', '')"
        " ON CONFLICT (name) DO NOTHING"
    )
    _run(store, sql, [(journal, begun.writer, begun.appliance, begun.at)])
    sql = (
        "INSERT INTO signing_key (key_id, public_key, created_at) VALUES (?, ?, ?)"
        " ON CONFLICT (key_id) DO NOTHING"
    )
    _run(store, sql, [(begun.key_id, begun.key, begun.at)])


def advance(store: Store, journal: str, before: int, after: int, chain: bytes) -> bool:
    """Move a journal's indexed position; False when somebody else has moved it meanwhile.

    First of all in the transaction, rolled back when False: so each record is taken in once.
    """
    sql = (
        "UPDATE journal SET indexed_offset = ?, last_hash = ? WHERE name = ? AND indexed_offset = ?"
    )
    return _changed(store, sql, (after, chain.hex(), journal, before)) == 1


def write(store: Store, made: Projection) -> None:
    """Write the rows of a batch; after ``advance`` in the same transaction."""
    sql = (
        "UPDATE journal SET records = records + ?, closed_at = COALESCE(?, closed_at)"
        " WHERE name = ?"
    )
    _run(store, sql, [(made.records, made.closed_at, made.journal)])
    if made.head is not None:
        sql = "UPDATE journal SET head_signature = ?, head_at = ? WHERE name = ?"
        _run(store, sql, [(orjson.dumps(made.head._asdict()).decode(), made.head.at, made.journal)])
    _write_texts(store, made.texts)
    begun = [(*session, 0, 0, 0, 0, 0, 0, 0, "") for session in made.sessions.values()]
    _insert(store, "session", f"{_SESSION_COLUMNS}, {', '.join(_COUNTS)}, end_reason", begun)
    _insert(store, "statement", _STATEMENT_COLUMNS, made.statements.values())
    _insert(store, "record_event", _EVENT_COLUMNS, made.events)
    _write_outcomes(store, made.known.values())
    _write_totals(store, made.totals)
    _mark_audit(store, made)


def statements_by_key(
    store: Store, keys: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], StatementEntry]:
    """Return those statements that the store has."""
    by_session: dict[str, list[int]] = {}
    for session, seq in keys:
        by_session.setdefault(session, []).append(seq)
    found: dict[tuple[str, int], StatementEntry] = {}
    for session, seqs in by_session.items():
        for part in _parts(seqs):
            marks = ", ".join("?" * len(part))
            sql = (
                f"SELECT {_STATEMENT_COLUMNS} FROM statement"  # noqa: S608 - our own columns
                f" WHERE session_id = ? AND seq IN ({marks})"
            )
            for row in _rows(store, sql, (session, *part)):
                entry = StatementEntry(*row)
                found[entry.session_id, entry.seq] = entry
    return found


def session_uses(store: Store, sessions: Sequence[str]) -> list[SessionUse]:
    """Return whose those sessions are."""
    found = []
    for part in _parts(sessions):
        marks = ", ".join("?" * len(part))
        sql = f"SELECT {_USE_COLUMNS} FROM session WHERE id IN ({marks})"  # noqa: S608 - made of constants and marks
        found += [SessionUse(*row) for row in _rows(store, sql, part)]
    return found


def note_use(store: Store, uses: Iterable[tuple[SessionUse, int]]) -> None:
    """Keep first and last use of identities and credentials; never moves backwards."""
    identities: list[tuple[object, ...]] = []
    credentials: list[tuple[object, ...]] = []
    for use, at in uses:
        if use.identity_id is not None:
            identities.append((at, at, at, at, use.identity_id))
        if use.credential_id is not None:
            credentials.append((at, at, at, use.source, at, at, use.credential_id))
    first = "first_used_at = CASE WHEN first_used_at <= ? THEN first_used_at ELSE ? END"
    last = "last_used_at = CASE WHEN last_used_at >= ? THEN last_used_at ELSE ? END"
    origin = "last_used_from = CASE WHEN last_used_at > ? THEN last_used_from ELSE ? END"
    _run(store, f"UPDATE identity SET {first}, {last} WHERE id = ?", identities)  # noqa: S608 - made of constants and marks
    _run(
        store,
        f"UPDATE credential SET {first}, {origin}, {last} WHERE id = ?",  # noqa: S608 - made of constants and marks
        credentials,
    )


def open_sessions(store: Store, journal: str) -> list[str]:
    """Return the sessions of a journal that have not ended."""
    sql = "SELECT id FROM session WHERE journal = ? AND ended_at IS NULL ORDER BY id"
    return [row[0] for row in _rows(store, sql, (journal,))]


def held_statements(store: Store, journal: str) -> list[tuple[str, int]]:
    """Return the statements of a journal that still wait for a human."""
    sql = (
        "SELECT session_id, seq FROM statement WHERE state = 'held' AND journal = ?"
        " ORDER BY session_id, seq"
    )
    return [(row[0], row[1]) for row in _rows(store, sql, (journal,))]


def claim_audit(store: Store, claim: str, limit: int) -> None:
    """Claim audit events for one journal, so that no other indexer chains them too."""
    sql = (
        "UPDATE audit_event SET journaled = ? WHERE journaled IS NULL AND id IN"
        " (SELECT id FROM audit_event WHERE journaled IS NULL ORDER BY id LIMIT ?)"
    )
    _run(store, sql, [(claim, limit)])


def claimed_audit(store: Store, claim: str) -> list[tuple[Any, ...]]:
    """Return claimed events: (id, at, actor, via, source, action, subject, detail as JSON)."""
    sql = (
        "SELECT id, at, actor, via, source, action, subject, detail FROM audit_event"
        " WHERE journaled = ? ORDER BY id"
    )
    return list(_rows(store, sql, (claim,)))


def release_audit(store: Store, claim: str) -> None:
    """Give up what a journal claimed but does not hold: it is closed."""
    _run(store, "UPDATE audit_event SET journaled = NULL WHERE journaled = ?", [(claim,)])


def _write_texts(store: Store, texts: list[TextEntry]) -> None:
    seen: set[tuple[str, int]] = set()
    fresh = [t for t in texts if (t[0], t[3]) not in seen and not seen.add((t[0], t[3]))]  # type: ignore[func-returns-value]  # add() gives None
    sql = (
        "INSERT INTO statement_text (id, text, fingerprint) VALUES (?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING"
    )
    _run(store, sql, [text[:3] for text in fresh if text.part == 0])
    # A further part goes to the end of what is there, when just that is missing.
    sql = "UPDATE statement_text SET text = text || ? WHERE id = ? AND length(text) = ?"
    later = [t for t in fresh if t.part > 0]
    _run(store, sql, [(t.text, t.id, t.part * TEXT_PART_CHARS) for t in later])
    named = [(t.fingerprint, t.id) for t in texts if t.fingerprint]
    sql = "UPDATE statement_text SET fingerprint = ? WHERE id = ? AND fingerprint = ''"
    _run(store, sql, named)


def _write_outcomes(store: Store, entries: Iterable[StatementEntry]) -> None:
    sql = (
        "UPDATE statement SET state = ?, tag = ?, rows = ?, duration_ms = ?, sqlstate = ?,"
        " bytes_out = ?, masked = ?, decision = ?, approval_id = ?, outcome_position = ?"
        " WHERE session_id = ? AND seq = ?"
    )
    rows = [
        (
            *(e.state, e.tag, e.rows, e.duration_ms, e.sqlstate, e.bytes_out, e.masked),
            *(e.decision, e.approval_id, e.outcome_position, e.session_id, e.seq),
        )
        for e in entries
    ]
    _run(store, sql, rows)


def _write_totals(store: Store, totals: dict[str, SessionTotals]) -> None:
    added = ", ".join(f"{name} = {name} + ?" for name in _COUNTS)
    sql = (
        f"UPDATE session SET {added}, end_reason = CASE WHEN ended_at IS NULL THEN ?"  # noqa: S608 - made of constants and marks
        " ELSE end_reason END, ended_at = COALESCE(ended_at, ?) WHERE id = ?"
    )
    _run(
        store,
        sql,
        [(*t[:7], t.end_reason, t.ended_at, session) for session, t in totals.items()],
    )


def _mark_audit(store: Store, made: Projection) -> None:
    sql = "UPDATE audit_event SET journaled = ? WHERE id = ?"
    marks = [(f"{made.journal}:{at}", number) for number, at in made.audit_ids.items()]
    _run(store, sql, marks)


def _insert(store: Store, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * (columns.count(",") + 1))
    _run(store, f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - made of constants and marks


def _run(store: Store, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    values = list(rows)
    if values:
        # So that Store knows the driver's errors (its stubs lack the name).
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
            cursor = store.database.connection().cursor()
            cursor.executemany(_dialect(store, sql), values)


def _changed(store: Store, sql: str, values: Sequence[Any]) -> int:
    cursor = store.database.execute_sql(_dialect(store, sql), values)
    return int(cursor.rowcount)


def _rows(store: Store, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    yield from store.database.execute_sql(_dialect(store, sql), values).fetchall()


def _dialect(store: Store, sql: str) -> str:
    return sql if store.is_sqlite else sql.replace("?", "%s")


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _IN_LIST):
        yield values[start : start + _IN_LIST]


def _state(row: tuple[Any, ...]) -> JournalState:
    name, writer, appliance, position, chain, closed_at = row
    head = bytes.fromhex(chain) if chain else GENESIS
    return JournalState(name, writer, appliance, position, head, closed_at is not None)
