"""Every column with the rules that cover it and what it looks like."""

from __future__ import annotations

import json
from dataclasses import replace

from appliance.entities import MaskingRule
from appliance.masking.classify import Confidence, Kind
from appliance.masking.survey import Survey, pattern_part
from appliance.masking.values import Method
from appliance.sql.catalog import Catalog

CARDS = ("4242424242424242", "5555555555554444", "4012888888881881", "378282246310005")


def catalog(*extra: object, **more: object) -> Catalog:
    relations = [
        [16400, "public", "customers", "r", 0, [
            [1, "id", "int4"], [2, "email", "public.mail"], [3, "card_number", "text"],
            [4, "tags", "_text"], [5, "note", "text"], [6, "mood", "public.mood"]]],
        [16401, "public", "payments", "p", 0, [[1, "id", "int4"], [2, "iban", "text"]]],
        [16402, "public", "payments_1", "r", 0, [[1, "id", "int4"], [2, "iban", "text"]]],
        [16403, "public", "customer_list", "v", 0, [[1, "email", "public.mail"]]],
        [16404, "sales", "A.b", "r", 0, [[1, "E*mail", "text"]]],
        [1259, "pg_catalog", "pg_class", "r", 0, None],
        *extra,
    ]  # fmt: skip
    types = [
        [16500, "public", "mail", "d", 0, 16501, 0, True],
        [16501, "public", "short", "d", 0, 1043, 0, False],
        [16502, "public", "mood", "e", 0, 0, 0],
        [16503, "public", "names", "d", 0, 1009, 0, False],
    ]
    value = {
        "version": 180000, "schemas": ["public", "sales"], "relations": relations,
        "inherits": [[16402, 16401]], "type_rows": types, **more,
    }  # fmt: skip
    return Catalog.from_json(json.dumps(value).encode())


def rule(name: str, *columns: str, **more: object) -> MaskingRule:
    made = MaskingRule(1, name, "shop", columns, Method.REDACT, None)
    return replace(made, **more)  # type: ignore[arg-type]


def by_name(survey: Survey, **more: object) -> dict[str, object]:
    return {seen.name: seen for seen in survey.all(**more)}  # type: ignore[arg-type]


def test_columns_are_listed_with_the_rules_in_order() -> None:
    rules = (
        rule("off", "public.customers.email", enabled=False),
        rule("mails", "*.*.email"),
        rule("ibans", "public.payments.iban"),
    )
    survey = Survey(catalog(), rules)
    found = {seen.name: seen for seen in survey.all()}
    email = found["public.customers.email"]
    assert [cover.rule.name for cover in email.covers] == ["off", "mails"]
    assert email.live is not None and email.live.rule.name == "mails"
    part = found["public.payments_1.iban"]
    assert part.live is not None and part.live.rule.name == "ibans", "a parent's rule"
    assert found["public.customer_list.email"].live is not None
    assert found["public.customers.card_number"].live is None
    assert 'sales."A.b"."E*mail"' in found and not any("pg_class" in name for name in found)


def test_what_looks_sensitive_and_has_no_rule_is_uncovered() -> None:
    survey = Survey(catalog(), (rule("mails", "*.customers.email"),))
    names = [seen.name for seen in survey.uncovered()]
    assert names == [
        "public.customers.card_number",
        "public.payments.iban",
        'sales."A.b"."E*mail"',
    ], "neither views nor partitions are named for themselves"
    switched_off = Survey(catalog(), (rule("ibans", "*.*.iban", enabled=False),))
    assert "public.payments.iban" in [seen.name for seen in switched_off.uncovered()]


def test_values_make_a_suggestion_surer_or_a_new_one() -> None:
    survey = Survey(catalog())
    values = {
        (16400, 3): CARDS,
        (16400, 4): ('["a@b.example", "c@d.example"]', "[null]"),
        (16400, 5): ("paid", "later"),
    }
    found = {seen.column.name: seen.suggestion for seen in survey.all(values)}
    card, tags = found["card_number"], found["tags"]
    assert card is not None and card.confidence is Confidence.HIGH
    assert card.evidence.startswith("4 of 4 values pass Luhn")
    assert tags is not None and (tags.kind, tags.method) == (Kind.EMAIL, Method.REDACT)
    assert found["note"] is None and found["mood"] is None
    first = survey.uncovered(values)[0]
    assert first.suggestion is not None and first.suggestion.confidence is Confidence.HIGH


def test_a_domain_is_what_it_is_over_and_its_check_leaves_only_null() -> None:
    survey = Survey(catalog())
    assert survey.base("public.mail") == "text"
    assert survey.base("public.names") == "_text"
    assert survey.base("public.mood") == "public.mood"
    assert survey.base("int4") == "int4"
    found = {seen.name: seen.suggestion for seen in survey.all()}
    checked = found["public.customers.email"]
    assert checked is not None and checked.method is Method.NULL
    asked = {relation.name.name: columns for relation, columns in survey.to_look_at()}
    assert [name for _, name, _ in asked["customers"]] == [
        "id",
        "email",
        "card_number",
        "tags",
        "note",
    ]
    assert "payments_1" not in asked and "customer_list" not in asked
    assert (4, "tags", True) in asked["customers"]


def test_names_are_quoted_where_a_pattern_would_read_them_otherwise() -> None:
    assert [pattern_part(name) for name in ("plain", "Card No", "a.b", 'q"', " x", "*")] == [
        "plain",
        "Card No",
        '"a.b"',
        '"q"""',
        '" x"',
        '"*"',
    ]
