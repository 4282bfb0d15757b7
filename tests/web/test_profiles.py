"""The page of a statement profile: who sees it, who signs, what is asked before it is enforced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.approvals.requests import RequestState
from appliance.entities import PermissionRole, ProfileMode
from appliance.store import approvals, profiles, snapshots
from appliance.store.actors import Actor
from tests.store.profiled import COUNT, DROP, SUM, Recorder, recorder_in
from tests.web.browsing import words
from tests.web.conftest import AT, World
from tests.web.filled import fill

PAGE = "/identities/ci-nightly/profile"
SIGN = f"{PAGE}/sign"
ANA = Actor("ana@example.com", "browser")


@pytest.fixture
def ran(world: World, tmp_path: Path) -> Iterator[Recorder]:
    """ci-nightly of ana counted orders twice and summed them once."""
    fill(world)
    recorder = recorder_in(world.store, tmp_path, world.clock)
    recorder.ran(*[(f"select count(*) from orders where day = {n}", COUNT) for n in (1, 2)])
    recorder.ran(("select sum(total)\nfrom orders", SUM))
    yield recorder
    recorder.journal.close()


def test_the_owner_sees_what_it_ran_ticks_and_signs(world: World, ran: Recorder) -> None:
    ana = world.signed_in("ana@example.com")
    page = ana.get(PAGE)
    text = words(page.text)
    assert "select count(*) from orders where day = 2" in text
    assert "public.orders select 2 0" in text and "are not signed" in text
    assert page.text.count("checkbox") > 2 and " checked" not in page.text
    ticked = ana.get(f"{PAGE}?tick=ran").text
    assert 2 <= ticked.count(" checked") < page.text.count("checkbox")
    answer = ana.submit(PAGE, {"fingerprint": COUNT, "act": "sign"}, to=SIGN)
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    text = words(ana.get(PAGE).text)
    assert "Signed 1 statement of ci-nightly." in text
    assert "signed ana@example.com, just now" in text
    assert profiles.of(world.store, "ci-nightly", AT).signed == {COUNT}
    ana.submit(PAGE, {"fingerprint": COUNT, "act": "unsign"}, to=SIGN)
    assert profiles.of(world.store, "ci-nightly", AT).signed == frozenset()


@pytest.mark.parametrize("role", [PermissionRole.ADMIN, PermissionRole.AUDITOR])
def test_others_read_it_and_are_told_who_signs(
    world: World, ran: Recorder, role: PermissionRole
) -> None:
    world.person("bo@example.com", role)
    bo = world.signed_in("bo@example.com")
    text = words(bo.get(PAGE).text)
    assert "signed by its owner: ana@example.com" in text
    assert "checkbox" not in bo.get(PAGE).text
    bo.submit("/me", {"fingerprint": COUNT, "act": "sign"}, to=SIGN)
    assert "signed by its owner: ana@example.com" in words(bo.get(PAGE).text)
    bo.submit("/me", {}, to=f"{PAGE}/mode/learn")
    profile = profiles.of(world.store, "ci-nightly", AT)
    assert (profile.signed, profile.mode) == (frozenset(), ProfileMode.OFF)


@pytest.mark.parametrize("role", [PermissionRole.APPROVER, PermissionRole.USER])
def test_nobody_else_sees_that_there_is_one(
    world: World, ran: Recorder, role: PermissionRole
) -> None:
    world.person("eve@example.com", role)
    eve = world.signed_in("eve@example.com")
    for path in (PAGE, f"{PAGE}/mode/enforce"):
        assert eve.get(path).status_code == 404
        unknown = eve.get(path.replace("ci-nightly", "no-such"))
        assert unknown.status_code == 404
        assert words(unknown.text).replace("no-such", "ci-nightly") == words(eve.get(path).text)
    assert eve.submit("/me", {"fingerprint": COUNT}, to=SIGN).status_code == 404
    assert profiles.of(world.store, "ci-nightly", AT).signed == frozenset()


def test_enforcing_shows_first_what_it_would_have_refused(world: World, ran: Recorder) -> None:
    ana = world.signed_in("ana@example.com")
    ask = f"{PAGE}/mode/enforce"
    assert "Nothing is signed" in words(ana.get(ask).text)
    profiles.sign(world.store, ANA, AT, "ci-nightly", [COUNT])
    shown = words(ana.get(ask).text)
    assert "Of the 5 statements that it asked for" in shown
    assert "would have refused 3 ." in shown and "select sum(total)" in shown
    answer = ana.submit(ask, {})
    assert answer.status_code == 303
    assert "is enforced" in words(ana.get(PAGE).text)
    again = words(ana.get(ask).text)
    assert "That is so already" in again and "would have refused 3 ." in again
    assert snapshots.load(world.store, AT).profiles == {"ci-nightly": {COUNT}}
    assert ana.submit(f"{PAGE}/mode/off", {}).status_code == 303
    assert snapshots.load(world.store, AT).profiles == {}
    assert ana.get(f"{PAGE}/mode/strict").status_code == 404


def test_requests_to_extend_stand_on_the_page(world: World, ran: Recorder) -> None:
    profiles.sign(world.store, ANA, AT, "ci-nightly", [COUNT])
    profiles.set_mode(world.store, ANA, AT, "ci-nightly", ProfileMode.ENFORCE)
    ran.refused(("drop table orders", DROP))
    (request,) = approvals.find(world.store, state=RequestState.WAITING).items
    ana = world.signed_in("ana@example.com")
    text = words(ana.get(PAGE).text)
    assert f"1 request to extend it #{request.id} drop table orders" in text
    assert f"asked for in #{request.id}" in text
    ana.submit(PAGE, {"fingerprint": DROP, "act": "sign"}, to=SIGN)
    assert approvals.get(world.store, request.id).state is RequestState.APPROVED


def test_the_list_is_searched_narrowed_sorted_and_a_file(world: World, ran: Recorder) -> None:
    profiles.sign(world.store, ANA, AT, "ci-nightly", [SUM])
    ana = world.signed_in("ana@example.com")
    assert "sum(total)" not in words(ana.get(f"{PAGE}?q=count").text)
    unsigned = words(ana.get(f"{PAGE}?show=unsigned").text)
    assert "count(*)" in unsigned and "sum(total)" not in unsigned
    assert "No statements match" in words(ana.get(f"{PAGE}?show=unused").text)
    text = words(ana.get(f"{PAGE}?sort=ran").text)
    assert text.index("sum(total)") < text.index("count(*)")
    file = ana.get(f"{PAGE}?format=csv").text
    assert file.startswith("fingerprint,signed,") and f"{COUNT},no" in file
    assert f"{SUM},yes,ana@example.com" in file


def test_an_owner_finds_the_way_from_my_access(world: World, ran: Recorder) -> None:
    profiles.sign(world.store, ANA, AT, "ci-nightly", [COUNT])
    profiles.set_mode(world.store, ANA, AT, "ci-nightly", ProfileMode.ENFORCE)
    ran.refused(("drop table orders", DROP))
    page = world.signed_in("ana@example.com").get("/me")
    assert f'href="{PAGE}"' in page.text
    assert "ci-nightly : its statement profile is enforced 1 request" in words(page.text)
    world.person("eve@example.com")
    assert "Machines I own" not in words(world.signed_in("eve@example.com").get("/me").text)


def test_nothing_hidden_is_signed(world: World, ran: Recorder) -> None:
    ran.ran(("select 1 /*\u202e kcab */ from secrets", DROP))
    page = world.signed_in("ana@example.com").get(PAGE).text
    assert "\u202e" not in page and "⟨U+202E⟩" in page


def test_a_person_has_no_profile(world: World, ran: Recorder) -> None:
    world.person("ada@example.com", PermissionRole.ADMIN)
    ada = world.signed_in("ada@example.com")
    assert "People have no profile" in words(ada.get("/identities/ana@example.com/profile").text)
