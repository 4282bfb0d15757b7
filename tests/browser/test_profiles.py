"""A statement profile in a real Chromium: ticked at once, signed, enforced after a look."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

from appliance.clock import ManualClock, SystemClock
from appliance.entities import PermissionRole, ProfileMode
from appliance.store import identities, profiles, targets
from appliance.store.actors import Actor
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.browser.test_accessible import check_page
from tests.store.profiled import COUNT, DROP, OUTSIDE, SUM, recorder_in

PAGE = "/identities/ci-nightly/profile"


def ready(page: Page, served: Served, folder: Path) -> None:
    """Sign in as the owner of a CI job that ran two statements; a third was refused."""
    store, now = served.store, SystemClock().now()
    sign_in(page, served, PermissionRole.USER)
    identities.create(store, BY, now, IdentitySpec("ci-nightly", "ci", owner="ada@example.com"))
    targets.create(store, BY, now, TargetSpec("shop", "db.internal", "shop"))
    recorder = recorder_in(store, folder, ManualClock(now - timedelta(hours=2)))
    recorder.ran(*[("select count(*)\n  from orders", COUNT)] * 3, ("select * from orders", SUM))
    recorder.ran(("drop table orders", DROP), verdict=OUTSIDE)
    recorder.journal.close()


def test_an_owner_ticks_what_ran_signs_it_and_enforces(
    desktop: Page, served: Served, tmp_path: Path
) -> None:
    page = desktop
    ready(page, served, tmp_path)
    page.goto("/me")
    page.get_by_role("link", name="ci-nightly").click()
    expect(page.get_by_role("heading", name="Profile of ci-nightly")).to_be_visible()
    page.get_by_role("link", name="all that ran").click()
    assert page.locator("tbody input:checked").count() == 2
    page.get_by_role("button", name="Sign these 2 statements").click()
    expect(page.get_by_text("Signed 2 statements of ci-nightly.")).to_be_visible()
    now = SystemClock().now()
    assert profiles.of(served.store, "ci-nightly", now).signed == {COUNT, SUM}

    page.get_by_role("searchbox", name="Text, table or fingerprint").fill("drop")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.wait_for_load_state("networkidle")  # the table comes once more, without the tick
    page.locator("tbody input").check()
    expect(page.get_by_role("button", name="Sign this statement")).to_be_visible()

    page.get_by_role("link", name="Enforce it…").click()
    expect(page.get_by_text("that would have refused 1.")).to_be_visible()
    page.get_by_role("button", name="Enforce it").click()
    expect(page.get_by_text("is enforced: what is not signed is refused")).to_be_visible()
    assert profiles.of(served.store, "ci-nightly", now).mode is ProfileMode.ENFORCE


def test_the_pages_of_a_profile_have_no_serious_fault(
    still: Page, served: Served, tmp_path: Path
) -> None:
    ready(still, served, tmp_path)
    assert check_page(still, f"{PAGE}?tick=all") == []
    assert check_page(still, f"{PAGE}/mode/enforce") == []
    now = SystemClock().now()
    profiles.sign(served.store, Actor("ada@example.com", "browser"), now, "ci-nightly", [COUNT])
    assert check_page(still, PAGE) == []
    assert check_page(still, f"{PAGE}/mode/enforce") == []
