"""What tests record: sessions, statements, verdicts; and how they read it back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from appliance.clock import ManualClock
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.reading import JournalReader
from appliance.recording.recorder import (
    SessionRecorder,
    SessionStart,
    State,
    new_session_id,
    prepare,
)
from appliance.recording.records import Kind, Record, TornRecord
from appliance.recording.signing import Signer
from appliance.sql.facts import Effect, EffectClass, Name
from appliance.store.actors import system_actor
from appliance.store.changes import change as changing
from appliance.store.database import Store
from appliance.store.recordings import journal_states

SELECT_ORDERS = Effect(EffectClass.SELECT, Name("public", "orders"))
ALLOWED = Verdict(
    Action.ALLOW,
    "default",
    "nothing is stopped",
    decisions=(EffectDecision(SELECT_ORDERS, Action.ALLOW, "default"),),
)
BLOCKED = Verdict(Action.BLOCK, "no-ddl", "schema changes go through the pipeline")
HELD = Verdict(Action.HOLD, "bulk", "bulk writes need a human")


def start(journal: Journal, **values: Any) -> SessionStart:
    """Return the start of a session of ana on shop."""
    common: dict[str, Any] = {
        "session": new_session_id(journal.clock),
        "identity": "ana@example.com",
        "identity_kind": "human",
        "credential": 12,
        "target": "shop",
        "database": "shop",
        "role": "app_ro",
        "source": "10.0.0.7",
        "source_port": 50123,
        "application_name": "psql",
    }
    return SessionStart(**common | values)


def run(recorder: SessionRecorder, text: str, *parameters: Any, tag: str = "SELECT 1") -> int:
    """Record a statement that ran."""
    seq = recorder.statement(text, parameters, ALLOWED, State.SENT, fingerprint="00f1a2b3c4d5e6f7")
    recorder.outcome(seq, State.DONE, tag=tag, rows=1, duration_ms=1.25, bytes_out=40)
    return seq


def session_of(journal: Journal, statements: int, **values: Any) -> str:
    """Record a whole session; return its id."""
    recorder = SessionRecorder(journal, start(journal, **values))
    for number in range(statements):
        run(recorder, f"select {number} from orders", str(number))
    recorder.end("client left")
    return recorder.session


def records_of(path: Path) -> list[Record]:
    """Return every whole record of a journal; one whose writer was killed may end torn."""
    found = []
    with JournalReader(path) as reader, suppress(TornRecord):
        for record in reader.records():
            found.append(record)
    return found


def bodies_of(path: Path, kind: Kind) -> list[dict[str, Any]]:
    """Return the bodies of one kind of records."""
    return [orjson.loads(record.body) for record in records_of(path) if record.kind == kind]


def table(store: Store, sql: str) -> list[tuple[Any, ...]]:
    """Return what a query says."""
    with store.reading():
        return [tuple(row) for row in store.database.execute_sql(sql).fetchall()]


def change(store: Store, sql: str) -> None:
    """Tamper with the store."""
    with store.transaction():
        store.database.execute_sql(sql)


def indexed(store: Store) -> dict[str, int]:
    """Return up to where each journal was taken in."""
    with store.reading():
        return {state.name: state.position for state in journal_states(store)}


def days_by_recount(store: Store) -> list[tuple[Any, ...]]:
    """Return what ``fingerprint_day`` must say, counted anew from every statement."""
    found: dict[tuple[Any, ...], list[int]] = {}
    rows = table(
        store,
        "SELECT s.identity, s.target, s.database, s.role, t.fingerprint, t.at, t.state"
        " FROM statement t JOIN session s ON s.id = t.session_id WHERE t.fingerprint <> ''",
    )
    for *key, at, state in rows:
        day = found.setdefault((*key, at // 86_400_000_000), [0, 0, 0, 0, at, at])
        day[0] += 1
        for place, word in enumerate(("refused", "failed", "withdrawn"), start=1):
            day[place] += state == word
        day[4], day[5] = min(day[4], at), max(day[5], at)
    return sorted((*key, *counts) for key, counts in found.items())


def days_stored(store: Store) -> list[tuple[Any, ...]]:
    """Return what ``fingerprint_day`` says, without the examples."""
    return sorted(
        (*row[:5], *map(int, row[5:]))
        for row in table(
            store,
            "SELECT identity, target, database, role, fingerprint, day, statements, refused,"
            " failed, withdrawn, first_at, last_at FROM fingerprint_day",
        )
    )


def recorded_journal(
    new_journal: Callable[..., Journal],
    store: Store,
    directory: Path,
    clock: ManualClock,
    signer: Signer,
) -> Journal:
    """Return a closed journal of several segments, all in the store, and audit events."""
    journal = new_journal(segment_bytes=16 << 10)
    for _ in range(4):
        session_of(journal, 12)
    recorder = SessionRecorder(journal, start(journal))
    run(recorder, "select 'first'")
    refused = recorder.statement("drop table t", (), BLOCKED, State.REFUSED)
    recorder.outcome(refused, State.REFUSED, sqlstate="42501")
    recorder.statement("delete from t", (), HELD, State.HELD)
    recorder.statement(prepare("select '" + "y" * 300_000 + "'"), (), ALLOWED, State.SENT)
    journal.login("eve", "shop", "10.0.0.9", reason="wrong password", sqlstate="28P01")
    recorder.end("client left")
    journal.close()
    for number in range(3):
        with changing(store, system_actor("test"), clock.now()) as doing:
            doing.note("thing.change", f"thing {number}", number=number)
    indexer = Indexer(store, directory, clock, signer)
    while indexer.step():
        pass
    indexer.close()
    return journal
