"""What an insider would try at the store: bury others' requests, step aside to decide one's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.approvals.requests import RequestState
from appliance.errors import NotAllowed
from appliance.store import approvals, identities
from appliance.store.approval_room import MOST, NoRoom
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from tests.store.approving import (
    ANA,
    AS_BO,
    BO,
    CI,
    CY,
    HELD_FOR,
    held,
    machine,
    statement,
    with_approvers,
)
from tests.store.conftest import BY, NOW


@pytest.fixture
def gate(shop: Store) -> Store:
    return with_approvers(shop)


def test_so_much_of_one_identity_waits_and_no_more(gate: Store) -> None:
    numbers = [approvals.ask(gate, NOW, machine(f"DELETE {n}")).id for n in range(MOST)]
    with pytest.raises(NoRoom, match=f"{MOST} requests of ci-nightly wait already"):
        approvals.ask(gate, NOW, machine("DELETE one more"))
    assert approvals.find(gate, size=100).total == MOST  # nothing was stored of it
    assert approvals.ask(gate, NOW, machine("DELETE 3")).id == numbers[3]  # waits already
    assert held(gate).state is RequestState.WAITING  # of somebody else
    approvals.decide(gate, AS_BO, NOW, numbers[0], approve=False, reason="no")
    assert approvals.ask(gate, NOW, machine("DELETE one more")).id > numbers[-1]
    later = NOW + HELD_FOR
    more = machine("DELETE yet another", expires_at=later + HELD_FOR)
    assert approvals.ask(gate, later, more).state is RequestState.WAITING  # theirs are over


@pytest.mark.parametrize("field", ["owner", "backup_owner"])
def test_who_owned_a_machine_when_it_asked_cannot_step_aside_to_decide(
    gate: Store, field: str
) -> None:
    owners: dict[str, str | None] = {"owner": ANA, "backup_owner": CY, field: BO}
    spec = IdentitySpec(CI, "ci", owners["owner"], owners["backup_owner"], "nightly")
    identities.update(gate, BY, NOW, CI, spec)
    asked = machine(owner=owners["owner"], backup_owner=owners["backup_owner"], retry_s=None)
    number = approvals.ask(gate, NOW, asked).id
    identities.update(gate, BY, NOW, CI, replace(spec, owner=ANA, backup_owner=None))
    with pytest.raises(NotAllowed, match=f"{BO} owned {CI} when it asked"):
        approvals.decide(gate, AS_BO, NOW, number, approve=True)
    allowed = replace(asked, deed=statement("x").deed, owner_may_approve=True)
    number = approvals.ask(gate, NOW, allowed).id
    assert approvals.decide(gate, AS_BO, NOW, number, approve=True).decided_by == BO
