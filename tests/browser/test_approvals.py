"""A real gateway holds a real statement; people decide it in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from psycopg import errors

from appliance.approvals.requests import RequestState
from appliance.clock import SystemClock
from appliance.entities import PermissionRole
from appliance.store import (
    access_requests,
    accounts,
    approvals,
    identities,
    pre_approvals,
    sign_ins,
)
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor
from appliance.store.identities import IdentitySpec
from appliance.store.pre_approvals import PreApprovalSpec
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.browser.test_accessible import check_page, fill
from tests.e2e.held import BO, CY, Client, holding, left, orders, waiting
from tests.harness.gateway import ANA, Gateway
from tests.harness.polling import eventually
from tests.web.asking import hold
from tests.web.recorded import Ran, Recorded, record
from tests.web.serving import serving

__all__ = ["holding", "orders"]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def shown(holding: Gateway) -> Iterator[str]:
    """The pages of the appliance whose gateway holds: their address."""
    with serving(holding.config.data_dir) as running:
        yield running.url


@contextmanager
def window(
    chromium: Browser, url: str, gateway: Gateway, name: str = "", **look: Any
) -> Iterator[Page]:
    """Open a window, signed in as somebody; it may not complain."""
    with chromium.new_context(base_url=url, **look) as context:
        if name:
            now = datetime.now(UTC)
            by = Actor(name, "browser")
            token = sign_ins.open_one(gateway.store, by, now, name, address="", user_agent="")
            context.add_cookies([{"name": "gatepost_sign_in", "value": token, "url": url}])
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        yield page
        assert not complaints, complaints


def test_what_is_held_appears_by_itself_and_keys_approve_it(
    chromium: Browser, shown: str, orders: Gateway
) -> None:
    with (
        window(chromium, shown, orders, BO) as page,
        closing(orders.connect(options="-c gatepost.reason=INC-42")) as connection,
    ):
        page.goto("/approvals")
        expect(page.locator("[data-live=on]")).to_be_visible()
        expect(page.get_by_text("Nothing waits", exact=True)).to_be_visible()
        client = Client(connection, "DELETE FROM orders -- by keys")
        card = page.locator("[data-request]").first
        expect(card).to_contain_text("-- by keys")
        expect(card).to_contain_text("INC-42")
        expect(card).to_contain_text("rows, says the planner")
        expect(card.locator("[data-left]")).to_contain_text("left")
        expect(page.get_by_text("Nothing waits", exact=True)).to_be_hidden()
        expect(page.locator(".side .waiting")).to_have_text("1")
        assert left(orders) == 42
        page.keyboard.press("j")
        expect(card).to_be_focused()
        page.keyboard.press("a")
        expect(card).to_contain_text("Approved by you")
        assert client.ended() == "DELETE 42"
        orders.index()
        expect(card).to_contain_text("DELETE 42.")
        expect(page.locator(".side .waiting")).to_have_count(0)
        expect(page.locator("#list")).to_contain_text("DELETE 42.")
    (request,) = approvals.find(orders.store, "-- by keys").items
    assert (request.decided_by, request.decided_via) == (BO, "browser")


def test_a_no_needs_a_reason_and_the_other_window_follows(
    chromium: Browser, shown: str, orders: Gateway
) -> None:
    with (
        window(chromium, shown, orders, BO) as bo,
        window(chromium, shown, orders, CY) as cy,
        closing(orders.connect()) as connection,
    ):
        for page in (bo, cy):
            page.goto("/approvals")
        client = Client(connection, "DELETE FROM orders -- refused")
        card, other = (page.locator("[data-request]").first for page in (bo, cy))
        expect(card).to_contain_text("-- refused")
        expect(other).to_contain_text("-- refused")
        card.focus()
        bo.keyboard.press("d")
        reason = card.get_by_role("textbox")
        expect(reason).to_be_focused()
        bo.keyboard.type("a not during the sale")  # an "a" that is typed approves nothing
        assert waiting(orders, "-- refused").state.is_open
        bo.keyboard.press("Enter")  # in the field it denies, it never approves
        expect(card).to_contain_text("Denied by you")
        expect(other).to_contain_text(f"Denied by {BO}")
        error = client.ended()
        assert isinstance(error, errors.InsufficientPrivilege)
        assert "a not during the sale" in str(error) and left(orders) == 42


def test_a_reason_that_is_being_typed_survives_what_arrives(
    chromium: Browser, shown: str, orders: Gateway
) -> None:
    with (
        window(chromium, shown, orders, BO) as page,
        closing(orders.connect()) as first,
        closing(orders.connect()) as second,
    ):
        one = Client(first, "DELETE FROM orders -- first")
        number = waiting(orders, "-- first").id
        page.goto("/approvals")
        page.locator(f"#reason-{number}").fill("half a sen")
        two = Client(second, "DELETE FROM orders -- second")
        expect(page.locator("[data-request]").first).to_contain_text("-- second")
        expect(page.locator(f"#reason-{number}")).to_have_value("half a sen")
        expect(page.locator("[data-request]")).to_have_count(2)
        second.cancel_safe()
        assert isinstance(two.ended(), errors.QueryCanceled)
        ended = page.locator("#queue").get_by_text("The client cancelled it: not run.")
        expect(ended).to_be_visible()
        expect(page.locator(f"#reason-{number}")).to_have_value("half a sen")
        first.cancel_safe()
        one.ended()


def test_two_taps_on_a_phone_from_the_mail(chromium: Browser, shown: str, orders: Gateway) -> None:
    now, by = datetime.now(UTC), Actor("tests", "system")
    roles = frozenset({PermissionRole.APPROVER})
    accounts.create(orders.store, by, now, BO, PASSWORD, permission_roles=roles)
    look: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    with (
        window(chromium, shown, orders, is_mobile=True, **look) as page,
        closing(orders.connect()) as connection,
    ):
        client = Client(connection, "DELETE FROM orders -- by thumb")
        number = waiting(orders, "-- by thumb").id
        page.goto(f"/approvals/{number}")  # the first tap; nobody is signed in yet
        page.get_by_label("E-mail").fill(BO)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").tap()
        expect(page.get_by_role("heading", name=f"Request {number}")).to_be_visible()
        page.wait_for_load_state()  # measured before its style sheets, it looks like any button
        approve = page.get_by_role("button", name="Approve")
        box = approve.bounding_box()
        assert box is not None
        assert box["height"] >= 44 and box["width"] >= 120
        assert box["y"] + box["height"] <= 844 - 50, "above the bar, without scrolling"
        approve.tap()  # the second one
        expect(page.locator("[data-request]")).to_contain_text("Approved by you")
        assert client.ended() == "DELETE 42"
        orders.index()
        expect(page.locator("[data-request]")).to_contain_text("DELETE 42.")


def test_access_is_asked_for_given_and_used(chromium: Browser, shown: str, orders: Gateway) -> None:
    role = orders.database.rw.name
    with (
        window(chromium, shown, orders, ANA) as ana,
        window(chromium, shown, orders, BO) as bo,
    ):
        bo.goto("/approvals")
        ana.goto("/me")
        ana.get_by_text("Ask for a role for a time").click()
        ana.get_by_label("Role").select_option(label=f"{role} on shop")
        ana.get_by_label("What for").fill("INC-43")
        ana.get_by_role("button", name="Ask", exact=True).click()
        expect(ana.locator("#my-requests")).to_contain_text("waiting")
        card = bo.locator("[data-request]").first
        expect(card).to_contain_text(f"asks for {role} on shop for 2 h")
        card.get_by_role("button", name="Approve").click()
        expect(card).to_contain_text("Access was given until")
        expect(ana.locator("#my-requests")).to_contain_text("approved")
        expect(ana.locator("#my-grants")).to_contain_text(f"gatepost.role={role}")
    orders.settle()

    def works() -> bool:
        with orders.connect(options=f"-c gatepost.role={role}") as connection:
            row = connection.execute("SELECT current_user").fetchone()
            return row == (role,)

    assert eventually(works, what="the session as the role")


def test_a_lost_connection_is_said(still: Page, served: Served) -> None:
    sign_in(still, served, PermissionRole.APPROVER, name=BO)
    still.route("**/approvals/events", lambda route: route.abort())
    still.goto("/approvals")
    expect(still.get_by_text("connection lost, trying again")).to_be_visible()
    still.unroute("**/approvals/events")
    expect(still.locator("[data-live=on]")).to_be_visible()


def test_no_page_of_approvals_has_a_serious_fault(still: Page, served: Served) -> None:
    now, store, by = SystemClock().now(), served.store, Actor(BO, "browser")
    fill(served)
    sign_in(still, served, PermissionRole.APPROVER, PermissionRole.ADMIN, name=BO)
    approver = frozenset({PermissionRole.APPROVER})
    identities.create(store, BY, now, IdentitySpec(ANA, "human"), permission_roles=approver)
    before = (Ran("select 1"), Ran("select 2"), Ran("begin"))
    record(store, Recorded(ANA, now - timedelta(minutes=2), before, id="00000000000000a1"))
    over = hold(store, now, "delete from a")
    approvals.settle(store, now, over, RequestState.TIMEOUT)
    denied = hold(store, now, "delete from b")
    approvals.decide(store, by, now, denied, approve=False, reason="no")
    access_requests.ask(store, by, now, AccessAsk(BO, "shop", "app_ro", 60 * 60, "INC-42"))
    waits = hold(store, now, transaction_since=now)
    spec = PreApprovalSpec(ANA, "shop", "0123456789abcdef", 3, None, "month end")
    pre_approvals.create(store, by, now, spec)
    faults: list[str] = []
    for path in (
        "/approvals",
        "/approvals?q=nothing-of-the-kind",
        f"/approvals/{waits}",
        f"/approvals/{denied}",
        "/approvals/pre-approvals",
        f"/approvals/pre-approvals/new?request={waits}",
        "/approvals/pre-approvals/1/revoke",
        "/me",
    ):
        faults += check_page(still, path)
    assert not faults, "\n".join(faults)
