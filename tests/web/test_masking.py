"""Masking: targets, the ordered rules as sentences, what is uncovered, suggestions accepted."""

from __future__ import annotations

from datetime import timedelta

from appliance.entities import PermissionRole
from appliance.masking.values import Method
from appliance.store import audit, snapshots, targets
from appliance.store.targets import TargetSpec
from tests.harness.postgres import Database
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.masked import SECRETS, add, rules_of, with_shop
from web.masking_surveys import EXTENSION, Surveys, survey_of

ORDER = "/masking/order"
ACCEPT = "/masking/uncovered/accept"
LOOK = "/masking/uncovered/look"
EMAIL = "e-mail address|email|16400|public.customers.email"
CARD = "card number|partial|16400|public.customers.card_number"
BIRTH = "date of birth|zero-date|16400|public.customers.birth_date"
PHONE = "phone number|partial|16402|sales.leads.phone"


def test_without_a_target_the_page_says_what_comes_first(admin: Browser) -> None:
    text = words(admin.get("/masking").text)
    assert "No targets yet" in text and "Register a target" in text


def test_the_page_says_what_each_target_has_and_the_rules_as_sentences(
    admin: Browser, world: World
) -> None:
    with_shop(world)
    text = words(admin.get("/masking").text)
    assert "4 columns look sensitive and have no rule. See them, with why" in text
    assert "4 tables · no column covered 4 columns look sensitive" in text
    assert "No rules yet Every column comes in clear" in text
    add(
        world, "cards", "public.customers.card_number", method=Method.PARTIAL, exempt=("group:pci",)
    )
    add(world, "nothing", "*.*.no_such", method=Method.NULL, mode="strict", exempt=("kind:ci",))
    text = words(admin.get("/masking").text)
    assert (
        "Everyone but group pci sees public.customers.card_number on shop as its last characters "
        "cards · partial · 1 column now · masked for ana@example.com ; bo@example.com sees the "
        "values" in text
    )
    assert (
        "Everyone but CI jobs sees *.*.no_such on shop as NULL , and may use it in no condition "
        "or expression nothing · null · strict covers no column now · masked for ana@example.com, "
        "bo@example.com ; nobody is exempt now" in text
    )
    assert "3 columns look sensitive and have no rule" in text


def test_a_target_whose_catalog_was_not_read_is_said(admin: Browser, world: World) -> None:
    targets.create(world.store, BY, AT, TargetSpec("crm", "crm.internal", "crm"))
    assert "Its catalog was not read yet." in words(admin.get("/masking").text)
    assert "Its catalog was not read yet. Read it" in words(admin.get("/masking/uncovered").text)
    text = words(admin.get("/masking/targets/crm").text)
    assert "Nothing is known of its columns" in text and "Read the catalog" in text
    answer = admin.submit("/masking/targets/crm", {}, "/masking/targets/crm/read")
    assert "has no upstream role" in words(admin.get(answer.location).text)


def test_rules_move_by_buttons_and_by_a_dragged_order(admin: Browser, world: World) -> None:
    with_shop(world)
    for name in ("a", "b", "c"):
        add(world, name, "*.*.email")
    answer = admin.submit("/masking", {"name": "c", "direction": "up"}, ORDER)
    assert list(rules_of(world)) == ["a", "c", "b"]
    assert "c is now rule 2 of 3, after a." in words(admin.get(answer.location).text)
    admin.submit("/masking", {"name": "a", "direction": "up"}, ORDER)
    assert list(rules_of(world)) == ["a", "c", "b"], "the first stays the first"
    part = admin.submit("/masking", {"name": "b", "order": "b\na\nc"}, ORDER, HX_Request="true")
    assert list(rules_of(world)) == ["b", "a", "c"]
    assert part.text.lstrip().startswith('<div id="rules">')
    assert "b is now rule 1 of 3, the first of all." in words(part.text)
    assert admin.submit("/masking", {"name": "x", "direction": "up"}, ORDER).status_code == 404
    assert admin.submit("/masking", {"order": "a\nx"}, ORDER).status_code == 404
    assert list(rules_of(world)) == ["b", "a", "c"]


