"""Sessions: the list, who may read what, the end of one."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

from appliance.entities import PermissionRole
from appliance.store import audit, kills
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, World
from tests.web.recorded import Ran, Recorded, record

REFUSED = Ran("drop table orders", "block", rule="no-ddl")


def some(world: World) -> tuple[str, str]:
    """Record a live session of ana and an ended one of a CI job."""
    live = Recorded("ana@example.com", AT - timedelta(minutes=4), (Ran("select 1"),))
    ended = Recorded(
        "ci-nightly",
        AT - timedelta(hours=2),
        (Ran("select * from customers"), REFUSED),
        timedelta(minutes=3),
        kind="ci",
        application_name="ci-pipeline-7",
    )
    return record(world.store, live), record(world.store, ended)


def test_an_empty_list_says_why_and_where_to_go(admin: Browser) -> None:
    text = words(admin.get("/sessions").text)
    assert "Nobody is connected." in text
    assert "No session has ended yet" in text and "Go to the targets" in text


def test_live_sessions_stand_above_those_that_ended(admin: Browser, world: World) -> None:
    some(world)
    text = words(admin.get("/sessions").text)
    assert text.index("Live now 1") < text.index("ana@example.com shop")
    assert text.index("ana@example.com shop") < text.index("Ended Who")
    assert text.index("Ended Who") < text.index("ci-nightly shop")
    assert "1 refused" in text and "4 min so far" in text and "ci-pipeline-7" in text


def test_filters_stand_in_the_address_and_hold_for_live_ones_too(
    admin: Browser, world: World
) -> None:
    live, ended = some(world)
    page = admin.get("/sessions?identity=ci-nightly&verdict=refused&started=24h").text
    assert ended in page and live not in page
    assert "Nobody is connected that fits these filters." in words(page)
    assert "/sessions/live?identity=ci-nightly&amp;verdict=refused&amp;started=24h" in page
    page = admin.get("/sessions?source=10.2.0.7&application_name=psql").text
    assert live in page and ended not in page
    assert ended not in admin.get("/sessions?started=1h").text
    rare = admin.get("/sessions?source=203.0.113.9").text
    assert "Nothing" in rare or "leave nothing" in rare
    assert 'value="203.0.113.9" selected' in rare


def test_text_finds_statements_and_shows_the_first(admin: Browser, world: World) -> None:
    live, ended = some(world)
    page = admin.get("/sessions?q=CUSTOMERS").text
    assert "select * from customers" in page and f"/sessions/{ended}?s=1#s1" in page
    assert f"/sessions/{live}" not in page


def test_the_file_has_every_session_that_fits(admin: Browser, world: World) -> None:
    live, ended = some(world)
    rows = list(csv.DictReader(io.StringIO(admin.get("/sessions?format=csv").text)))
    assert [row["id"] for row in rows] == [live, ended]
    assert rows[1]["refused"] == "1" and rows[0]["ended_at"] == ""
    narrowed = admin.get("/sessions?format=csv&identity=ci-nightly").text
    assert live not in narrowed and ended in narrowed


def test_pages_turn(admin: Browser, world: World) -> None:
    for number in range(30):
        at = AT - timedelta(hours=number + 1)
        record(world.store, Recorded(f"id-{number:02}", at, length=timedelta(minutes=1)))
    first, second = admin.get("/sessions").text, admin.get("/sessions?page=2").text
    assert "id-00" in first and "page 1 of 2" in words(first)
    assert ">id-29</a>" in second and ">id-00</a>" not in second


def test_the_live_part_is_a_part(admin: Browser, world: World) -> None:
    live, ended = some(world)
    part = admin.get("/sessions/live", HX_Request="true").text
    assert "<html" not in part and live in part and ended not in part
    assert 'data-poll="3"' in part


def test_whoever_reads_no_statements_finds_none_by_their_text(world: World) -> None:
    _, ended = some(world)
    world.person("rev@example.com", PermissionRole.REVIEWER)
    reviewer = world.signed_in("rev@example.com")
    page = reviewer.get("/sessions").text
    assert "ci-nightly" in page and f"/sessions/{ended}" not in page
    page = reviewer.get("/sessions?q=customers").text
    assert "select * from" not in page and "as <span" not in page, "no row at all"
    assert reviewer.get(f"/sessions/{ended}").status_code == 403


def test_everybody_reads_their_own_sessions_and_no_others(world: World) -> None:
    live, ended = some(world)
    world.person("ana@example.com")
    ana = world.signed_in("ana@example.com")
    page = ana.get("/me/sessions").text
    assert f"/me/sessions/{live}" in page and ended not in page and "ci-nightly" not in page
    assert "ci-nightly" not in ana.get("/me/sessions?q=customers&identity=ci-nightly").text
    assert "select 1" in ana.get(f"/me/sessions/{live}").text
    for path in ("", "/tail", "/statements/1", "/next", "/export.sql"):
        assert ana.get(f"/me/sessions/{ended}{path}").status_code == 404, path
        assert ana.get(f"/sessions/{live}{path}").status_code == 403, path
    assert ended not in ana.get("/me/sessions?format=csv").text
    assert ended not in ana.get("/me/sessions/live").text


def test_killing_names_what_happens_and_asks_the_worker(admin: Browser, world: World) -> None:
    live, _ = some(world)
    asked = words(admin.get(f"/sessions/{live}/kill").text)
    assert "is cancelled on shop first" in asked and "the client reads 57P01" in asked
    assert kills.open(world.store) == [], "looking at the question ends nothing"
    answer = admin.submit(f"/sessions/{live}/kill", {"reason": "INC-42"})
    assert answer.status_code == 303
    (kill,) = kills.open(world.store)
    assert (kill.session_id, kill.requested_by, kill.reason) == (live, "ada@example.com", "INC-42")
    event = audit.find(world.store, action="session.kill").items[0]
    assert event.subject == live and event.detail["reason"] == "INC-42"
    admin.submit(f"/sessions/{live}/kill", {"reason": ""})
    assert len(kills.open(world.store)) == 1


def test_a_reason_of_two_lines_is_refused_and_nothing_is_killed(
    admin: Browser, world: World
) -> None:
    live, _ = some(world)
    answer = admin.submit(f"/sessions/{live}/kill", {"reason": "a\nb"})
    assert answer.status_code == 422 and "Expected one line" in words(answer.text)
    assert kills.open(world.store) == []


def test_what_has_ended_cannot_be_killed(admin: Browser, world: World) -> None:
    live, ended = some(world)
    assert "It has ended already" in words(admin.get(f"/sessions/{ended}/kill").text)
    answer = admin.submit(f"/sessions/{live}/kill", {}, f"/sessions/{ended}/kill")
    assert answer.status_code == 303 and kills.open(world.store) == []
    assert admin.get("/sessions/nothing/kill").status_code == 404


def test_the_list_is_right_on_both_stores(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    live, ended = some(both)
    page = both.signed_in("ada@example.com").get("/sessions?q=customers&sort=identity").text
    assert ended in page and live not in page
