"""Sign in, stay signed in for a while, sign out; and what guessers meet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.entities import IdentityStatus, PermissionRole
from appliance.store import accounts, audit, identities, sign_ins
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World

NAME, PASSWORD = "ada@example.com", "correct horse battery"


def account(world: World) -> None:
    accounts.create(world.store, BY, AT, NAME, PASSWORD)


def enter(browser: Browser, password: str = PASSWORD, **more: str) -> tuple[int, str, str]:
    answer = browser.submit("/sign-in", {"name": NAME, "password": password, **more})
    return answer.status_code, answer.headers.get("Location", ""), words(answer.text)


def cookie(browser: Browser, name: str = "gatepost_sign_in") -> str | None:
    found = browser.client.get_cookie(name, domain="localhost")
    return found.value if found else None


def test_the_right_password_opens_the_pages_and_is_recorded(both: World) -> None:
    account(both)
    browser = both.browser()
    assert enter(browser)[:2] == (303, "/")
    assert browser.get("/").status_code == 200
    [event] = audit.find(both.store, action="sign_in").items
    assert (event.actor, event.via, event.source) == (NAME, "browser", "127.0.0.1")


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(world: World) -> None:
    account(world)
    wrong = world.browser().submit("/sign-in", {"name": NAME, "password": "not the password"})
    unknown = world.browser().submit("/sign-in", {"name": "eve@example.com", "password": "guess"})
    assert wrong.status_code == unknown.status_code == 422
    assert "No account has this name and password" in words(wrong.text)
    assert "No account has this name and password" in words(unknown.text)
    assert sign_ins.of_identity(world.store, AT, NAME) == ()


def test_the_password_never_comes_back_in_the_form(world: World) -> None:
    account(world)
    answer = world.browser().submit("/sign-in", {"name": NAME, "password": "my secret guess"})
    assert "my secret guess" not in answer.text
    assert f'value="{NAME}"' in answer.text


def test_a_token_chosen_by_somebody_else_is_never_taken_over(world: World) -> None:
    account(world)
    browser = world.browser()
    browser.client.set_cookie("gatepost_sign_in", "chosen-by-eve", domain="localhost")
    enter(browser)
    assert cookie(browser) not in (None, "chosen-by-eve")
    eve = world.browser()
    eve.client.set_cookie("gatepost_sign_in", "chosen-by-eve", domain="localhost")
    assert eve.get("/").status_code == 303


def test_signing_in_anew_ends_the_sign_in_before(world: World) -> None:
    account(world)
    browser = world.browser()
    enter(browser)
    first = cookie(browser)
    token = browser.get("/me").text.split('name="csrf" value="')[1].split('"')[0]
    data = {"csrf": token, "name": NAME, "password": PASSWORD}
    assert browser.post("/sign-in", data).status_code == 303
    assert cookie(browser) != first
    assert len(sign_ins.of_identity(world.store, AT, NAME)) == 1


@pytest.mark.parametrize("spans", [[timedelta(hours=2)], [timedelta(minutes=90)] * 8])
def test_a_sign_in_ends_when_it_is_idle_and_after_half_a_day(
    world: World, spans: list[timedelta]
) -> None:
    account(world)
    browser = world.browser()
    enter(browser)
    for span in spans[:-1]:
        world.clock.advance(span)
        assert browser.get("/me").status_code == 200
    world.clock.advance(spans[-1])
    assert browser.get("/me").status_code == 303


def test_somebody_suspended_is_signed_out_at_once(world: World) -> None:
    account(world)
    world.person("bo@example.com", PermissionRole.AUDITOR)
    browser = world.signed_in("bo@example.com")
    assert browser.get("/audit").status_code == 200
    identities.set_status(world.store, BY, AT, "bo@example.com", IdentityStatus.SUSPENDED)
    assert browser.get("/audit").status_code == 303


def test_signing_out_ends_the_sign_in_in_the_store_too(world: World) -> None:
    account(world)
    browser = world.browser()
    enter(browser)
    token = cookie(browser)
    assert token
    assert browser.submit("/me", {}, to="/sign-out").status_code == 303
    assert cookie(browser) is None
    assert sign_ins.get(world.store, AT, token) is None


def test_guessing_is_slowed_down_even_for_the_right_password(world: World) -> None:
    account(world)
    browser = world.browser()
    for _ in range(6):
        assert enter(browser, "a wrong guess")[0] == 422
    status, _, text = enter(browser)
    assert status == 429
    assert "Try again in" in text
    world.clock.advance(timedelta(minutes=6))
    assert enter(browser)[0] == 303


def test_the_slowing_counts_for_the_account_from_whatever_address(world: World) -> None:
    account(world)
    for number in range(6):
        browser = world.browser()
        browser.client.environ_base["REMOTE_ADDR"] = f"10.0.0.{number}"
        assert enter(browser, "a wrong guess")[0] == 422
    browser = world.browser()
    browser.client.environ_base["REMOTE_ADDR"] = "10.0.9.9"
    assert enter(browser)[0] == 429


def test_the_slowing_counts_for_the_address_whatever_the_account(world: World) -> None:
    account(world)
    browser = world.browser()
    for number in range(6):
        browser.submit("/sign-in", {"name": f"n{number}@example.com", "password": "guess"})
    assert enter(browser)[0] == 429


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: a=b",
        "evil.example",
        "http:evil.example",
        "/\t/evil.example",
    ],
)
def test_after_the_sign_in_one_never_lands_on_another_site(world: World, back: str) -> None:
    account(world)
    assert enter(world.browser(), next=back)[:2] == (303, "/")


def test_after_the_sign_in_one_lands_where_one_wanted_to_go(world: World) -> None:
    account(world)
    browser = world.browser()
    sent = browser.get("/identities?kind=ci&page=2").headers["Location"]
    assert sent == "/sign-in?next=/identities?kind%3Dci%26page%3D2"
    shown = browser.get(sent)
    assert 'value="/identities?kind=ci&amp;page=2"' in shown.text
    assert enter(browser, next="/identities?kind=ci&page=2")[1] == "/identities?kind=ci&page=2"


def test_cookies_are_closed_to_scripts_and_other_sites(make_world, sqlite_store) -> None:  # type: ignore[no-untyped-def]
    world = make_world(sqlite_store, GATEPOST_PUBLIC_URL="https://gate.example.com")
    account(world)
    client = world.app.test_client()
    base = "https://gate.example.com"
    shown = client.get("/sign-in", base_url=base)
    token = shown.text.split('name="csrf" value="')[1].split('"')[0]
    data = {"csrf": token, "name": NAME, "password": PASSWORD}
    answer = client.post("/sign-in", data=data, base_url=base)
    [set_cookie] = [c for c in answer.headers.getlist("Set-Cookie") if "sign_in" in c]
    assert set_cookie.startswith("__Host-gatepost_sign_in=")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in set_cookie
    assert "Domain" not in set_cookie
    assert answer.headers["Strict-Transport-Security"]
