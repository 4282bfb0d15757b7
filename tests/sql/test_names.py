"""Names mean here what they mean to PostgreSQL: its own plans are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from appliance.sql.catalog import CATALOG_SQL, STATE_SQL, Catalog, SessionState
from appliance.sql.facts import EffectClass, Facts, NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from tests.harness.postgres import Database

Session = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def session(shop: Database) -> Iterator[Session]:
    """A superuser's session whose own doing is undone at its end."""
    connection = psycopg.connect(shop.server.dsn(shop.name))
    try:
        yield connection
    finally:
        connection.rollback()
        connection.close()


def state_of(session: Session) -> SessionState:
    row = session.execute(STATE_SQL.encode()).fetchone()
    assert row is not None
    return SessionState.from_json(str(row[0]).encode())


def context_of(session: Session) -> NameContext:
    state = state_of(session)
    return NameContext(
        state.search_path,
        state.current_user,
        state.temp_relations,
        {},
        state.temp_views,
    )


def catalog_of(session: Session) -> Catalog:
    row = session.execute(CATALOG_SQL.encode()).fetchone()
    assert row is not None
    return Catalog.from_json(str(row[0]).encode())


def planned(session: Session, sql: str) -> set[str]:
    """Return the relations in the server's own plan, temporary ones under pg_temp."""
    row = session.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}".encode()).fetchone()
    assert row is not None
    found: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                visit(item)
        elif isinstance(node, dict):
            if "Relation Name" in node and "Schema" in node:
                schema = "pg_temp" if node["Schema"].startswith("pg_temp") else node["Schema"]
                found.add(f"{schema}.{node['Relation Name']}")
            for value in node.values():
                visit(value)

    visit(row[0])
    return found


def touched(facts: Facts) -> set[str]:
    return {
        str(effect.relation)
        for statement in facts.statements
        for effect in statement.effects
        if effect.relation is not None and effect.cls is not EffectClass.UNKNOWN
    }


QUERIES = [
    "SELECT * FROM orders",
    "SELECT * FROM Orders",
    'SELECT * FROM "orders"',
    "SELECT * FROM archive.orders",
    "SELECT * FROM secrets, public.customers",
    'SELECT * FROM "Card Holders"',
    'SELECT * FROM U&"\\0043ard Holders"',
    "SELECT * FROM U&\"!0043ard Holders\" UESCAPE '!'",
    'SELECT * FROM "Odd Schema"."Odd Table"',
    'SELECT * FROM "Odd Table"',
    "SELECT * FROM v_orders",
    "SELECT * FROM v_top",
    "SELECT * FROM m_totals",
    "SELECT * FROM events WHERE at = '2026-03-03'",
    "SELECT * FROM events_2026",
    "SELECT * FROM animals",
    "SELECT * FROM ONLY animals",
    "SELECT * FROM cats",
    "SELECT * FROM pg_class",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM v_opaque",
    "SELECT total_of(1)",
    "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders",
    "WITH customers AS (SELECT 1 AS id) SELECT * FROM customers, orders",
    "WITH RECURSIVE orders AS (SELECT 1 AS n UNION ALL SELECT n FROM orders) TABLE orders",
    "SELECT (SELECT max(id) FROM archive.orders), id FROM customers",
    "SELECT * FROM (WITH a AS (TABLE orders) SELECT * FROM a) x, (SELECT 1 FROM customers) y",
    "DELETE FROM orders WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id)",
    "UPDATE v_orders SET total = 1",
    "DELETE FROM animals",
    "DELETE FROM ruled",
    "INSERT INTO events VALUES ('2026-01-01', 'x')",
    "INSERT INTO archive.orders (id) SELECT id FROM v_orders",
    "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM orders RETURNING id) INSERT INTO audit (what) SELECT 'x' FROM d",
]
PATHS = [
    "public",
    "archive, public",
    "public, archive",
    '"Odd Schema", archive',
    '"$user", public',
    "archive, pg_catalog, public",
    "nowhere, public",
    "pg_temp, public",
    "",
]


@pytest.mark.parametrize("path", PATHS)
def test_what_the_server_plans_to_touch_is_among_the_effects(
    session: Session, parser: Parser, path: str
) -> None:
    session.execute("SELECT set_config('search_path', %s, false)", (path,))
    names, catalog = context_of(session), catalog_of(session)
    compared = 0
    for sql in QUERIES:
        facts = resolve(parser.parse(sql), catalog, names)
        session.execute("SAVEPOINT here")
        try:
            plan = planned(session, sql)
        except psycopg.Error as error:
            session.execute("ROLLBACK TO here")
            if not isinstance(
                error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction
            ):
                continue  # a column of another table that is meant now
            assert facts.statements[0].unknown, f"{sql} resolves here but not on the server"
            continue
        assert not facts.statements[0].unknown, sql
        assert plan <= touched(facts), sql
        compared += 1
    assert compared > 5


def test_a_temporary_table_hides_a_table_of_the_same_name(session: Session, parser: Parser) -> None:
    session.execute("CREATE TEMP TABLE orders (id int)")
    facts = resolve(parser.parse("SELECT * FROM orders"), catalog_of(session), context_of(session))
    assert planned(session, "SELECT * FROM orders") == touched(facts) == {"pg_temp.orders"}
    drop = resolve(parser.parse("DROP TABLE orders"), catalog_of(session), context_of(session))
    assert [e.cls for e in drop.statements[0].effects] == [EffectClass.TEMP_DDL]


