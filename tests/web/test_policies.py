"""Policies: the ordered rules, their form, order, proposals, what no rule decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

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


def test_a_rule_is_made_with_every_field(admin: Browser, world: World) -> None:
    fill(world)
    form = {
        "name": "holds",
        "action": "approve",
        "kinds": "ci",
        "named": "ana@example.com\ngroup:analysts\nci-nightly",
        "targets": "shop",
        "roles": "app_ro",
        "commands": "delete",
        "without_where": "yes",
        "tables": "public.orders\npublic.*",
        "columns": "*.*.ssn",
        "application_names": "ci-*, x",
        "sources": "10.2.0.0/16",
        "approvers": "group:analysts",
        "timeout": "10m",
        "retry": "1h",
        "message": "ask first",
        "enabled": "on",
    }
    assert admin.submit("/policies/rules/new", form).status_code == 303
    assert rules.get(world.store, "holds").rule == PolicyRule(
        name="holds",
        action="approve",
        who=("kind:ci", "identity:ana@example.com", "group:analysts", "identity:ci-nightly"),
        targets=("shop",),
        roles=("app_ro",),
        commands=("delete",),
        without_where=True,
        tables=("public.orders", "public.*"),
        columns=("*.*.ssn",),
        application_names=("ci-*, x",),
        sources=("10.2.0.0/16",),
        approvers="group:analysts",
        timeout_s=600,
        retry_s=3600,
        message="ask first",
    )
    shown = admin.get("/policies/rules/holds/edit").text
    for value in ("10m", "1h", "ask first", "*.*.ssn", "group:analysts"):
        assert value in shown
    assert "Approvals are not set up yet" in words(shown)
    before = rules.get(world.store, "holds")
    answer = admin.submit("/policies/rules/holds/edit", form)
    assert answer.status_code == 303
    assert rules.get(world.store, "holds") == before, "saving what is shown changes nothing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "-x"}, "Expected letters, digits"),
        ({"name": "default"}, "is what verdicts say when no rule decided"),
        ({"name": "taken"}, "There is already a rule called taken."),
        ({"kinds": ""}, "Say whom the rule is about"),
        ({"kinds": "", "named": "group:nobody"}, "nobody"),
        ({"kinds": "", "named": "someone"}, "someone"),
        ({"kinds": "martian"}, "martian"),
        ({"commands": "fly"}, "fly"),
        ({"action": "maybe"}, "Expected allow | block | approve"),
        ({"targets": "nowhere"}, "No target is called nowhere."),
        ({"roles": "nobody"}, "No target has an upstream role nobody."),
        ({"tables": "a.b.c.d"}, "Write schema.name"),
        ({"sources": "10.2.3.4/16"}, "Did you mean 10.2.0.0/16?"),
        ({"functions": "f", "tables": "t"}, "An effect is on a table or on a function"),
        ({"commands": "select", "without_where": "yes"}, "Only delete and update have a WHERE"),
        ({"action": "approve", "timeout": "soon"}, "Expected a time such as"),
        ({"action": "approve", "timeout": "30d"}, "Expected 1s to 7d"),
        ({"action": "approve", "approvers": "ana"}, "Expected group:NAME or identity:NAME"),
        ({"message": "a\u202eb"}, "Expected one line"),
    ],
)
def test_a_wrong_value_is_said_beside_its_field_and_nothing_is_made(
    admin: Browser, world: World, change: dict[str, str], said: str
) -> None:
    add(world, "taken")
    answer = admin.submit("/policies/rules/new", FORM | change)
    assert answer.status_code == 422
    assert said.lower() in words(answer.text).lower(), words(answer.text)
    assert 'role="alert"' in answer.text
    assert names(world) == ["taken"]


def test_rules_move_by_buttons_and_by_a_dragged_order(admin: Browser, world: World) -> None:
    add(world, "a", "b", "c")
    move = "/policies/order"
    admin.submit("/policies", {"name": "c", "direction": "up"}, move)
    assert names(world) == ["a", "c", "b"]
    admin.submit("/policies", {"name": "a", "direction": "up"}, move)
    assert names(world) == ["a", "c", "b"], "the first stays the first"
    part = admin.submit("/policies", {"name": "b", "order": "b\na\nc"}, move, HX_Request="true")
    assert names(world) == ["b", "a", "c"]
    assert part.status_code == 200 and part.text.lstrip().startswith('<div id="rules">')
    assert "b is now rule 1 of 3." in words(part.text)
    assert admin.submit("/policies", {"name": "x", "direction": "up"}, move).status_code == 404
    assert admin.submit("/policies", {"order": "a\nx"}, move).status_code == 404
    assert names(world) == ["b", "a", "c"]


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
    add(world, "busy", "idle", "old")
    ran = (Ran("drop table t", "block", rule="busy"),) * 2
    record(world.store, Recorded("a", AT - timedelta(days=2), ran))
    long_ago = (Ran("drop table t", "block", rule="old"),)
    record(world.store, Recorded("a", AT - timedelta(days=95), long_ago))
    text = words(admin.get("/policies").text)
    assert "busy · 2 hits in 90 days , last 2 d ago" in text
    assert "idle · never hit" in text
    assert "old · no hit in 90 days" in text


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
    assert "1 hit in 90 days" in text and "never hit" in text
