"""The identity catalog in the browser: find, add, change, suspend, grant, group."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from appliance.entities import IdentityStatus, PermissionRole, ProfileMode
from appliance.store import grants, groups, identities, profiles
from appliance.store.actors import Actor
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record

NIGHTLY = {
    "name": "ci-nightly",
    "kind": "ci",
    "owner": "ana@example.com",
    "backup_owner": "",
    "purpose": "nightly revenue export",
    "environment": "production",
    "expires": "2027-06-30",
    "application_names": "ci-*\nnightly",
    "sources": "10.2.0.0/16, 127.0.0.1/32",
}


def test_a_machine_is_added_with_all_that_was_said(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    both.person("ana@example.com")
    admin = both.signed_in("ada@example.com")
    answer = admin.submit("/identities/new", NIGHTLY)
    assert answer.headers["Location"] == "/identities/ci-nightly"
    made = identities.get(both.store, "ci-nightly", now=AT)
    assert (made.owner, made.purpose) == ("ana@example.com", "nightly revenue export")
    assert made.expires_at == datetime(2027, 7, 1, tzinfo=UTC)
    assert made.application_names == ("ci-*", "nightly")
    assert made.sources == ("10.2.0.0/16", "127.0.0.1/32")
    assert made.created_by == "ada@example.com"
    shown = words(admin.get("/identities/ci-nightly").text)
    for text in ("Who owns it?", "What may it do?", "Is it used?", "Nothing: no grant", "no data"):
        assert text in shown


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "", "Expected letters"),
        ("name", "two words", "Expected letters"),
        ("name", "ana@example.com", "already an identity"),
        ("name", "ANA@example.com", "already an identity"),
        ("kind", "robot", "Expected human"),
        ("owner", "nobody@example.com", "No identity is called"),
        ("owner", "ci-old", "is no human"),
        ("backup_owner", "ana@example.com", "somebody else than the owner"),
        ("expires", "2026-01-01", "already passed"),
        ("sources", "10.2.0.1/16", "did you mean 10.2.0.0/16?"),
        ("sources", "the office", "Expected a CIDR"),
        ("application_names", "x" * 64, "1 to 63 characters"),
        ("purpose", "a\u202eb", "Expected one line"),
    ],
)
def test_a_wrong_value_is_said_beside_its_field_and_nothing_is_stored(
    admin: Browser, world: World, field: str, value: str, complaint: str
) -> None:
    world.person("ana@example.com")
    world.machine("ci-old")
    before = identities.all_names(world.store)
    answer = admin.submit("/identities/new", NIGHTLY | {field: value})
    assert answer.status_code == 422
    assert complaint in words(answer.text)
    assert f'id="{field}-error"' in answer.text
    assert "nightly revenue export" in answer.text or field == "purpose"
    assert identities.all_names(world.store) == before


def test_an_edit_changes_what_was_typed_and_never_the_name(admin: Browser, world: World) -> None:
    fill(world)
    form = NIGHTLY | {"name": "other", "purpose": "weekly export"}
    assert admin.submit("/identities/ci-nightly/edit", form).status_code == 303
    assert identities.get(world.store, "ci-nightly", now=AT).purpose == "weekly export"
    assert "other" not in identities.all_names(world.store)


def test_the_edit_form_shows_the_last_day_and_keeps_it(admin: Browser, world: World) -> None:
    world.person("ana@example.com")
    admin.submit("/identities/new", NIGHTLY)
    assert 'value="2027-06-30"' in admin.get("/identities/ci-nightly/edit").text
    admin.submit("/identities/ci-nightly/edit", NIGHTLY)
    found = identities.get(world.store, "ci-nightly", now=AT)
    assert found.expires_at == datetime(2027, 7, 1, tzinfo=UTC)


def test_machines_without_an_owner_stand_first(admin: Browser, world: World) -> None:
    world.person("ana@example.com")
    world.machine("a-owned", owner="ana@example.com")
    world.machine("z-nobodys")
    text = words(admin.get("/identities").text)
    assert text.index("z-nobodys") < text.index("a-owned")
    assert "no owner" in text
    assert "1 machine has no owner : z-nobodys" in words(admin.get("/").text)


def test_search_filters_sort_and_pages_live_in_the_address(admin: Browser, world: World) -> None:
    for number in range(30):
        world.machine(f"ci-{number:02}")
    first = words(admin.get("/identities?kind=ci").text)
    assert "ci-00" in first and "ci-29" not in first and "page 1 of 2" in first
    assert "ci-29" in words(admin.get("/identities?kind=ci&page=2").text)
    assert "ci-29" in words(admin.get("/identities?kind=ci&sort=-name").text)
    found = words(admin.get("/identities?q=CI-07").text)
    assert "1 identity match" in found and "ci-07" in found
    assert "No identities match" in words(admin.get("/identities?q=nothing").text)
    assert "ci-00" in words(admin.get("/identities?kind=made-up&sort=nope&page=-3&size=9").text)
    assert admin.get("/identities?page=99999999999999999999").status_code == 200


def test_the_list_as_a_file_holds_everything_that_matches(admin: Browser, world: World) -> None:
    with world.store.transaction():
        for number in range(1_050):  # more than a page of the store can hold
            world.machine(f"ci-{number:04}")
    answer = admin.get("/identities?kind=ci&format=csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len({row[0] for row in rows}) == 1_051 and rows[0][0] == "name"
    assert "attachment" in answer.headers["Content-Disposition"]


def test_suspending_names_the_sessions_that_end(admin: Browser, world: World) -> None:
    fill(world)
    record(world.store, Recorded("ci-nightly", AT))
    page = "/identities/ci-nightly/status/suspended"
    assert "2 live sessions end now" in words(admin.get(page).text)
    admin.submit(page, {"reason": "odd statements"})
    status = identities.get(world.store, "ci-nightly", now=AT).status
    assert status is IdentityStatus.SUSPENDED
    assert "suspended" in words(admin.get("/identities/ci-nightly").text)
    admin.submit("/identities/ci-nightly/status/active", {"reason": ""})
    assert identities.get(world.store, "ci-nightly", now=AT).status is IdentityStatus.ACTIVE


def test_a_status_that_is_none_is_refused(admin: Browser, world: World) -> None:
    fill(world)
    answer = admin.submit("/identities/ci-nightly/status/asleep", {"reason": ""})
    assert answer.status_code == 404
    assert identities.get(world.store, "ci-nightly", now=AT).status is IdentityStatus.ACTIVE


def test_use_is_counted_from_what_is_recorded(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    both.machine("ci-x")
    for days in (0, 1, 89, 91):
        at = AT - timedelta(days=days, minutes=1)
        ran = (Ran("select 1"), Ran("drop table t", "block"))
        record(both.store, Recorded("ci-x", at, ran, timedelta(minutes=1), application_name="cron"))
    shown = words(both.signed_in("ada@example.com").get("/identities/ci-x").text)
    assert "3 sessions, 6 statements, 3 refused" in shown
    assert "cron (3)" in shown and "10.2.0.7 (3)" in shown


def test_a_grant_is_added_changed_and_removed(admin: Browser, world: World) -> None:
    fill(world)
    page = "/grants/new?who=identity:ana@example.com&back=/identities/ana@example.com"
    data = {
        "who": "identity:ana@example.com",
        "reach": "shop\r\napp_ro",  # as browsers send a line break
        "max_session": "2h",
        "sources": "10.0.0.0/8",
        "hours": "Mon-Fri 08:00-18:00 Europe/Oslo",
        "back": "/identities/ana@example.com",
    }
    answer = admin.submit(page, data)
    assert answer.headers["Location"] == "/identities/ana@example.com"
    [made] = grants.find(world.store, who="identity:ana@example.com").items
    assert (made.grant.role, made.grant.max_session_s) == ("app_ro", 7200)
    assert made.grant.sources == ("10.0.0.0/8",)
    admin.submit("/grants/2/edit", data | {"max_session": "1d", "sources": ""})
    changed = grants.get(world.store, 2).grant
    assert (changed.max_session_s, changed.sources) == (86400, ())
    asked = words(admin.get("/grants/1/remove").text)
    assert "1 live session stands on it" in asked
    admin.submit("/grants/2/remove", {"back": "//evil.example"})
    assert grants.find(world.store, who="identity:ana@example.com").total == 0


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("who", "ana", "Expected *, identity:NAME"),
        ("who", "identity:nobody", "No identity is called nobody"),
        ("who", "kind:robot", "Expected human"),
        ("reach", "", "Choose a target"),
        ("reach", "shop\nroot", "no upstream role root"),
        ("reach", "nothing\napp_ro", "No target is called nothing"),
        ("max_session", "forever", "Expected a length"),
        ("max_session", "99d", "1m to 30d"),
        ("sources", "everywhere", "Expected a CIDR"),
        ("hours", "at night", "hours"),
        ("allow_builtin", "everything", "Expected"),
        ("expires", "2020-01-01", "already passed"),
    ],
)
def test_a_wrong_grant_is_said_beside_its_field(
    admin: Browser, world: World, field: str, value: str, complaint: str
) -> None:
    fill(world)
    good = {"who": "identity:ana@example.com", "reach": "shop\napp_ro", "max_session": "12h"}
    answer = admin.submit("/grants/new", good | {field: value})
    assert answer.status_code == 422
    assert complaint in words(answer.text)
    assert f'id="{field}-error"' in answer.text
    assert grants.find(world.store).total == 1


def test_groups_are_made_filled_and_removed(admin: Browser, world: World) -> None:
    fill(world)
    admin.submit("/groups/new", {"name": "dba", "claim": "pg-dba"})
    admin.submit("/groups/dba", {"identity": "ana@example.com"}, to="/groups/dba/members")
    assert groups.get(world.store, "dba").members == ("ana@example.com",)
    wrong = admin.submit("/groups/dba", {"identity": "nobody"}, to="/groups/dba/members")
    assert wrong.status_code == 422 and 'id="identity-error"' in wrong.text
    admin.submit("/groups/dba", {"claim": ""}, to="/groups/dba/claim")
    assert groups.get(world.store, "dba").claim is None
    joined = admin.submit(
        "/identities/ci-nightly", {"group": "dba"}, to="/identities/ci-nightly/groups"
    )
    assert joined.status_code == 303
    admin.submit("/groups/dba", {}, to="/groups/dba/remove")
    assert [g.name for g in groups.find(world.store).items] == ["analysts"]


def test_a_group_that_a_grant_names_stays_and_says_why(admin: Browser, world: World) -> None:
    fill(world)
    spec = grants.GrantSpec("group:analysts", "shop", "app_ro")
    grants.create(world.store, BY, AT, spec)
    admin.submit("/groups/analysts", {}, to="/groups/analysts/remove")
    assert "a grant names group:analysts" in words(admin.get("/groups/analysts").text)


def test_a_machine_says_what_its_profile_does(admin: Browser, world: World) -> None:
    fill(world)
    text = words(admin.get("/identities/ci-nightly").text)
    assert "no profile: all that the rules allow What it ran in 30 days" in text
    ana = Actor("ana@example.com", "browser")
    profiles.set_mode(world.store, ana, AT, "ci-nightly", ProfileMode.LEARN)
    page = admin.get("/identities/ci-nightly").text
    assert "profile learns nothing is refused by it yet" in words(page)
    assert 'href="/identities/ci-nightly/profile"' in page
    assert "/profile" not in admin.get("/identities/ana@example.com").text, "people have none"
