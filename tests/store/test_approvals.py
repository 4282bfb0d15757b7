"""Approval requests in the store: asked, decided, settled, found; once each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from appliance.approvals.requests import RequestKind, RequestState
from appliance.clock import ManualClock
from appliance.entities import PermissionRole
from appliance.errors import Conflict, Invalid, NotAllowed, NotFound
from appliance.scheduling import Reaper
from appliance.sealing import Sealer
from appliance.store import (
    access_requests,
    approvals,
    audit,
    groups,
    identities,
    pre_approvals,
    restored,
    workers,
)
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from appliance.store.pre_approvals import PreApprovalSpec
from appliance.store.workers import Beat
from tests.store.approving import (
    ANA,
    AS_BO,
    AS_CY,
    BO,
    CI,
    CY,
    FINGERPRINT,
    HELD_FOR,
    deciders,
    deed,
    held,
    machine,
    statement,
    with_approvers,
)
from tests.store.conftest import BY, NOW

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def gate(shop: Store) -> Store:
    return with_approvers(shop)


def events(store: Store) -> list[tuple[str, str, str]]:
    found = audit.find(store, action="a", sort="at", size=100).items
    return [(e.action, e.subject, e.actor) for e in found if e.action.startswith("appro")]


def test_a_held_statement_waits_with_a_number_and_all_that_was_asked(gate: Store) -> None:
    asked = statement()
    settlement = approvals.ask(gate, NOW, asked)
    assert (settlement.id, settlement.state) == (1, RequestState.WAITING)
    request = approvals.get(gate, 1)
    assert request.kind is RequestKind.STATEMENT
    assert request.created_at == NOW and request.expires_at == NOW + HELD_FOR
    for name in ("identity", "target", "text", "parameters", "effects", "seqs", "fingerprint"):
        assert getattr(request, name) == getattr(asked, name), name
    for name in ("approvers", "eligible", "worker", "session_id", "reason", "rule", "why"):
        assert getattr(request, name) == getattr(asked, name), name
    assert (request.request_hash, request.deed_hash) == (
        asked.deed.request_hash,
        asked.deed.deed_hash,
    )
    assert request.detail == {
        "estimate": {"rows": 42, "why": ""},
        "transaction_since": (NOW - timedelta(seconds=5)).isoformat(),
    }
    assert events(gate) == [("approval.ask", "request 1", ANA)]
    (event,) = audit.find(gate, action="approval.ask").items
    assert "DELETE" not in str(event.detail)


def test_a_yes_is_told_to_the_worker_that_polls(gate: Store) -> None:
    held(gate)
    held(gate, of="DELETE FROM carts")
    decided = approvals.decide(gate, AS_BO, LATER, 1, approve=True, reason="ok for INC-42")
    assert (decided.state, decided.decided_by, decided.decided_via, decided.decided_at) == (
        RequestState.APPROVED,
        BO,
        "browser",
        LATER,
    )
    told = approvals.outcomes(gate, [1, 2, 99])
    assert {id_: s.state for id_, s in told.items()} == {
        1: RequestState.APPROVED,
        2: RequestState.WAITING,
    }
    assert (told[1].by, told[1].reason, told[1].at) == (BO, "ok for INC-42", LATER)
    assert events(gate)[-1] == ("approval.approve", "request 1", BO)
    assert approvals.outcomes(gate, []) == {}


def test_a_no_needs_a_reason_and_carries_it(gate: Store) -> None:
    held(gate)
    with pytest.raises(Invalid) as caught:
        approvals.decide(gate, AS_BO, LATER, 1, approve=False, reason="  ")
    assert caught.value.field == "reason"
    assert approvals.get(gate, 1).state is RequestState.WAITING
    approvals.decide(gate, AS_BO, LATER, 1, approve=False, reason="use the archive job")
    assert approvals.outcomes(gate, [1])[1].reason == "use the archive job"
    assert events(gate)[-1] == ("approval.deny", "request 1", BO)


def test_what_is_decided_stays_decided(gate: Store) -> None:
    held(gate)
    approvals.decide(gate, AS_BO, LATER, 1, approve=True)
    with pytest.raises(Conflict, match=r"request 1 is approved by bo@example\.com already"):
        approvals.decide(gate, AS_CY, LATER, 1, approve=False, reason="no")
    for state in (RequestState.TIMEOUT, RequestState.CANCELLED, RequestState.KILLED):
        won = approvals.settle(gate, LATER, 1, state)
        assert (won.state, won.by) == (RequestState.APPROVED, BO)
    assert len(events(gate)) == 2


def test_what_timed_out_cannot_be_approved(gate: Store) -> None:
    held(gate)
    won = approvals.settle(gate, LATER, 1, RequestState.TIMEOUT, reason="nobody decided")
    assert (won.state, won.via, won.reason) == (RequestState.TIMEOUT, "gateway", "nobody decided")
    with pytest.raises(Conflict, match="timeout already"):
        approvals.decide(gate, AS_BO, LATER, 1, approve=True)


def test_nobody_decides_after_the_time_is_over(gate: Store) -> None:
    held(gate)
    with pytest.raises(Conflict, match="has expired"):
        approvals.decide(gate, AS_BO, NOW + HELD_FOR, 1, approve=True)
    assert approvals.get(gate, 1).state is RequestState.WAITING


def test_a_yes_or_no_is_never_a_settlement(gate: Store) -> None:
    held(gate)
    for state in (RequestState.APPROVED, RequestState.DENIED, RequestState.WAITING):
        with pytest.raises(ValueError):
            approvals.settle(gate, LATER, 1, state)
    with pytest.raises(NotFound):
        approvals.settle(gate, LATER, 2, RequestState.TIMEOUT)
    with pytest.raises(NotFound, match="no request has the number 2"):
        approvals.decide(gate, AS_BO, LATER, 2, approve=True)


def test_the_requester_never_decides_and_an_admin_alone_does_not(gate: Store) -> None:
    identities.create(gate, BY, NOW, IdentitySpec("root@example.com", "human"))
    for name in (ANA, "root@example.com"):
        roles = {PermissionRole.ADMIN} | ({PermissionRole.APPROVER} if name == ANA else set())
        identities.set_permission_roles(gate, BY, NOW, name, frozenset(roles))
    held(gate)
    with pytest.raises(NotAllowed, match="asked for it"):
        approvals.decide(gate, Actor(ANA, "browser"), LATER, 1, approve=True)
    with pytest.raises(NotAllowed, match="is no approver"):
        approvals.decide(gate, Actor("root@example.com", "browser"), LATER, 1, approve=True)
    assert approvals.get(gate, 1).state is RequestState.WAITING
    assert len(events(gate)) == 1


def test_the_right_to_decide_is_read_when_it_is_used(gate: Store) -> None:
    held(gate, approvers=("group:dba",))
    approvals.ask(gate, NOW, statement("DELETE FROM carts", approvers=("group:dba",)))
    groups.remove(gate, BY, NOW, "dba", BO)
    with pytest.raises(NotAllowed, match="not in the group dba"):
        approvals.decide(gate, AS_BO, LATER, 1, approve=True)
    groups.add(gate, BY, NOW, "dba", CY)
    approvals.decide(gate, AS_CY, LATER, 1, approve=True)


def test_decisions_on_the_shell_say_so(gate: Store) -> None:
    held(gate)
    decided = approvals.decide(gate, Actor(BO, "shell", "deploy"), LATER, 1, approve=True)
    assert decided.decided_via == "shell (OS user deploy)"


def test_an_approved_second_try_passes_once_within_its_time(gate: Store) -> None:
    first = approvals.ask(gate, NOW, machine())
    assert approvals.get(gate, first.id).kind is RequestKind.RETRY
    again = approvals.ask(gate, LATER, machine(deed=deed("DELETE FROM orders", "s-2")))
    assert (again.id, again.state) == (first.id, RequestState.WAITING)
    decided = approvals.decide(gate, AS_BO, LATER, first.id, approve=True)
    assert decided.retry_until == LATER + timedelta(minutes=15)
    other = approvals.ask(gate, LATER, machine("DELETE FROM carts"))
    assert other.state is RequestState.WAITING
    passed = approvals.ask(gate, LATER, machine())
    assert (passed.id, passed.state, passed.by, passed.via) == (
        first.id,
        RequestState.APPROVED,
        BO,
        "retry",
    )
    assert approvals.get(gate, first.id).used_at == LATER
    third = approvals.ask(gate, LATER, machine())
    assert third.state is RequestState.WAITING and third.id != first.id


@pytest.mark.parametrize(
    ("at", "changes"),
    [
        (LATER + timedelta(minutes=15), {}),  # too late
        (LATER, {"eligible": (CY,)}),  # bo may not decide any more
    ],
)
def test_an_approved_second_try_that_does_not_count_any_more(
    gate: Store, at: object, changes: dict[str, object]
) -> None:
    first = approvals.ask(gate, NOW, machine())
    approvals.decide(gate, AS_BO, LATER, first.id, approve=True)
    again = approvals.ask(gate, at, machine(expires_at=NOW + timedelta(hours=1), **changes))  # type: ignore[arg-type]
    assert again.state is RequestState.WAITING and again.id != first.id
    assert approvals.get(gate, first.id).used_at is None


def test_the_no_to_a_deed_counts_when_automation_tries_again(gate: Store) -> None:
    first = approvals.ask(gate, NOW, machine())
    approvals.decide(gate, AS_BO, LATER, first.id, approve=False, reason="not before noon")
    again = approvals.ask(gate, LATER + timedelta(minutes=1), machine())
    assert (again.id, again.state, again.reason) == (
        first.id,
        RequestState.DENIED,
        "not before noon",
    )
    later = approvals.ask(gate, LATER + timedelta(minutes=16), machine())
    assert later.state is RequestState.WAITING and later.id != first.id


def test_a_second_try_that_nobody_decided_in_time_is_asked_anew(gate: Store) -> None:
    first = approvals.ask(gate, NOW, machine())
    again = approvals.ask(gate, NOW + HELD_FOR, machine(expires_at=NOW + 2 * HELD_FOR))
    assert again.id != first.id and again.state is RequestState.WAITING
    assert approvals.get(gate, first.id).state is RequestState.TIMEOUT


def test_a_live_hold_is_never_shared(gate: Store) -> None:
    assert held(gate).id != held(gate).id


def test_lists_filter_and_find(gate: Store) -> None:
    held(gate)
    approvals.ask(gate, LATER, machine("DELETE FROM carts"))
    approvals.decide(gate, AS_BO, LATER, 1, approve=True)
    find: Callable[..., list[int]] = lambda *a, **k: [  # noqa: E731
        r.id for r in approvals.find(gate, *a, **k).items
    ]
    assert find() == [2, 1]
    assert find(sort="at") == [1, 2]
    assert find(state="waiting") == [2]
    assert find(kind="statement") == [1]
    assert find(identity=CI) == [2]
    assert find("carts") == [2]
    assert find("2") == [2, 1]  # by its number, and INC-42
    assert find(target="other") == []
    assert find(decided_by=BO) == [1]
    assert find(since=LATER) == [2] and find(until=LATER) == [1]
    with pytest.raises(Invalid):
        find(sort="text")


def test_everybody_sees_what_waits_for_them_alone(gate: Store) -> None:
    held(gate)
    approvals.ask(gate, NOW, machine())
    approvals.ask(gate, NOW, statement("x", approvers=("identity:" + CY,)))
    waiting: Callable[[str], list[int]] = lambda name: [  # noqa: E731
        r.id for r in approvals.waiting_for(gate, name, LATER)
    ]
    assert waiting(ANA) == []  # her own, and her machine's
    assert waiting(BO) == [1, 2]
    assert waiting(CY) == [1, 2, 3]
    assert waiting(CI) == [] and waiting("nobody@example.com") == []
    assert approvals.waiting_for(gate, CY, NOW + HELD_FOR) == []
    assert deciders(gate, machine()) == (BO, CY)


def test_the_scheduler_ends_what_no_process_holds_any_more(gate: Store) -> None:
    held(gate)
    assert approvals.reap(gate, LATER) == 1
    ended = approvals.get(gate, 1)
    assert (ended.state, ended.decision_reason) == (
        RequestState.WITHDRAWN,
        "the gateway's process has gone",
    )
    assert approvals.reap(gate, LATER) == 0


def test_a_worker_that_lives_keeps_its_requests_until_half_a_minute_after_their_time(
    gate: Store,
) -> None:
    workers.beat(gate, NOW, Beat("host/proxy-1", 1, 1, 1))
    held(gate)
    retry = approvals.ask(gate, NOW, machine(worker=""))
    end = NOW + HELD_FOR
    for at, state, retried in (
        (end, RequestState.WAITING, RequestState.TIMEOUT),
        (end + timedelta(seconds=30), RequestState.TIMEOUT, RequestState.TIMEOUT),
    ):
        workers.beat(gate, at, Beat("host/proxy-1", 1, 1, 1))
        assert approvals.reap(gate, at) == 1
        assert approvals.get(gate, 1).state is state
        assert approvals.get(gate, retry.id).state is retried


def test_a_worker_that_was_started_anew_holds_nothing_of_the_old_one(gate: Store) -> None:
    workers.beat(gate, NOW, Beat("host/proxy-1", 1, 1, 1))
    held(gate)
    workers.beat(gate, LATER, Beat("host/proxy-1", 2, 1, 0))
    assert approvals.reap(gate, LATER) == 1
    assert approvals.get(gate, 1).state is RequestState.WITHDRAWN


def test_a_worker_that_is_only_silent_may_come_back(gate: Store) -> None:
    clock = ManualClock(LATER)
    reaper = Reaper(gate, clock)
    workers.beat(gate, NOW, Beat("host/proxy-1", 1, 1, 1))
    held(gate)
    assert reaper.run() == "nothing to do"  # the store was away: nobody could say anything
    clock.advance(timedelta(seconds=10))
    workers.beat(gate, clock.now(), Beat("host/proxy-1", 1, 1, 1))
    assert reaper.run() == "nothing to do"
    clock.advance(timedelta(seconds=10))
    assert reaper.run() == "nothing to do"
    assert approvals.get(gate, 1).state is RequestState.WAITING
    clock.advance(timedelta(seconds=10))
    assert reaper.run() == "1 requests ended, 0 grants removed"
    assert approvals.get(gate, 1).state is RequestState.WITHDRAWN


def test_a_worker_that_has_said_goodbye_holds_nothing(gate: Store) -> None:
    workers.beat(gate, NOW, Beat("host/proxy-1", 1, 1, 1))
    held(gate)
    workers.gone(gate, "host/proxy-1", 1)
    assert Reaper(gate, ManualClock(LATER)).run() == "1 requests ended, 0 grants removed"


def test_a_restored_store_has_no_yes_that_may_have_been_used(gate: Store) -> None:
    held(gate)
    retry = approvals.ask(gate, NOW, machine())
    approvals.decide(gate, AS_BO, NOW, retry.id, approve=True)
    spec = PreApprovalSpec(CI, "shop", FINGERPRINT, 5, None, "closing")
    pre_approvals.create(gate, AS_BO, NOW, spec)
    asked = access_requests.ask(gate, BY, NOW, AccessAsk(ANA, "shop", "app_rw", 3600, "INC-42"))
    restored.finish(gate, BY, LATER, Sealer(bytes(32)), "yesterday")
    assert approvals.get(gate, 1).state is RequestState.WITHDRAWN
    assert approvals.get(gate, 1).decision_reason == "the store was restored from a backup"
    assert approvals.get(gate, asked).state is RequestState.WAITING
    assert pre_approvals.get(gate, 1).state(LATER) == "revoked"
    again = approvals.ask(gate, LATER, machine())
    assert again.state is RequestState.WAITING and again.id not in (1, retry.id)
