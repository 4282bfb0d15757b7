"""Rules in a real Chromium: made, tried, put in order by keyboard and by dragging."""

from __future__ import annotations

import re
from datetime import timedelta

from playwright.sync_api import Page, expect

from appliance.clock import SystemClock
from appliance.entities import PermissionRole, PolicyRule
from appliance.store import catalogs, grants, identities, rules, snapshots, targets
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.browser.test_accessible import check_page
from tests.web.recorded import Ran, Recorded, record


def ready(page: Page, served: Served, *names: str) -> None:
    """Sign in as an admin of a shop with a CI job and these rules."""
    store, now = served.store, SystemClock().now()
    sign_in(page, served, PermissionRole.ADMIN)
    identities.create(store, BY, now, IdentitySpec("ci-nightly", "ci", owner="ada@example.com"))
    targets.create(store, BY, now, TargetSpec("shop", "db.internal", "shop"))
    targets.put_role(store, BY, now, "shop", "app_rw", sealer=None, password_env="X")  # type: ignore[arg-type]
    grants.create(store, BY, now, GrantSpec("identity:ci-nightly", "shop", "app_rw"))
    for name in names:
        rules.create(store, BY, now, PolicyRule(name=name, action="block", commands=("do",)))


def order(served: Served) -> list[str]:
    return [r.name for r in snapshots.load(served.store, SystemClock().now()).rules]


def test_a_rule_is_made_and_the_box_says_what_it_does(desktop: Page, served: Served) -> None:
    page = desktop
    ready(page, served)
    page.goto("/policies")
    expect(page.get_by_text("Observing: nothing is stopped on shop.")).to_be_visible()

    page.get_by_label("As", exact=True).fill("ci-nightly")
    page.get_by_role("textbox", name="Statement").fill("drop table orders")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#try")).to_contain_text("would run")

    page.get_by_role("link", name="Add a rule").first.click()
    page.get_by_label("Name", exact=True).fill("no-ddl")
    expect(page.get_by_label("Who decides")).to_be_hidden()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Say whom the rule is about")).to_be_visible()
    page.get_by_label("CI jobs").check()
    page.get_by_label("ddl", exact=True).check()
    page.get_by_label("Message").fill("use the pipeline")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#rule-no-ddl")).to_contain_text(
        "CI jobs may not run ddl on any target → block"
    )
    assert rules.get(served.store, "no-ddl").rule.who == ("kind:ci",)

    page.get_by_label("As", exact=True).fill("ci-nightly")
    page.get_by_role("textbox", name="Statement").fill("drop table orders")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#try")).to_contain_text("would be refused")
    expect(page.locator("#try")).to_contain_text("use the pipeline")
    page.get_by_role("link", name="Link to this").click()
    expect(page).to_have_url(re.compile("/policies/try\\?identity=ci-nightly"))
    expect(page.locator("#try")).to_contain_text("would be refused")


def test_a_rule_says_in_words_what_it_comes_to_while_it_is_typed(
    desktop: Page, served: Served
) -> None:
    page = desktop
    ready(page, served)
    page.goto("/policies/rules/new")
    page.get_by_label("Name", exact=True).fill("bulk")
    page.get_by_label("Everyone").check()
    page.get_by_label("What happens").select_option("approve")
    page.get_by_label("update", exact=True).check()
    page.get_by_label("More rows than").fill("1000")
    said = page.get_by_role("complementary", name="In words")
    expect(said).to_contain_text("Everyone needs a human for update of more than 1,000 rows")
    expect(said).to_contain_text("Nobody can decide it now.")
    page.get_by_label("Who decides").select_option("identity:ada@example.com")
    page.get_by_label("Hours").fill("daily 00:00-24:00 Europe/Oslo")
    expect(said).to_contain_text("Can decide now: ada@example.com.")
    expect(said).to_contain_text("now inside its hours")
    page.get_by_label("Waits at most").fill("30m")
    page.get_by_label("What happens").select_option("block")
    expect(page.get_by_label("Waits at most")).to_be_hidden()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#rule-bulk")).to_contain_text("Everyone may not run update")
    stored = rules.get(served.store, "bulk").rule
    assert (stored.rows_over, stored.approvers, stored.timeout_s) == (1000, None, None), (
        "what is folded away is not sent"
    )


