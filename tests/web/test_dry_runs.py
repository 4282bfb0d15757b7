"""What rules would have done to what was recorded: as typed, switched off, in another order."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from appliance.entities import PermissionRole, PolicyRule
from appliance.store import audit, catalogs, rules
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record
from tests.web.test_policies import FORM, add, names

DRY = "/policies/rules/dry-run"
CATALOG = {
    "version": 180000,
    "schemas": ["public"],
    "relations": [[16400, "public", "orders", "r", 0, [[1, "id", "int4"], [2, "name", "text"]]]],
}


@pytest.fixture
def ready(admin: Browser, world: World) -> Browser:
    """An admin's browser, and what ran on a shop in the last days: 9 statements and an old one."""
    fill(world)
    catalogs.put(world.store, AT, "shop", "shop", json.dumps(CATALOG).encode())
    ran = (Ran("select * from orders"), Ran("delete from orders"), Ran("<u>select</u> 1"))
    for days in (1, 8, 20, 45):
        part = ran if days < 40 else ran[1:2]
        record(world.store, Recorded("ci-nightly", AT - timedelta(days=days), part, kind="ci"))
    return admin


def test_a_rule_is_judged_before_it_is_saved_and_nothing_changes(
    ready: Browser, world: World
) -> None:
    form = FORM | {"commands": "delete", "message": "not here"}
    part = ready.submit("/policies/rules/new", form, DRY, HX_Request="true")
    text = words(part.text)
    assert part.status_code == 200 and "<html" not in part.text
    assert "3 statements of 11 in the last 30 days would have been decided otherwise" in text
    assert "3 would be refused" in text
    assert "delete from orders Why? Not here. Effects: delete public.orders" in text
    assert "ci-nightly on shop as app_ro 3 24 h ago runs no rule: default action refused" in text
    assert "/statements/2" in part.text, "it leads to the recorded statement"
    assert names(world) == [] and not audit.find(world.store, action="rule.create").items


def test_a_changed_rule_is_judged_in_its_place(ready: Browser, world: World) -> None:
    add(world, "no-ddl", commands=("delete",))
    add(world, "after", commands=("select",))
    form = FORM | {"commands": "delete", "was": "no-ddl", "action": "allow"}
    text = words(ready.submit("/policies/rules/no-ddl/edit", form, DRY, HX_Request="true").text)
    assert "3 would run" in text and "refused" in text
    same = FORM | {"commands": "delete", "was": "no-ddl"}
    text = words(ready.submit("/policies/rules/no-ddl/edit", same, DRY, HX_Request="true").text)
    assert "Nothing would have been decided otherwise" in text


def test_without_script_the_answer_stands_below_the_form_as_typed(ready: Browser) -> None:
    page = ready.submit("/policies/rules/new", FORM | {"commands": "delete"}, DRY)
    assert page.status_code == 200 and 'value="no-ddl"' in page.text
    assert "3 would be refused" in words(page.text)


def test_what_is_no_rule_yet_is_said_instead_of_an_answer(ready: Browser, world: World) -> None:
    wrong = FORM | {"hours": "sometimes", "targets": "nowhere"}
    part = ready.submit("/policies/rules/new", wrong, DRY, HX_Request="true")
    assert "That is not a rule yet: Expected hours like" in words(part.text)
    page = ready.submit("/policies/rules/new", wrong, DRY)
    assert page.status_code == 422 and 'id="hours-error"' in page.text
    assert names(world) == []


def test_each_rule_says_what_would_be_without_it(ready: Browser, world: World) -> None:
    add(world, "no-deletes", commands=("delete",))
    assert "what if it were off?" in words(ready.get("/policies").text)
    address = "/policies/dry-run?rule=no-deletes"
    page = ready.get(address)
    assert "Looking through 30 days" in words(page.text) and "3 would run" not in words(page.text)
    assert f'hx-get="{address}' in page.text
    for answer in (ready.get(address, HX_Request="true"), ready.get(f"{address}&ask=1")):
        text = words(answer.text)
        assert "3 statements of 11" in text and "3 would run" in text
        assert "refused no-deletes runs no rule: default action" in text
    brief = words(ready.get(f"{address}&brief=1", HX_Request="true").text)
    assert brief == (
        "3 statements would have been decided otherwise in the last 30 days: 3 would run."
    )
    off = rules.get(world.store, "no-deletes").rule
    assert off.enabled, "asking changed nothing"
    assert ready.get("/policies/dry-run?rule=nothing").status_code == 404


def test_a_rule_that_is_off_says_what_it_would_have_done(ready: Browser, world: World) -> None:
    add(world, "later", commands=("select",), enabled=False)
    text = words(ready.get("/policies/dry-run?rule=later&ask=1").text)
    assert "later: what if it were on?" in text and "would be refused" in text


def test_another_order_says_what_it_changed(ready: Browser, world: World) -> None:
    add(world, "no-deletes", commands=("delete",))
    allow = PolicyRule("machines-may", "allow", who=("kind:ci",), commands=("delete",))
    rules.create(world.store, BY, AT, allow)
    move = {"name": "machines-may", "direction": "up"}
    moved = ready.submit("/policies", move, "/policies/order", HX_Request="true")
    address = "/policies/dry-run/order?was=no-deletes,machines-may"
    assert f'hx-get="{address}&amp;brief=1"' in moved.text
    brief = words(ready.get(f"{address}&brief=1", HX_Request="true").text)
    assert "3 statements would have been decided otherwise" in brief and "3 would run" in brief
    same = "/policies/dry-run/order?was=machines-may,no-deletes,gone&brief=1"
    assert "It would have changed nothing in the last 30 days." in words(
        ready.get(same, HX_Request="true").text
    )
    assert names(world) == ["machines-may", "no-deletes"]


def test_another_default_action_says_what_it_would_stop(ready: Browser, world: World) -> None:
    add(world, "reads", commands=("select",), enabled=False)
    page = words(ready.get("/policies").text)
    assert "what if it were block? · what if it were approve?" in page
    text = words(ready.get("/policies/dry-run/default?action=block&ask=1").text)
    assert "What no rule decides: what if it were block?" in text
    assert "would be refused" in text and "refused no rule: default action" in text
    assert ready.get("/policies/dry-run/default?action=shrug").status_code == 404


def test_an_auditor_may_ask_and_an_approver_reads_no_statements(
    ready: Browser, world: World
) -> None:
    del ready
    add(world, "no-deletes", commands=("delete",))
    world.person("au@example.com", PermissionRole.AUDITOR)
    world.person("bo@example.com", PermissionRole.APPROVER)
    address = "/policies/dry-run?rule=no-deletes&ask=1"
    assert "3 would run" in words(world.signed_in("au@example.com").get(address).text)
    bo = world.signed_in("bo@example.com")
    assert bo.get(address).status_code == 403
    assert "what if it were off?" not in words(bo.get("/policies").text)


def test_what_cannot_be_judged_is_counted_with_its_reason(ready: Browser, world: World) -> None:
    record(world.store, Recorded("gone@example.com", AT - timedelta(days=1), (Ran("select 1"),)))
    page = ready.submit("/policies/rules/new", FORM, DRY, HX_Request="true")
    text = words(page.text)
    assert "there is no identity gone@example.com any more" in text
    assert "could not be judged" in text
    assert "<u>select" not in page.text, "what was sent stays text"


def test_without_a_record_there_is_nothing_to_tell(admin: Browser) -> None:
    page = admin.submit("/policies/rules/new", FORM, DRY, HX_Request="true")
    assert "Nothing was recorded in the last 30 days" in words(page.text)
