"""Search over everything: what is found, by whom."""

from __future__ import annotations

from datetime import timedelta

from appliance.entities import PermissionRole
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record


def test_before_anything_is_typed_it_says_where_it_looks(admin: Browser) -> None:
    assert "the text of every recorded statement" in words(admin.get("/search").text)
    assert "Type at least 2 characters." in words(admin.get("/search?q=a").text)
    assert "Nothing was found" in words(admin.get("/search?q=zebra").text)


def test_names_and_statements_are_found_and_marked(admin: Browser, world: World) -> None:
    fill(world)
    page = admin.get("/search?q=nightly").text
    assert "/identities/ci-nightly" in page
    page = admin.get("/search?q=SHOP").text
    assert "/targets/shop" in page
    page = admin.get("/search?q=ORDERS").text
    assert "drop table <mark>orders</mark>" in page and "#s2" in page


def test_the_id_of_a_session_leads_to_it(admin: Browser, world: World) -> None:
    session = record(world.store, Recorded("a", AT - timedelta(hours=1), (Ran("select 1"),)))
    answer = admin.get(f"/search?q={session}")
    assert answer.status_code == 303 and answer.location.endswith(f"/sessions/{session}")
    assert f"/sessions/{session}" in admin.get(f"/search?q={session[:8]}").text


def test_whoever_reads_no_statements_finds_none(world: World) -> None:
    fill(world)
    world.person("rev@example.com", PermissionRole.REVIEWER)
    reviewer = world.signed_in("rev@example.com")
    page = reviewer.get("/search?q=orders").text
    assert "drop table" not in page and "Nothing was found" in words(page)
    assert "/identities/ci-nightly" in reviewer.get("/search?q=nightly").text


def test_every_page_has_the_search_for_those_who_may(world: World) -> None:
    world.person("ana@example.com")
    world.person("au@example.com", PermissionRole.AUDITOR)
    assert "data-global-search" in world.signed_in("au@example.com").get("/sessions").text
    assert "data-global-search" not in world.signed_in("ana@example.com").get("/me").text


def test_both_stores_find_alike(both: World) -> None:
    fill(both)
    both.person("ada@example.com", PermissionRole.ADMIN)
    text = words(both.signed_in("ada@example.com").get("/search?q=or").text)
    assert "Statements" in text and "drop table or ders" in text