def test_a_rule_is_tried_on_the_record_before_it_is_saved(phone: Page, served: Served) -> None:
    page = phone
    ready(page, served)
    now = SystemClock().now()
    ran = (Ran("delete from orders"), Ran("select 1"))
    catalog = b'{"version": 180000, "schemas": ["public"], "relations":'
    catalog += b' [[16400, "public", "orders", "r", 0, [[1, "id", "int4"]]]]}'
    catalogs.put(served.store, now, "shop", "shop", catalog)
    record(
        served.store,
        Recorded("ci-nightly", now - timedelta(days=2), ran, kind="ci", role="app_rw"),
    )
    page.goto("/policies/rules/new")
    page.get_by_label("Name", exact=True).fill("no-deletes")
    page.get_by_label("CI jobs").check()
    page.get_by_label("delete", exact=True).check()
    page.get_by_role("button", name="What would this have done?").click()
    answer = page.locator("#dry-run")
    expect(answer).to_contain_text("1 statement of 2 in the last 30 days")
    expect(answer.get_by_role("link", name="delete from orders")).to_be_visible()
    expect(answer.get_by_text("The rule was changed since")).to_be_hidden()
    page.get_by_label("Message").fill("ask first")
    expect(answer.get_by_text("The rule was changed since")).to_be_visible()
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("link", name="what if it were off?").click()
    expect(page.locator("#answer")).to_contain_text("1 would run")
    page.get_by_role("link", name="delete from orders").click()
    page.get_by_text("Why?").click()
    expect(page.locator(".because")).to_contain_text("By the rules of now: would be refused")


def test_rules_are_put_in_order_by_keyboard_and_the_focus_stays(
    desktop: Page, served: Served
) -> None:
    page = desktop
    ready(page, served, "a", "b", "c")
    page.goto("/policies")
    page.get_by_role("button", name="Move c up").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#moved")).to_contain_text("c is now rule 2 of 3, after a.")
    assert order(served) == ["a", "c", "b"]
    expect(page.get_by_role("button", name="Move c up")).to_be_focused()
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator("#moved")).to_contain_text("c is now rule 1 of 3, the first of all.")
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+ArrowDown")
    expect(page.locator("#moved")).to_contain_text("c is now rule 2 of 3, after a.")
    assert order(served) == ["a", "c", "b"]
    expect(page.get_by_role("button", name="Move c down")).to_be_focused()


def test_a_rule_is_dragged_to_its_place(desktop: Page, served: Served) -> None:
    page = desktop
    ready(page, served, "a", "b", "c")
    page.goto("/policies")
    grip = page.locator("#rule-a [data-grip]").bounding_box()
    last = page.locator("#rule-c").bounding_box()
    assert grip and last
    page.mouse.move(grip["x"] + 4, grip["y"] + 8)
    page.mouse.down()
    page.mouse.move(grip["x"] + 4, last["y"] + last["height"] - 2, steps=8)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert page.locator("#rules .mono").all_inner_texts() == list("abc"), "Escape takes it back"
    assert order(served) == ["a", "b", "c"]
    page.mouse.move(grip["x"] + 4, grip["y"] + 8)
    page.mouse.down()
    page.mouse.move(grip["x"] + 4, last["y"] + last["height"] - 2, steps=8)
    page.mouse.up()
    moved = page.locator("#moved")
    expect(moved).to_contain_text("a is now rule 3 of 3, after c.")
    assert order(served) == ["b", "c", "a"]
    expect(moved).to_contain_text("It would have changed nothing in the last 30 days.")
    page.get_by_role("button", name="Undo").click()
    expect(moved).to_contain_text("The order is as it was.")
    assert order(served) == ["a", "b", "c"]


def test_a_removed_rule_comes_back(phone: Page, served: Served) -> None:
    page = phone
    ready(page, served, "a", "b")
    page.goto("/policies")
    page.get_by_role("link", name="Remove a").click()
    page.get_by_role("button", name="Remove a").click()
    expect(page.get_by_text("a was removed.")).to_be_visible()
    page.get_by_role("button", name="Put it back").click()
    expect(page.locator("#rule-a")).to_be_visible()
    assert order(served) == ["a", "b"]


def test_the_pages_of_policies_have_no_serious_fault(still: Page, served: Served) -> None:
    page = still
    ready(page, served, "a", "b")
    holds = PolicyRule("holds", "approve", hours="Mon 08:00-18:00", rows_over=10, retry_s=60)
    rules.create(served.store, BY, SystemClock().now(), holds)
    paths = (
        "/policies?moved=b&was=a,b,holds",
        "/policies/rules/holds/edit",
        "/policies/dry-run?rule=a&ask=1",
        "/settings/notifications",
    )
    faults = [fault for path in paths for fault in check_page(page, path)]
    assert not faults, "\n".join(faults)
