"""What policy test and the try box say of masks: the output, its columns, the rule, the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.entities import (
    Grant,
    Identity,
    IdentityKind,
    MaskingRule,
    MaskMode,
    Settings,
    Snapshot,
    SslMode,
    Target,
    UpstreamRole,
)
from appliance.masking.values import Method
from appliance.policy.trial import Trial, TrialMask, imagine, try_statement
from appliance.policy.verdict import Action
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from tests.masking.catalogs import catalog

CARDS = MaskingRule(0, "card-numbers", "shop", ("public.customers.card_number",), Method.PARTIAL)
SHOP = Target(1, "shop", "db", 5432, "shop", SslMode.PREFER, "", (UpstreamRole("app_ro"),), "")
ANA = Identity(1, "ana@example.com", IdentityKind.HUMAN)
KNOWN = catalog(
    {
        "public.customers": (20000, ("id", "card_number", "email")),
        "public.v_cards": (20001, ("id", "card")),
        "public.v_outer": (20002, ("card", "n")),
        "public.orders": (20003, ("id", "total")),
        "public.halves": (20004, ("id", "last4")),
    },
    schemas=["public"],
    triggers=[[20000, "public", "note", 17, ""]],
    bodies=[
        [30001, "BEGIN INSERT INTO halves VALUES (NEW.id, NEW.card_number); RETURN NULL; END", None]
    ],
    functions=[
        ["public", "code", 1, "plperl", "v", None, None, None, None, None, 30000, False],
        ["public", "note", 0, "plpgsql", "v", None, None, None, None, None, 30001, False],
    ],
    views=[
        [20001, " SELECT id,\n    card_number AS card\n   FROM public.customers;"],
        [20002, " SELECT card,\n    id AS n\n   FROM public.v_cards;"],
    ],
    rules=[
        [20001, "1", True, [20001, 20000], [], None],
        [20002, "1", True, [20002, 20001], [], None],
    ],
)


def tried(
    text: str, *rules: MaskingRule, known: Catalog | None = KNOWN, target: Target = SHOP
) -> Trial:
    snapshot = Snapshot(
        1,
        Settings(),
        {"shop": target},
        {ANA.name: ANA},
        {},
        (Grant(1, "*", "shop", "app_ro"),),
        (),
        masking=rules or (CARDS,),
    )
    return try_statement(snapshot, imagine(snapshot, ANA.name, "shop"), text, known, Parser())


def test_a_plain_output_has_the_rules_method_and_says_the_views_on_its_way() -> None:
    trial = tried("SELECT n, card FROM v_outer")
    assert trial.verdict.is_allow
    assert trial.masks == (
        TrialMask(
            "card",
            ("public.customers.card_number",),
            "card-numbers",
            "partial",
            "public.customers.card_number through view public.v_cards and view public.v_outer, "
            "masked by card-numbers (partial)",
        ),
    )
    assert trial.scrubs_errors


def test_a_computed_output_is_replaced_whole() -> None:
    (mask,) = tried("SELECT id, upper(card_number) AS shout FROM customers").masks
    assert (mask.output, mask.method) == ("shout", "redact")
    assert mask.how == (
        "computed from public.customers.card_number through upper(), replaced whole by card-numbers"
    )
    null = replace(CARDS, method=Method.NULL)
    (mask,) = tried("SELECT upper(card_number) FROM customers", null).masks
    assert mask.method == "null"


def test_several_columns_and_rules_are_all_named() -> None:
    emails = replace(CARDS, name="emails", columns=("*.*.email",), method=Method.EMAIL)
    (mask,) = tried("SELECT card_number || email AS both FROM customers", CARDS, emails).masks
    assert mask.columns == ("public.customers.card_number", "public.customers.email")
    assert mask.how == (
        "computed from public.customers.card_number and public.customers.email "
        "through operator ||, replaced whole by card-numbers and emails"
    )


def test_a_column_that_is_computed_on_the_target_is_said_to_be() -> None:
    (mask,) = tried("SELECT last4 FROM halves").masks
    assert (mask.columns, mask.method) == (("public.halves.last4",), "redact")
    assert mask.how == (
        "public.halves.last4, which is computed from what card-numbers masks, replaced whole"
    )


def test_code_that_nobody_has_read_is_named_until_an_admin_trusts_it() -> None:
    text = "SELECT code(id) AS c, id FROM customers"
    (mask,) = tried(text).masks
    assert (mask.output, mask.columns, mask.rule) == ("c", ("public.code",), "builtin:masking")
    assert mask.how.startswith("holds what public.code gives, which may be masked values: ")
    (mask,) = tried("SELECT code(id) || card_number AS c FROM customers").masks
    assert mask.rule == "card-numbers"
    assert mask.how.startswith("computed from public.customers.card_number through operator ||, ")
    assert "and holds what public.code gives" in mask.how
    assert tried(text, target=replace(SHOP, safe_functions=("public.code",))).masks == ()


def test_what_is_not_masked_is_not_listed() -> None:
    assert tried("SELECT id, count(card_number) FROM customers GROUP BY 1").masks == ()
    untouched = tried("SELECT * FROM orders")
    assert (untouched.masks, untouched.scrubs_errors) == ((), False)
    exempt = tried("SELECT * FROM customers", replace(CARDS, exempt=("kind:human",)))
    assert (exempt.masks, exempt.scrubs_errors) == ((), False)
    disabled = tried("SELECT * FROM customers", replace(CARDS, enabled=False))
    assert disabled.masks == ()


def test_a_strict_columns_use_is_refused_with_rule_reason_and_hint() -> None:
    strict = replace(CARDS, mode=MaskMode.STRICT)
    trial = tried("SELECT id FROM customers WHERE card_number = '4111'", strict)
    assert (trial.verdict.action, trial.verdict.rule) == (Action.BLOCK, "card-numbers")
    assert "public.customers.card_number may only be selected by itself" in trial.verdict.reason
    assert trial.message.startswith('gatepost: blocked by rule "card-numbers": ')
    assert trial.hint and trial.masks == ()
    assert tried("SELECT id, card_number FROM customers", strict).verdict.is_allow


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; SELECT card_number FROM customers",
        "CREATE TABLE x AS SELECT card_number FROM customers",
        "DO 'begin end'",
    ],
)
def test_what_the_proxy_would_refuse_is_refused_here(text: str) -> None:
    trial = tried(text)
    assert trial.verdict.action is Action.BLOCK
    assert trial.verdict.hint
    assert "\n" not in trial.message


def test_what_is_not_known_column_by_column_is_said_so() -> None:
    trial = tried("EXECUTE something")
    assert trial.verdict.action is Action.BLOCK or trial.masks[0].output == "*"


def test_without_a_catalog_nobody_knows_what_is_masked() -> None:
    trial = tried("SELECT * FROM customers", known=None)
    assert (trial.verdict.action, trial.verdict.rule) == (Action.BLOCK, "builtin:masking")
    assert "catalog cannot be read" in trial.verdict.reason
    assert tried("SELECT 1", known=None).verdict.is_allow
