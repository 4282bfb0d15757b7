"""One-time links: the one that makes the first admin, and the ones that invite people."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from appliance.entities import PermissionRole
from appliance.store import accounts, audit, identities
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World

PASSWORD = "correct horse battery"
LINK = re.compile(r"http://localhost:8080(/invite/[A-Za-z0-9_-]+)")


def set_up(browser: Browser, path: str, **changes: str) -> tuple[int, str]:
    data = {"name": "ada@example.com", "password": PASSWORD, "again": PASSWORD} | changes
    answer = browser.submit(path, data)
    return answer.status_code, words(answer.text)


def link(world: World) -> str:
    return f"/setup/{accounts.setup_link(world.store, BY, world.clock.now())}"


def test_the_link_makes_the_first_admin_and_signs_them_in(both: World) -> None:
    browser = both.browser()
    assert set_up(browser, link(both))[0] == 303
    assert "First steps" in browser.get("/").text
    [account] = accounts.all_accounts(both.store)
    assert account.permission_roles == {PermissionRole.ADMIN}
    assert accounts.check(both.store, AT, "ada@example.com", PASSWORD)


def test_the_link_works_once(world: World) -> None:
    path = link(world)
    set_up(world.browser(), path)
    again = world.browser().get(path)
    assert again.status_code == 404
    assert "does not work any more" in again.text
    late = world.browser().post(path, {"name": "eve@example.com"})
    assert late.status_code == 403  # without a form of ours nothing is even looked at
    assert len(accounts.all_accounts(world.store)) == 1


def test_the_link_ends_after_an_hour(world: World) -> None:
    path = link(world)
    world.clock.advance(timedelta(hours=1))
    assert world.browser().get(path).status_code == 404


def test_a_made_up_link_does_not_work(world: World) -> None:
    link(world)
    assert world.browser().get("/setup/made-up").status_code == 404


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"password": "short", "again": "short"}, "12 to 200 characters"),
        ({"password": "a" * 20, "again": "a" * 20}, "5 different characters"),
        ({"again": "something else"}, "The two passwords differ"),
        ({"name": "ada"}, "Expected your e-mail address"),
        ({"name": "ada@"}, "Expected an e-mail address"),
        ({"name": "x@y z"}, "Expected an e-mail address"),
    ],
)
def test_a_wrong_value_is_said_beside_its_field(
    world: World, changes: dict[str, str], complaint: str
) -> None:
    path = link(world)
    status, text = set_up(world.browser(), path, **changes)
    assert status == 422
    assert complaint in text
    assert accounts.all_accounts(world.store) == ()
    assert set_up(world.browser(), path)[0] == 303  # the link is not used up by it


def invite(admin: Browser, name: str, **roles: str) -> str:
    """Make an invite link and return its path."""
    data = {"name": name, **roles}
    answer = admin.submit("/settings/accounts", data, to="/settings/accounts/invite")
    assert answer.status_code == 303, words(answer.text)
    shown = admin.get(answer.headers["Location"])
    found = LINK.search(shown.text)
    assert found, words(shown.text)
    return found[1]


def test_an_invited_person_chooses_a_password_and_has_the_roles(
    admin: Browser, world: World
) -> None:
    world.person("bo@example.com")
    path = invite(admin, "bo@example.com", auditor="on")
    browser = world.browser()
    assert "bo@example.com" in browser.get(path).text
    answer = browser.submit(path, {"password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 303
    assert browser.get("/audit").status_code == 200
    assert browser.get("/settings").status_code == 403
    made = accounts.get(world.store, "bo@example.com")
    assert made and made.permission_roles == {PermissionRole.AUDITOR}
    [event] = audit.find(world.store, action="account.create").items
    assert event.actor == "ada@example.com"  # who gave the roles


def test_an_invite_link_is_shown_once_and_used_once(admin: Browser, world: World) -> None:
    world.person("bo@example.com")
    path = invite(admin, "bo@example.com")
    assert not LINK.search(admin.get("/settings/accounts").text)
    world.browser().submit(path, {"password": PASSWORD, "again": PASSWORD})
    assert world.browser().get(path).status_code == 404


def test_a_newer_invite_replaces_the_one_before(admin: Browser, world: World) -> None:
    world.person("bo@example.com")
    first = invite(admin, "bo@example.com")
    second = invite(admin, "bo@example.com")
    assert world.browser().get(first).status_code == 404
    assert world.browser().get(second).status_code == 200


def test_an_invite_ends_after_three_days(admin: Browser, world: World) -> None:
    world.person("bo@example.com")
    path = invite(admin, "bo@example.com")
    world.clock.advance(timedelta(days=3))
    assert world.browser().get(path).status_code == 404


def test_an_invite_for_somebody_with_an_account_sets_a_new_password(
    admin: Browser, world: World
) -> None:
    accounts.create(world.store, BY, AT, "bo@example.com", PASSWORD, permission_roles=frozenset())
    browser = world.signed_in("bo@example.com")
    path = invite(admin, "bo@example.com")
    new = "another good password"
    assert world.browser().submit(path, {"password": new, "again": new}).status_code == 303
    assert browser.get("/me").status_code == 303  # signed out everywhere else
    assert accounts.check(world.store, AT, "bo@example.com", PASSWORD) is None
    assert accounts.check(world.store, AT, "bo@example.com", new)


def test_a_poor_password_does_not_use_up_an_invite(admin: Browser, world: World) -> None:
    world.person("bo@example.com")
    path = invite(admin, "bo@example.com")
    assert world.browser().submit(path, {"password": "x", "again": "x"}).status_code == 422
    assert world.browser().get(path).status_code == 200


@pytest.mark.parametrize("name", ["ci-nightly", "nobody@example.com", ""])
def test_only_people_of_the_catalog_are_invited(admin: Browser, world: World, name: str) -> None:
    world.machine("ci-nightly")
    data = {"name": name}
    answer = admin.submit("/settings/accounts", data, to="/settings/accounts/invite")
    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text


def test_the_last_admin_cannot_lose_the_role(world: World) -> None:
    browser = world.browser()
    set_up(browser, link(world))
    data = {"name": "ada@example.com"}
    answer = browser.submit("/settings/accounts", data, to="/settings/accounts/roles")
    assert answer.status_code == 303
    assert "last admin" in words(browser.get("/settings/accounts").text)
    found = identities.get(world.store, "ada@example.com", now=AT)
    assert found.permission_roles == {PermissionRole.ADMIN}


def test_an_admin_ends_the_sign_ins_of_somebody(admin: Browser, world: World) -> None:
    accounts.create(world.store, BY, AT, "bo@example.com", PASSWORD, permission_roles=frozenset())
    other = world.signed_in("bo@example.com")
    data = {"name": "bo@example.com"}
    admin.submit("/settings/accounts", data, to="/settings/accounts/sign-out")
    assert other.get("/me").status_code == 303
    assert admin.get("/settings").status_code == 200
