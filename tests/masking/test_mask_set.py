"""What an identity's rules say about a database: order, exemption, parents, what was resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from appliance.entities import (
    Identity,
    IdentityKind,
    MaskingRule,
    MaskMode,
    Resolution,
    Settings,
    Snapshot,
    SslMode,
    Target,
)
from appliance.masking.mask_set import MaskRules, MaskSet
from appliance.masking.values import Method
from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from tests.masking.catalogs import catalog

ANA = Identity(1, "ana@example.com", IdentityKind.HUMAN, groups=frozenset({"analysts"}))
SHOP = Target(1, "shop", "db", 5432, "shop", SslMode.PREFER, "", (), "")
CARDS = MaskingRule(0, "cards", "shop", ("public.customers.card",), Method.PARTIAL)
EVERYTHING = MaskingRule(0, "everything", "shop", ("*.customers.*",), Method.NULL)
CUSTOMERS = {"public.customers": (100, ("id", "card", "born"))}


def snapshot(*rules: MaskingRule, resolutions: Sequence[Resolution] = ()) -> Snapshot:
    return Snapshot(
        1,
        Settings(),
        {"shop": SHOP},
        {ANA.name: ANA},
        {},
        (),
        (),
        masking=rules,
        resolutions={("shop", "shop"): tuple(resolutions)},
    )


def rules_of(*rules: MaskingRule, resolutions: Sequence[Resolution] = ()) -> MaskRules:
    found = MaskRules.of(snapshot(*rules, resolutions=resolutions), ANA, SHOP, "shop")
    assert found is not None
    return found


def masks(known: Catalog, *rules: MaskingRule, resolutions: Sequence[Resolution] = ()) -> MaskSet:
    return MaskSet.of(rules_of(*rules, resolutions=resolutions), known)


# -- who ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        replace(CARDS, enabled=False),
        replace(CARDS, target="stock"),
        replace(CARDS, exempt=("identity:ana@example.com",)),
        replace(CARDS, exempt=("group:analysts",)),
        replace(CARDS, exempt=("group:pci", "kind:human")),
    ],
)
def test_where_no_rule_bites_there_is_nothing(rule: MaskingRule) -> None:
    assert MaskRules.of(snapshot(rule), ANA, SHOP, "shop") is None
    assert MaskRules.of(snapshot(), ANA, SHOP, "shop") is None


def test_the_first_rule_from_which_one_is_not_exempt_decides() -> None:
    known = catalog(CUSTOMERS)
    both = masks(known, CARDS, EVERYTHING)
    card, born = both.column(100, 2), both.column(100, 3)
    assert card is not None and born is not None
    assert (card.rule, card.method, card.column) == (
        "cards",
        Method.PARTIAL,
        "public.customers.card",
    )
    assert (born.rule, born.method) == ("everything", Method.NULL)
    exempt = masks(known, replace(CARDS, exempt=("kind:human",)), EVERYTHING)
    card = exempt.column(100, 2)
    assert card is not None and card.rule == "everything"
    reordered = masks(known, EVERYTHING, CARDS).column(100, 2)
    assert reordered is not None and reordered.rule == "everything"


def test_equal_rules_are_equal_whoever_they_are_for() -> None:
    other = replace(CARDS, id=7, exempt=("group:pci",))
    assert rules_of(CARDS) == rules_of(other)
    assert hash(rules_of(CARDS)) == hash(rules_of(other))
    for different in (
        replace(CARDS, method=Method.HASH),
        replace(CARDS, mode=MaskMode.STRICT),
        replace(CARDS, name="x"),
        replace(CARDS, columns=("*.*.card",)),
    ):
        assert rules_of(CARDS) != rules_of(different)
    followed = Resolution("cards", 7, 1, "public.customers.card", "a", "b", "c")
    assert rules_of(CARDS) != rules_of(CARDS, resolutions=[followed])


def test_safe_functions_are_globs_over_whole_names() -> None:
    safe = ("public.Initials", "Mask_*", '"Odd[1]"', 'x."Y"')
    target = replace(SHOP, safe_functions=safe)
    rules = MaskRules.of(snapshot(CARDS), ANA, target, "shop")
    assert rules is not None

    def is_safe(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in rules.safe_functions)

    assert is_safe("public.initials") and is_safe("any.mask_it") and is_safe("s.Odd[1]")
    assert is_safe("x.Y")
    assert not is_safe("hr.initials") and not is_safe("s.Odd1") and not is_safe("x.y")


# -- what a rule means --------------------------------------------------------------------------


def test_a_rule_that_means_nothing_leaves_all_as_it_is() -> None:
    none = masks(catalog({"public.other": (200, ("card",))}), CARDS)
    assert none.is_empty
    assert none.column(200, 1) is None and none.origin(200, 1) is None
    assert dict(none.relation(200)) == {}


def test_partitions_and_children_have_their_parents_masks_at_every_level() -> None:
    known = catalog(
        {
            **CUSTOMERS,
            "public.customers_no": (101, ("born", "id", "card")),
            "archive.customers_no_old": (102, ("-", "card")),
        },
        inherits=[[101, 100], [102, 101]],
    )
    found = masks(known, CARDS)
    for oid, attnum in ((100, 2), (101, 3), (102, 2)):
        mask = found.column(oid, attnum)
        assert mask is not None and mask.method is Method.PARTIAL, (oid, attnum)
    assert dict(found.relation(102)).keys() == {"card"}
    assert found.column(101, 1) is None


def test_a_parent_shows_what_is_masked_in_its_child_only() -> None:
    known = catalog({**CUSTOMERS, "archive.customers_old": (101, ("card",))}, inherits=[[101, 100]])
    found = masks(known, replace(CARDS, columns=("archive.customers_old.card",)))
    assert found.column(100, 2) is None  # by the statement it is the child's
    above = found.origin(100, 2)
    assert above is not None and above.method is Method.NULL
    assert found.origin(100, 1) is None
    assert found.origin(100, 0) is not None
    shown = found.origin(101, 1)
    assert shown is not None and shown.method is Method.PARTIAL


def test_a_whole_row_of_a_masked_relation_has_a_mask() -> None:
    found = masks(catalog(CUSTOMERS), replace(CARDS, mode=MaskMode.STRICT))
    whole = found.origin(100, 0)
    assert whole is not None
    assert (whole.rule, whole.method, whole.is_strict) == ("cards", Method.NULL, True)
    assert found.origin(0, 0) is None and found.origin(0, 2) is None
    assert found.origin(100, -1) is None  # ctid


def test_what_is_generated_from_a_masked_column_never_shows_a_part() -> None:
    known = catalog({"public.customers": (100, ("id", "card", "last4"))}, generated=[[100, 3, 2]])
    mask = masks(known, CARDS).column(100, 3)
    assert mask is not None
    assert (mask.method, mask.column) == (Method.REDACT, "public.customers.last4")
    fixed = masks(known, replace(CARDS, method=Method.FIXED, value="x")).column(100, 3)
    assert fixed is not None and (fixed.method, fixed.value) == (Method.REDACT, None)
    null = masks(known, replace(CARDS, method=Method.NULL)).column(100, 3)
    assert null is not None and null.method is Method.NULL


# -- what was resolved before -------------------------------------------------------------------

FOLLOWED = Resolution("cards", 100, 2, "public.customers.card", "public", "customers", "card")


def test_a_rule_follows_what_it_was_resolved_to() -> None:
    renamed = catalog({"hidden.people": (100, ("id", "number"))})
    assert masks(renamed, CARDS).is_empty
    mask = masks(renamed, CARDS, resolutions=[FOLLOWED]).column(100, 2)
    assert mask is not None and mask.column == "hidden.people.number"


def test_a_name_that_a_column_once_had_counts_for_whatever_has_it_now() -> None:
    once = replace(FOLLOWED, schema="hidden", relation="people", column="number")
    anew = catalog({"hidden.people": (300, ("number",)), "public.other": (301, ("a", "b"))})
    found = masks(anew, CARDS, resolutions=[once])
    assert found.column(300, 1) is not None
    assert found.column(301, 2) is None


def test_what_was_resolved_for_another_rule_or_pattern_does_not_count() -> None:
    renamed = catalog({"hidden.people": (100, ("id", "number"))})
    for other in (
        replace(FOLLOWED, rule="other"),
        replace(FOLLOWED, pattern="public.customers.old"),
    ):
        assert masks(renamed, CARDS, resolutions=[other]).is_empty
    elsewhere = MaskRules.of(snapshot(CARDS, resolutions=[FOLLOWED]), ANA, SHOP, "another database")
    assert elsewhere is not None and MaskSet.of(elsewhere, renamed).is_empty


def test_a_column_that_was_computed_stays_so_when_it_is_computed_no_more() -> None:
    was = replace(FOLLOWED, attnum=3, column="last4", is_computed=True)
    plain = catalog({"public.customers": (100, ("id", "card", "last4"))})
    mask = masks(plain, CARDS, resolutions=[FOLLOWED, was]).column(100, 3)
    assert mask is not None and mask.method is Method.REDACT


# -- the gate -----------------------------------------------------------------------------------

TABLES = {
    "public.customers": (20000, ("id", "card")),
    "public.orders": (20001, ("id", "total")),
    "public.audited": (20002, ("id",)),
    "public.v_orders": (20003, ("id",)),
    "public.v_cards": (20004, ("card",)),
    "public.v_code": (20005, ("x",)),
    "public.countries": (20006, ("code",)),
    "pg_catalog.pg_class": (1259, ()),
    "pg_catalog.pg_stats": (1300, ()),
}
KNOWN = catalog(
    TABLES,
    schemas=["public"],
    active=[20002],
    references=[[20000, 20006, "r"]],
    rules=[
        [20003, "1", True, [20003, 20001], [], None],
        [20004, "1", True, [20004, 20003, 20000], [], None],
        [20005, "1", True, [20005], ["public.code"], None],
    ],
    functions=[["public", "code", 0, "plpgsql", "v", None, None, None, None, None, 30000, False]],
)


@pytest.mark.parametrize(
    ("text", "is_reached"),
    [
        ("SELECT 1", False),
        ("SELECT 1/0, now(), upper('x')", False),
        ("BEGIN", False),
        ("SHOW server_version", True),  # code may have put anything into a setting
        ("SELECT current_setting('a.b')", True),
        ("SET search_path = public", False),
        ("SELECT * FROM orders", False),
        ("SELECT count(*) FROM v_orders", False),
        ("INSERT INTO orders VALUES (1, 2)", False),
        ("COPY orders TO STDOUT", False),
        ("EXPLAIN ANALYZE SELECT * FROM orders", False),
        ("SELECT relname FROM pg_class", False),
        ("LISTEN news", False),
        ("TRUNCATE orders", False),
        ("VACUUM orders", False),
        ("VACUUM", True),
        ("SELECT * FROM customers", True),
        ("SELECT count(*) FROM customers", True),
        ("SELECT * FROM v_cards", True),
        ("SELECT * FROM v_code", True),
        ("SELECT code()", True),
        ("INSERT INTO audited VALUES (1)", True),
        ("DELETE FROM countries", True),  # a foreign key's message
        ("SELECT * FROM nosuch", True),
        ("SELECT * FROM pg_stats", True),
        ("SELECT pg_read_file('x')", True),
        ("SELECT lo_get(1)", True),
        ("SELECT query_to_xml('select 1', true, true, '')", True),
        ("EXECUTE p", True),
        ("FETCH ALL FROM c", True),
        ("DO 'begin end'", True),
        ("CREATE TABLE t AS SELECT 1", True),
        ("this is no SQL", True),
        ("SELECT 1; SELECT card FROM customers", True),
        ("WITH x AS (UPDATE customers SET id = id) SELECT 1", True),
    ],
)
def test_the_gate_says_no_only_for_what_surely_has_nothing_to_do_with_it(
    text: str, is_reached: bool
) -> None:
    names = NameContext(search_path=("pg_catalog", "public"), temp_relations=frozenset())
    facts = resolve(Parser().parse(text), KNOWN, names)
    found = masks(KNOWN, replace(CARDS, columns=("public.customers.card",)))
    assert found.reaches(facts) is is_reached
    nothing = masks(KNOWN, replace(CARDS, columns=("public.customers.nosuch",)))
    assert nothing.reaches(facts) is False
