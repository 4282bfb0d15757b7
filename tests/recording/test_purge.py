"""What is older than the retention goes, and what is left verifies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.purge import preview, purge
from appliance.recording.reading import segment_numbers
from appliance.recording.recorder import SessionRecorder
from appliance.recording.records import HEADER_BYTES, segment_name
from appliance.recording.signing import Signer
from appliance.recording.verify import verify
from appliance.store.actors import system_actor
from appliance.store.changes import change as changing
from appliance.store.database import Store
from tests.recording.samples import change, recorded_journal, run, session_of, start, table

NewJournal = Callable[..., Journal]
BY = system_actor("scheduler")
DAY = timedelta(days=1)
SMALL = 16 << 10


@pytest.fixture
def take_in(
    store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> Callable[[], None]:
    def taken() -> None:
        indexer = Indexer(store, directory, clock, signer)
        while indexer.step():
            pass
        indexer.close()

    return taken


def count(store: Store, name: str) -> int:
    return int(table(store, f"SELECT COUNT(*) FROM {name}")[0][0])


def test_a_closed_journal_that_is_old_goes_as_a_whole_and_leaves_its_signed_head(
    new_journal: NewJournal,
    store: Store,
    directory: Path,
    clock: ManualClock,
    signer: Signer,
    take_in: Callable[[], None],
) -> None:
    old = recorded_journal(new_journal, store, directory, clock, signer)
    clock.advance(500 * DAY)
    young = new_journal()
    session = session_of(young, 3)
    young.close()
    take_in()
    now, cutoff = clock.now(), clock.now() - 400 * DAY

    said = preview(store, directory, cutoff)
    assert segment_numbers(old.path) and count(store, "session") == 6, "a preview removes nothing"
    done = purge(store, directory, BY, now, cutoff, signer)

    assert (done.rows.sessions, done.rows.statements) == (5, 52)
    assert done.rows.texts == 4 + 12 - 3, "the young session says three of the old texts"
    assert done.rows.changes == 3 and done.rows.fingerprint_days > 0
    for name in ("sessions", "statements", "events", "changes", "fingerprint_days"):
        assert getattr(said.rows, name) == getattr(done.rows, name), name
    assert said.segments == done.segments >= 3 and not done.kept
    assert segment_numbers(old.path) == [] and (old.path / "removed.head").exists()
    assert [row[0] for row in table(store, "SELECT id FROM session")] == [session]
    assert count(store, "statement") == count(store, "statement_text") == 3
    assert count(store, "audit_event") == 1, "it says that it was done"
    take_in()
    report = verify(directory, store, public_key=signer.public_key)
    assert report.problems == ()
    assert purge(store, directory, BY, now, cutoff, signer).is_empty
    assert count(store, "audit_event") == 1, "nothing was done, nothing is said"

    (old.path / "removed.head").unlink()
    report = verify(directory, store, public_key=signer.public_key)
    assert [str(one) for one in report.problems] == [f"{old.name}: its segments are gone"]


def test_a_head_that_another_key_signed_vouches_for_no_removed_journal(
    new_journal: NewJournal, store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> None:
    old = recorded_journal(new_journal, store, directory, clock, signer)
    clock.advance(2 * DAY)
    other = Signer.from_master_key(b"o" * 32)
    purge(store, directory, BY, clock.now(), clock.now() - DAY, other)
    report = verify(directory, store, public_key=signer.public_key)
    assert f"{old.name}: its segments are gone and no signed head vouches for them" in {
        str(one) for one in report.problems
    }


def test_a_session_that_lives_keeps_all_from_its_start_on(
    new_journal: NewJournal,
    store: Store,
    directory: Path,
    clock: ManualClock,
    signer: Signer,
    take_in: Callable[[], None],
) -> None:
    journal = new_journal(segment_bytes=SMALL)
    session_of(journal, 60)
    before = journal.segment
    live = SessionRecorder(journal, start(journal))
    run(live, "select 'early'")
    session_of(journal, 60)
    clock.advance(10 * DAY)
    session_of(journal, 60)
    run(live, "select 'late'")
    take_in()
    assert 1 < before < journal.segment

    done = purge(store, directory, BY, clock.now(), clock.now() - DAY, signer)

    assert segment_numbers(journal.path)[0] == before
    assert done.segments == before - 1 and done.rows.statements > 0
    sql = f"SELECT COUNT(*) FROM statement WHERE session_id = '{live.session}'"
    assert table(store, sql) == [(2,)]
    assert count(store, "session") >= 3
    report = verify(directory, store, public_key=signer.public_key)
    assert report.problems == ()

    live.end("client left")
    session_of(journal, 60)
    clock.advance(10 * DAY)
    session_of(journal, 120)
    take_in()
    purge(store, directory, BY, clock.now(), clock.now() - DAY, signer)
    assert segment_numbers(journal.path)[0] > before
    assert verify(directory, store, public_key=signer.public_key).problems == ()
    journal.close()
    take_in()
    assert verify(directory, store, public_key=signer.public_key).problems == ()


def test_nothing_young_goes_and_a_run_that_was_interrupted_is_finished(
    new_journal: NewJournal, store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> None:
    old = recorded_journal(new_journal, store, directory, clock, signer)
    assert purge(store, directory, BY, clock.now(), clock.now() - DAY, signer).is_empty
    clock.advance(3 * DAY)
    kept = old.path / segment_name(1)
    content = kept.read_bytes()
    rows = table(store, "SELECT id, identity FROM session")
    purge(store, directory, BY, clock.now(), clock.now() - DAY, signer)
    kept.write_bytes(content)  # as if the process had died in between
    assert rows and count(store, "session") == 0
    assert purge(store, directory, BY, clock.now(), clock.now() - DAY, signer).segments == 1
    assert not kept.exists()
    assert verify(directory, store, public_key=signer.public_key).problems == ()


def test_a_journal_that_was_touched_at_its_end_is_left_as_evidence(
    new_journal: NewJournal, store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> None:
    old = recorded_journal(new_journal, store, directory, clock, signer)
    last = old.path / segment_name(segment_numbers(old.path)[-1])
    touched = bytearray(last.read_bytes())
    touched[HEADER_BYTES + 60] ^= 1
    last.write_bytes(touched)
    clock.advance(3 * DAY)
    done = purge(store, directory, BY, clock.now(), clock.now() - DAY, signer)
    assert len(done.kept) == 1 and done.kept[0].startswith(old.name)
    assert count(store, "session") == 5
    assert not verify(directory, store, public_key=signer.public_key).is_whole


def test_decided_requests_go_and_waiting_ones_and_standing_grants_stay(
    store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> None:
    long_ago = int((clock.now() - 500 * DAY).timestamp() * 1e6)
    columns = "kind, state, identity, created_at, expires_at, decided_at"
    for state, decided in (("denied", long_ago), ("waiting", "NULL"), ("approved", long_ago)):
        values = f"'access', '{state}', 'ana@example.com', {long_ago}, {long_ago}, {decided}"
        insert_all(store, columns, values)
    with changing(store, BY, clock.now()):
        pass
    done = purge(store, directory, BY, clock.now(), clock.now() - 400 * DAY, signer)
    assert done.rows.approvals == 2
    assert table(store, "SELECT state FROM approval_request") == [("waiting",)]


def insert_all(store: Store, columns: str, values: str) -> None:
    """Insert a request with every column that has no default in the table."""
    texts = "identity_kind,target,environment,database,role,source,application_name,reason,text"
    texts += ",fingerprint,rule,why,session_id,worker,request_hash,deed_hash,decided_by"
    texts += ",decided_via,decision_reason"
    lists = "parameters,effects,approvers,eligible,seqs"
    rest = ["''"] * len(texts.split(",")) + ["'[]'"] * len(lists.split(","))
    sql = f"INSERT INTO approval_request ({columns}, {texts}, {lists}, detail, owner_may_approve)"
    change(store, f"{sql} VALUES ({values}, {', '.join(rest)}, '{{}}', FALSE)")
