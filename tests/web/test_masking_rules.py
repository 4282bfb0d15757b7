"""One masking rule: its form, what it comes to while it is typed, switch, remove, put back."""

from __future__ import annotations

from appliance.entities import PermissionRole
from appliance.masking.values import Method
from appliance.store import audit, masking_rules
from tests.web.browsing import Browser, words
from tests.web.conftest import World
from tests.web.masked import add, rules_of, with_shop

NEW = "/masking/rules/new"
WORDS = "/masking/rules/words"
FORM = {
    "name": "cards",
    "target": "shop",
    "columns": "public.customers.card_number",
    "method": "partial",
    "mode": "lenient",
    "enabled": "on",
}


def test_a_rule_is_made_with_all_that_the_form_has(both: World) -> None:
    with_shop(both)
    both.person("ada@example.com", PermissionRole.ADMIN)
    admin = both.signed_in("ada@example.com")
    form = {
        **FORM,
        "columns": "public.customers.card_number\n\n*.leads.phone",
        "method": "fixed",
        "value": "hidden",
        "mode": "strict",
        "kinds": ["service", "ci"],
        "named": "group:pci\nana@example.com",
    }
    answer = admin.submit(NEW, form)  # type: ignore[arg-type]
    assert answer.status_code == 303 and answer.location.endswith("/masking#rule-cards")
    rule = rules_of(both)["cards"]
    assert rule.columns == ("public.customers.card_number", "*.leads.phone")
    assert (rule.method, rule.value, rule.mode.value) == (Method.FIXED, "hidden", "strict")
    assert rule.exempt == ("kind:service", "kind:ci", "group:pci", "identity:ana@example.com")
    edit = admin.get("/masking/rules/cards/edit").text
    assert "public.customers.card_number\n*.leads.phone</textarea>" in edit
    assert 'value="hidden"' in edit and "group:pci\nidentity:ana@example.com</textarea>" in edit
    assert admin.submit("/masking/rules/cards/edit", {**FORM, "name": "pans"}).status_code == 303
    rule = rules_of(both)["pans"]
    assert (rule.method, rule.value, rule.mode.value, rule.exempt) == (
        Method.PARTIAL,
        None,
        "lenient",
        (),
    )
    (event,) = audit.find(both.store, action="masking.change").items
    assert event.actor == "ada@example.com"


def test_the_form_begins_with_what_a_link_says(admin: Browser, world: World) -> None:
    with_shop(world)
    add(world, "card-numbers", "public.x.y")
    link = f"{NEW}?column=public.customers.card_number&method=partial&name=card-numbers"
    html = admin.get(link).text
    assert "public.customers.card_number</textarea>" in html
    assert 'name="name" type="text" value="card-numbers-2"' in html, "a name that is free"
    assert '<option value="partial" selected>' in html
    assert '<input id="target" name="target" value="shop" readonly>' in html, "there is one only"


def test_what_it_does_is_said_while_it_is_typed(admin: Browser, world: World) -> None:
    with_shop(world)
    text = words(admin.submit(NEW, {**FORM, "named": "group:pci"}, WORDS, HX_Request="true").text)
    assert text == (
        "What it does Everyone but group pci sees public.customers.card_number on shop as its "
        "last characters 1 column now: public.customers.card_number text 4111111111111111 "
        "************1111 Made-up values. A masked sample of the real ones is on the target's "
        "page. Masked for ana@example.com. bo@example.com sees the values."
    )
    many = words(admin.submit(NEW, {**FORM, "columns": "*.*.*", "method": "null"}, WORDS).text)
    assert "9 columns now, the first 6 of them:" in many and "NULL" in many
    assert "Nobody who reaches it sees the values" in many
    wrong = words(admin.submit(NEW, {**FORM, "columns": "public.customers.birth_date"}, WORDS).text)
    assert "Partial is for texts, not for date: use redact or null." in wrong
    none = words(admin.submit(NEW, {**FORM, "columns": "public.no.such"}, WORDS).text)
    assert "No column of the catalog is called so." in none
    half = words(admin.submit(NEW, {**FORM, "columns": "public.cust"}, WORDS).text)
    assert "expected schema.table.column" in half.lower()
    assert "Choose a target" in words(admin.submit(NEW, {"method": "redact"}, WORDS).text)
    assert "Choose a target" in words(admin.submit(NEW, {**FORM, "method": "x"}, WORDS).text)
    assert rules_of(world) == {}


