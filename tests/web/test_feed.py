"""The live feed: what became of each statement, and who may read its text."""

from __future__ import annotations

import re

import pytest

from appliance.entities import PermissionRole
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record

WITHOUT_TEXT = (PermissionRole.APPROVER, PermissionRole.REVIEWER)
WITH_TEXT = (PermissionRole.ADMIN, PermissionRole.AUDITOR)


def entries(html: str) -> list[str]:
    """Return the feed's entries, newest first, each as its words."""
    feed = re.search(r'<ol class="feed".*?</ol>', html, re.S)
    assert feed
    return [words(entry) for entry in re.findall(r"<li>.*?</li>", feed[0], re.S)]


def streamed(browser: Browser, world: World, session: Recorded) -> str:
    """Return what the open stream says of a session that is recorded while it is open."""
    polls: list[int] = []

    def is_serving() -> bool:
        if not polls:
            record(world.store, session)
        polls.append(1)
        return len(polls) == 1

    world.app.extensions["gatepost_is_serving"] = is_serving
    return browser.get("/feed").text


@pytest.mark.parametrize(
    ("ran", "word", "icon"),
    [
        (Ran("select 1"), "ran", "circle-check"),
        (Ran("select 1/0", state="failed"), "failed", "circle-x"),
        (Ran("drop table t", "block", rule="no-ddl"), "refused", "ban"),
        (Ran("delete from t", "hold", "refused"), "refused", "ban"),
        (Ran("delete from t", "hold", "held"), "held", "hand"),
        (Ran("delete from t", "hold"), "ran", "circle-check"),  # it was let go
        (Ran("select 2", state="withdrawn"), "withdrawn", "circle-dashed"),
        (Ran("select 2", "hold", "withdrawn"), "withdrawn", "circle-dashed"),
        (Ran("vacuum", state="sent"), "unknown", "circle-dashed"),
    ],
)
def test_an_entry_says_what_became_of_its_statement(
    admin: Browser, world: World, ran: Ran, word: str, icon: str
) -> None:
    record(world.store, Recorded("ci-x", AT, (ran,), kind="ci"))
    html = admin.get("/").text
    [entry] = entries(html)
    assert f" {word} " in entry
    assert re.search(rf'<span class="verdict-cell">.*?#{icon}"', html)


@pytest.mark.parametrize("role", WITHOUT_TEXT)
def test_who_may_not_read_statements_sees_who_where_and_the_outcome(
    world: World, role: PermissionRole
) -> None:
    fill(world)
    world.person("bo@example.com", role)
    html = world.signed_in("bo@example.com").get("/").text
    refused, ran = entries(html)
    assert "ci-nightly on shop refused" in refused and "ci-nightly on shop ran" in ran
    assert "drop table" not in html and "select 1" not in html and "SELECT 1" not in html


@pytest.mark.parametrize("role", WITH_TEXT)
def test_who_may_read_statements_sees_them(world: World, role: PermissionRole) -> None:
    fill(world)
    world.person("bo@example.com", role)
    html = world.signed_in("bo@example.com").get("/").text
    assert "drop table orders" in entries(html)[0] and "select 1" in entries(html)[1]


@pytest.mark.parametrize(
    ("role", "reads"), [(PermissionRole.REVIEWER, False), (PermissionRole.AUDITOR, True)]
)
def test_the_stream_shows_no_more_than_the_page(
    world: World, role: PermissionRole, reads: bool
) -> None:
    world.person("bo@example.com", role)
    news = Recorded("ci-x", AT, (Ran("delete from pay", "hold", "refused"),), kind="ci")
    text = streamed(world.signed_in("bo@example.com"), world, news)
    assert "event: statements" in text and "ci-x" in text and "refused" in text
    assert ("delete from pay" in text) is reads
