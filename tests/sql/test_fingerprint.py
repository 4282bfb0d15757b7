"""Fingerprints: constants do not change them; names, code and what was reached do."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from appliance.sql.catalog import Catalog
from appliance.sql.facts import FINGERPRINT_VERSION, NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve, setting_facts
from appliance.sql.skeleton import skeleton
from tests.sql.test_corpus import ROWS

SESSION = NameContext(("pg_catalog", "public"), "app_ro", frozenset())

SAME = [
    ("SELECT id FROM orders WHERE id = 1", "select ID  from Orders /* x */ where id = 22;"),
    ("SELECT id FROM orders WHERE id = 1", "SELECT id FROM orders WHERE id = $1"),
    ("SELECT id FROM orders WHERE id IN (1)", "SELECT id FROM orders WHERE id IN (1, 2, 3)"),
    ("INSERT INTO audit VALUES (now(), 'a')", "INSERT INTO audit VALUES (now(), 'b'), (now(), '')"),
    ("SELECT E'a'", "SELECT U&'b'"),
    ("SET application_name = 'a'", "SET application_name = 'b'"),
    ("SELECT set_config('timezone', 'UTC', false)", "SELECT set_config('timezone', 'CET', false)"),
    ("ALTER ROLE ana PASSWORD 'one'", "alter role ana password 'two' -- x"),
    ("CREATE USER bo PASSWORD 'a'", "CREATE USER bo PASSWORD $$b$$"),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'password=a' PUBLICATION p",
        "CREATE SUBSCRIPTION s CONNECTION 'password=b' PUBLICATION p",
    ),
    ("PREPARE a AS SELECT 1", "PREPARE b AS SELECT 2"),
    ("SELECT id FROM orders WHERE id = -1", "SELECT id FROM orders WHERE id = NULL"),
    (
        "SELECT id FROM orders WHERE id IN (1::int)",
        "SELECT id FROM orders WHERE id IN ($1::int, 2::int)",
    ),
    ("SELECT ARRAY[1]", "SELECT ARRAY[1, 2, 3]"),
    (
        "INSERT INTO audit VALUES ((1), ('a')::text)",
        "INSERT INTO audit VALUES (1, $1::text), (2, ''::text)",
    ),
    ("SELECT id FROM orders LIMIT 1", "SELECT id FROM orders LIMIT $1"),
    ("DECLARE a CURSOR FOR SELECT 1", "DECLARE b CURSOR FOR SELECT 2"),
    ("SAVEPOINT a", "SAVEPOINT b"),
    ("NOTIFY a, 'x'", "NOTIFY a, 'y\\\\\"'"),
    ('SELECT \'{"A_Const":{"isnull":true}}\'', "SELECT 'location\":1,'"),
    ("SELECT dblink('password=a')", "SELECT dblink('password=b')"),
]
DIFFERENT = [
    ("SELECT id FROM orders WHERE id = 1", "SELECT id FROM orders WHERE id > 1"),
    ("DELETE FROM orders WHERE id = 1", "DELETE FROM orders WHERE 1 = 1"),
    ("DELETE FROM orders WHERE id = 1", "DELETE FROM orders WHERE id = 1 OR 1 = 1"),
    ("DELETE FROM orders WHERE id = 1 OR 1 = 0", "DELETE FROM orders WHERE id = 1 OR 1 = 1"),
    ("SELECT * FROM events_2026", "SELECT * FROM events_2027"),
    ("SELECT id FROM orders", "SELECT id FROM archive.orders"),
    ("SET ROLE a", "SET ROLE b"),
    ("SET search_path = public", "SET search_path = archive"),
    ("SET application_name = 'a'", "SET datestyle = 'ISO'"),
    (
        "SELECT set_config('search_path', 'public', false)",
        "SELECT set_config('search_path', 'archive', false)",
    ),
    ("SELECT set_config('a.b', 'x', false)", "SELECT set_config('a.c', 'x', false)"),
    (
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT query_to_xml('SELECT 2', true, true, '')",
    ),
    (
        "SELECT table_to_xml('orders', true, true, '')",
        "SELECT table_to_xml('audit', true, true, '')",
    ),
    ("SELECT nextval('counter')", "SELECT nextval('orders_id_seq')"),
    ("SELECT 'orders'::regclass", "SELECT 'audit'::regclass"),
    ("SELECT CAST('orders' AS pg_catalog.regclass)", "SELECT CAST('audit' AS regclass)"),
    ("SELECT pg_read_file('/a')", "SELECT pg_read_file('/b')"),
    ("SELECT lo_export(1, '/a')", "SELECT lo_export(1, '/b')"),
    ("SELECT dblink('x', 'SELECT 1')", "SELECT dblink('x', 'SELECT 2')"),
    ("COPY orders TO '/a'", "COPY orders TO '/b'"),
    ("COPY orders TO PROGRAM 'a'", "COPY orders TO PROGRAM 'b'"),
    ("DO 'BEGIN END'", "DO 'BEGIN NULL; END'"),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END'",
    ),
    ("CREATE POLICY p ON orders USING (false)", "CREATE POLICY p ON orders USING (true)"),
    ("ALTER ROLE ana PASSWORD 'x'", "ALTER ROLE bo PASSWORD 'x'"),
    ("ALTER ROLE ana PASSWORD 'x'", "ALTER ROLE ana PASSWORD 'x' SUPERUSER"),
    ("ALTER ROLE ana SET search_path = 'a'", "ALTER ROLE ana SET search_path = 'b'"),
    ("LISTEN a", "LISTEN b"),
    ("LISTEN a", "NOTIFY a"),
    # lists in which the order, or how many there are, decides what is done
    ("SELECT mod(id, total) FROM orders", "SELECT mod(total, id) FROM orders"),
    ("SELECT mod(1, 2)", "SELECT mod(1)"),
    ("SELECT coalesce(note, total) FROM orders", "SELECT coalesce(total, note) FROM orders"),
    (
        "SELECT 1 FROM orders WHERE (id, total) < (1, id)",
        "SELECT 1 FROM orders WHERE (total, id) < (1, id)",
    ),
    (
        "INSERT INTO orders (id, total) SELECT a, b FROM c",
        "INSERT INTO orders (id, total) SELECT b, a FROM c",
    ),
    (
        "INSERT INTO orders (id, total) SELECT a, b FROM c",
        "INSERT INTO orders (total, id) SELECT a, b FROM c",
    ),
    ("INSERT INTO orders VALUES (now(), user)", "INSERT INTO orders VALUES (user, now())"),
    ("UPDATE orders SET (id, total) = (total, id)", "UPDATE orders SET (id, total) = (id, total)"),
    (
        "SELECT CASE WHEN a THEN b WHEN c THEN d END FROM orders",
        "SELECT CASE WHEN c THEN d WHEN a THEN b END FROM orders",
    ),
    ("SELECT id FROM orders LIMIT 1", "SELECT id FROM orders OFFSET 1"),
    # aliases say which table a column is of, and which column a name is
    ("SELECT x.id FROM orders x, audit y", "SELECT x.id FROM audit x, orders y"),
    ("SELECT x.id FROM orders x, audit y", "SELECT x.id FROM orders y, audit x"),
    (
        "DELETE FROM orders WHERE id IN (SELECT u FROM (SELECT a AS u, b AS v FROM audit) q)",
        "DELETE FROM orders WHERE id IN (SELECT u FROM (SELECT a AS v, b AS u FROM audit) q)",
    ),
    (
        "WITH q(u, v) AS (SELECT a, b FROM audit) DELETE FROM orders USING q WHERE id = u",
        "WITH q(v, u) AS (SELECT a, b FROM audit) DELETE FROM orders USING q WHERE id = u",
    ),
    ("EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1"),
    ("EXECUTE nobody", "EXECUTE nothing"),
    ("this is not sql", "neither is this"),
    ("SELECT \ue000 '", "SELECT \ue001 '"),
    ("", "SELECT"),
]


def mark(
    parser: Parser, catalog: Catalog | None, sql: str, names: NameContext = SESSION
) -> list[str]:
    return [s.fingerprint for s in resolve(parser.parse(sql), catalog, names).statements]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_in_constants_alone_has_one_fingerprint(
    parser: Parser, catalog: Catalog, one: str, other: str
) -> None:
    assert mark(parser, catalog, one) == mark(parser, catalog, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_does_something_else_has_another_fingerprint(
    parser: Parser, catalog: Catalog, one: str, other: str
) -> None:
    assert mark(parser, catalog, one) != mark(parser, catalog, other)


def test_a_search_path_that_reaches_another_table_changes_it(
    parser: Parser, catalog: Catalog
) -> None:
    other = replace(SESSION, search_path=("pg_catalog", "archive", "public"))
    for sql in ("DELETE FROM orders", "SELECT total_of(1)"):  # the second by its body
        assert mark(parser, catalog, sql) != mark(parser, catalog, sql, other)
    for sql in ("DELETE FROM public.orders", "SELECT * FROM v_orders", "SELECT 1"):
        assert mark(parser, catalog, sql) == mark(parser, catalog, sql, other)
    shadowed = replace(SESSION, temp_relations=frozenset({"orders"}))
    assert mark(parser, catalog, "DELETE FROM orders") != mark(
        parser, catalog, "DELETE FROM orders", shadowed
    )


def test_execute_has_the_fingerprint_of_what_was_prepared(parser: Parser, catalog: Catalog) -> None:
    def executed(prepared: str) -> str:
        facts = resolve(parser.parse(prepared), catalog, SESSION)
        names = replace(SESSION, prepared={"p": facts})
        return mark(parser, catalog, "EXECUTE p", names)[0]

    narrow = executed("PREPARE p AS DELETE FROM orders WHERE id = 1")
    assert narrow == executed("PREPARE p AS DELETE FROM orders WHERE id = 2")
    assert narrow != executed("PREPARE p AS DELETE FROM orders")


def test_a_statement_has_one_fingerprint_alone_and_in_a_script(
    parser: Parser, catalog: Catalog
) -> None:
    alone = mark(parser, catalog, "SELECT id FROM orders WHERE id = 1")
    script = mark(parser, catalog, "BEGIN; -- x\n SELECT id FROM orders WHERE id = 7; COMMIT")
    assert [script[1]] == alone
    assert len(set(script)) == 3


def test_equal_skeletons_have_equal_fingerprints(parser: Parser, catalog: Catalog) -> None:
    """What was decided for one text is used again for another with the same skeleton."""
    compared = 0
    for parameter in ROWS:
        sql = parameter.values[0]["sql"]  # type: ignore[index]
        parsed = parser.parse(sql)
        if skeleton(sql) is None or parsed.literal_sensitive:
            continue
        other = re.sub(
            r"'[^']*'", "'other'", re.sub(r"(?<![\w$.\"'])[0-9]+(?![\w.\"'])", "77", sql)
        )
        if other != sql and skeleton(other) == skeleton(sql):
            compared += 1
            assert mark(parser, catalog, sql) == mark(parser, catalog, other), sql
    assert compared > 50


def test_a_fingerprint_is_the_same_in_every_process_and_version() -> None:
    """A changed value here means: FINGERPRINT_VERSION has to be another, and these with it."""
    texts = list(PINNED)
    code = (
        "import sys\nfrom appliance.sql.parser import Parser\n"
        "from appliance.sql.resolve import NameContext, resolve\n"
        "for text in sys.argv[1:]:\n"
        "    facts = resolve(Parser().parse(text), None, NameContext())\n"
        "    print(facts.statements[0].fingerprint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *texts], capture_output=True, text=True, check=True
    )
    found = done.stdout.split()
    parser = Parser()
    assert found == [mark(parser, None, text, NameContext())[0] for text in texts]
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in found)
    assert dict(zip(texts, found, strict=True)) == PINNED
    assert FINGERPRINT_VERSION == "18.2"


PINNED = {
    "SELECT 1": "2b592e0aaf429ae6",
    "DELETE FROM public.orders WHERE id = 1": "a1beb048d5fe72f0",
    "SET ROLE x": "64f46a16398655a3",
    "CREATE TABLE t (a int DEFAULT 5)": "4c3b23240c2a636d",
    "ALTER ROLE x PASSWORD 'y'": "201b61c9b9bd37ee",
    "no sql": "89b8c5f6c9b04cba",
}


def test_a_start_up_parameter_has_a_fingerprint_of_its_own() -> None:
    def of(name: str, value: str) -> str:
        return setting_facts(name, value).statements[0].fingerprint

    assert of("application_name", "a") == of("application_name", "b")
    assert of("search_path", "a") != of("search_path", "b")
    assert of("role", "a") != of("search_path", "a")
