"""Targets in the browser: register, check, change, remove; secrets go in and never come out."""

from __future__ import annotations

import pytest

from appliance.entities import Durability, PermissionRole
from appliance.sealing import Sealer, load_master_key, upstream_binding
from appliance.store import grants, targets
from appliance.store.targets import TargetSpec
from tests.harness.postgres import Database
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record

SHOP = {
    "name": "shop",
    "host": "db.internal",
    "port": "5432",
    "database": "shop",
    "sslmode": "prefer",
    "environment": "production",
    "role": "app_ro",
    "password": "p4ss with spaces ",
}


def test_registering_seals_the_password_to_its_target_and_role(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    admin = both.signed_in("ada@example.com")
    answer = admin.submit("/targets/new", SHOP)
    assert answer.headers["Location"] == "/targets/shop?fresh=1"
    [role] = targets.get(both.store, "shop").roles
    sealer = Sealer(load_master_key(both.config))
    assert role.sealed_secret
    opened = sealer.open(role.sealed_secret, upstream_binding(1, "app_ro"))
    assert opened == b"p4ss with spaces "  # as typed
    shown = words(admin.get("/targets/shop").text)
    assert "app_ro" in shown and "sealed" in shown and "Waiting for the first session" in shown


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "", "Expected letters"),
        ("name", "my shop", "Expected letters"),
        ("name", "../x", "Expected letters"),
        ("host", "", "Expected a host name"),
        ("host", "db internal", "Expected a host name"),
        ("port", "abc", "Expected a port"),
        ("port", "0", "Expected a port"),
        ("port", "65536", "Expected a port"),
        ("port", "٣", "Expected a port"),
        ("database", "", "1 to 63 bytes"),
        ("sslmode", "maybe", "Expected disable"),
        ("role", "", "Name the database role"),
        ("default_action", "explode", "Expected allow"),
        ("sslrootcert", "not a certificate", "Expected certificates as PEM"),
        ("environment", "x" * 64, "at most 63"),
        ("allow_cleartext", "on", "Needs sslmode verify-ca"),
    ],
)
def test_a_wrong_value_is_said_beside_its_field_and_nothing_is_stored(
    admin: Browser, world: World, field: str, value: str, complaint: str
) -> None:
    answer = admin.submit("/targets/new", SHOP | {field: value})
    assert answer.status_code == 422
    assert complaint in words(answer.text)
    if field != "allow_cleartext":
        assert f'id="{field}-error"' in answer.text
    assert 'value="p4ss' not in answer.text
    assert 'value="db.internal"' in answer.text or field == "host"
    assert targets.find(world.store).total == 0


def test_a_taken_name_is_said_beside_the_name(admin: Browser, world: World) -> None:
    fill(world)
    answer = admin.submit("/targets/new", SHOP)
    assert answer.status_code == 422
    assert "There is already a target called shop" in words(answer.text)
    assert 'id="name-error"' in answer.text


def test_a_role_that_cannot_be_takes_the_target_with_it(admin: Browser, world: World) -> None:
    answer = admin.submit("/targets/new", SHOP | {"role": "x" * 70})
    assert answer.status_code == 422
    assert targets.find(world.store).total == 0


def test_the_check_goes_step_by_step_to_a_real_server(admin: Browser, database: Database) -> None:
    place = {
        "host": database.server.host,
        "port": str(database.server.port),
        "database": database.name,
        "sslmode": "prefer",
        "role": database.owner.name,
    }
    right = place | {"password": database.owner.password}
    answer = admin.submit("/targets/new", right, to="/targets/check", HX_Request="true")
    assert "Everything works" in answer.text and "<html" not in answer.text
    wrong = admin.submit("/targets/new", place | {"password": "nope"}, to="/targets/check")
    assert "Connection check" in wrong.text and "Everything works" not in wrong.text
    assert "nope" not in wrong.text


def test_changing_the_place_drops_the_stored_password_and_says_so(
    admin: Browser, world: World
) -> None:
    fill(world)
    place = {"host": "other.internal", "port": "5432", "database": "shop", "sslmode": "prefer"}
    assert admin.submit("/targets/shop/edit", place).status_code == 303
    assert targets.get(world.store, "shop").roles[0].sealed_secret is None
    shown = words(admin.get("/targets/shop").text)
    assert "stored passwords of app_ro were dropped" in shown
    assert "none stored" in shown


