"""The ``masking:`` and ``safe_functions`` of a file: applied in order, exported to no change."""

from __future__ import annotations

import pytest
import yaml

from appliance.declarative.export import export
from appliance.declarative.source import InvalidFile
from appliance.entities import MaskingRule, MaskMode
from appliance.masking.values import Method
from appliance.store import catalogs, masking_rules, snapshots
from appliance.store.database import Store
from tests.declarative.conftest import BY, NOW, apply_text
from tests.masking.catalogs import catalog

HEAD = """
targets:
  - {name: shop, host: db, database: shop, roles: [{name: app_ro}],
     safe_functions: [public.initials, '"Odd".*']}
groups: [{name: pci}]
masking:
"""
RULES = """
  - {name: cards, target: shop, columns: [public.customers.card, "*.*.ssn"], method: partial}
  - {name: notes, target: shop, columns: ['public.Card Holders.Card No', 'a."b.c".d'],
     method: null, mode: strict, exempt: ["group:pci", "kind:ci"], enabled: false}
  - {name: names, target: shop, columns: [hr.*.name], method: fixed, value: "null"}
  - {name: empty, target: shop, columns: [hr.x.y], method: fixed, value: ""}
"""


def test_rules_are_applied_as_they_are_written(sqlite_store: Store) -> None:
    applied = apply_text(sqlite_store, HEAD + RULES)
    assert "create masking cards" in applied.changes
    snapshot = snapshots.load(sqlite_store, NOW)
    assert snapshot.targets["shop"].safe_functions == ("public.initials", '"Odd".*')
    assert [rule.name for rule in snapshot.masking] == ["cards", "notes", "names", "empty"]
    cards, notes, names, empty = snapshot.masking
    assert (cards.method, cards.mode, cards.exempt, cards.enabled) == (
        Method.PARTIAL,
        MaskMode.LENIENT,
        (),
        True,
    )
    assert notes == MaskingRule(
        notes.id,
        "notes",
        "shop",
        ("public.Card Holders.Card No", 'a."b.c".d'),
        Method.NULL,
        None,
        MaskMode.STRICT,
        ("group:pci", "kind:ci"),
        False,
    )
    assert (names.value, empty.value) == ("null", "")


def test_an_unchanged_export_changes_nothing(sqlite_store: Store) -> None:
    apply_text(sqlite_store, HEAD + RULES)
    version = snapshots.version(sqlite_store)
    text = export(sqlite_store, NOW)
    applied = apply_text(sqlite_store, text, prune=True)
    assert applied.changes == (), text
    assert snapshots.version(sqlite_store) == version
    assert yaml.safe_load(text)["masking"][0] == {
        "name": "cards",
        "target": "shop",
        "columns": ["public.customers.card", "*.*.ssn"],
        "method": "partial",
    }


def test_changes_order_and_prune_are_told(sqlite_store: Store) -> None:
    apply_text(sqlite_store, HEAD + RULES)
    new = """
  - {name: names, target: shop, columns: [hr.*.name], method: redact}
  - {name: cards, target: shop, columns: [public.customers.card, "*.*.ssn"], method: partial}
"""
    applied = apply_text(sqlite_store, HEAD + new)
    assert applied.changes == ("change masking names: method, value", "change the order of masking")
    assert [r.name for r in snapshots.load(sqlite_store, NOW).masking] == [
        "names",
        "cards",
        "notes",
        "empty",
    ]
    applied = apply_text(sqlite_store, HEAD + new, prune=True)
    assert applied.changes == ("delete masking empty", "delete masking notes")
    applied = apply_text(sqlite_store, "targets: []\nmasking: []", prune=True)
    assert set(applied.changes) == {
        "delete masking cards",
        "delete masking names",
        "delete target shop",
    }


def test_without_the_key_masking_nothing_of_it_changes(sqlite_store: Store) -> None:
    apply_text(sqlite_store, HEAD + RULES)
    assert apply_text(sqlite_store, "groups: [{name: pci}]", prune=True).changes == ()
    assert len(snapshots.load(sqlite_store, NOW).masking) == 4


def test_what_a_rule_needs_is_not_pruned_from_under_it(sqlite_store: Store) -> None:
    apply_text(sqlite_store, HEAD + RULES)
    with pytest.raises(InvalidFile) as caught:
        apply_text(sqlite_store, "groups: []", prune=True)
    assert "a masking rule exempts group:pci" in str(caught.value)


def test_a_method_that_a_known_column_cannot_have_names_its_line(sqlite_store: Store) -> None:
    apply_text(sqlite_store, HEAD + "  []")
    known = catalog({"public.customers": (100, ("card", "ssn"))}).to_json()
    catalogs.put(sqlite_store, NOW, "shop", "shop", known.replace(b'"ssn","text"', b'"ssn","int4"'))
    before = snapshots.load(sqlite_store, NOW)
    with pytest.raises(InvalidFile) as caught:
        apply_text(sqlite_store, HEAD + RULES)
    (error,) = caught.value.errors
    assert str(error) == (
        "gatepost.yml:8: masking[0].method: does not suit public.customers.ssn: "
        "partial is for texts, not for int4: use redact or null"
    )
    assert snapshots.load(sqlite_store, NOW) == before


def test_a_pattern_that_means_nothing_is_said_but_applied(sqlite_store: Store) -> None:
    apply_text(sqlite_store, HEAD + "  []")
    known = catalog({"public.customers": (100, ("card", "ssn"))}).to_json()
    catalogs.put(sqlite_store, NOW, "shop", "shop", known)
    applied = apply_text(sqlite_store, HEAD + RULES)
    assert applied.remarks[0] == (
        "masking notes: public.Card Holders.Card No matches no column in the catalog of shop "
        "as read at 2026-11-23 12:00:00Z"
    )
    assert not any(remark.startswith("masking cards") for remark in applied.remarks)
    assert masking_rules.get(sqlite_store, "cards").created_by == BY.name
