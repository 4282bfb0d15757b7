"""Yes, no, the clock and the client at once, from threads and processes: one of them wins."""

from __future__ import annotations

from collections import Counter

import pytest

from appliance.store import approval_room, approvals, audit, pre_approvals
from appliance.store.database import Store
from appliance.store.pages import every
from appliance.store.pre_approvals import PreApprovalSpec
from tests.store.approving import AS_BO, BO, CI, FINGERPRINT, machine, statement, with_approvers
from tests.store.conftest import NOW
from tests.store.racing import LATER, race

REQUESTS = 100  # each is tried by 4 threads in each of 3 processes
USES = 43  # of 60 tries: so many as find no yes may wait at once


@pytest.fixture
def gate(shop: Store) -> Store:
    return with_approvers(shop)


def test_everybody_is_told_the_same_winner(
    gate: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval_room, "MOST", REQUESTS)
    for _ in range(REQUESTS):
        approvals.ask(gate, NOW, statement())
    told = race(store_url, "end", 1, REQUESTS + 1)
    assert len(told) == 12 * REQUESTS
    stored = {
        r.id: (r.state.value, r.decided_by, r.decided_via)
        for r in every(lambda page, size: approvals.find(gate, page=page, size=size))
    }
    winners: Counter[str] = Counter()
    for number in range(1, REQUESTS + 1):
        mine = [one for one in told if one.id == number]
        assert {(one.state, one.by, one.via) for one in mine} == {stored[number]}, number
        decided = stored[number][0] in ("approved", "denied")
        assert sum(one.won for one in mine) == decided
        winners[stored[number][0]] += 1
    assert len(winners) > 1, winners  # it was a race
    ends = audit.find(gate, action="approval.", size=1000).items
    said = Counter(e.subject for e in ends if e.action != "approval.ask")
    assert said == {f"request {number}": 1 for number in range(1, REQUESTS + 1)}


def test_n_uses_of_a_pre_approval_pass_n_times(gate: Store, store_url: str) -> None:
    spec = PreApprovalSpec(CI, "shop", FINGERPRINT, USES, None, "closing")
    number = pre_approvals.create(gate, AS_BO, NOW, spec)
    told = race(store_url, "ask", 0, 5)
    assert len(told) == 60
    passed = [one for one in told if one.state == "approved"]
    assert len(passed) == USES and {(one.by, one.via) for one in passed} == {(BO, "pre-approval")}
    assert len({one.id for one in told}) == 60
    assert pre_approvals.get(gate, number).uses_left == 0
    assert approvals.find(gate, state="approved").total == USES


def test_a_second_try_passes_once(gate: Store, store_url: str) -> None:
    first = approvals.ask(gate, NOW, machine())
    approvals.decide(gate, AS_BO, NOW, first.id, approve=True)
    told = race(store_url, "ask", -5, 0)
    assert Counter(one.via for one in told) == {"retry": 1, "": 59}
    assert [one.id for one in told if one.via == "retry"] == [first.id]
    (waiting,) = {one.id for one in told if one.state == "waiting"}  # not one for each try
    assert approvals.get(gate, first.id).used_at == LATER
    assert approvals.find(gate).total == 2 and waiting != first.id
