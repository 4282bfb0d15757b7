"""The use of fingerprints by day: equal to a slow recount, whatever comes in which batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from appliance.clock import ManualClock
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.recorder import SessionRecorder, State
from appliance.store import fingerprint_days
from appliance.store.database import Store
from tests.recording.samples import (
    ALLOWED,
    BLOCKED,
    HELD,
    days_by_recount,
    days_stored,
    start,
    table,
)

NewJournal = Callable[..., Journal]
NewIndexer = Callable[..., Indexer]
MARKS = ("00000000000000aa", "00000000000000bb", "00000000000000cc", "")
WHO = (("ana@example.com", "app_ro"), ("ci-nightly", "app_rw"), ("ci-nightly", "app_ro"))
BEGINS = ((ALLOWED, State.SENT), (BLOCKED, State.REFUSED), (HELD, State.HELD))
ENDS = (State.DONE, State.FAILED, State.REFUSED, State.WITHDRAWN)


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_equal_a_recount_however_the_record_is_cut_into_batches(
    seed: int, new_journal: NewJournal, store: Store, clock: ManualClock, new_indexer: NewIndexer
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's choices
    journals = [new_journal(f"proxy-{number}") for number in range(2)]
    open_: list[tuple[SessionRecorder, int]] = []
    for _ in range(6):
        identity, role = chance.choice(WHO)
        journal = chance.choice(journals)
        recorder = SessionRecorder(journal, start(journal, identity=identity, role=role))
        for _ in range(chance.randrange(12)):
            clock.advance(timedelta(hours=chance.choice((0, 0, 1, 9))))
            verdict, state = chance.choice(BEGINS)
            mark = chance.choice(MARKS)
            text = f"select {chance.randrange(3)} -- {mark}"
            seq = recorder.statement(text, (), verdict, state, fingerprint=mark)
            open_.append((recorder, seq))
            if chance.random() < 0.2:
                recorder.outcome(seq, State.DONE, tag="SUSPENDED", rows=1)
        # Outcomes come later, some twice, some never; an indexer works in between, and dies.
        for recorder, seq in chance.sample(open_, len(open_) // 2):
            recorder.outcome(seq, chance.choice(ENDS), tag="SELECT 1", rows=1)
        if chance.random() < 0.5:
            recorder.end("client left")
        indexer = new_indexer(batch=chance.choice((1, 3, 7, 500)))
        for _ in range(chance.randrange(40)):
            indexer.step()
    rest = new_indexer(batch=5)
    while rest.step():
        pass
    assert days_by_recount(store)
    assert days_stored(store) == days_by_recount(store)
    strangers = (
        "SELECT 1 FROM fingerprint_day d WHERE NOT EXISTS (SELECT 1 FROM statement t"
        " WHERE t.session_id = d.session_id AND t.seq = d.seq AND t.text_id = d.text_id"
        " AND t.fingerprint = d.fingerprint AND t.at = d.last_at)"
    )
    assert table(store, strangers) == []


def test_two_indexers_on_one_store_count_each_statement_once(
    new_journal: NewJournal, store: Store, clock: ManualClock, new_indexer: NewIndexer
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal, identity="ci-nightly"))
    both = [new_indexer(batch=4) for _ in range(2)]
    for number in range(30):
        seq = recorder.statement("select 1", (), ALLOWED, State.SENT, fingerprint=MARKS[0])
        recorder.outcome(seq, State.DONE, tag="SELECT 1", rows=1)
        both[number % 2].step()
    for indexer in both:
        while indexer.step():
            pass
    (use,) = fingerprint_days.of_identity(store, "ci-nightly", clock.now())
    assert (use.count, use.ran, use.text) == (30, 30, "select 1")
    assert fingerprint_days.total(store, clock.now()) == 30


def test_uses_of_several_days_and_roles_are_summed_with_the_latest_as_the_example(
    new_journal: NewJournal, store: Store, clock: ManualClock, new_indexer: NewIndexer
) -> None:
    journal = new_journal()
    began = clock.now()
    for day, role in enumerate(("app_ro", "app_rw", "app_ro")):
        recorder = SessionRecorder(journal, start(journal, identity="ci-nightly", role=role))
        recorder.statement(f"select {day}", (), ALLOWED, State.SENT, fingerprint=MARKS[1])
        clock.advance(timedelta(days=1))
    indexer = new_indexer()
    while indexer.step():
        pass
    (use,) = fingerprint_days.of_identity(store, "ci-nightly", began)
    assert (use.count, use.text) == (3, "select 2")
    assert (use.first_at, use.last_at) == (began, began + timedelta(days=2))
    assert set(use.where) == {("shop", "shop", "app_ro"), ("shop", "shop", "app_rw")}
    assert use.effects == (("select", "public.orders"),)
    (later,) = fingerprint_days.of_identity(store, "ci-nightly", began + timedelta(days=1))
    assert later.count == 2
    assert fingerprint_days.of_identity(store, "ci-nightly", began, []) == ()
    assert fingerprint_days.of_identity(store, "bo@example.com", began) == ()
