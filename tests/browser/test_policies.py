"""Rules in a real Chromium: made, tried, put in order by keyboard and by dragging."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from appliance.clock import SystemClock
from appliance.entities import PermissionRole, PolicyRule
from appliance.store import grants, identities, rules, snapshots, targets
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.harness.polling import eventually


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
    expect(page.get_by_label("Approvers")).to_be_hidden()
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


def test_approving_rules_say_that_they_refuse_for_now(desktop: Page, served: Served) -> None:
    ready(desktop, served)
    desktop.goto("/policies/rules/new")
    desktop.get_by_label("What happens").select_option("approve")
    expect(desktop.get_by_text("Approvals are not set up yet.")).to_be_visible()
    expect(desktop.get_by_label("Approvers")).to_be_visible()


def test_rules_are_put_in_order_by_keyboard_and_the_focus_stays(
    desktop: Page, served: Served
) -> None:
    page = desktop
    ready(page, served, "a", "b", "c")
    page.goto("/policies")
    page.get_by_role("button", name="Move c up").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#rules [role=status]")).to_have_text("c is now rule 2 of 3.")
    assert order(served) == ["a", "c", "b"]
    expect(page.get_by_role("button", name="Move c up")).to_be_focused()
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator("#rules [role=status]")).to_have_text("c is now rule 1 of 3.")
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+ArrowDown")
    expect(page.locator("#rules [role=status]")).to_have_text("c is now rule 2 of 3.")
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
    page.mouse.up()
    expect(page.locator("#rules [role=status]")).to_have_text("a is now rule 3 of 3.")
    eventually(lambda: order(served) == ["b", "c", "a"], 5, "the new order is stored")


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