def test_each_methods_result_can_be_seen_for_a_made_up_value(admin: Browser, world: World) -> None:
    with_shop(world)
    asked = "/masking/preview?type=text&kind=card number"
    assert words(admin.get(f"{asked}&method=partial").text) == "************1111"
    assert words(admin.get(f"{asked}&method|public.customers.a=redact").text) == "***"
    assert words(admin.get(f"{asked}&method=null").text) == "NULL"
    assert words(admin.get("/masking/preview?type=date&method=partial").text) == ""
    assert words(admin.get("/masking/preview?type=x&kind=y&method=z").text) == ""


def test_wrong_values_stand_beside_their_fields_and_nothing_is_stored(
    admin: Browser, world: World
) -> None:
    with_shop(world)
    add(world, "taken", "public.x.y")
    for change, said in (
        ({"name": ""}, "Expected letters, digits"),
        ({"name": "taken"}, "There is already a masking rule called taken"),
        ({"target": "nope"}, "No target is called nope"),
        ({"columns": ""}, "Expected at least one column"),
        ({"columns": "customers.ssn"}, "Expected schema.table.column"),
        ({"method": "rot13"}, "Choose a method."),
        ({"mode": "loose"}, "Choose lenient or strict."),
        ({"columns": "public.customers.birth_date"}, "partial is for texts"),
        ({"named": "group:nope"}, "No group is called nope"),
        ({"named": "nobody"}, "*, identity:NAME, group:NAME"),
        ({"named": "*"}, "Would exempt everybody"),
    ):
        answer = admin.submit(NEW, {**FORM, **change})
        assert answer.status_code == 422, change
        assert said in words(answer.text), change
        assert list(rules_of(world)) == ["taken"], change


def test_a_rule_is_switched_off_and_on(admin: Browser, world: World) -> None:
    with_shop(world)
    add(world, "cards", "public.customers.card_number")
    answer = admin.submit("/masking", {}, "/masking/rules/cards/switch")
    assert not rules_of(world)["cards"].enabled
    text = words(admin.get(answer.location).text)
    assert "cards is switched off: its columns come in clear." in text
    assert "redact switched off" in text
    assert "cards (off)" in words(admin.get("/masking/targets/shop?q=card").text)
    admin.submit("/masking", {"enabled": "on"}, "/masking/rules/cards/switch")
    assert rules_of(world)["cards"].enabled


def test_a_rule_is_removed_after_its_consequences_and_can_come_back(
    admin: Browser, world: World
) -> None:
    with_shop(world)
    add(world, "cards", "*.*.card_number", method=Method.FIXED, value="x", exempt=("group:pci",))
    before = masking_rules.get(world.store, "cards").rule
    asked = words(admin.get("/masking/rules/cards/remove").text)
    assert "ana@example.com sees these values in clear, unless another rule covers them." in asked
    answer = admin.submit("/masking/rules/cards/remove", {})
    assert rules_of(world) == {}
    assert "cards was removed" in words(admin.get(answer.location).text)
    back = admin.submit(answer.location, {"name": "cards"}, "/masking/rules/restore")
    assert back.status_code == 303
    after = rules_of(world)["cards"]
    assert (after.columns, after.method, after.value, after.exempt) == (
        before.columns,
        before.method,
        before.value,
        before.exempt,
    )
    assert "was removed" not in words(admin.get(answer.location).text)
    nothing = admin.submit("/masking", {"name": "never"}, "/masking/rules/restore")
    assert nothing.status_code == 404
    assert admin.get("/masking/rules/nope/edit").status_code == 404


def test_an_identity_says_which_rules_bite_it(admin: Browser, world: World) -> None:
    with_shop(world)
    add(world, "cards", "*.*.card_number", exempt=("group:pci",))
    add(world, "mails", "*.*.email")
    add(world, "off", "*.*.phone", enabled=False)
    assert "Masked on shop by cards , mails" in words(admin.get("/identities/ana@example.com").text)
    assert "Masked on shop by mails" in words(admin.get("/identities/bo@example.com").text)
    assert "Masked" not in words(admin.get("/identities/ada@example.com").text), "it has no grant"
    mine = words(world.signed_in("ana@example.com").get("/me").text)
    assert "Some columns come masked for you, by cards , mails . An admin can exempt you." in mine


def test_the_audit_log_has_masking_among_what_it_filters_by(admin: Browser, world: World) -> None:
    with_shop(world)
    add(world, "cards", "*.*.card_number")
    assert "masking rules, and values looked at" in words(admin.get("/audit").text)
