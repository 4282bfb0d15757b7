"""What somebody changes in a target's catalog is noticed; what is no change of it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.errors import Unreachable
from appliance.targets.changes import CatalogWatch
from tests.harness.postgres import Database
from tests.targets.test_check import target_of

START = """CREATE TABLE public.orders (id int, card text) PARTITION BY RANGE (id);
CREATE TABLE public.part (id int, card text);
CREATE VIEW public.v AS SELECT 1 AS x;
CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"""
CHANGES = (
    "ALTER TABLE public.orders ATTACH PARTITION public.part FOR VALUES FROM (0) TO (9)",
    "ALTER TABLE public.part RENAME TO other",
    "ALTER TABLE public.orders RENAME COLUMN card TO number",
    "CREATE OR REPLACE VIEW public.v AS SELECT 2 AS x",
    "CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "ALTER TABLE public.orders ALTER COLUMN id SET DEFAULT 3",
    "CREATE SCHEMA more",
    "ALTER TABLE public.other SET SCHEMA more",
    "CREATE OPERATOR public.### (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
    "CREATE RULE r AS ON UPDATE TO public.orders DO ALSO SELECT 1",
    "CREATE DOMAIN public.d AS text CHECK (VALUE <> '')",
    "ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p ON public.orders USING (true)",
)


@pytest.fixture
def watch(database: Database) -> Iterator[CatalogWatch]:
    database.run(START)
    found = CatalogWatch(target_of(database), database.name, database.ro.password)
    yield found
    found.close()


def test_each_change_of_the_catalog_is_noticed_once(
    database: Database, watch: CatalogWatch
) -> None:
    assert watch.has_changed(), "nobody looked before"
    assert not watch.has_changed()
    missed = []
    for change in CHANGES:
        database.run(change)
        missed += [] if watch.has_changed() else [change]
        assert not watch.has_changed()
    assert not missed


def test_data_statistics_and_temporary_tables_are_no_changes(
    database: Database, watch: CatalogWatch
) -> None:
    assert watch.has_changed()
    database.run(
        "INSERT INTO public.part SELECT n, 'x' FROM generate_series(1, 99) n;"
        "ANALYZE public.part; CREATE TEMP TABLE passing (id serial PRIMARY KEY CHECK (id > 0));"
        "DROP TABLE passing"
    )
    assert not watch.has_changed()


def test_a_change_counts_when_it_is_committed_however_long_it_took(
    database: Database, watch: CatalogWatch
) -> None:
    with database.connect() as slow:
        slow.execute(b"BEGIN")
        slow.execute(b"ALTER TABLE public.part RENAME TO other")
        assert watch.has_changed()
        database.run("INSERT INTO public.orders SELECT 1, 'x' WHERE false")
        assert not watch.has_changed()
        slow.execute(b"COMMIT")
    assert watch.has_changed()


def test_after_a_lost_connection_everything_may_have_changed(
    database: Database, watch: CatalogWatch
) -> None:
    assert watch.has_changed() and not watch.has_changed()
    with database.server.connect() as admin:
        admin.execute(
            b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
            [database.ro.name],
        )
    with pytest.raises(Unreachable, match="target shop"):
        watch.has_changed()
    assert watch.has_changed(), "nobody looked meanwhile"
    assert not watch.has_changed()
