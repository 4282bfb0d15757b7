"""Masking rules: what can be said, in which order, who may be named, what is told."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from appliance.entities import MaskingRule, MaskMode
from appliance.errors import Conflict, Invalid, NotFound
from appliance.masking.values import Method
from appliance.store import audit, catalogs, groups, masking_rules, snapshots, targets
from appliance.store.database import Store
from appliance.store.targets import TargetSpec
from tests.store.conftest import BY, NOW

CARDS = MaskingRule(
    id=0,
    name="card-numbers",
    target="shop",
    columns=("public.customers.card_number", "*.*.ssn"),
    method=Method.PARTIAL,
    exempt=("group:dba", "kind:ci"),
)
# One table: customers(id int4, card_number text, born date)
CATALOG = orjson.dumps(
    {
        "relations": [
            [
                16401,
                "public",
                "customers",
                "r",
                0,
                [[1, "id", "int4"], [2, "card_number", "text"], [3, "born", "date"]],
            ]
        ]
    }
)


def create(store: Store, rule: MaskingRule = CARDS) -> int:
    return masking_rules.create(store, BY, NOW, rule)


def test_a_rule_comes_back_as_it_was_given(shop: Store) -> None:
    before = snapshots.version(shop)
    made = create(shop)
    record = masking_rules.get(shop, "card-numbers")
    assert record.rule == replace(CARDS, id=made)
    assert (record.created_by, record.created_at) == (BY.name, NOW)
    snapshot = snapshots.load(shop, NOW)
    assert snapshot.masking == (record.rule,)
    assert snapshot.version == before + 1
    (event,) = audit.find(shop, action="masking.create").items
    assert (event.actor, event.subject, event.detail["target"]) == (
        BY.name,
        "card-numbers",
        "shop",
    )
    assert event.detail["rule"]["columns"] == list(CARDS.columns)


def test_a_changed_rule_says_what_changed_and_an_unchanged_one_nothing(shop: Store) -> None:
    create(shop)
    version = snapshots.version(shop)
    assert masking_rules.update(shop, BY, NOW, "card-numbers", CARDS) == ()
    assert snapshots.version(shop) == version
    new = replace(CARDS, name="cards", mode=MaskMode.STRICT, exempt=())
    assert masking_rules.update(shop, BY, NOW, "card-numbers", new) == ("name", "mode", "exempt")
    assert masking_rules.get(shop, "cards").rule.mode is MaskMode.STRICT
    with pytest.raises(NotFound):
        masking_rules.get(shop, "card-numbers")


def test_rules_keep_their_order_and_can_be_put_into_another(shop: Store) -> None:
    for name in ("a", "b", "c"):
        create(shop, replace(CARDS, name=name))
    assert masking_rules.reorder(shop, BY, NOW, ("c",))
    assert [rule.name for rule in snapshots.load(shop, NOW).masking] == ["c", "a", "b"]
    assert not masking_rules.reorder(shop, BY, NOW, ("c", "a"))
    with pytest.raises(NotFound):
        masking_rules.reorder(shop, BY, NOW, ("nosuch",))
    masking_rules.delete(shop, BY, NOW, "a")
    assert [rule.name for rule in snapshots.load(shop, NOW).masking] == ["c", "b"]
    with pytest.raises(NotFound):
        masking_rules.delete(shop, BY, NOW, "a")


def test_rules_are_found_by_name_column_exemption_and_target(shop: Store) -> None:
    targets.create(shop, BY, NOW, TargetSpec("stock", "db.example.com", "stock"))
    create(shop)
    create(shop, replace(CARDS, name="emails", target="stock", columns=("*.*.email",)))
    found = [record.rule.name for record in masking_rules.find(shop, "card_number").items]
    assert found == ["card-numbers"]
    assert masking_rules.find(shop, "group:dba").total == 2
    (only,) = masking_rules.find(shop, target="stock").items
    assert only.rule.name == "emails"
    assert masking_rules.find(shop, "nothing like it").total == 0


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": "two words"}, "name", "expected letters"),
        ({"name": "default"}, "name", "no rule decided"),
        ({"target": "nosuch"}, "target", "no target is called nosuch"),
        ({"columns": ()}, "columns", "at least one column"),
        ({"columns": ("customers.ssn",)}, "columns[0]", "got 2 of these parts"),
        ({"columns": ("a.b.c", "a..c")}, "columns[1]", "is empty"),
        ({"columns": ("a.b.c", "a.b.c")}, "columns[1]", "twice"),
        ({"columns": ('a."b.c',)}, "columns[0]", "quote is not closed"),
        ({"columns": ("a.b.c\x07",)}, "columns[0]", "one line"),
        ({"value": "x"}, "value", "only the method fixed"),
        ({"method": Method.FIXED}, "value", "needs the value"),
        ({"method": Method.FIXED, "value": "x" * 1001}, "value", "at most 1000"),
        ({"exempt": ("*",)}, "exempt[0]", "exempt everybody"),
        ({"exempt": ("group:nosuch",)}, "exempt[0]", "no group is called nosuch"),
        ({"exempt": ("ana",)}, "exempt[0]", "expected *, identity:NAME"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(
    shop: Store, change: dict[str, object], field: str, words: str
) -> None:
    with pytest.raises(Invalid) as caught:
        create(shop, replace(CARDS, **change))  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.field == field
    assert words in caught.value.message
    assert snapshots.load(shop, NOW).masking == ()
    assert audit.find(shop, action="masking.create").total == 0


def test_names_are_taken_once(shop: Store) -> None:
    create(shop)
    with pytest.raises(Conflict):
        create(shop)
    create(shop, replace(CARDS, name="other"))
    with pytest.raises(Conflict):
        masking_rules.update(shop, BY, NOW, "other", CARDS)


def test_a_group_that_a_rule_exempts_cannot_be_removed(shop: Store) -> None:
    create(shop)
    with pytest.raises(Conflict) as caught:
        groups.delete(shop, BY, NOW, "dba")
    assert "masking rule exempts group:dba" in caught.value.message


def test_the_rules_of_a_target_go_with_it(shop: Store) -> None:
    create(shop)
    targets.delete(shop, BY, NOW, "shop")
    assert snapshots.load(shop, NOW).masking == ()
    (event,) = audit.find(shop, action="target.delete").items
    assert event.detail == {"masking": ["card-numbers"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"columns": ("public.customers.born",)}, "method"),
        ({"columns": ("*.*.*",)}, "method"),
        ({"columns": ("*.*.id",), "method": Method.FIXED, "value": "x"}, "value"),
    ],
)
def test_a_method_that_a_known_column_cannot_have_is_refused(
    shop: Store, change: dict[str, object], field: str
) -> None:
    catalogs.put(shop, NOW, "shop", "shop", CATALOG)
    with pytest.raises(Invalid) as caught:
        create(shop, replace(CARDS, **change))  # type: ignore[arg-type]  # by parameter
    assert caught.value.field == field
    assert "does not suit public.customers." in caught.value.message
    create(shop)
    with pytest.raises(Invalid):
        masking_rules.update(shop, BY, NOW, "card-numbers", replace(CARDS, **change))  # type: ignore[arg-type]  # by parameter
    assert masking_rules.get(shop, "card-numbers").rule.columns == CARDS.columns


def test_a_column_that_changed_its_type_hinders_no_other_change(shop: Store) -> None:
    create(shop)
    catalogs.put(
        shop, NOW, "shop", "shop", CATALOG.replace(b'"card_number","text"', b'"ssn","date"')
    )
    changed = masking_rules.update(shop, BY, NOW, "card-numbers", replace(CARDS, enabled=False))
    assert changed == ("enabled",)


def test_safe_functions_are_patterns_of_the_target(shop: Store) -> None:
    spec = TargetSpec("shop", "db.example.com", "shop", safe_functions=("public.Initials", "f"))
    assert targets.update(shop, BY, NOW, "shop", spec).changed == ("safe_functions",)
    assert snapshots.load(shop, NOW).targets["shop"].safe_functions == ("public.Initials", "f")
    with pytest.raises(Invalid) as caught:
        targets.update(shop, BY, NOW, "shop", replace(spec, safe_functions=("a.b.c",)))
    assert caught.value.field == "safe_functions[0]"
