"""From the set-up link to the line that connects, in a real Chromium, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.clock import SystemClock
from appliance.entities import PermissionRole
from appliance.store import credentials, grants, identities, snapshots, targets
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.harness.postgres import Database
from tests.web.recorded import Ran, Recorded, record

PASSWORD = "correct horse battery"
NAME = "ada@example.com"


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """The same flow on both."""
    yield request.getfixturevalue(request.param)


def set_up(page: Page, served: Served) -> None:
    page.goto(served.setup_path)
    page.get_by_label("Your e-mail").fill(NAME)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Make me the admin").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()


def register_target(page: Page, database: Database) -> None:
    page.get_by_role("link", name="Register a target").first.click()
    page.get_by_label("Name", exact=True).fill("shop")
    page.get_by_label("Host").fill(database.server.host)
    page.get_by_label("Port").fill(str(database.server.port))
    page.get_by_label("Database", exact=True).fill(database.name)
    page.get_by_label("Environment", exact=True).fill("production")
    page.get_by_label("Role", exact=True).fill(database.owner.name)
    page.get_by_label("Password", exact=True).fill(database.owner.password)
    page.get_by_label("Password", exact=True).blur()
    expect(page.locator("#check")).to_contain_text("Everything works")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", name="shop")).to_be_visible()
    expect(page.locator("#check")).to_contain_text("Everything works")


def test_from_the_set_up_link_to_the_first_session(
    page: Page, served: Served, database: Database
) -> None:
    set_up(page, served)
    register_target(page, database)

    page.goto("/identities/new")
    page.get_by_label("Name", exact=True).fill("ci-nightly")
    page.get_by_label("Kind").select_option("ci")
    page.get_by_label("Purpose").fill("nightly revenue export")
    page.get_by_label("Owner", exact=True).fill(NAME)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="ci-nightly")).to_be_visible()
    expect(page.get_by_role("heading", name="Who owns it?")).to_be_visible()

    page.get_by_role("link", name="Add a grant").first.click()
    page.get_by_label("May reach").select_option(label=f"shop as {database.owner.name}")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("may now open sessions on shop")

    page.get_by_role("link", name="Issue a credential").first.click()
    page.get_by_role("button", name="Issue").click()
    secret = page.locator("#secret").inner_text()
    assert len(secret) == 32
    expect(page.locator("#form-psql")).to_contain_text("dbname=shop user=ci-nightly")
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)

    page.goto("/")
    expect(page.get_by_text("waiting for your first session…")).to_be_visible()
    now = SystemClock().now()
    record(served.store, Recorded("ci-nightly", now, (Ran("select 1"),), kind="ci"))
    expect(page.get_by_text("Your first session arrived")).to_be_visible()

    snapshot = snapshots.load(served.store, now)
    assert snapshot.identities["ci-nightly"].owner == NAME
    assert [g.who for g in snapshot.grants] == ["identity:ci-nightly"]
    assert credentials.find(served.store, now=now).total == 1
    assert targets.get(served.store, "shop").roles[0].sealed_secret
    assert grants.find(served.store).items[0].created_by == NAME


def test_the_live_feed_shows_a_statement_without_a_reload(desktop: Page, served: Served) -> None:
    sign_in(desktop, served, PermissionRole.ADMIN)
    desktop.goto("/")
    expect(desktop.locator("[data-live]")).to_contain_text("live")
    expect(desktop.locator("[data-live=on]")).to_be_visible()
    now = SystemClock().now()
    refused = Ran("drop table orders", "block", rule="no-ddl-from-machines")
    record(served.store, Recorded("ci-x", now - timedelta(seconds=2), (refused,), kind="ci"))
    entry = desktop.locator(".feed li").first
    expect(entry).to_contain_text("drop table orders")
    expect(entry).to_contain_text("refused")


def test_the_check_says_what_is_wrong_and_how_to_mend_it(desktop: Page, served: Served) -> None:
    sign_in(desktop, served, PermissionRole.ADMIN)
    desktop.goto("/targets/new")
    desktop.get_by_label("Host").fill("no-such-host.invalid")
    desktop.get_by_label("Database", exact=True).fill("shop")
    desktop.get_by_label("Role", exact=True).fill("app_ro")
    desktop.get_by_label("Role", exact=True).blur()
    check = desktop.locator("#check")
    expect(check).to_contain_text("no-such-host.invalid")
    expect(check.locator("li.bad")).to_have_count(1)


def test_revoking_by_keyboard_alone(desktop: Page, served: Served) -> None:
    sign_in(desktop, served, PermissionRole.ADMIN)
    now = SystemClock().now()
    spec = identities.IdentitySpec("ci-x", "ci")
    identities.create(served.store, BY, now, spec)
    desktop.goto("/identities/ci-x/credentials/new")
    desktop.get_by_label("Last day").focus()
    desktop.keyboard.press("Enter")
    expect(desktop.locator("#secret")).to_be_visible()
    desktop.goto("/identities/ci-x")
    desktop.get_by_role("link", name=re.compile("Revoke")).focus()
    desktop.keyboard.press("Enter")
    desktop.get_by_label("Reason").focus()
    desktop.keyboard.type("not needed")
    desktop.keyboard.press("Enter")
    expect(desktop.get_by_role("status")).to_contain_text("c-1 of ci-x is revoked")


def test_a_list_is_searched_while_typing_and_keeps_it_in_the_address(
    page: Page, served: Served
) -> None:
    sign_in(page, served, PermissionRole.ADMIN)
    now = SystemClock().now()
    for name in ("ci-a", "ci-b", "svc-c"):
        identities.create(served.store, BY, now, identities.IdentitySpec(name, "ci"))
    page.goto("/identities")
    search = page.get_by_label("Search name, purpose")
    if page.get_by_label("Search everything").is_visible():
        search.focus()  # there "/" goes to the search over everything
    else:
        page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("svc")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/identities\?q=svc$"))
    page.reload()
    expect(page.locator("#list tbody tr")).to_have_count(1)


def test_the_pages_work_without_script(chromium: Browser, served: Served) -> None:
    context = chromium.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    set_up(page, served)
    page.goto("/groups/new")
    page.get_by_label("Name", exact=True).fill("dba")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="dba")).to_be_visible()
    page.goto("/targets/new")
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port").fill("1")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("li.bad")).to_have_count(1)
    page.goto("/identities?q=ada")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    context.close()
