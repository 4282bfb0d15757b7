"""Policies: the ordered rules, their form, order, proposals, what no rule decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from appliance.entities import PermissionRole, PolicyRule
from appliance.store import audit, rules, settings, snapshots
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record

FORM = {"name": "no-ddl", "action": "block", "kinds": "*", "enabled": "on"}


def names(world: World) -> list[str]:
    return [rule.name for rule in snapshots.load(world.store, AT).rules]


def add(world: World, *rule_names: str, **fields: object) -> None:
    for name in rule_names:
        rules.create(world.store, BY, AT, PolicyRule(name=name, action="block", **fields))  # type: ignore[arg-type]


def test_without_rules_the_page_says_that_nothing_is_stopped_and_proposes_three(
    admin: Browser, world: World
) -> None:
    fill(world)
    text = words(admin.get("/policies").text)
    assert "Observing: nothing is stopped on shop." in text
    for name in ("no-ddl-from-machines", "bulk-writes-need-a-human", "agents-only-read"):
        assert name in text
    assert "Machines may not run ddl, dcl on shop → block" in text


def test_a_proposal_is_added_by_one_click_and_the_others_stay(admin: Browser, world: World) -> None:
    fill(world)
    asked = {"target": "shop", "name": "no-ddl-from-machines"}
    assert admin.submit("/policies", asked, "/policies/propose").status_code == 303
    assert names(world) == ["no-ddl-from-machines"]
    text = words(admin.get("/policies").text)
    assert "Observing" not in text
    assert "agents-only-read" in text and "no-ddl-from-machines-2" not in text
    again = admin.submit("/policies", asked, "/policies/propose")
    assert again.status_code == 303 and names(world) == ["no-ddl-from-machines"]


def test_built_in_rules_are_explained(admin: Browser) -> None:
    text = words(admin.get("/policies").text)
    assert "built-in rules come first" in text
    assert "ALTER SYSTEM" in text and "its authentication included" in text


def test_rules_move_by_buttons_and_by_a_dragged_order(admin: Browser, world: World) -> None:
    add(world, "a", "b", "c")
    move = "/policies/order"
    answer = admin.submit("/policies", {"name": "c", "direction": "up"}, move)
    assert names(world) == ["a", "c", "b"]
    said = words(admin.get(answer.location).text)
    assert "c is now rule 2 of 3, after a. Undo" in said
    admin.submit("/policies", {"name": "a", "direction": "up"}, move)
    assert names(world) == ["a", "c", "b"], "the first stays the first"
    part = admin.submit("/policies", {"name": "b", "order": "b\na\nc"}, move, HX_Request="true")
    assert names(world) == ["b", "a", "c"]
    assert part.status_code == 200 and part.text.lstrip().startswith('<div id="rules">')
    assert "b is now rule 1 of 3, the first of all. Undo" in words(part.text)
    assert 'hx-swap-oob="innerHTML:#moved"' in part.text
    assert admin.submit("/policies", {"name": "x", "direction": "up"}, move).status_code == 404
    assert admin.submit("/policies", {"order": "a\nx"}, move).status_code == 404
    assert names(world) == ["b", "a", "c"]


def test_a_move_is_undone_and_done_again(admin: Browser, world: World) -> None:
    add(world, "a", "b", "c")
    move = "/policies/order"
    moved = admin.submit("/policies", {"name": "a", "direction": "down"}, move)
    assert names(world) == ["b", "a", "c"]
    undone = admin.submit(moved.location, {"order": "a,b,c"}, move)
    assert names(world) == ["a", "b", "c"]
    assert "The order is as it was. Redo" in words(admin.get(undone.location).text)
    still = admin.submit("/policies", {"name": "a", "direction": "up"}, move)
    text = words(admin.get(still.location).text)
    assert "a is now rule 1 of 3." in text and "Undo" not in text, "nothing is to be undone"
    assert "Undo" not in words(admin.get("/policies?moved=nothing&was=x,y").text)


def test_a_rule_is_switched_off_and_on_in_its_place(admin: Browser, world: World) -> None:
    add(world, "a", "b")
    admin.submit("/policies", {}, "/policies/rules/a/switch")
    assert not rules.get(world.store, "a").rule.enabled and names(world) == ["a", "b"]
    assert "switched off" in words(admin.get("/policies").text)
    admin.submit("/policies", {"enabled": "on"}, "/policies/rules/a/switch")
    assert rules.get(world.store, "a").rule.enabled


def test_a_removed_rule_can_be_put_back_where_it_was(admin: Browser, world: World) -> None:
    add(world, "a", "b", "c", commands=("ddl", "dcl"), tables=("public.t",))
    before = rules.get(world.store, "b").rule
    asked = words(admin.get("/policies/rules/b/remove").text)
    assert "Remove b?" in asked and "may run from then on" in asked
    answer = admin.submit("/policies/rules/b/remove", {})
    assert answer.status_code == 303 and names(world) == ["a", "c"]
    page = admin.get(answer.location)
    assert "b was removed. Put it back" in words(page.text)
    admin.submit(answer.location, {"name": "b", "before": "c"}, "/policies/restore")
    assert names(world) == ["a", "b", "c"] and rules.get(world.store, "b").rule == before
    assert "was removed" not in words(admin.get(answer.location).text)
    nothing = admin.submit("/policies", {"name": "never"}, "/policies/restore")
    assert nothing.status_code == 404


def test_what_no_rule_decides_is_shown_and_changed(admin: Browser, world: World) -> None:
    assert "What no rule decides → allow" in words(admin.get("/policies").text)
    admin.submit("/policies", {"default_action": "block"}, "/policies/default-action")
    assert settings.get(world.store).default_action == "block"
    assert "What no rule decides → block" in words(admin.get("/policies").text)
    admin.submit("/policies", {"default_action": "sometimes"}, "/policies/default-action")
    assert settings.get(world.store).default_action == "block"
    assert "Expected allow | block | approve" in words(admin.get("/policies").text)


def test_each_rule_says_how_often_it_was_hit(admin: Browser, world: World) -> None:
    for name, days in (("busy", 200), ("idle", 200), ("fresh", 3), ("old", 200), ("off", 200)):
        made = PolicyRule(name=name, action="block", enabled=name != "off")
        rules.create(world.store, BY, AT - timedelta(days=days), made)
    ran = (Ran("drop table t", "block", rule="busy"),) * 2
    record(world.store, Recorded("a", AT - timedelta(days=2), ran))
    record(world.store, Recorded("a", AT - timedelta(days=50), ran[:1]))
    long_ago = (Ran("drop table t", "block", rule="old"),)
    record(world.store, Recorded("a", AT - timedelta(days=95), long_ago))
    text = words(admin.get("/policies").text)
    assert "busy · 2 hits in 30 days, 3 in 90 , last 2 d ago" in text
    assert "idle · never hit for 90 days" in text
    assert "fresh · not hit yet, made 3 d ago" in text
    assert "old · never hit for 90 days last 2026-08-20" in text
    assert "2 rules decided nothing for 90 days: idle , old ." in text


def test_a_rule_that_approves_says_who_can_decide_and_when_nobody_can(
    admin: Browser, world: World
) -> None:
    fill(world)
    rule = PolicyRule(name="holds", action="approve", hours="Sat 10:00-12:00 Europe/Oslo")
    rules.create(world.store, BY, AT, rule)
    text = words(admin.get("/policies").text)
    assert "nobody can decide: refused at once" in text
    assert "now off, opens Sat 10:00 (Europe/Oslo)" in text
    world.person("bo@example.com", PermissionRole.APPROVER)
    world.person("cy@example.com", PermissionRole.APPROVER)
    assert "bo@example.com or 1 other can decide" in words(admin.get("/policies").text)
    rules.create(world.store, BY, AT, replace(rule, name="named", approvers="group:analysts"))
    assert "ana@example.com can decide" in words(admin.get("/policies").text)


def test_a_reader_sees_the_rules_and_no_way_to_change_them(world: World) -> None:
    add(world, "a")
    world.person("au@example.com", PermissionRole.AUDITOR)
    page = world.signed_in("au@example.com").get("/policies").text
    assert "rule-a" in page and "/policies/order" not in page and "/policies/rules" not in page


def test_changes_are_in_the_audit_log_with_whoever_made_them(admin: Browser, world: World) -> None:
    admin.submit("/policies/rules/new", FORM)
    event = audit.find(world.store, action="rule.create").items[0]
    assert (event.actor, event.via, event.subject) == ("ada@example.com", "browser", "no-ddl")


def test_hostile_words_are_shown_as_they_are(admin: Browser, world: World) -> None:
    add(world, "a", message="<script>alert(1)</script>", application_names=("<img src=x>",))
    page = admin.get("/policies").text
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_page_is_right_on_both_stores(make_world: Callable[..., World], both: World) -> None:
    del make_world
    both.person("ada@example.com", PermissionRole.ADMIN)
    add(both, "a", "b")
    record(both.store, Recorded("a", AT, (Ran("drop table t", "block", rule="a"),)))
    text = words(both.signed_in("ada@example.com").get("/policies").text)
    assert "1 hit in 30 days, 1 in 90" in text and "not hit yet" in text
