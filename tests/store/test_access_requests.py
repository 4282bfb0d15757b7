"""Access for a time: asked for with a reason, begun by a yes, ended by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.approvals.requests import RequestKind, RequestState
from appliance.entities import IdentityStatus
from appliance.errors import Conflict, GatepostError, Invalid, NotAllowed
from appliance.store import (
    access_requests,
    approvals,
    audit,
    grants,
    identities,
    snapshots,
    targets,
)
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.grants import GrantSpec
from tests.store.approving import ANA, AS_BO, AS_CY, BO, CI, CY, with_approvers
from tests.store.conftest import BY, NOW

TWO_HOURS = AccessAsk(ANA, "shop", "app_rw", 7200, "INC-42")
AS_ANA = Actor(ANA, "browser", "10.0.0.1")
LATER = NOW + timedelta(minutes=10)


@pytest.fixture
def gate(shop: Store) -> Store:
    return with_approvers(shop)


def test_a_yes_begins_it_then_and_it_has_an_end(gate: Store) -> None:
    before = snapshots.version(gate)
    number = access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    request = approvals.get(gate, number)
    assert (request.kind, request.state, request.identity) == (
        RequestKind.ACCESS,
        RequestState.WAITING,
        ANA,
    )
    assert (request.target, request.role, request.reason) == ("shop", "app_rw", "INC-42")
    assert request.text == "app_rw on shop for 2h"
    assert request.eligible == (BO, CY)
    assert grants.time_boxed(gate) == () and snapshots.version(gate) == before
    assert [r.id for r in approvals.waiting_for(gate, BO, LATER)] == [number]
    assert approvals.waiting_for(gate, ANA, LATER) == []

    decided = approvals.decide(gate, AS_BO, LATER, number, approve=True, reason="ok")
    (given,) = grants.time_boxed(gate)
    assert given.request_id == number and given.created_by == BO
    assert decided.detail["grant"] == given.grant.id
    assert given.grant.is_time_boxed
    assert (given.grant.who, given.grant.target, given.grant.role, given.grant.databases) == (
        f"identity:{ANA}",
        "shop",
        "app_rw",
        (),
    )
    assert given.grant.expires_at == LATER + timedelta(hours=2)
    snapshot = snapshots.load(gate, LATER)
    assert snapshot.version == before + 1 and snapshot.grants == (given.grant,)
    assert [e.action for e in audit.find(gate, sort="at", size=100).items][-3:] == [
        "access.ask",
        "approval.approve",
        "grant.create",
    ]


def test_a_no_gives_nothing(gate: Store) -> None:
    number = access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    approvals.decide(gate, AS_BO, LATER, number, approve=False, reason="use app_ro")
    assert grants.time_boxed(gate) == ()


def test_nobody_grants_it_to_themselves(gate: Store) -> None:
    number = access_requests.ask(gate, AS_BO, NOW, replace(TWO_HOURS, identity=BO))
    with pytest.raises(NotAllowed, match="asked for it"):
        approvals.decide(gate, AS_BO, LATER, number, approve=True)
    assert grants.time_boxed(gate) == ()


def test_what_cannot_be_given_any_more_stays_undecided(gate: Store) -> None:
    number = access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    identities.set_status(gate, BY, NOW, ANA, IdentityStatus.SUSPENDED)
    with pytest.raises(NotAllowed, match="not active"):
        approvals.decide(gate, AS_BO, LATER, number, approve=True)
    assert approvals.get(gate, number).state is RequestState.WAITING
    identities.set_status(gate, BY, NOW, ANA, IdentityStatus.ACTIVE)
    targets.delete(gate, BY, NOW, "shop")
    with pytest.raises(Conflict, match="target shop is gone"):
        approvals.decide(gate, AS_BO, LATER, number, approve=True)
    approvals.decide(gate, AS_BO, LATER, number, approve=False, reason="it is gone")


BAD: dict[str, tuple[AccessAsk, str]] = {
    "a target that is not there": (replace(TWO_HOURS, target="nowhere"), "no target is called"),
    "a role that is not there": (replace(TWO_HOURS, role="root"), "it has: app_ro, app_rw"),
    "too short": (replace(TWO_HOURS, duration_s=299), "5m to 30d"),
    "too long": (replace(TWO_HOURS, duration_s=30 * 86400 + 1), "5m to 30d"),
    "no reason": (replace(TWO_HOURS, reason="  "), "say what for"),
    "nobody": (replace(TWO_HOURS, identity="nobody"), "no identity is called nobody"),
    "a machine": (replace(TWO_HOURS, identity=CI), "only people"),
}


def test_what_cannot_be_asked_for(gate: Store) -> None:
    for case, (ask, says) in BAD.items():
        with pytest.raises((Invalid, NotAllowed)) as caught:
            access_requests.ask(gate, AS_ANA, NOW, ask)
        assert says in str(caught.value), case
    assert approvals.find(gate).total == 0


def test_who_is_for_another_environment_is_told_so(gate: Store) -> None:
    identities.update(
        gate, BY, NOW, ANA, identities.IdentitySpec(ANA, "human", environment="staging")
    )
    with pytest.raises(NotAllowed, match="is for staging"):
        access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    assert access_requests.roles_for(gate, ANA) == []


def test_the_same_is_not_asked_for_twice_while_it_waits(gate: Store) -> None:
    access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    with pytest.raises(Conflict, match="request 1 asks for app_rw on shop already"):
        access_requests.ask(gate, AS_ANA, NOW, replace(TWO_HOURS, duration_s=300))
    access_requests.ask(gate, AS_ANA, NOW, replace(TWO_HOURS, role="app_ro"))
    access_requests.ask(gate, AS_ANA, NOW + timedelta(days=1), TWO_HOURS)  # the first is over


def test_nothing_is_asked_that_nobody_could_decide(gate: Store) -> None:
    for name in (BO, CY):
        identities.set_permission_roles(gate, BY, NOW, name, frozenset())
    with pytest.raises(Conflict, match="nobody could approve it"):
        access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    assert approvals.find(gate).total == 0


def test_who_asked_can_take_it_back(gate: Store) -> None:
    number = access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    with pytest.raises(NotAllowed):
        access_requests.cancel(gate, AS_BO, LATER, number)
    cancelled = access_requests.cancel(gate, AS_ANA, LATER, number)
    assert (cancelled.state, cancelled.decided_by) == (RequestState.CANCELLED, ANA)
    with pytest.raises(Conflict, match="cancelled already"):
        access_requests.cancel(gate, AS_ANA, LATER, number)
    with pytest.raises(Conflict, match="cancelled by ana"):
        approvals.decide(gate, AS_BO, LATER, number, approve=True)
    assert grants.time_boxed(gate) == ()


def test_an_admin_can_end_it_early_and_the_scheduler_tidies_up(gate: Store) -> None:
    for role in ("app_rw", "app_ro"):
        number = access_requests.ask(gate, AS_ANA, NOW, replace(TWO_HOURS, role=role))
        approvals.decide(gate, AS_CY, NOW, number, approve=True)
    first, second = grants.time_boxed(gate)
    with pytest.raises(Conflict, match="given for a time by request 1"):
        grants.update(
            gate, BY, LATER, first.grant.id, GrantSpec(f"identity:{ANA}", "shop", "app_rw")
        )
    grants.delete(gate, BY, LATER, first.grant.id)
    end = NOW + timedelta(hours=2)
    assert access_requests.remove_ended(gate, end + timedelta(days=6)) == 0
    assert grants.time_boxed(gate) == (second,)
    assert access_requests.remove_ended(gate, end + timedelta(days=8)) == 1
    assert grants.time_boxed(gate) == ()
    assert [r.state for r in approvals.find(gate).items] == [RequestState.APPROVED] * 2


def test_one_can_ask_for_what_one_does_not_have(gate: Store) -> None:
    assert access_requests.roles_for(gate, ANA) == [("shop", "app_ro"), ("shop", "app_rw")]
    grants.create(gate, BY, NOW, GrantSpec("kind:human", "shop", "app_ro"))
    assert access_requests.roles_for(gate, ANA) == [("shop", "app_rw")]
    number = access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    approvals.decide(gate, AS_BO, NOW, number, approve=True)
    assert access_requests.roles_for(gate, ANA) == [("shop", "app_rw")]  # for longer
    assert access_requests.roles_for(gate, CI) == []
    assert access_requests.roles_for(gate, "nobody") == []


def test_a_request_that_nobody_decides_ends_after_a_day(gate: Store) -> None:
    number = access_requests.ask(gate, AS_ANA, NOW, TWO_HOURS)
    with pytest.raises(GatepostError, match="has expired"):
        approvals.decide(gate, AS_BO, NOW + timedelta(days=1), number, approve=True)
    assert approvals.reap(gate, NOW + timedelta(days=1)) == 1
    assert approvals.get(gate, number).state is RequestState.TIMEOUT