@pytest.mark.parametrize("is_same_place", [True, False])
def test_the_stored_password_is_tried_only_at_the_place_it_was_given_for(
    admin: Browser, world: World, database: Database, is_same_place: bool
) -> None:
    host, port, owner = database.server.host, database.server.port, database.owner
    stored = TargetSpec("shop", host if is_same_place else "other.internal", database.name, port)
    targets.create(world.store, BY, AT, stored)
    sealer = Sealer(load_master_key(world.config))
    secret = owner.password
    targets.put_role(world.store, BY, AT, "shop", owner.name, sealer=sealer, secret=secret)
    typed = {
        "stored": "shop",
        "host": host,
        "port": str(port),
        "database": database.name,
        "sslmode": "prefer",
        "role": owner.name,
    }
    answer = admin.submit("/targets/shop/edit", typed, to="/targets/check", HX_Request="true")
    assert ("Everything works" in answer.text) is is_same_place
    assert secret not in answer.text


def test_an_edit_keeps_what_was_not_touched(admin: Browser, world: World) -> None:
    fill(world)
    same = {"host": "127.0.0.1", "port": "5432", "database": "shop", "sslmode": "prefer"}
    said = TargetSpec("shop", "127.0.0.1", "shop", durability="durable")
    targets.update(world.store, BY, AT, "shop", said)
    admin.submit("/targets/shop/edit", same | {"environment": "staging"})
    target = targets.get(world.store, "shop")
    assert target.environment == "staging"
    assert target.roles[0].sealed_secret
    assert target.durability is Durability.DURABLE


def test_functions_that_show_nothing_masked_are_listed_a_line_each(
    admin: Browser, world: World
) -> None:
    fill(world)
    typed = {"host": "127.0.0.1", "port": "5432", "database": "shop", "sslmode": "prefer"}
    typed |= {"safe_functions": "public.initials\r\n*.mask_*\r\n"}
    assert admin.submit("/targets/shop/edit", typed).status_code == 303
    assert targets.get(world.store, "shop").safe_functions == ("public.initials", "*.mask_*")
    assert "public.initials\n*.mask_*" in admin.get("/targets/shop/edit").text
    answer = admin.submit("/targets/shop/edit", typed | {"safe_functions": "a.b.c"})
    assert answer.status_code == 422 and "more than 2 parts" in words(answer.text)
    assert targets.get(world.store, "shop").safe_functions == ("public.initials", "*.mask_*")


def test_a_role_is_added_changed_and_removed(admin: Browser, world: World) -> None:
    fill(world)
    page = "/targets/shop/roles"
    assert admin.submit(page, {"role": "app_rw", "password_env": "SHOP_RW"}).status_code == 303
    role = targets.get(world.store, "shop").role("app_rw")
    assert role and role.password_env == "SHOP_RW"
    admin.submit(page, {"role": "app_rw"}, to="/targets/shop/roles/remove")
    assert targets.get(world.store, "shop").role("app_rw") is None


def test_a_role_that_a_grant_uses_stays_and_says_why(admin: Browser, world: World) -> None:
    fill(world)
    admin.submit("/targets/shop/roles", {"role": "app_ro"}, to="/targets/shop/roles/remove")
    assert "a grant uses role app_ro" in words(admin.get("/targets/shop").text)
    assert targets.get(world.store, "shop").role("app_ro")


def test_removing_names_what_goes_with_it(admin: Browser, world: World) -> None:
    fill(world)
    record(world.store, Recorded("ci-nightly", AT))
    asked = words(admin.get("/targets/shop/remove").text)
    assert "2 live sessions end now" in asked and "1 grant goes with it" in asked
    assert admin.submit("/targets/shop/remove", {}).status_code == 303
    assert targets.find(world.store).total == 0
    assert grants.find(world.store).total == 0


def test_the_part_that_waits_becomes_the_first_session(admin: Browser, world: World) -> None:
    targets.create(world.store, BY, AT, TargetSpec("shop", "db", "shop"))
    waiting = admin.get("/targets/shop/first-session", HX_Request="true").text
    assert 'hx-trigger="every 2s"' in waiting
    record(world.store, Recorded("ana@example.com", AT, (Ran("select 1"),)))
    arrived = admin.get("/targets/shop/first-session", HX_Request="true").text
    assert "Your first session arrived" in arrived
    assert "hx-get" not in arrived  # it polls no more


def test_a_target_that_is_not_there_is_said_so(admin: Browser) -> None:
    answer = admin.get("/targets/nothing")
    assert answer.status_code == 404
    assert "No target is called nothing" in answer.text
