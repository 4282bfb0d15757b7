"""A rule, once resolved, follows column and name: nothing that can be done to a table shakes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from appliance.embedded import PostgresServer
from appliance.entities import MaskingRule
from appliance.masking.mask_set import MaskRules, MaskSet
from appliance.masking.values import ColumnMask, Method
from appliance.sql.catalog import CATALOG_SQL, Catalog
from appliance.store import audit, catalogs, masking_rules, snapshots, targets
from appliance.store.database import Store
from appliance.store.targets import TargetSpec
from tests.harness.postgres import Database, fresh_database
from tests.store.conftest import BY, NOW

RULE = MaskingRule(
    id=0,
    name="cards",
    target="shop",
    columns=("public.customers.card", "*.*.ssn"),
    method=Method.PARTIAL,
)
SCHEMA = """
CREATE TABLE customers (id int, card text, born date,
    last4 text GENERATED ALWAYS AS (right(card, 4)) STORED);
CREATE TABLE orders (id int, total int);
"""


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    with fresh_database(postgres) as database:
        database.run("CREATE SCHEMA hidden;" + SCHEMA)
        yield database


class Masked:
    """A store with a rule, and the target's database as it is read into it."""

    def __init__(self, store: Store, database: Database) -> None:
        self.store = store
        self.database = database
        self.now = NOW

    def change(self, text: str = "") -> dict[str, ColumnMask]:
        """Run statements on the target, read its catalog in, and return the masks by column."""
        if text:
            self.database.run(text)
        ((data,),) = self.database.run(CATALOG_SQL)
        catalogs.put(self.store, self.now, "shop", "shop", str(data).encode())
        snapshot = snapshots.load(self.store, self.now)
        rules = MaskRules.of(
            snapshot, snapshot.identities["ana@example.com"], snapshot.targets["shop"], "shop"
        )
        assert rules is not None
        catalog = Catalog.from_json(str(data).encode())
        found = MaskSet.of(rules, catalog)
        return {
            f"{relation.name}.{column.name}": mask
            for relation in catalog.relations()
            for column in relation.columns or ()
            if (mask := found.column(relation.oid, column.number)) is not None
        }


@pytest.fixture
def masked(shop: Store, database: Database) -> Masked:
    masking_rules.create(shop, BY, NOW, RULE)
    found = Masked(shop, database)
    assert found.change().keys() == {"public.customers.card", "public.customers.last4"}
    return found


def test_nothing_that_is_done_to_a_table_shakes_a_rule_off(masked: Masked) -> None:
    change = masked.change
    assert "public.customers.number" in change("ALTER TABLE customers RENAME card TO number")
    assert "public.people.number" in change("ALTER TABLE customers RENAME TO people")
    assert "hidden.people.number" in change("ALTER TABLE people SET SCHEMA hidden")
    assert "hidden.people.last4" in change("ALTER TABLE hidden.people ALTER last4 DROP EXPRESSION")
    # DROP + CREATE, under any name that it ever had, and whatever stands at its place in the row
    found = change(
        "DROP TABLE hidden.people; CREATE TABLE hidden.people (number text);"
        "CREATE TABLE public.people (x int, number text); CREATE TABLE customers (card text);"
    )
    assert found.keys() == {
        "hidden.people.number",
        "public.people.number",
        "public.customers.card",
    }
    assert all(mask.method is Method.PARTIAL for mask in found.values())
    # another column in its place
    found = change("ALTER TABLE customers DROP card; ALTER TABLE customers ADD card text")
    assert "public.customers.card" in found


def test_partitions_stay_masked_when_they_are_detached(masked: Masked) -> None:
    change = masked.change
    found = change(
        "CREATE TABLE people (id int, ssn text) PARTITION BY RANGE (id);"
        "CREATE TABLE hidden.p1 (ssn text, id int) PARTITION BY RANGE (id);"
        "CREATE TABLE hidden.p11 PARTITION OF hidden.p1 FOR VALUES FROM (0) TO (10);"
        "ALTER TABLE people ATTACH PARTITION hidden.p1 FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE heir (extra int) INHERITS (customers);"
    )
    assert found.keys() >= {"public.people.ssn", "hidden.p1.ssn", "hidden.p11.ssn"}
    assert found["public.heir.card"].method is Method.PARTIAL
    # of a generated column a child has its own; both are computed
    assert found["public.heir.last4"].method is Method.REDACT
    found = change(
        "ALTER TABLE people DETACH PARTITION hidden.p1;"
        "ALTER TABLE hidden.p1 DETACH PARTITION hidden.p11;"
        "ALTER TABLE hidden.p11 RENAME ssn TO nr;"
        "ALTER TABLE heir NO INHERIT customers; ALTER TABLE heir RENAME card TO nr;"
    )
    assert found.keys() >= {"hidden.p11.nr", "public.heir.nr", "public.heir.last4"}


