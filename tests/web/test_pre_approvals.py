"""Pre-approvals in the browser: given from a request, by who may decide it; listed, revoked."""

from __future__ import annotations

import pytest

from appliance.store import approvals, audit, pre_approvals, targets
from appliance.store.targets import TargetSpec
from tests.web.asking import ADA, ANA, AUD, BO, CY, EVE, cast, hold
from tests.web.browsing import words
from tests.web.conftest import AT, BY, World

NEW = "/approvals/pre-approvals/new"
FORM = {
    "identity": ANA,
    "target": "shop",
    "fingerprint": "0123456789abcdef",
    "uses": "2",
    "until": "",
    "reason": "month end",
}


@pytest.fixture
def held(world: World) -> int:
    cast(world)
    targets.create(world.store, BY, AT, TargetSpec("shop", "127.0.0.1", "shop"))
    return hold(world.store, AT)


def test_a_request_leads_to_the_form_and_the_next_one_passes(world: World, held: int) -> None:
    bo = world.signed_in(BO)
    assert f'{NEW}?request={held}"' in bo.get(f"/approvals/{held}").text
    page = bo.get(f"{NEW}?request={held}").text
    assert "Pre-approve for ana@example.com" in words(page) and "0123456789abcdef" in page
    assert "other numbers and texts in the same statement pass too" in words(page)
    assert bo.submit(f"{NEW}?request={held}", FORM | {"request": str(held)}).status_code == 303
    [made] = pre_approvals.find(world.store).items
    assert (made.created_by, made.uses_left, made.reason) == (BO, 2, "month end")
    number = hold(world.store, AT)
    assert not approvals.get(world.store, number).state.is_open
    assert "(pre-approval)" in words(bo.get(f"/approvals/{number}").text)
    listed = words(bo.get("/approvals/pre-approvals").text)
    assert "live 1 of 2 times left" in listed and "bo@example.com: month end" in listed


@pytest.mark.parametrize("name", [ANA, ADA, AUD, EVE])
def test_who_could_not_decide_cannot_pre_approve(world: World, held: int, name: str) -> None:
    browser = world.signed_in(name)
    answer = browser.submit("/me", FORM, NEW)
    assert answer.status_code == 422
    assert pre_approvals.find(world.store).total == 0
    assert NEW not in browser.get("/approvals").text
    page = browser.get(f"{NEW}?request={held}")
    assert page.status_code == (404 if name == EVE else 200)
    assert ("customer_id" in page.text) is (name != EVE)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("reason", "", "Say why"),
        ("uses", "0", "1 to 10000"),
        ("uses", "many", "Expected a number"),
        ("uses", "", "Say how often, or until when"),
        ("until", "2026-11-22", "has already passed"),
        ("until", "2029-01-01", "at most a year"),
        ("fingerprint", "zz", "16 hex digits"),
        ("identity", "nobody", "No identity is called nobody"),
        ("target", "nowhere", "No target is called nowhere"),
    ],
)
def test_a_wrong_value_is_said(world: World, held: int, field: str, value: str, said: str) -> None:
    answer = world.signed_in(BO).submit(NEW, FORM | {field: value})
    assert answer.status_code == 422 and said in words(answer.text)
    assert pre_approvals.find(world.store).total == 0


def test_revoked_it_is_asked_again(world: World, held: int) -> None:
    bo = world.signed_in(BO)
    bo.submit(NEW, FORM)
    page = "/approvals/pre-approvals/1/revoke"
    assert "is held again" in words(bo.get(page).text)
    assert world.signed_in(EVE).get(page).status_code == 403
    assert world.signed_in(ADA).submit(page, {"reason": "over"}).status_code == 303
    assert bo.submit(page, {"reason": "over"}).status_code == 422, "once"
    assert pre_approvals.get(world.store, 1).revoked_by == ADA
    assert audit.find(world.store, action="pre_approval.revoke").total == 1
    assert approvals.get(world.store, hold(world.store, AT)).state.is_open


def test_the_list_is_for_who_approves_and_who_audits(world: World, held: int) -> None:
    by = world.signed_in(CY)
    by.submit(NEW, FORM)
    for name, sees in ((BO, True), (ADA, True), (AUD, True), (ANA, False), (EVE, False)):
        page = world.signed_in(name).get("/approvals/pre-approvals")
        assert page.status_code == 200 and ("month end" in page.text) is sees, name
    rows = world.signed_in(BO).get("/approvals/pre-approvals?format=csv").text.splitlines()
    assert len(rows) == 2 and rows[1].startswith("p-1,ana@example.com,shop,0123456789abcdef,2,2")
