"""The form of a policy rule: every field, what is refused beside it, what it comes to in words."""

from __future__ import annotations

from appliance.entities import PermissionRole, PolicyRule
from appliance.store import audit, rules
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.test_policies import FORM, add, names


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
        "hours": "Mon-Fri 08:00-18:00 Europe/Oslo",
        "rows_over": "1,000",
        "approvers": "group:analysts",
        "owner_may_approve": "on",
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
        hours="Mon-Fri 08:00-18:00 Europe/Oslo",
        rows_over=1000,
        approvers="group:analysts",
        owner_may_approve=True,
        timeout_s=600,
        retry_s=3600,
        message="ask first",
    )
    shown = admin.get("/policies/rules/holds/edit").text
    for value in ("10m", "1h", "ask first", "*.*.ssn", "group:analysts", "1000", "Europe/Oslo"):
        assert value in shown
    before = rules.get(world.store, "holds")
    answer = admin.submit("/policies/rules/holds/edit", form)
    assert answer.status_code == 303
    assert rules.get(world.store, "holds") == before, "saving what is shown changes nothing"


WRONG: tuple[tuple[dict[str, str], str], ...] = (
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
    ({"approvers": "group:analysts"}, "Only a rule that approves has approvers: empty this."),
    ({"owner_may_approve": "on"}, "Only a rule that approves has an owner who may approve"),
    ({"timeout": "10m"}, "Only a rule that approves has a time to wait"),
    ({"action": "allow", "retry": "10m"}, "Only a rule that approves has a time to retry"),
    ({"rows_over": "many"}, "Expected a number of rows such as 1000."),
    ({"rows_over": "-5"}, "Expected a number of rows such as 1000."),
    ({"rows_over": "\u0661"}, "Expected a number of rows such as 1000."),
    ({"rows_over": "9" * 16}, "Expected a number of rows such as 1000."),
    ({"rows_over": "5", "action": "allow"}, "never allow more"),
    ({"rows_over": "5", "commands": "ddl"}, "have rows that are counted"),
    ({"hours": "sometimes"}, "Expected hours like 'Mon-Fri 00:00-06:00 Europe/Oslo'"),
    ({"hours": "Mon 08:00-09:00 Mars/Olympus"}, "Unknown time zone 'Mars/Olympus'"),
    ({"message": "a\u202eb"}, "Expected one line"),
)


def test_a_wrong_value_is_said_beside_its_field_and_nothing_is_made(
    admin: Browser, world: World
) -> None:
    fill(world)
    add(world, "taken")
    for change, said in WRONG:
        answer = admin.submit("/policies/rules/new", FORM | change)
        assert answer.status_code == 422, change
        assert said.lower() in words(answer.text).lower(), (change, words(answer.text))
        assert 'role="alert"' in answer.text
    assert names(world) == ["taken"]


def asked(admin: Browser, **fields: str) -> str:
    """Return what the card beside the form says about a rule as typed."""
    page = admin.submit(
        "/policies/rules/new", FORM | fields, "/policies/rules/words", HX_Request="true"
    )
    assert page.status_code == 200
    return words(page.text)


def test_a_rule_as_typed_is_said_in_words_and_nothing_is_made(admin: Browser, world: World) -> None:
    fill(world)
    said = asked(admin, commands="update", rows_over="1000", targets="shop")
    assert "Everyone may not run update of more than 1,000 rows on shop → block" in said
    assert "decide" not in said.replace("decides nothing", "")
    assert "it decides nothing" in asked(admin, enabled="")
    assert "Not a rule yet. Say whom the rule is about" in asked(admin, kinds="")
    assert names(world) == [] and not audit.find(world.store, action="rule.create").items


def test_hours_say_whether_they_are_on_now(admin: Browser) -> None:
    for hours, said in (  # it is Monday, 12:00 UTC
        ("Mon 08:00-18:00", "now inside its hours until Mon 18:00 (UTC)"),
        ("Mon-Fri 00:00-06:00 Europe/Oslo", "now outside of its hours opens Tue 00:00 (Eur"),
        ("daily 00:00-24:00", "now inside its hours always"),
        ("Mon 22:00-02:00 America/New_York", "opens Mon 22:00 (America/New_York)"),
    ):
        assert said in asked(admin, hours=hours), hours


def test_who_can_decide_is_said_and_when_nobody_can(admin: Browser, world: World) -> None:
    fill(world)
    nobody = asked(admin, action="approve")
    assert "Nobody can decide it now." in nobody and "permission role approver" in nobody
    alone = asked(admin, action="approve", approvers="group:analysts", timeout="5m")
    assert "Can decide now: ana@example.com. Alone: what ana@example.com asks for has" in alone
    assert "A statement waits up to 5m, inside a transaction up to 2m" in alone
    machines = asked(admin, action="approve", approvers="group:analysts", kinds="ci")
    assert "Can decide now: ana@example.com." in machines and "Alone" not in machines
    world.person("bo@example.com", PermissionRole.APPROVER)
    world.person("cy@example.com", PermissionRole.APPROVER)
    said = asked(admin, action="approve", retry="15m")
    assert "Can decide now: bo@example.com, cy@example.com." in said
    assert "passes once within 15m" in said
    gone = asked(admin, action="approve", approvers="identity:ci-nightly")
    assert "Nobody active answers to ci-nightly." in gone


def test_the_form_offers_groups_and_people_as_approvers(admin: Browser, world: World) -> None:
    fill(world)
    rule = PolicyRule(name="r", action="approve", approvers="identity:ci-nightly")
    rules.create(world.store, BY, AT, rule)
    new = admin.get("/policies/rules/new").text
    assert '<option value="group:analysts">analysts</option>' in new
    assert '<option value="identity:ana@example.com">ana@example.com</option>' in new
    assert "identity:ci-nightly" not in new, "machines decide nothing"
    edit = admin.get("/policies/rules/r/edit").text
    assert '<option value="identity:ci-nightly" selected>' in edit, "what is stored is kept"
