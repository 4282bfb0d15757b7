"""The try box: what would be decided, said by a page whose address can be pasted into a ticket."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from appliance.entities import MaskingRule, PermissionRole, PolicyRule
from appliance.masking.values import Method
from appliance.store import catalogs, masking_rules, rules
from tests.masking.catalogs import catalog
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from web.sql import EXTENSION

ASK = {"identity": "ci-nightly", "target": "shop", "sql": "drop table orders"}


@pytest.fixture
def ready(admin: Browser, world: World) -> Browser:
    """A browser on a target with a rule against DDL."""
    fill(world)
    rule = PolicyRule("no-ddl", "block", commands=("ddl",), message="use the <b>pipeline</b>")
    rules.create(world.store, BY, AT, rule)
    return admin


def ask(**changes: str) -> str:
    return f"/policies/try?{urlencode(ASK | changes)}"


def test_the_address_holds_all_that_is_asked(ready: Browser) -> None:
    text = words(ready.get(ask()).text)
    assert "would be refused no-ddl" in text
    assert 'ERROR: gatepost: blocked by rule "no-ddl": use the <b>pipeline</b>' in text
    assert 'HINT: Ask an admin of Gatepost about rule "no-ddl".' in text
    assert "ddl orders block no-ddl" in text
    assert "session as app_ro" in text


def test_what_is_allowed_says_so(ready: Browser) -> None:
    text = words(ready.get(ask(sql="show search_path")).text)
    assert "would run" in text and "ERROR" not in text


def test_a_built_in_rule_is_named(ready: Browser) -> None:
    text = words(ready.get(ask(sql="alter system set x = 1")).text)
    assert "would be refused built-in: alter-system" in text


def test_without_script_the_form_leads_to_the_address(ready: Browser) -> None:
    answer = ready.submit("/policies/try", ASK)
    assert answer.status_code == 303
    assert "sql=drop+table+orders" in answer.location
    assert "would be refused" in words(ready.get(answer.location).text)


def test_with_script_only_the_box_is_answered(ready: Browser) -> None:
    answer = ready.submit("/policies", ASK, "/policies/try", HX_Request="true")
    assert answer.status_code == 200 and "<html" not in answer.text
    assert "would be refused" in words(answer.text)
    assert "HX-Replace-Url" not in answer.headers
    here = "http://localhost:8080/policies/try"
    answer = ready.submit("/policies", ASK, "/policies/try", HX_Request="true", HX_Current_URL=here)
    assert answer.headers["HX-Replace-Url"].startswith("/policies/try?identity=ci-nightly")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"identity": ""}, "Whose session is it?"),
        ({"identity": "nobody"}, "There is no identity nobody"),
        ({"target": ""}, "Choose a target."),
        ({"target": "moon"}, "There is no target moon"),
        ({"role": "root"}, "has no upstream role root"),
        ({"identity": "ana@example.com"}, "has no grant on shop, so it would not get in"),
        ({"source": "home"}, "Expected an IP address"),
    ],
)
def test_what_cannot_be_asked_is_said_beside_its_field(
    ready: Browser, change: dict[str, str], said: str
) -> None:
    answer = ready.get(ask(**change))
    assert answer.status_code == 422
    assert said in words(answer.text)
    part = ready.submit("/policies", ASK | change, "/policies/try", HX_Request="true")
    assert part.status_code == 422 and said in words(part.text)


def test_nothing_typed_is_said(ready: Browser) -> None:
    part = ready.submit("/policies", ASK | {"sql": " "}, "/policies/try", HX_Request="true")
    assert part.status_code == 422 and "Type a statement." in words(part.text)


def test_a_statement_too_long_for_an_address_is_still_tried(ready: Browser) -> None:
    sql = "drop table orders; " + "select 1; " * 900
    answer = ready.submit("/policies", ASK | {"sql": sql}, "/policies/try")
    assert answer.status_code == 200
    assert "would be refused" in words(answer.text) and "Too long for a link" in answer.text
    huge = ready.submit("/policies", ASK | {"sql": "x" * 100_001}, "/policies/try")
    assert huge.status_code == 422
    assert "Up to 100,000 characters can be tried here." in words(huge.text)


HOSTILE: tuple[Callable[[], str], ...] = (
    lambda: "select " + "(" * 30_000 + ")" * 30_000,
    lambda: "/*" * 20_000 + "*/" * 20_000 + " select 1",
    lambda: "select " + "not " * 20_000 + "true",
    lambda: "select '\x00'",
    lambda: "select " + "+".join(["1"] * 40_000),
    lambda: "; drop table x" * 6_000,
)


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_statement_gets_an_answer_and_hurts_nothing(
    ready: Browser, world: World, make: Callable[[], str]
) -> None:
    try:
        answer = ready.submit("/policies", ASK | {"sql": make()}, "/policies/try")
        assert answer.status_code in (200, 303, 422), answer.status_code
        assert "Gatepost has a fault" not in answer.text
        assert "would be refused" in words(ready.get(ask()).text)
    finally:
        world.app.extensions[EXTENSION].planner.close()


def test_markup_in_a_statement_stays_text(ready: Browser) -> None:
    page = ready.get(ask(sql='drop table "<script>alert(1)</script>"')).text
    assert "<script>alert(1)" not in page and "&lt;script&gt;" in page


def test_a_hold_says_who_can_decide_it_now(ready: Browser, world: World) -> None:
    holds = PolicyRule("asks", "approve", commands=("session",))
    rules.create(world.store, BY, AT, holds)
    text = words(ready.get(ask(sql="set work_mem = '1MB'")).text)
    assert "would wait for a human asks" in text and "Nobody can decide it now" in text
    world.person("bo@example.com", PermissionRole.APPROVER)
    text = words(ready.get(ask(sql="set work_mem = '1MB'")).text)
    assert "Can decide it now: bo@example.com." in text and "ERROR" not in text


def test_a_rule_on_rows_says_from_how_many_on_it_decides(ready: Browser, world: World) -> None:
    catalog = (
        b'{"version": 180000, "schemas": ["public"],'
        b' "relations": [[16400, "public", "orders", "r", 0, [[1, "id", "int4"]]]]}'
    )
    catalogs.put(world.store, AT, "shop", "shop", catalog)
    rules.create(world.store, BY, AT, PolicyRule("bulk", "block", rows_over=1000))
    text = words(ready.get(ask(sql="delete from orders where id = 1")).text)
    assert "would run no rule: default action" in text
    assert "With more than 1,000 rows: would be refused bulk" in text
    text = words(ready.get(ask(sql="delete from orders where id = 1", rows="1,001")).text)
    assert "would be refused bulk" in text and "With more than" not in text
    assert "1,001 rows (limit 1,000)" in text
    answer = ready.get(ask(rows="many"))
    assert answer.status_code == 422 and "Expected a number of rows" in words(answer.text)


def test_hours_count_as_they_are_now(ready: Browser, world: World) -> None:
    for name, hours in (("by-day", "Mon 08:00-18:00"), ("by-night", "Mon 22:00-06:00")):
        made = PolicyRule(name, "block", commands=("session",), hours=hours)
        rules.create(world.store, BY, AT, made)
    text = words(ready.get(ask(sql="set work_mem = '1MB'")).text)  # it is Monday, 12:00 UTC
    assert "would be refused by-day" in text and "by-night" not in text


def test_masked_outputs_come_with_rule_and_lineage(ready: Browser, world: World) -> None:
    cards = MaskingRule(0, "cards", "shop", ("*.customers.card",), Method.PARTIAL)
    masking_rules.create(world.store, BY, AT, cards)
    known = catalog({"public.customers": (100, ("id", "card"))}, schemas=["public"])
    catalogs.put(world.store, AT, "shop", "shop", known.to_json())
    page = ready.get(ask(sql="select id, card, upper(card) as shout from customers")).text
    text = words(page)
    assert "would run" in text
    assert "card partial public.customers.card, masked by cards (partial)" in text
    assert "shout redact computed from public.customers.card through upper(), replaced" in text
    assert "in PostgreSQL's own words, without values" in text
    untouched = words(ready.get(ask(sql="select id from customers")).text)
    assert "Output Masked" not in untouched
    refused = ready.get(ask(sql="insert into customers (id) select card from customers")).text
    assert "would be refused cards" in words(refused)
    assert 'href="/masking#rule-cards"' in refused
    unknown = words(ready.get(ask(sql="do 'begin end'")).text)
    assert "would be refused masking" in unknown
