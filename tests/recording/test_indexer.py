"""The indexer: journals become rows, exactly once, whatever is killed."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.errors import StoreUnavailable
from appliance.recording.catch_up import Behind, catch_up, indexing_alone
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.recorder import Decision, SessionRecorder, State, prepare
from appliance.recording.records import TEXT_PART_CHARS, Kind
from appliance.store import identities, sessions, statements
from appliance.store.actors import system_actor
from appliance.store.changes import change as changing
from appliance.store.database import Store, open_store
from tests.recording.samples import (
    ALLOWED,
    BLOCKED,
    HELD,
    bodies_of,
    change,
    days_by_recount,
    days_stored,
    indexed,
    run,
    session_of,
    start,
    table,
)

NewJournal = Callable[..., Journal]
NewIndexer = Callable[..., Indexer]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def indexer(new_indexer: NewIndexer) -> Indexer:
    return new_indexer()


def take_all(indexer: Indexer) -> None:
    while indexer.step():
        pass


def test_a_session_is_in_the_store_as_it_was_recorded(
    new_journal: NewJournal, store: Store, indexer: Indexer, clock: ManualClock
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal, reason="INC-42", tls="TLSv1.3"))
    run(recorder, "select 1 from orders", "x", None)
    seq = recorder.statement("drop table orders", (), BLOCKED, State.REFUSED)
    recorder.outcome(seq, State.REFUSED, sqlstate="42501")
    sent = recorder.statement("select pg_sleep(1)", (), ALLOWED, State.SENT)
    clock.advance(timedelta(seconds=5))
    recorder.end("client left", bytes_in=99)
    take_all(indexer)
    session = sessions.get(store, recorder.session)
    assert (session.identity, session.credential, session.target) == (
        "ana@example.com", "c-12", "shop",
    )  # fmt: skip
    assert (session.reason, session.tls, session.source, session.source_port) == (
        "INC-42", "TLSv1.3", "10.0.0.7", 50123,
    )  # fmt: skip
    assert (session.statements, session.refused, session.failed) == (3, 1, 0)
    assert (session.rows_out, session.bytes_out, session.bytes_in) == (1, 40, 99)
    assert session.ended_at == clock.now() and session.end_reason == "client left"
    first, second, third = statements.of_session(store, recorder.session)
    assert (first.text, first.parameters, first.state) == (
        "select 1 from orders", ["x", None], "done",
    )  # fmt: skip
    assert (first.tag, first.rows, first.duration_ms) == ("SELECT 1", 1, 1.25)
    assert first.effects == (("select", "public.orders"),)
    assert (second.verdict, second.rule, second.state, second.sqlstate) == (
        "block", "no-ddl", "refused", "42501",
    )  # fmt: skip
    assert (third.seq, third.state) == (sent, "sent")
    assert indexed(store)[journal.name] == journal.position


def test_an_outcome_that_comes_in_a_later_batch_updates_its_statement(
    new_journal: NewJournal, store: Store, indexer: Indexer
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    seq = recorder.statement("delete from orders", (), HELD, State.HELD, approval=7)
    take_all(indexer)
    assert statements.of_session(store, recorder.session)[0].state == "held"
    recorder.sent(seq, Decision(7, "bo@example.com", "approved", "browser"))
    take_all(indexer)
    recorder.outcome(seq, State.DONE, tag="DELETE 3", rows=3)
    take_all(indexer)
    (statement,) = statements.of_session(store, recorder.session)
    assert (statement.state, statement.tag, statement.rows) == ("done", "DELETE 3", 3)
    assert statement.decision["approver"] == "bo@example.com"
    session = sessions.get(store, recorder.session)
    assert (session.statements, session.held, session.rows_out) == (1, 1, 0)


def test_the_first_final_outcome_counts(
    new_journal: NewJournal, store: Store, indexer: Indexer
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    seq = run(recorder, "select 1")
    recorder.outcome(seq, State.FAILED, sqlstate="57P01")
    take_all(indexer)
    recorder.outcome(seq, State.FAILED, sqlstate="57P01")
    take_all(indexer)
    assert statements.of_session(store, recorder.session)[0].state == "done"
    assert sessions.get(store, recorder.session).failed == 0


def test_a_portal_read_in_pieces_counts_its_rows_once(
    new_journal: NewJournal, store: Store, indexer: Indexer
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    seq = recorder.statement("select 1", (), ALLOWED, State.SENT)
    for rows, tag in ((4, "SUSPENDED"), (8, "SUSPENDED"), (10, "SELECT 2")):
        recorder.outcome(seq, State.DONE, tag=tag, rows=rows, bytes_out=rows * 5)
        take_all(indexer)
    (statement,) = statements.of_session(store, recorder.session)
    assert (statement.tag, statement.rows, statement.bytes_out) == ("SELECT 2", 10, 50)
    session = sessions.get(store, recorder.session)
    assert (session.rows_out, session.bytes_out) == (10, 50)


def test_a_text_of_any_length_is_stored_once(
    new_journal: NewJournal, store: Store, new_indexer: NewIndexer
) -> None:
    journal = new_journal(segment_bytes=1 << 20)
    long = "select '" + "ä" * (TEXT_PART_CHARS + 10) + "'"
    huge = "select '" + "x" * (9 * TEXT_PART_CHARS) + "'"
    for text in (long, huge, long):
        SessionRecorder(journal, start(journal)).statement(prepare(text), (), ALLOWED, State.SENT)
    other = new_journal(segment_bytes=1 << 20)
    SessionRecorder(other, start(other)).statement(prepare(long), (), ALLOWED, State.SENT)
    take_all(new_indexer(batch=2))
    stored = dict(table(store, "SELECT id, text FROM statement_text"))
    assert stored[prepare(long).sha] == long
    assert stored[prepare(huge).sha] == huge[: 4 * TEXT_PART_CHARS]
    assert len(stored) == 2


def test_logins_events_and_signed_heads_are_rows(
    new_journal: NewJournal, store: Store, indexer: Indexer
) -> None:
    journal = new_journal()
    journal.login("eve", "shop", "10.0.0.9", reason="wrong password", sqlstate="28P01")
    journal.event("session killed", actor="bo", session="s1", why="INC")
    journal.sign_head()
    take_all(indexer)
    rows = table(
        store,
        "SELECT kind, actor, subject, source, session_id, detail FROM record_event ORDER BY id",
    )
    assert rows == [
        (
            "login refused", "eve", "shop", "10.0.0.9", "",
            '{"reason":"wrong password","sqlstate":"28P01","target":"shop"}',
        ),
        ("session killed", "bo", "", "", "s1", '{"why":"INC"}'),
    ]  # fmt: skip
    assert table(store, "SELECT public_key FROM signing_key") == [(journal.public_key.hex(),)]
    (head,) = table(store, "SELECT head_signature FROM journal WHERE writer = 'proxy-1'")
    assert bodies_of(journal.path, Kind.HEAD)[0]["signature"] in head[0]


def test_first_and_last_use_follow_the_sessions(
    new_journal: NewJournal, store: Store, indexer: Indexer, clock: ManualClock
) -> None:
    identity_id = identities.create(store, system_actor("test"), clock.now(), _spec())
    began = clock.now()
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal, identity_id=identity_id, credential=None))
    take_all(indexer)
    clock.advance(timedelta(hours=1))
    run(recorder, "select 1")
    take_all(indexer)
    used = table(store, "SELECT first_used_at, last_used_at FROM identity")
    assert [tuple(at // 1_000_000 for at in row) for row in used] == [
        (int(began.timestamp()), int(clock.now().timestamp()))
    ]


def _spec() -> identities.IdentitySpec:
    return identities.IdentitySpec(name="ana@example.com", kind="human")


def test_several_journals_are_taken_in_while_they_are_written(
    new_journal: NewJournal, store: Store, new_indexer: NewIndexer
) -> None:
    indexer = new_indexer(batch=7)
    journals = [new_journal(f"proxy-{n}") for n in range(3)]
    recorders = [SessionRecorder(journal, start(journal)) for journal in journals]
    for number in range(60):
        for recorder in recorders:
            run(recorder, f"select {number}")
        indexer.step()
    take_all(indexer)
    rows = table(
        store, "SELECT session_id, COUNT(*), MIN(state) FROM statement GROUP BY session_id"
    )
    assert sorted(rows) == sorted((r.session, 60, "done") for r in recorders)


def test_two_indexers_at_once_take_each_record_in_once(
    new_journal: NewJournal, store: Store, new_indexer: NewIndexer
) -> None:
    journal = new_journal()
    both = [new_indexer(batch=5) for _ in range(2)]
    recorder = SessionRecorder(journal, start(journal))
    for number in range(80):
        run(recorder, f"select {number}")
        both[number % 2].step()
    for indexer in both:
        take_all(indexer)
    take_all(both[0])
    assert table(store, "SELECT COUNT(*) FROM statement") == [(80,)]
    assert sessions.get(store, recorder.session).statements == 80


def test_changes_are_chained_exactly_once_and_marked(
    store: Store, directory: Path, clock: ManualClock, new_indexer: NewIndexer
) -> None:
    both = [new_indexer() for _ in range(2)]
    for number in range(30):
        with changing(store, system_actor("test"), clock.now()) as doing:
            doing.note("thing.change", f"thing {number}", number=number)
        both[number % 2].step()
    for indexer in both:
        take_all(indexer)
        indexer.close()
    marks = table(store, "SELECT id, journaled FROM audit_event ORDER BY id")
    assert len(marks) == 30
    found = {}
    for path in directory.glob("indexer-*"):
        for body in bodies_of(path, Kind.EVENT):
            if body["event"] == "audit":
                assert body["audit_id"] not in found
                found[body["audit_id"]] = path.name
    assert {number: mark.rpartition(":")[0] for number, mark in marks} == found
    rows = table(store, "SELECT subject FROM record_event WHERE kind = 'audit'")
    assert sorted(rows) == sorted((f"thing {number}",) for number in range(30))


def test_kill_9_of_the_indexer_at_any_moment_loses_and_doubles_nothing(
    new_journal: NewJournal, store: Store, store_url: str, directory: Path, clock: ManualClock
) -> None:
    chance = random.Random(42)  # noqa: S311 - moments, no secrets
    journal = new_journal(segment_bytes=256 << 10)
    made = [session_of(journal, 40) for _ in range(40)]
    for number in range(200):
        with changing(store, system_actor("test"), clock.now()) as doing:
            doing.note("thing.change", f"thing {number}")
    journal.close()
    script = [sys.executable, "-m", "tests.recording.take_in", store_url, str(directory), "97"]
    for _ in range(5):
        child = subprocess.Popen([*script, "forever"], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()  # its first batch is in
        try:
            child.wait(chance.uniform(0, 0.12))
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        child.stdout.close()
    subprocess.run([*script, "once"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    rows = table(store, "SELECT session_id, COUNT(*) FROM statement GROUP BY session_id")
    assert sorted(rows) == sorted((session, 40) for session in made)
    totals = table(store, "SELECT SUM(statements), SUM(rows_out), COUNT(ended_at) FROM session")
    assert [tuple(map(int, row)) for row in totals] == [(1600, 1600, 40)]
    assert days_stored(store) == days_by_recount(store)
    assert sum(row[6] for row in days_stored(store)) == 1600
    events = table(store, "SELECT subject FROM record_event WHERE kind = 'audit'")
    assert len(events) == len(set(events)) == 200
    open_marks = "SELECT COUNT(*) FROM audit_event WHERE journaled IS NULL OR journaled < 'd'"
    assert table(store, open_marks) == [(0,)]


def test_a_store_that_is_away_loses_nothing(
    new_journal: NewJournal, store: Store, new_indexer: NewIndexer
) -> None:
    journal = new_journal()
    session_of(journal, 3)
    change(store, "ALTER TABLE session RENAME TO session_away")
    indexer = new_indexer()
    with pytest.raises(StoreUnavailable):
        indexer.step()
    session_of(journal, 4)
    change(store, "ALTER TABLE session_away RENAME TO session")
    take_all(indexer)
    assert table(store, "SELECT COUNT(*) FROM statement") == [(7,)]
    assert sorted(table(store, "SELECT statements FROM session")) == [(3,), (4,)]


def test_connections_that_the_store_drops_cost_a_retry_and_nothing_else(
    new_journal: NewJournal, store: Store, store_url: str, indexer: Indexer
) -> None:
    if store.is_sqlite:
        pytest.skip("a file drops no connections")
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    other = open_store(store_url)
    drop = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for number in range(10):
        run(recorder, f"select {number}")
        table(other, drop)
        for _ in range(5):
            with suppress(StoreUnavailable):
                indexer.step()
    take_all(indexer)
    assert table(store, "SELECT COUNT(*), MIN(state) FROM statement") == [(10, "done")]
    other.close()


def test_a_reader_sees_what_was_journaled_before_it_asked_without_serve(
    new_journal: NewJournal, store: Store, directory: Path, clock: ManualClock
) -> None:
    journal = new_journal()
    session = session_of(journal, 3)
    assert not catch_up(store, directory, clock)
    assert len(statements.of_session(store, session)) == 3


def test_a_reader_says_what_is_missing_when_the_indexer_does_nothing(
    new_journal: NewJournal, store: Store, directory: Path, clock: ManualClock
) -> None:
    journal = new_journal()
    session_of(journal, 1)
    with indexing_alone(directory, None) as is_alone:
        assert is_alone
        behind = catch_up(store, directory, clock, timeout_s=0.1)
    assert behind == Behind(6)
    assert "6 records were not indexed yet" in str(behind)


def test_the_wait_ends_when_the_running_indexer_has_taken_it_in(
    new_journal: NewJournal, store_url: str, store: Store, directory: Path, clock: ManualClock
) -> None:
    journal = new_journal()
    session_of(journal, 2)
    script = [sys.executable, "-m", "tests.recording.take_in", store_url, str(directory), "100"]
    child = subprocess.Popen([*script, "locked"], cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        child.stdout.readline()
        session_of(journal, 2)
        assert not catch_up(open_store(store_url), directory, clock, timeout_s=20)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert table(store, "SELECT COUNT(*) FROM statement") == [(4,)]
