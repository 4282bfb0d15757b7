"""Pre-approvals: a yes beforehand counts as often, as long, and from whom it was given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from appliance.approvals.requests import RequestState, Settlement
from appliance.entities import PermissionRole, PolicyRule
from appliance.errors import Conflict, Invalid, NotAllowed, NotFound
from appliance.identity import credentials
from appliance.sealing import Sealer
from appliance.store import approvals, audit, groups, identities, pre_approvals, rules
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.pre_approvals import PreApprovalSpec
from tests.store.approving import (
    ANA,
    AS_BO,
    AS_CY,
    BO,
    CI,
    CY,
    FINGERPRINT,
    machine,
    with_approvers,
)
from tests.store.conftest import BY, NOW

DAY = timedelta(days=1)
TWICE = PreApprovalSpec(CI, "shop", FINGERPRINT, 2, None, "the month's closing")


@pytest.fixture
def gate(shop: Store) -> Store:
    return with_approvers(shop)


def ask(store: Store, at: timedelta = timedelta(0), **changes: Any) -> Settlement:
    held = replace(machine(retry_s=None, expires_at=NOW + 40 * DAY), **changes)
    return approvals.ask(store, NOW + at, held)


def test_it_passes_as_often_as_it_says_and_each_time_is_evidence(gate: Store) -> None:
    number = pre_approvals.create(gate, AS_BO, NOW, TWICE)
    passed = [ask(gate) for _ in range(3)]
    assert [s.state for s in passed] == [
        RequestState.APPROVED,
        RequestState.APPROVED,
        RequestState.WAITING,
    ]
    assert len({s.id for s in passed}) == 3
    assert {(s.by, s.via, s.reason) for s in passed[:2]} == {
        (BO, "pre-approval", "the month's closing")
    }
    request = approvals.get(gate, passed[0].id)
    assert (request.state, request.used_at, request.decided_by) == (RequestState.APPROVED, NOW, BO)
    assert request.detail["pre_approval"] == number
    told = audit.find(gate, action="approval.pre_approved").items
    assert [e.detail["pre_approval"] for e in told] == [f"p-{number}"] * 2
    assert pre_approvals.get(gate, number).state(NOW) == "used up"
    with pytest.raises(Conflict):  # nothing is left to decide
        approvals.decide(gate, AS_CY, NOW, passed[0].id, approve=True)


def test_it_is_for_one_identity_target_and_fingerprint(gate: Store) -> None:
    pre_approvals.create(gate, AS_BO, NOW, TWICE)
    for name, value in (
        ("identity", ANA),
        ("target", "crm"),
        ("database", "archive"),
        ("fingerprint", "f" * 16),
        ("fingerprint", ""),
    ):
        other: dict[str, Any] = {name: value}
        assert ask(gate, **other).state is RequestState.WAITING
    assert pre_approvals.get(gate, 1).uses_left == 2


def test_it_ends_at_its_date(gate: Store) -> None:
    spec = replace(TWICE, uses=None, until=NOW + DAY)
    pre_approvals.create(gate, AS_BO, NOW, spec)
    assert all(ask(gate).state is RequestState.APPROVED for _ in range(5))
    assert ask(gate, DAY).state is RequestState.WAITING
    assert pre_approvals.get(gate, 1).state(NOW + DAY) == "expired"


def test_it_ends_when_it_is_revoked(gate: Store) -> None:
    pre_approvals.create(gate, AS_BO, NOW, TWICE)
    pre_approvals.revoke(gate, AS_CY, NOW, 1, "not this month")
    assert ask(gate).state is RequestState.WAITING
    found = pre_approvals.get(gate, 1)
    assert (found.state(NOW), found.revoked_by) == ("revoked", CY)
    with pytest.raises(Conflict, match="revoked by cy"):
        pre_approvals.revoke(gate, AS_CY, NOW, 1)
    with pytest.raises(NotFound):
        pre_approvals.revoke(gate, AS_CY, NOW, 2)


def test_it_counts_only_while_its_giver_could_approve_the_statement(gate: Store) -> None:
    pre_approvals.create(gate, AS_BO, NOW, TWICE)
    assert ask(gate, eligible=(CY,)).state is RequestState.WAITING
    pre_approvals.create(gate, AS_CY, NOW, TWICE)
    assert ask(gate, eligible=(CY,)).by == CY


def test_the_one_that_ends_soonest_is_used_first(gate: Store) -> None:
    pre_approvals.create(gate, AS_BO, NOW, TWICE)
    pre_approvals.create(gate, AS_CY, NOW, replace(TWICE, until=NOW + DAY))
    assert [ask(gate).by for _ in range(3)] == [CY, CY, BO]


def test_who_may_not_approve_may_not_approve_beforehand(gate: Store, sealer: Sealer) -> None:
    with pytest.raises(NotAllowed, match="owns ci-nightly"):
        pre_approvals.create(gate, Actor(ANA, "browser"), NOW, TWICE)
    with pytest.raises(NotAllowed, match="only people"):
        pre_approvals.create(gate, Actor(CI, "browser"), NOW, TWICE)
    with pytest.raises(NotAllowed, match="asked for it"):
        pre_approvals.create(gate, AS_BO, NOW, replace(TWICE, identity=BO))
    credentials.issue(gate, AS_BO, NOW, sealer, CI)
    with pytest.raises(NotAllowed, match="issued credential c-1"):
        pre_approvals.create(gate, AS_BO, NOW, TWICE)
    identities.set_permission_roles(gate, BY, NOW, CY, frozenset({PermissionRole.ADMIN}))
    with pytest.raises(NotAllowed, match="no approver"):
        pre_approvals.create(gate, AS_CY, NOW, TWICE)
    assert pre_approvals.find(gate).total == 0


def test_who_only_a_rule_names_may_approve_beforehand(gate: Store) -> None:
    identities.set_permission_roles(gate, BY, NOW, CY, frozenset())
    with pytest.raises(NotAllowed):
        pre_approvals.create(gate, AS_CY, NOW, TWICE)
    groups.create(gate, BY, NOW, name="ops")
    groups.add(gate, BY, NOW, "ops", CY)
    rules.create(gate, BY, NOW, PolicyRule("look", "approve", approvers="group:ops"))
    pre_approvals.create(gate, AS_CY, NOW, TWICE)
    assert ask(gate, eligible=(CY,)).state is RequestState.APPROVED


BAD = {
    "identity": replace(TWICE, identity="nobody"),
    "target": replace(TWICE, target="nowhere"),
    "fingerprint": replace(TWICE, fingerprint="select 1"),
    "uses": replace(TWICE, uses=0),
    "until": replace(TWICE, until=NOW),
    "reason": replace(TWICE, reason=" "),
}


def test_wrong_values_are_refused_by_name(gate: Store) -> None:
    for field, spec in BAD.items():
        with pytest.raises(Invalid) as caught:
            pre_approvals.create(gate, AS_BO, NOW, spec)
        assert caught.value.field == field
    assert pre_approvals.find(gate).total == 0


def test_it_needs_some_bound(gate: Store) -> None:
    with pytest.raises(Invalid, match="how often, or until when"):
        pre_approvals.create(gate, AS_BO, NOW, replace(TWICE, uses=None))
    with pytest.raises(Invalid, match="at most a year"):
        pre_approvals.create(gate, AS_BO, NOW, replace(TWICE, until=NOW + 400 * DAY))


def test_lists_filter(gate: Store) -> None:
    pre_approvals.create(gate, AS_BO, NOW, TWICE)
    pre_approvals.create(gate, AS_CY, NOW, replace(TWICE, identity=ANA, until=NOW + DAY))
    assert [p.identity for p in pre_approvals.find(gate).items] == [ANA, CI]
    assert [p.identity for p in pre_approvals.find(gate, "closing", identity=CI).items] == [CI]
    assert [p.identity for p in pre_approvals.find(gate, live_at=NOW + DAY).items] == [CI]
    assert pre_approvals.find(gate, target="crm").total == 0
