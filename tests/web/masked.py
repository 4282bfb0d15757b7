"""A target whose catalog was read, with rules, for the pages about masking."""

from __future__ import annotations

import json

from appliance.entities import MaskingRule
from appliance.masking.values import Method
from appliance.sealing import Sealer, load_master_key
from appliance.sql.catalog import Catalog
from appliance.store import catalogs, grants, groups, masking_rules, targets
from appliance.store.grants import GrantSpec
from appliance.store.targets import TargetSpec
from appliance.targets import load_catalog
from tests.harness.postgres import Database
from tests.targets.test_check import target_of
from tests.web.conftest import AT, BY, World

CATALOG = {
    "version": 180000,
    "schemas": ["public", "sales"],
    "relations": [
        [16400, "public", "customers", "r", 0, [
            [1, "id", "int4"], [2, "email", "text"], [3, "card_number", "text"],
            [4, "birth_date", "date"]]],
        [16401, "public", "orders", "r", 0, [[1, "id", "int4"], [2, "total", "numeric"]]],
        [16402, "sales", "leads", "r", 0, [[1, "phone", "text"], [2, "a.b", "text"]]],
        [16403, "public", "customer_list", "v", 0, [[1, "email", "text"]]],
    ],
}  # fmt: skip
TABLES = """
CREATE TABLE public.customers (id int, email text, card_number text, note text);
INSERT INTO public.customers SELECT n, 'ada' || n || '@example.net',
  (ARRAY['4242424242424242','5555555555554444','4012888888881881','378282246310005'])[1 + n % 4],
  CASE WHEN n % 2 = 0 THEN 'write to bo' || n || '@example.org' ELSE 'paid' END
  FROM generate_series(1, 40) AS n;
CREATE TABLE public.things (label text, code text);
INSERT INTO public.things SELECT 'thing ' || n, n FROM generate_series(1, 9) AS n;
"""
SECRETS = ("ada3@example.net", "4242424242424242", "5555555555554444", "bo2@example.org")


def with_shop(world: World, database: Database | None = None) -> None:
    """Add people, groups and the target shop: the database given, or a catalog alone."""
    store = world.store
    for name in ("ana@example.com", "bo@example.com"):
        world.person(name)
    for group in ("analysts", "pci"):
        groups.create(store, BY, AT, name=group)
    groups.add(store, BY, AT, "pci", "bo@example.com")
    sealer = Sealer(load_master_key(world.config))
    if database is None:
        targets.create(store, BY, AT, TargetSpec("shop", "db.internal", "shop"))
        targets.put_role(store, BY, AT, "shop", "app_ro", sealer=sealer, secret="s-e-c-r-e-t")
        catalog = Catalog.from_json(json.dumps(CATALOG).encode())
        name = "shop"
    else:
        database.run(TABLES)
        server, role, name = database.server, database.ro, database.name
        spec = TargetSpec("shop", server.host, name, port=server.port)
        targets.create(store, BY, AT, spec)
        targets.put_role(store, BY, AT, "shop", role.name, sealer=sealer, secret=role.password)
        catalog = load_catalog(target_of(database), name, role.password)
    catalogs.put(store, AT, "shop", name, catalog.to_json())
    role_name = "app_ro" if database is None else database.ro.name
    for who in ("identity:ana@example.com", "group:pci"):
        grants.create(store, BY, AT, GrantSpec(who, "shop", role_name))


def add(world: World, name: str, *columns: str, **more: object) -> None:
    """Add a masking rule; by default redact, lenient, for everyone."""
    fields = {"method": Method.REDACT, **more}
    rule = MaskingRule(0, name, "shop", columns, **fields)  # type: ignore[arg-type]
    masking_rules.create(world.store, BY, AT, rule)


def rules_of(world: World) -> dict[str, MaskingRule]:
    """Return the stored rules by name, in order."""
    found = masking_rules.find(world.store, size=100).items
    return {record.rule.name: record.rule for record in found}
