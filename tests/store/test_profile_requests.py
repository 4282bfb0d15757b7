"""A statement that a profile refused asks its owner, once, durably."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.approvals.requests import RequestKind, RequestState
from appliance.clock import ManualClock
from appliance.entities import ProfileMode
from appliance.errors import NotAllowed
from appliance.store import approvals, audit, profile_requests, profiles, snapshots
from appliance.store.actors import Actor
from appliance.store.database import Store
from tests.store.conftest import NOW
from tests.store.profiled import COUNT, DROP, ONE_STORE, OUTSIDE, SUM, Recorder, recorder_in

ANA = Actor("ana@example.com", "browser", "127.0.0.1")
BO = Actor("bo@example.com", "browser", "127.0.0.1")


@pytest.fixture
def enforced(shop: Store, tmp_path: Path) -> Iterator[Recorder]:
    """ci-nightly, which may count orders and nothing else."""
    recorder = recorder_in(shop, tmp_path, ManualClock(NOW))
    recorder.ran(("select count(*) from orders", COUNT))
    profiles.sign(shop, ANA, NOW, "ci-nightly", [COUNT])
    profiles.set_mode(shop, ANA, NOW, "ci-nightly", ProfileMode.ENFORCE)
    yield recorder
    recorder.journal.close()


def test_a_refused_statement_becomes_one_request_for_the_owner(enforced: Recorder) -> None:
    session = enforced.refused(("drop table orders", DROP), ("drop table orders", DROP))
    enforced.refused(("drop table  orders", DROP))
    (request,) = approvals.find(enforced.store).items
    assert (request.kind, request.state) == (RequestKind.PROFILE, RequestState.WAITING)
    assert (request.identity, request.owner) == ("ci-nightly", ANA.name)
    assert (request.target, request.role, request.rule) == ("shop", "app_ro", "profile")
    assert (request.text, request.fingerprint) == ("drop table orders", DROP)
    assert (request.session_id, request.seqs) == (session, (1,))
    assert request.expires_at == NOW + timedelta(days=7)
    assert request.eligible == (ANA.name,)
    assert approvals.waiting_for(enforced.store, ANA.name, NOW) == [request]
    assert approvals.waiting_for(enforced.store, BO.name, NOW) == []
    assert profile_requests.waiting(enforced.store, "ci-nightly", NOW) == ((request.id, DROP),)
    (event,) = audit.find(enforced.store, action="approval.ask").items
    assert event.subject == f"request {request.id}" and event.detail["fingerprint"] == DROP
    assert "drop" not in str(event.detail)


def test_the_owners_yes_signs_it_and_reaches_the_snapshot(enforced: Recorder) -> None:
    enforced.refused(("select sum(total) from orders", SUM))
    (request,) = approvals.find(enforced.store).items
    with pytest.raises(NotAllowed):
        approvals.decide(enforced.store, BO, NOW, request.id, approve=True)
    assert snapshots.load(enforced.store, NOW).profiles == {"ci-nightly": {COUNT}}
    version = snapshots.version(enforced.store)
    done = approvals.decide(enforced.store, ANA, NOW, request.id, approve=True)
    assert done.state is RequestState.APPROVED
    assert snapshots.load(enforced.store, NOW).profiles == {"ci-nightly": {COUNT, SUM}}
    assert snapshots.version(enforced.store) == version + 1
    entry = next(
        e for e in profiles.of(enforced.store, "ci-nightly", NOW).entries if e.fingerprint == SUM
    )
    assert entry.is_signed and entry.text == "select sum(total) from orders"
    assert (entry.ran, entry.refused) == (0, 1)


def test_a_no_is_not_asked_again_for_a_day(enforced: Recorder) -> None:
    enforced.refused(("drop table orders", DROP))
    (request,) = approvals.find(enforced.store).items
    approvals.decide(enforced.store, ANA, NOW, request.id, approve=False, reason="never")
    enforced.clock.advance(timedelta(hours=23))
    enforced.refused(("drop table orders", DROP))
    assert approvals.find(enforced.store).total == 1
    enforced.clock.advance(timedelta(hours=2))
    enforced.refused(("drop table orders", DROP))
    assert approvals.find(enforced.store, state=RequestState.WAITING).total == 1
    assert approvals.find(enforced.store).total == 2
    assert snapshots.load(enforced.store, NOW).profiles == {"ci-nightly": {COUNT}}


@ONE_STORE
def test_a_request_that_nobody_answered_is_asked_anew_after_its_week(enforced: Recorder) -> None:
    enforced.refused(("drop table orders", DROP))
    enforced.clock.advance(timedelta(days=8))
    assert profile_requests.waiting(enforced.store, "ci-nightly", enforced.clock.now()) == ()
    enforced.refused(("drop table orders", DROP))
    assert approvals.find(enforced.store).total == 2
    assert len(profile_requests.waiting(enforced.store, "ci-nightly", enforced.clock.now())) == 1


def test_signing_on_the_page_answers_the_request(enforced: Recorder) -> None:
    enforced.refused(("select sum(total) from orders", SUM), ("drop table orders", DROP))
    assert approvals.find(enforced.store).total == 2
    profiles.sign(enforced.store, ANA, NOW, "ci-nightly", [SUM])
    states = {r.fingerprint: (r.state, r.decided_by) for r in approvals.find(enforced.store).items}
    assert states[SUM] == (RequestState.APPROVED, ANA.name)
    assert states[DROP] == (RequestState.WAITING, "")


@ONE_STORE
def test_nothing_is_asked_where_nothing_is_enforced(enforced: Recorder) -> None:
    enforced.refused(("select count(*) from orders", COUNT))  # signed while it was under way
    profiles.set_mode(enforced.store, ANA, NOW, "ci-nightly", ProfileMode.LEARN)
    enforced.refused(("drop table orders", DROP))
    enforced.refused(("drop table orders", DROP), identity="bo@example.com")
    enforced.refused(("drop table orders", DROP), identity="nobody-known")
    assert approvals.find(enforced.store).total == 0


@ONE_STORE
def test_an_owner_is_not_buried_in_requests(enforced: Recorder) -> None:
    many = [(f"select {number} as c{number}", f"{number:016x}") for number in range(60)]
    enforced.refused(*many)
    assert approvals.find(enforced.store).total == profile_requests.MOST_WAITING
    refused = [e for e in profiles.of(enforced.store, "ci-nightly", NOW).entries if e.refused]
    assert len(refused) == 60  # the page shows them all


@ONE_STORE
def test_what_is_taken_in_long_after_asks_nobody(enforced: Recorder) -> None:
    enforced.ran(("drop table orders", DROP), verdict=OUTSIDE, take_in=False)
    enforced.clock.advance(timedelta(days=9))
    enforced.take_in()
    profile = profiles.of(enforced.store, "ci-nightly", enforced.clock.now())
    assert {entry.fingerprint: entry.refused for entry in profile.entries} == {COUNT: 0, DROP: 1}
    assert approvals.find(enforced.store).total == 0
