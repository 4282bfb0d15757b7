"""Local accounts, the one-time set-up link, browser sign-ins, throttling."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from argon2 import Type, extract_parameters

from appliance.entities import IdentityStatus, PermissionRole
from appliance.errors import Conflict, Invalid, NotFound
from appliance.identity.passwords import hash_password
from appliance.store import accounts, audit, identities, sign_ins, throttles
from appliance.store.database import Store
from tests.store.conftest import BY, NOW

GOOD = "correct horse battery"
HOUR = timedelta(hours=1)


def test_an_account_opens_with_its_password_alone(shop: Store) -> None:
    accounts.create(shop, BY, NOW, "root@example.com", GOOD)
    found = accounts.check(shop, NOW, "root@example.com", GOOD)
    assert found is not None
    assert found.permission_roles == {PermissionRole.ADMIN}
    for name, password in (
        ("root@example.com", "wrong horse battery"),
        ("root@example.com", ""),
        ("root@example.com", GOOD * 1000),
        ("ana@example.com", GOOD),
        ("nobody@example.com", GOOD),
        ("nobody\0@example.com", "\ud800"),
    ):
        assert accounts.check(shop, NOW, name, password) is None
    assert GOOD not in str(audit.find(shop, size=100).items)


def test_guessing_from_a_stolen_hash_is_costly(costly_hashes: None) -> None:
    found = extract_parameters(hash_password(GOOD))
    assert found.type is Type.ID
    assert found.memory_cost >= 64 << 10 and found.time_cost >= 3  # RFC 9106's second choice


def test_a_suspended_or_ended_identity_does_not_sign_in(shop: Store) -> None:
    accounts.create(shop, BY, NOW, "root@example.com", GOOD)
    accounts.create(shop, BY, NOW, "bo@example.com", GOOD)
    identities.set_status(shop, BY, NOW, "bo@example.com", IdentityStatus.SUSPENDED)
    assert accounts.check(shop, NOW, "bo@example.com", GOOD) is None


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaa", "x" * 201])
def test_a_poor_password_is_refused_and_makes_nothing(store: Store, password: str) -> None:
    with pytest.raises(Invalid) as caught:
        accounts.create(store, BY, NOW, "root@example.com", password)
    assert caught.value.field == "password"
    assert identities.find(store, now=NOW).total == 0


def test_an_existing_person_keeps_the_permission_roles_they_had(shop: Store) -> None:
    roles = frozenset({PermissionRole.AUDITOR})
    identities.set_permission_roles(shop, BY, NOW, "bo@example.com", roles)
    made = accounts.create(shop, BY, NOW, "bo@example.com", GOOD)
    assert made.permission_roles == {PermissionRole.AUDITOR, PermissionRole.ADMIN}
    with pytest.raises(Conflict, match="has a local sign-in"):
        accounts.create(shop, BY, NOW, "bo@example.com", GOOD)
    with pytest.raises(Invalid, match="only people"):
        accounts.create(shop, BY, NOW, "ci-nightly", GOOD)


def test_a_reset_ends_the_old_password_and_every_browser_session(shop: Store) -> None:
    accounts.create(shop, BY, NOW, "root@example.com", GOOD)
    token = sign_ins.open_one(shop, BY, NOW, "root@example.com", address="", user_agent="")
    accounts.reset(shop, BY, NOW, "root@example.com", "another long password")
    assert accounts.check(shop, NOW, "root@example.com", GOOD) is None
    assert accounts.check(shop, NOW, "root@example.com", "another long password") is not None
    assert sign_ins.get(shop, NOW, token) is None
    with pytest.raises(NotFound, match="no local sign-in"):
        accounts.reset(shop, BY, NOW, "bo@example.com", GOOD)


def test_a_setup_link_makes_one_admin_once(store: Store) -> None:
    token = accounts.setup_link(store, BY, NOW)
    assert accounts.is_open_link(store, NOW, token)
    assert accounts.is_open_link(store, NOW, token), "looking does not use it up"
    accounts.use_link(store, BY, NOW, token, "root@example.com", GOOD)
    assert accounts.has_admin(store, NOW)
    assert not accounts.is_open_link(store, NOW, token)
    with pytest.raises(Conflict, match="was used"):
        accounts.use_link(store, BY, NOW, token, "evil@example.com", GOOD)
    assert [a.identity for a in accounts.all_accounts(store)] == ["root@example.com"]


def test_a_setup_link_ends_after_an_hour_with_the_next_one_and_when_there_is_an_admin(
    store: Store,
) -> None:
    first = accounts.setup_link(store, BY, NOW)
    second = accounts.setup_link(store, BY, NOW)
    assert not accounts.is_open_link(store, NOW, first)
    assert not accounts.is_open_link(store, NOW + HOUR, second)
    assert not accounts.is_open_link(store, NOW, "guess")
    accounts.create(store, BY, NOW, "root@example.com", GOOD)
    with pytest.raises(Conflict, match="there is an admin already"):
        accounts.use_link(store, BY, NOW, second, "evil@example.com", GOOD)


def test_a_wrong_password_does_not_use_up_the_setup_link(store: Store) -> None:
    token = accounts.setup_link(store, BY, NOW)
    with pytest.raises(Invalid):
        accounts.use_link(store, BY, NOW, token, "root@example.com", "short")
    with pytest.raises(Invalid):
        accounts.use_link(store, BY, NOW, token, "not an address@", GOOD)
    assert accounts.is_open_link(store, NOW, token)


def test_of_two_who_use_one_link_at_once_one_wins(store: Store) -> None:
    token = accounts.setup_link(store, BY, NOW)
    results: list[str] = []
    start = threading.Barrier(2)

    def use(name: str) -> None:
        start.wait()
        try:
            accounts.use_link(store, BY, NOW, token, name, GOOD)
            results.append("made")
        except Conflict:
            results.append("refused")

    threads = [
        threading.Thread(target=use, args=(name,)) for name in ("a@example.com", "b@example.com")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["made", "refused"]
    assert len(accounts.all_accounts(store)) == 1


def test_a_sign_in_ends_when_idle_when_old_and_when_closed(shop: Store) -> None:
    def sign_in() -> str:
        return sign_ins.open_one(
            shop, BY, NOW, "bo@example.com", address="10.0.0.1", user_agent="x" * 500
        )

    token = sign_in()
    found = sign_ins.get(shop, NOW, token)
    assert found is not None
    assert (found.identity, found.address, len(found.user_agent)) == (
        "bo@example.com",
        "10.0.0.1",
        200,
    )
    assert found.csrf not in repr(found)
    assert sign_ins.get(shop, NOW, token + "x") is None
    assert sign_ins.get(shop, NOW + sign_ins.IDLE, token) is None
    at = NOW
    while at < NOW + sign_ins.LIFE - HOUR:
        at += HOUR
        assert sign_ins.get(shop, at, token) is not None
    assert sign_ins.get(shop, NOW + sign_ins.LIFE, token) is None
    closed = sign_in()
    sign_ins.close(shop, BY, NOW, closed)
    assert sign_ins.get(shop, NOW, closed) is None


def test_other_sign_ins_can_be_ended(shop: Store) -> None:
    tokens = [
        sign_ins.open_one(shop, BY, NOW, "bo@example.com", address="", user_agent="")
        for _ in range(3)
    ]
    mine = sign_ins.get(shop, NOW, tokens[1])
    assert mine is not None
    assert len(sign_ins.of_identity(shop, NOW, "bo@example.com")) == 3
    assert sign_ins.close_others(shop, BY, NOW, "bo@example.com", mine.id) == 2
    assert [sign_ins.get(shop, NOW, token) is not None for token in tokens] == [False, True, False]


def test_failed_logins_make_the_next_one_wait_longer_and_success_forgets(store: Store) -> None:
    keys = ("login:ana@example.com", "source:10.0.0.1")
    waits = []
    for _ in range(throttles.FREE + 4):
        throttles.failed(store, NOW, keys)
        waits.append(int(throttles.wait(store, NOW, keys).total_seconds()))
    assert waits == [0, 0, 0, 0, 0, 2, 4, 8, 16]
    assert throttles.wait(store, NOW + timedelta(seconds=16), keys) == timedelta(0)
    assert throttles.wait(store, NOW, ("source:10.0.0.2",)) == timedelta(0)
    throttles.succeeded(store, keys[:1])
    assert throttles.wait(store, NOW, keys[:1]) == timedelta(0)
    assert throttles.wait(store, NOW, keys[1:]) > timedelta(0)


def test_a_wait_is_at_most_five_minutes_and_is_forgotten_after_an_hour(store: Store) -> None:
    for _ in range(40):
        throttles.failed(store, NOW, ("a",))
    assert throttles.wait(store, NOW, ("a",)) == timedelta(minutes=5)
    later = NOW + timedelta(hours=1, seconds=1)
    throttles.failed(store, later, ("a",))
    assert throttles.wait(store, later, ("a",)) == timedelta(0)