def test_one_suggestion_is_accepted(admin: Browser, world: World) -> None:
    with_shop(world)
    text = words(admin.get("/masking/uncovered").text)
    assert "shop Look at a few values 4 columns by names and types." in text
    assert "card_number text medium card number: named like a card number" in text
    answer = admin.submit("/masking/uncovered", {"target": "shop", "only": CARD}, ACCEPT)
    assert answer.status_code == 303 and answer.location.endswith("/masking/uncovered")
    (rule,) = rules_of(world).values()
    assert (rule.name, rule.columns, rule.method, rule.exempt) == (
        "card-numbers",
        ("public.customers.card_number",),
        Method.PARTIAL,
        (),
    )
    shown = words(admin.get("/masking/uncovered").text)
    assert "1 column is covered by card-numbers." in shown
    assert "card_number" not in shown, "what a rule covers is no longer suggested"
    (event,) = audit.find(world.store, action="masking.create").items
    assert (event.actor, event.subject) == ("ada@example.com", "card-numbers")


def test_a_table_and_what_is_ticked_are_accepted_with_chosen_methods_and_exemptions(
    admin: Browser, world: World
) -> None:
    with_shop(world)
    offered = {"target": "shop", "offered": [EMAIL, CARD, BIRTH, PHONE]}
    chosen = {
        **offered,
        "table": "16400",
        "exempt": "group:pci, ana@example.com",
        "method|public.customers.email": "hash",
    }
    admin.submit("/masking/uncovered", chosen, ACCEPT)  # type: ignore[arg-type]
    found = rules_of(world)
    assert {name: (rule.columns, rule.method) for name, rule in found.items()} == {
        "email-addresses": (("public.customers.email",), Method.HASH),
        "card-numbers": (("public.customers.card_number",), Method.PARTIAL),
        "dates-of-birth": (("public.customers.birth_date",), Method.ZERO_DATE),
    }
    assert {rule.exempt for rule in found.values()} == {("group:pci", "identity:ana@example.com")}
    ticked = {**offered, "pick": [PHONE]}
    admin.submit("/masking/uncovered", ticked, ACCEPT)  # type: ignore[arg-type]
    assert rules_of(world)["phone-numbers"].columns == ("sales.leads.phone",)
    assert "Nothing looks sensitive by its name or type that has no rule." in words(
        admin.get("/masking/uncovered").text
    )


def test_accepting_joins_a_rule_that_says_the_same_and_makes_another_where_it_does_not(
    admin: Browser, world: World
) -> None:
    with_shop(world)
    add(world, "phone-numbers", "public.x.y", method=Method.PARTIAL)
    add(world, "email-addresses", "public.x.y", method=Method.EMAIL, exempt=("group:pci",))
    everything = {"target": "shop", "all": "on", "offered": [EMAIL, PHONE]}
    admin.submit("/masking/uncovered", everything, ACCEPT)  # type: ignore[arg-type]
    found = rules_of(world)
    assert found["phone-numbers"].columns == ("public.x.y", "sales.leads.phone")
    assert found["email-addresses"].columns == ("public.x.y",), "its exemptions are others"
    assert found["shop-email-addresses"].columns == ("public.customers.email",)


def test_what_cannot_be_accepted_changes_nothing(admin: Browser, world: World) -> None:
    with_shop(world)
    page = "/masking/uncovered"
    none = admin.submit(page, {"target": "shop"}, ACCEPT)
    assert "Nothing was chosen" in words(admin.get(none.location).text)
    wrong = "date of birth|partial|16400|public.customers.birth_date"
    picked = {"target": "shop", "pick": [EMAIL, wrong]}
    answer = admin.submit(page, picked, ACCEPT)  # type: ignore[arg-type]
    said = words(admin.get(answer.location).text)
    assert "Nothing was changed." in said and "partial is for texts, not for date" in said
    unknown = admin.submit(page, {"target": "shop", "only": EMAIL, "exempt": "group:nope"}, ACCEPT)
    assert "No group is called nope" in words(admin.get(unknown.location).text)
    for bad in ("x|y|z|q", "e-mail address|email|16400", "", "|||"):
        only = {"target": "shop", "pick": [bad]}
        assert admin.submit(page, only, ACCEPT).status_code == 404, bad  # type: ignore[arg-type]
    assert admin.submit(page, {"target": "x", "only": EMAIL}, ACCEPT).status_code == 404
    assert rules_of(world) == {}