def test_with_pg_temp_at_the_end_of_the_path_the_table_wins(
    session: Session, parser: Parser
) -> None:
    session.execute("CREATE TEMP TABLE orders (id int)")
    session.execute("SET search_path = public, pg_temp")
    facts = resolve(parser.parse("SELECT * FROM orders"), catalog_of(session), context_of(session))
    assert planned(session, "SELECT * FROM orders") == touched(facts) == {"public.orders"}


def test_a_temporary_view_is_followed_to_what_it_reads(session: Session, parser: Parser) -> None:
    session.execute("CREATE TEMP VIEW harmless AS SELECT * FROM archive.secrets")
    names = context_of(session)
    facts = resolve(parser.parse("SELECT * FROM harmless"), catalog_of(session), names)
    assert {"pg_temp.harmless", "archive.secrets"} == touched(facts)
    hidden = NameContext(names.search_path, names.role, None)
    facts = resolve(parser.parse("SELECT * FROM customers"), catalog_of(session), hidden)
    assert facts.statements[0].unknown  # it may be a temporary view for all that is known


def test_a_users_table_called_like_a_system_table(session: Session, parser: Parser) -> None:
    session.execute("CREATE TABLE public.pg_class (x int)")
    for path, meant in (
        ("public", "pg_catalog.pg_class"),
        ("public, pg_catalog", "public.pg_class"),
        ("pg_catalog, public", "pg_catalog.pg_class"),
    ):
        session.execute(f"SET search_path = {path}".encode())
        facts = resolve(
            parser.parse("SELECT * FROM pg_class"), catalog_of(session), context_of(session)
        )
        assert planned(session, "SELECT * FROM pg_class") == touched(facts) == {meant}


def test_a_toast_table_is_a_way_to_its_table(session: Session, parser: Parser) -> None:
    row = session.execute(
        b"SELECT t.relname FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid"
        b" WHERE c.relname = 'customers'"
    ).fetchone()
    assert row is not None
    parsed = parser.parse(f"SELECT chunk_data FROM pg_toast.{row[0]}")
    assert "public.customers" in touched(resolve(parsed, catalog_of(session), context_of(session)))


def test_what_a_transaction_made_itself_is_seen_through_its_own_session(
    session: Session, parser: Parser, catalog: Catalog
) -> None:
    session.execute("CREATE VIEW own AS SELECT * FROM archive.secrets")
    parsed = parser.parse("SELECT * FROM own")
    outside = resolve(parsed, catalog, context_of(session))
    assert outside.needs_catalog and outside.statements[0].unknown
    inside = resolve(parsed, catalog_of(session), context_of(session))
    assert touched(inside) == {"public.own", "archive.secrets"}


def test_an_unknown_search_path_means_every_schema(catalog: Catalog, parser: Parser) -> None:
    names = NameContext(None, "x", frozenset())
    facts = resolve(parser.parse("SELECT id FROM orders"), catalog, names)
    assert touched(facts) == {"public.orders", "archive.orders"}
    called = resolve(parser.parse("SELECT opaque(1)"), catalog, names).statements[0]
    assert {str(e.function) for e in called.effects if e.function} == {
        "public.opaque",
        "archive.opaque",
    }


def test_the_catalog_is_read_without_being_fooled_by_look_alikes(
    session: Session, parser: Parser
) -> None:
    honest = catalog_of(session)
    session.execute(
        """CREATE SCHEMA fake;
        CREATE FUNCTION fake.never(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR fake.= (FUNCTION = fake.never, LEFTARG = oid, RIGHTARG = oid);
        CREATE VIEW fake.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE false;
        CREATE FUNCTION fake.json_agg(anyelement) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';
        SET search_path = fake, pg_catalog"""
    )
    seen = catalog_of(session)
    assert {r.name for r in honest.relations()} < {r.name for r in seen.relations()}
    assert state_of(session).search_path[0] == "fake"


def test_the_state_works_also_without_rights_and_in_a_read_only_transaction(
    shop: Database,
) -> None:
    with psycopg.connect(shop.dsn(shop.ro), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SET standard_conforming_strings = off")
        state = state_of(connection)
        catalog = catalog_of(connection)
    assert state.current_user == shop.ro.name
    assert state.standard_conforming_strings is False
    assert state.search_path == ("pg_catalog", "public")
    assert catalog.relation("archive", "secrets") is not None
    assert catalog.role == shop.ro.name


def test_a_catalog_survives_being_stored(catalog: Catalog) -> None:
    again = Catalog.from_json(catalog.to_json())
    assert again.to_json() == catalog.to_json()
    assert {r.name for r in again.relations()} == {r.name for r in catalog.relations()}
    for broken in (b"", b"[]", b"null", b'{"relations": [1]}', b'{"relations": 5}'):
        with pytest.raises(ValueError):
            Catalog.from_json(broken)
    with pytest.raises(ValueError):
        SessionState.from_json(b"{}")
