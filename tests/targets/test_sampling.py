"""A few rows are read for looking at them: bounded, read-only, and nothing of a user's runs."""

from __future__ import annotations

import pytest

from appliance.entities import Target
from appliance.errors import Unreachable
from appliance.sql.catalog import Catalog
from appliance.targets import load_catalog
from appliance.targets.sampling import ROWS, Sample, Wanted, sample
from tests.harness.postgres import Database
from tests.targets.test_check import target_of


def wanted(catalog: Catalog, *names: str) -> list[Wanted]:
    """Return these relations of the schema public with all of their columns."""
    found = []
    for name in names:
        relation = catalog.relation("public", name)
        assert relation is not None, name
        columns = [(c.number, c.name, c.type.startswith("_")) for c in relation.columns or ()]
        found.append(Wanted(relation.oid, relation.kind, tuple(columns)))
    return found


def look(database: Database, *names: str, **more: float) -> tuple[Catalog, Sample]:
    target, secret = target_of(database), database.ro.password
    catalog = load_catalog(target, database.name, secret)
    asked = wanted(catalog, *names)
    return catalog, sample(target, database.name, secret, asked, **more)  # type: ignore[arg-type]


def values(catalog: Catalog, seen: Sample, name: str, column: int = 1) -> tuple[str, ...]:
    relation = catalog.relation("public", name)
    assert relation is not None
    return seen.values[relation.oid, column]


def test_tables_partitions_and_materialized_views_are_read(database: Database) -> None:
    database.run(
        "CREATE DOMAIN public.mail AS text CHECK (VALUE LIKE '%@%');"
        "CREATE TABLE public.people (id int, mail public.mail, tags text[], doc jsonb);"
        "INSERT INTO public.people VALUES (1, 'a@b.example', '{x,\"y z\"}', '{\"k\": 1}'),"
        "  (2, 'a@b.example', NULL, NULL), (3, NULL, '{}', NULL);"
        'CREATE TABLE public."Odd ""Name" ("a.b" text);'
        'INSERT INTO public."Odd ""Name" VALUES (\'odd\');'
        "CREATE TABLE public.parted (id int, note text) PARTITION BY RANGE (id);"
        "CREATE TABLE public.part_1 PARTITION OF public.parted FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE public.part_2 (note text, id int);"
        "ALTER TABLE public.parted ATTACH PARTITION public.part_2 FOR VALUES FROM (10) TO (999);"
        "INSERT INTO public.parted SELECT 10 + n, 'second ' || n % 3 FROM generate_series(1, 99) n;"
        "CREATE MATERIALIZED VIEW public.kept AS SELECT mail FROM public.people;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC"
    )
    catalog, seen = look(database, "people", 'Odd "Name', "parted", "kept")
    assert not seen.failed and not seen.unseen
    assert values(catalog, seen, "people", 2) == ("a@b.example",), "different ones, without NULLs"
    assert values(catalog, seen, "people", 3) == ('["x","y z"]', "[]")
    assert values(catalog, seen, "people", 4) == ('{"k": 1}',)
    assert values(catalog, seen, 'Odd "Name') == ("odd",)
    assert sorted(values(catalog, seen, "parted", 2)) == ["second 0", "second 1", "second 2"]
    assert values(catalog, seen, "kept") == ("a@b.example",)
    assert "a@b.example" not in repr(seen), "what is logged by accident holds no value"


def test_what_may_run_code_or_may_not_be_read_is_left_out_and_said(database: Database) -> None:
    database.run(
        "CREATE TABLE public.closed (a text); INSERT INTO public.closed VALUES ('no');"
        "CREATE TABLE public.trap (a text); INSERT INTO public.trap VALUES ('policy');"
        "CREATE FUNCTION public.spy(text) RETURNS bool LANGUAGE plpgsql"
        "  AS $$ BEGIN RAISE EXCEPTION 'ran'; END $$;"
        "ALTER TABLE public.trap ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON public.trap USING (public.spy(a));"
        "CREATE VIEW public.seen AS SELECT public.spy(a) FROM public.closed;"
        "CREATE TABLE public.open (a text); INSERT INTO public.open VALUES ('yes');"
        "GRANT SELECT ON public.trap, public.open, public.seen TO PUBLIC"
    )
    with database.server.connect() as admin:
        admin.execute(f"REVOKE pg_read_all_data FROM {database.ro.name}".encode())
    names = ("closed", "trap", "seen", "open")
    catalog, seen = look(database, *names)
    oids = {name: catalog.relation("public", name) for name in names}
    why = {name: seen.failed.get(oid.oid, "") for name, oid in oids.items() if oid}
    assert "permission denied" in why["closed"]
    assert "row-level security" in why["trap"] and "ran" not in why["trap"]
    assert why["seen"] == why["open"] == ""
    assert values(catalog, seen, "open") == ("yes",)
    assert len(seen.values) == 1


def test_large_tables_are_read_at_a_few_pages_and_large_values_not_at_all(
    database: Database,
) -> None:
    database.run(
        "CREATE TABLE public.long (id int, a text);"
        "INSERT INTO public.long SELECT n, repeat('x', 900) FROM generate_series(1, 3000) n;"
        "CREATE TABLE public.fat (a text); ALTER TABLE public.fat ALTER a SET STORAGE EXTERNAL;"
        "INSERT INTO public.fat VALUES (repeat('y', 20000)), ('small');"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC"
    )
    catalog, seen = look(database, "long", "fat", different=ROWS * 2)
    found = values(catalog, seen, "long")
    assert 0 < len(found) <= ROWS
    assert values(catalog, seen, "fat") == ("small",)
    queries = [line for line in database.log().splitlines() if "FROM ONLY" in line]
    assert any('"long" TABLESAMPLE SYSTEM' in line for line in queries)
    assert not any('"fat" TABLESAMPLE' in line for line in queries)
    assert all(f"LIMIT {ROWS}" in line for line in queries)


def test_an_older_server_is_read_too(database16: Database) -> None:
    database16.run(
        "CREATE TABLE public.t (a text, b text[]); INSERT INTO public.t VALUES ('x', '{y}')"
    )
    catalog, seen = look(database16, "t")
    assert (values(catalog, seen, "t"), values(catalog, seen, "t", 2)) == (("x",), ('["y"]',))


def test_no_time_left_is_said_and_nothing_is_written(database: Database) -> None:
    database.run("CREATE TABLE public.t (a text); GRANT ALL ON public.t TO PUBLIC")
    catalog, seen = look(database, "t", budget_s=-1)
    relation = catalog.relation("public", "t")
    assert relation is not None and seen.unseen == (relation.oid,)
    assert not seen.values
    assert "default_transaction_read_only = on" in database.log()


def test_a_target_that_cannot_be_reached_says_why(database: Database) -> None:
    target: Target = target_of(database)
    with pytest.raises(Unreachable, match="password authentication failed"):
        sample(target, database.name, "wrong", ())