def test_a_few_values_are_looked_at_and_none_of_them_is_shown(
    admin: Browser, world: World, database: Database
) -> None:
    with_shop(world, database)
    before = words(admin.get("/masking/uncovered").text)
    assert "2 columns by names and types." in before and "note" not in before
    asked = {"target": "shop", "database": database.name}
    part = admin.submit("/masking/uncovered", asked, LOOK, HX_Request="true")
    text = words(part.text)
    assert text.startswith("shop Look again 3 columns by names, types and a few values of each")
    assert (
        "card_number text high card number: 4 of 4 values pass Luhn and begin like a card number; "
        "named like a card number" in text
    )
    assert "email text high e-mail address: 20 of 20 values are e-mail addresses" in text
    assert "note text medium e-mail address:" in text and "contain an e-mail address" in text
    assert "things" not in text
    assert not any(secret in part.text for secret in SECRETS)
    whole = admin.submit("/masking/uncovered", asked, LOOK)
    assert "Look again" in words(whole.text) and "<html" in whole.text
    only = "e-mail address|redact|1|public.customers.note"
    admin.submit("/masking/uncovered", {"target": "shop", "only": only}, ACCEPT)
    left = words(admin.get("/masking/uncovered").text)
    assert "2 columns by names, types and a few values of each" in left, "it goes on from there"
    assert "note" not in left and "4 of 4 values pass Luhn" in left
    world.clock.advance(timedelta(minutes=16))
    assert "2 columns by names and types." in words(admin.get("/masking/uncovered").text)
    looks = audit.find(world.store, action="masking.look").items
    assert [(e.actor, e.subject, e.detail["tables"]) for e in looks] == [
        ("ada@example.com", "shop", 2)
    ] * 2
    log = database.log()
    assert "4242424242424242" not in log.partition("FROM ONLY")[2]


def test_a_target_that_cannot_be_reached_is_said_on_the_page(admin: Browser, world: World) -> None:
    with_shop(world)
    asked = {"target": "shop", "database": "shop"}
    text = words(admin.submit("/masking/uncovered", asked, LOOK).text)
    assert "db.internal does not resolve" in text
    assert "4 columns by names and types." in text, "what is known without it still stands"


def test_values_are_read_by_one_at_a_time(admin: Browser, world: World) -> None:
    with_shop(world)
    asked = {"target": "shop", "database": "shop"}
    with world.app.test_request_context():
        snapshot = snapshots.load(world.store, AT)
        read = survey_of(snapshot, snapshot.targets["shop"], "shop")
        surveys: Surveys = world.app.extensions[EXTENSION]
        assert read is not None
        with surveys.alone(read):
            text = words(admin.submit("/masking/uncovered", asked, LOOK).text)
            assert "Somebody is reading values of shop just now: try again" in text
    text = words(admin.submit("/masking/uncovered", asked, LOOK).text)
    assert "just now" not in text and "db.internal" in text


def test_auditors_read_and_change_nothing(world: World) -> None:
    with_shop(world)
    add(world, "mails", "public.customers.email")
    world.person("aud@example.com", PermissionRole.AUDITOR)
    auditor = world.signed_in("aud@example.com")
    pages = ("/masking", "/masking/uncovered", "/masking/targets/shop?q=customers")
    for path in pages:
        text = auditor.get(path).text
        assert "customers" in text
        for word in ("/masking/rules/", "Mask all", ">Mask<", "Add a rule", 'name="pick"'):
            assert word not in text, (path, word)
