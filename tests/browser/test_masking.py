"""Masking in a real Chromium: suggestions accepted, a rule made with its preview, order, faults."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from appliance.clock import SystemClock
from appliance.entities import MaskingRule, PermissionRole
from appliance.masking.values import Method
from appliance.store import catalogs, grants, groups, identities, masking_rules, targets
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.browser.test_accessible import check_page
from tests.web.masked import CATALOG


def ready(page: Page, served: Served, *names: str) -> None:
    """Sign in as an admin of a shop whose catalog was read, with these rules on e-mail."""
    store, now = served.store, SystemClock().now()
    sign_in(page, served, PermissionRole.ADMIN)
    identities.create(store, BY, now, IdentitySpec("bo@example.com", "human"))
    groups.create(store, BY, now, name="pci")
    groups.add(store, BY, now, "pci", "bo@example.com")
    targets.create(store, BY, now, TargetSpec("shop", "db.internal", "shop"))
    targets.put_role(store, BY, now, "shop", "app_ro", sealer=None, password_env="X")  # type: ignore[arg-type]
    grants.create(store, BY, now, GrantSpec("kind:human", "shop", "app_ro"))
    catalogs.put(store, now, "shop", "shop", json.dumps(CATALOG).encode())
    for name in names:
        rule = MaskingRule(0, name, "shop", ("public.customers.email",), Method.EMAIL)
        masking_rules.create(store, BY, now, rule)


def rules(served: Served) -> dict[str, MaskingRule]:
    found = masking_rules.find(served.store).items
    return {record.rule.name: record.rule for record in found}


def test_suggestions_are_accepted_with_a_method_chosen_by_its_preview(
    desktop: Page, served: Served
) -> None:
    page = desktop
    ready(page, served)
    page.goto("/masking")
    page.get_by_role("link", name="See them, with why").click()
    page.get_by_label("Who still sees the values").fill("group:pci")
    row = page.locator("li").filter(has=page.get_by_label("Mask public.customers.email"))
    expect(row.locator(".becomes")).to_have_text("***@example.com")
    row.get_by_label("Method for public.customers.email").select_option("hash")
    expect(row.locator(".becomes")).not_to_contain_text("@")
    page.get_by_role("button", name="Mask all 3 of public.customers").click()
    expect(page.get_by_text("3 columns are covered by")).to_be_visible()
    found = rules(served)
    assert found["email-addresses"].method is Method.HASH
    assert {rule.exempt for rule in found.values()} == {("group:pci",)}
    page.goto("/masking")
    expect(page.locator("#rule-card-numbers")).to_contain_text(
        "Everyone but group pci sees public.customers.card_number on shop as its last characters"
    )


def test_a_column_is_found_in_the_tree_and_masked_with_a_live_preview(
    phone: Page, served: Served
) -> None:
    page = phone
    ready(page, served)
    page.goto("/masking/targets/shop")
    page.get_by_text("leads", exact=True).click()
    expect(page.get_by_text("1 looks sensitive")).to_be_visible()
    page.get_by_role("link", name="Mask phone").click()
    does = page.get_by_role("complementary", name="What it does")
    expect(does).to_contain_text("sales.leads.phone")
    expect(does.locator(".becomes")).to_have_text("***********345")
    expect(page.get_by_label("Value", exact=True)).to_be_hidden()
    page.get_by_label("Method").select_option("fixed")
    page.get_by_label("Value", exact=True).fill("ask sales")
    expect(does.locator(".becomes")).to_have_text("ask sales")
    page.get_by_label("Groups and identities").fill("group:pci")
    expect(does).to_contain_text("bo@example.com sees the values.")
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#rule-phone-numbers")).to_contain_text("as “ask sales”")
    rule = rules(served)["phone-numbers"]
    assert (rule.value, rule.exempt) == ("ask sales", ("group:pci",))


def test_masking_rules_are_put_in_order_by_keyboard_and_switched(
    desktop: Page, served: Served
) -> None:
    page = desktop
    ready(page, served, "a", "b")
    page.goto("/masking")
    page.get_by_role("button", name="Move b up").focus()
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator("#moved")).to_contain_text("b is now rule 1 of 2, the first of all.")
    assert list(rules(served)) == ["b", "a"]
    expect(page.get_by_role("button", name="Move b up")).to_be_focused()
    page.get_by_role("button", name="Switch b off").click()
    expect(page.locator("#rule-b")).to_contain_text("switched off")
    assert not rules(served)["b"].enabled


def test_the_pages_of_masking_have_no_serious_fault(still: Page, served: Served) -> None:
    page = still
    ready(page, served, "a", "b")
    paths = (
        "/masking?moved=b",
        "/masking/uncovered",
        "/masking/targets/shop?q=customers",
        "/masking/rules/a/edit",
    )
    faults = [fault for path in paths for fault in check_page(page, path)]
    assert not faults, "\n".join(faults)