def test_what_was_new_is_told_and_decides(masked: Masked) -> None:
    version = snapshots.version(masked.store)
    masked.change("CREATE TABLE hidden.staff (ssn text)")
    assert snapshots.version(masked.store) == version + 1
    events = audit.find(masked.store, action="masking.resolve", sort="-at").items
    assert sorted(event.detail["columns"] for event in events) == [
        ["hidden.staff.ssn"],
        ["public.customers.card", "public.customers.last4"],
    ]
    assert {(event.actor, event.via, event.subject) for event in events} == {
        ("catalog", "system", "cards")
    }
    masked.change("CREATE TABLE another (x int)")
    assert snapshots.version(masked.store) == version + 1  # nothing new for any rule
    masked.change()
    assert snapshots.version(masked.store) == version + 1


def test_a_rule_means_at_once_what_is_known_of_the_target(masked: Masked) -> None:
    before = snapshots.load(masked.store, NOW)
    masking_rules.create(
        masked.store, BY, NOW, MaskingRule(0, "totals", "shop", ("*.orders.*",), Method.REDACT)
    )
    after = snapshots.load(masked.store, NOW)
    assert after.version == before.version + 1
    new = [one for one in after.resolutions["shop", "shop"] if one.rule == "totals"]
    assert [one.column for one in new] == ["id", "total"]


def test_only_the_end_of_a_rule_or_pattern_forgets(masked: Masked) -> None:
    change, store = masked.change, masked.store
    change("ALTER TABLE customers RENAME TO people")
    masking_rules.update(
        store, BY, NOW, "cards", MaskingRule(0, "cards", "shop", ("*.*.ssn",), Method.HASH)
    )
    assert change() == {}
    masking_rules.delete(store, BY, NOW, "cards")
    masking_rules.create(store, BY, NOW, RULE)
    assert change() == {}  # the new rule never saw it under the name that it means
    assert "public.customers.card" in change("ALTER TABLE people RENAME TO customers")


def test_tables_that_come_and_go_do_not_fill_the_store(masked: Masked) -> None:
    store, change = masked.store, masked.change

    def known() -> set[str]:
        ones = snapshots.load(store, NOW).resolutions["shop", "shop"]
        return {f"{one.schema}.{one.relation}.{one.column}" for one in ones}

    change("CREATE TABLE hidden.stage1 (ssn text)")
    change("ALTER TABLE customers RENAME TO people")
    change("DROP TABLE hidden.stage1, people")
    assert known() >= {"hidden.stage1.ssn", "public.people.card", "public.customers.card"}
    masked.now = NOW + timedelta(days=8)
    change("CREATE TABLE hidden.stage2 (ssn text)")
    # what the patterns mean anyway is forgotten; a name that only history knows stays
    assert known() == {
        "hidden.stage2.ssn",
        "public.people.card",
        "public.people.last4",
        "public.customers.last4",
    }
    assert "public.people.card" in change("CREATE TABLE people (card text)")


def test_what_triggers_fill_is_computed_until_an_admin_trusts_them(masked: Masked) -> None:
    change, store = masked.change, masked.store
    found = change(
        "CREATE TABLE log (what jsonb, at timestamptz);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO log VALUES (to_jsonb(NEW), now()); RETURN NULL; END';"
        "CREATE TRIGGER t AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note()"
    )
    assert found["public.log.what"].method is Method.REDACT
    assert "public.log.at" not in found
    # what it stored is still there when it is gone
    assert "public.log.what" in change("DROP TRIGGER t ON customers")
    change("CREATE TRIGGER t AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note()")
    spec = TargetSpec("shop", "db.example.com", "shop", safe_functions=("public.note",))
    targets.update(store, BY, NOW, "shop", spec)
    found = change()
    assert "public.log.what" not in found and "public.customers.last4" in found
