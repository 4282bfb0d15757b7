"""The marks of what a statement touches: they change with every definition behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.embedded import PostgresServer
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from tests.harness.postgres import Database, fresh_database
from tests.sql.conftest import FIXTURES, read_catalog

SESSION = NameContext(("pg_catalog", "public"), "app_ro", frozenset({"mine"}), {}, {"mine": "a"})


@pytest.fixture(scope="module")
def own(postgres: PostgresServer) -> Iterator[Database]:
    with fresh_database(postgres) as database:
        database.run((FIXTURES / "schema.sql").read_text())
        yield database


def marks(parser: Parser, database: Database, sql: str) -> dict[str, str]:
    catalog = read_catalog(database)
    facts = resolve(parser.parse(sql), catalog, SESSION)
    return dict(catalog.definitions(facts))


CHANGES = [
    ("SELECT * FROM v_top", "CREATE OR REPLACE VIEW v_orders AS SELECT id, total FROM orders"),
    ("SELECT total_of(1)", "ALTER FUNCTION total_of(int) SET search_path = archive"),
    ("SELECT wipe()", "CREATE OR REPLACE FUNCTION wipe() RETURNS void LANGUAGE sql AS 'SELECT'"),
    ("SELECT opaque(1)", "ALTER FUNCTION opaque(int) SECURITY DEFINER"),
    ("SELECT opaque(1)", "CREATE FUNCTION opaque(text) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ("DELETE FROM ruled", "ALTER TABLE ruled DISABLE RULE ruled_log"),
    ("SELECT * FROM m_totals", "DROP MATERIALIZED VIEW m_totals; CREATE VIEW m_totals AS SELECT 1"),
    (
        "INSERT INTO triggered VALUES (1)",
        "CREATE OR REPLACE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    ),
    ("INSERT INTO triggered VALUES (2)", "ALTER TABLE triggered DISABLE TRIGGER note"),
    ("DELETE FROM triggered", "CREATE POLICY mine ON triggered USING (id = 1)"),
    ("DELETE FROM triggered", "ALTER POLICY mine ON triggered USING (true)"),
    ("DELETE FROM triggered", "ALTER TABLE triggered ENABLE ROW LEVEL SECURITY"),
    ("DELETE FROM triggered", "ALTER TABLE triggered FORCE ROW LEVEL SECURITY"),
    ("DELETE FROM triggered", "CREATE FUNCTION called() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ("INSERT INTO cats VALUES (1)", "ALTER TABLE cats ALTER id SET DEFAULT 5"),
    ("SELECT id FROM cats", "ALTER TABLE animals RENAME id TO number"),
    ("SELECT 1 FROM cats", "ALTER TABLE cats ADD g int GENERATED ALWAYS AS (1) STORED"),
    ("TABLE audit", "ALTER TABLE audit RENAME TO old; CREATE TABLE audit (x int)"),
]


@pytest.mark.parametrize(("sql", "change"), CHANGES)
def test_a_changed_definition_behind_a_statement_changes_its_marks(
    parser: Parser, own: Database, sql: str, change: str
) -> None:
    before = marks(parser, own, sql)
    assert before and before == marks(parser, own, sql)
    own.run(change)
    assert marks(parser, own, sql) != before


def test_rights_and_rows_change_no_mark(parser: Parser, own: Database) -> None:
    before = marks(parser, own, "SELECT twice(id) FROM v_roles, cats")
    assert set(before) >= {"public.twice()", "public.v_roles", "public.cats", "public.animals"}
    own.run("GRANT EXECUTE ON FUNCTION twice(int) TO PUBLIC; INSERT INTO cats VALUES (1); ANALYZE")
    assert marks(parser, own, "SELECT twice(id) FROM v_roles, cats") == before


def test_a_view_of_the_session_is_marked_by_its_own_text(parser: Parser, own: Database) -> None:
    catalog = read_catalog(own)
    facts = resolve(parser.parse("TABLE mine"), catalog, SESSION)
    assert ("pg_temp.mine", "SELECT 1") in catalog.definitions(facts, {"mine": "SELECT 1"})
    assert "pg_temp.mine" not in dict(catalog.definitions(facts, {}))
