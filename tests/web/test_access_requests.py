"""My access: asking for a role for a time, what became of it, the line that uses it."""

from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest

from appliance.approvals.requests import RequestKind, RequestState
from appliance.entities import PermissionRole
from appliance.sealing import Sealer, load_master_key
from appliance.store import approvals, grants, targets
from appliance.store.actors import Actor
from tests.web.asking import ANA, BO, cast, hold
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill


@pytest.fixture
def ana(world: World) -> Browser:
    """Ana, who may read shop, and may ask for app_rw there."""
    fill(world)
    for name in (BO, "cy@example.com"):
        world.person(name, PermissionRole.APPROVER)
    sealer = Sealer(load_master_key(world.config))
    targets.put_role(world.store, BY, AT, "shop", "app_rw", sealer=sealer, secret="x")
    grants.create(world.store, BY, AT, grants.GrantSpec("group:analysts", "shop", "app_ro"))
    return world.signed_in(ANA)


def ask(browser: Browser, **values: str) -> tuple[int, str]:
    form = {"reach": "shop\napp_rw", "duration": "2h", "reason": "INC-42"} | values
    answer = browser.submit("/me", form, "/me/requests")
    return answer.status_code, answer.text


def test_a_role_that_one_has_is_not_offered(ana: Browser) -> None:
    text = words(ana.get("/me").text)
    assert "app_rw on shop" in text and "app_ro on shop" not in text


def test_asking_waits_for_somebody_else(ana: Browser, world: World) -> None:
    status, _ = ask(ana)
    assert status == 303
    [request] = approvals.waiting_for(world.store, BO, AT)
    assert (request.kind, request.identity, request.role) == (RequestKind.ACCESS, ANA, "app_rw")
    assert request.detail["duration_s"] == 7200 and request.reason == "INC-42"
    text = words(ana.get("/me").text)
    assert "app_rw on shop for 2h INC-42 waiting" in text and "Take it back" in text
    card = words(world.signed_in(BO).get("/approvals").text)
    assert "ana@example.com asks for app_rw on shop , production for 2 h" in card
    assert grants.find(world.store, target="shop").total == 2, "nothing was given yet"


def test_a_yes_gives_the_line_that_uses_it_until_it_ends(ana: Browser, world: World) -> None:
    ask(ana)
    [request] = approvals.waiting_for(world.store, BO, AT)
    bo = world.signed_in(BO)
    bo.submit("/approvals", {"decision": "approve"}, f"/approvals/{request.id}/decide")
    page = unescape(ana.get("/me").text)
    assert "sslmode=require options='-c gatepost.role=app_rw'" in page
    assert "for a time" in words(page) and "Ends by itself in 2 h" in words(page)
    assert "Access was given until 2026-11-23 14:00 UTC" in words(page)
    assert "Access was given until" in words(bo.get(f"/approvals/{request.id}").text)
    world.clock.advance(timedelta(hours=2))
    page = unescape(world.signed_in(ANA).get("/me").text)
    assert "gatepost.role=app_rw" not in page and "The access has ended." in words(page)


def test_an_admin_sees_what_was_given_for_a_time_and_can_only_remove_it(
    ana: Browser, world: World
) -> None:
    ask(ana)
    [request] = approvals.waiting_for(world.store, BO, AT)
    approvals.decide(world.store, Actor(BO, "browser"), AT, request.id, approve=True)
    world.person("root@example.com", PermissionRole.ADMIN)
    admin = world.signed_in("root@example.com")
    [given] = grants.time_boxed(world.store)
    edit = f"/grants/{given.grant.id}/edit"
    for path in ("/targets/shop", f"/identities/{ANA}"):
        page = admin.get(path).text
        assert "for a time" in words(page) and edit not in page
        assert f"/grants/{given.grant.id}/remove" in page
    assert f'href="/approvals/{request.id}"' in admin.get("/targets/shop").text
    form = {"who": f"identity:{ANA}", "reach": "shop\napp_rw", "max_session": "1h"}
    assert "was given for a time by request" in unescape(admin.submit(edit, form, edit).text)
    assert grants.time_boxed(world.store) == (given,)


def test_a_second_standing_role_gets_a_line_that_names_it(ana: Browser, world: World) -> None:
    grants.create(world.store, BY, AT, grants.GrantSpec(f"identity:{ANA}", "shop", "app_rw"))
    page = unescape(ana.get("/me").text)
    assert page.count("gatepost.role=") == 1 and "gatepost.role=app_rw'" in page
    assert 'href="/targets/shop/connect?role=app_rw"' in page
    forms = unescape(world.signed_in(ANA).get("/targets/shop/connect?role=app_rw").text)
    assert "options=-c%20gatepost.role%3Dapp_rw" in forms
    assert "export PGOPTIONS='-c gatepost.role=app_rw'" in forms
    other = unescape(world.signed_in(ANA).get("/targets/shop/connect?role=none").text)
    assert "gatepost.role=none" not in other


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"reach": ""}, "Choose what you need."),
        ({"reach": "shop\nno_such_role"}, "no upstream role no_such_role"),
        ({"reach": "nowhere\napp_rw"}, "No target is called nowhere"),
        ({"reason": ""}, "Say what for"),
        ({"duration": "1000d"}, "Expected 5m to 30d"),
        ({"duration": "soon"}, "xpected a time"),
        ({"reason": "a\x00b"}, "xpected"),
    ],
)
def test_a_wrong_value_is_said_and_nothing_is_asked(
    ana: Browser, world: World, values: dict[str, str], said: str
) -> None:
    status, page = ask(ana, **values)
    assert status == 422 and said in words(page)
    assert approvals.find(world.store).total == 0


def test_the_same_is_not_asked_twice(ana: Browser, world: World) -> None:
    ask(ana)
    status, page = ask(ana)
    assert status == 422 and "asks for app_rw on shop already" in words(page)
    assert approvals.find(world.store).total == 1


def test_ones_own_requests_of_any_kind_can_be_taken_back_once(ana: Browser, world: World) -> None:
    ask(ana)
    statement = hold(world.store, AT)
    for number in (1, statement):
        assert ana.submit("/me", {}, f"/approvals/{number}/cancel").status_code == 303
        stored = approvals.get(world.store, number)
        assert (stored.state, stored.decided_by, stored.decided_via) == (
            RequestState.CANCELLED,
            ANA,
            "browser",
        )
    assert "It was taken back: not run." in words(ana.get("/me").text)
    again = ana.submit("/me", {}, f"/approvals/{statement}/cancel")
    assert again.status_code == 303 and "is cancelled already" in words(ana.get("/me").text)


def test_nobody_takes_back_what_others_asked(world: World) -> None:
    cast(world)
    number = hold(world.store, AT)
    answer = world.signed_in(BO).submit("/me", {}, f"/approvals/{number}/cancel")
    assert answer.status_code == 403 and "only ana@example.com" in words(answer.text).lower()
    assert (
        world.signed_in("eve@example.com")
        .submit("/me", {}, f"/approvals/{number}/cancel")
        .status_code
        == 404
    )
    assert approvals.get(world.store, number).state is RequestState.WAITING


def test_a_decision_that_came_first_stays(ana: Browser, world: World) -> None:
    number = hold(world.store, AT)
    token = ana.get("/me").text
    approvals.decide(world.store, Actor(BO, "browser"), AT, number, approve=True)
    assert "Take it back" in words(token)
    ana.submit("/me", {}, f"/approvals/{number}/cancel")
    assert approvals.get(world.store, number).state is RequestState.APPROVED
