"""PL/pgSQL is read: what a body does is what its caller does, or unknown with the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance.embedded import PostgresServer
from appliance.sql.analysis import Analysis
from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext, Statement
from appliance.sql.native import PgQuery
from appliance.sql.parser import Parser
from appliance.sql.plpgsql import NotUnderstood, read_body
from appliance.sql.resolve import resolve
from tests.harness.postgres import fresh_database
from tests.sql.conftest import FIXTURES, read_catalog

SESSION = NameContext(("pg_catalog", "public"), "app_ro", frozenset())
LIBRARY = PgQuery()

EVERYTHING = r"""
#variable_conflict use_column
<<blk>>
DECLARE r record; x orders.id%TYPE := f1(); y orders%ROWTYPE; Q ALIAS FOR $1;
    c CURSOR (k int, l numeric(10,2)) FOR SELECT f2(); d NO SCROLL CURSOR IS DELETE FROM f3;
    z CONSTANT text COLLATE "C" NOT NULL DEFAULT f4('a;b'); a int[] = ARRAY[1, f5()];
BEGIN
    IF a > (SELECT f6()) THEN PERFORM f7(a); ELSIF f8() THEN NULL; ELSEIF f9() THEN
    ELSE x = f10(); END IF;
    x := (SELECT f11()); y.id = f12(); a[f13()] := f14(); "X y" := f15();
    DELETE FROM orders WHERE id = f16();
    SELECT id INTO x FROM orders WHERE id = f17();
    SELECT INTO STRICT x, y.id f18(), f19();
    INSERT INTO audit VALUES (f20()) RETURNING what INTO STRICT b;
    EXECUTE f21() INTO r USING b, f22(); EXECUTE 'x' USING f23() INTO STRICT x, y.id;
    FOR r IN SELECT f24() LOOP RAISE NOTICE '%', f25(r.id); END LOOP;
    FOR r IN EXECUTE f26() USING f27(), f28() LOOP NULL; END LOOP;
    FOR i IN REVERSE f29()..f30() BY f31() LOOP CONTINUE WHEN f32(); END LOOP;
    <<lp>> WHILE f33() LOOP EXIT lp WHEN f34(); END LOOP lp;
    FOR x, y IN c(f35(), l := f36()) LOOP END LOOP;
    FOREACH x SLICE 1 IN ARRAY f37() LOOP END LOOP;
    OPEN c(5, l => f38()); FETCH FORWARD 1 FROM c INTO r; MOVE c; CLOSE c;
    OPEN cc FOR SELECT f39(); OPEN cc NO SCROLL FOR EXECUTE f40() USING f41();
    CALL p(f42()); DO 'BEGIN PERFORM f43(); END';
    COMMIT AND CHAIN; ROLLBACK;
    CASE f44() WHEN 1, f45() THEN PERFORM f46(); ELSE PERFORM f47(); END CASE;
    CASE WHEN f48() THEN NULL; END CASE;
    DECLARE v int := f49(); BEGIN
        RAISE EXCEPTION 'x' USING errcode = f50(), message := f51();
    EXCEPTION WHEN SQLSTATE '22012' OR unique_violation THEN PERFORM f52();
        WHEN OTHERS THEN RAISE; END;
    RAISE unique_violation USING detail = f53();
    ASSERT f54(), f55();
    GET STACKED DIAGNOSTICS x = MESSAGE_TEXT, y = PG_EXCEPTION_DETAIL;
    WITH k AS (INSERT INTO t VALUES (f56()) RETURNING id) SELECT k.id INTO y.id FROM k;
    LOOP EXIT; END LOOP;
    RETURN NEXT f57(); RETURN NEXT; RETURN QUERY SELECT f58();
    RETURN QUERY EXECUTE f59() USING f60();
    RETURN f61(); -- ; f0()
END blk
"""


def test_every_place_where_sql_may_stand_is_read() -> None:
    data = EVERYTHING.encode()
    body = read_body(data, LIBRARY.scan(data), ("b",))
    texts = b"\n".join(piece.text for piece in body.pieces)
    missing = [n for n in range(1, 62) if b"f%d" % n not in texts]
    assert not missing
    assert b"f0" not in texts
    for piece in body.pieces:
        LIBRARY.parse(piece.text)
    assert body.variables >= set("abcdikrxyz") | {"q", "blk", "lp", "found"}


NOT_PLPGSQL = [
    "",
    "SELECT 1",
    "BEGIN",
    "BEGIN END; BEGIN END",
    "BEGIN PERFORM (1; END",
    "BEGIN PERFORM 1) ; END",
    "BEGIN IF true THEN END",
    "BEGIN (SELECT f()); END",
    "BEGIN x := ; END",
    "BEGIN RAISE NOTICE f(); END",
    "BEGIN FETCH ABSOLUTE f() FROM c INTO x; END",
    "BEGIN GET DIAGNOSTICS x = f(); END",
    "BEGIN LOOP f(); END; END",
    "BEGIN <<a>> PERFORM 1; END",
    "BEGIN SELECT 1 INTO a INTO b; END",
    'BEGIN U&"a" := 1; END',
    "BEGIN CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT f(); END; END",
    "DECLARE x f('a'); BEGIN END",
    "DECLARE BEGIN EXCEPTION WHEN f() THEN END",
    "BEGIN " + "IF a THEN " * 200 + "END IF;" * 200 + " END",
]


@pytest.mark.parametrize("text", NOT_PLPGSQL)
def test_what_is_not_understood_is_never_passed_over(text: str) -> None:
    with pytest.raises(NotUnderstood):
        read_body(text.encode(), LIBRARY.scan(text.encode()))
    assert Analysis(LIBRARY).plpgsql(text)[0].unknown


@pytest.fixture(scope="module")
def bodies(postgres: PostgresServer) -> Iterator[Catalog]:
    with fresh_database(postgres) as database:
        database.run((FIXTURES / "schema.sql").read_text())
        database.run(FUNCTIONS)
        yield read_catalog(database)


FUNCTIONS = """
CREATE FUNCTION purge() RETURNS void LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; END';
CREATE FUNCTION purge_one(p int) RETURNS void LANGUAGE plpgsql
    AS 'BEGIN DELETE FROM orders WHERE id = p; END';
CREATE FUNCTION purge_by(p int) RETURNS void LANGUAGE plpgsql
    AS 'BEGIN DELETE FROM orders WHERE p > 0; END';
CREATE FUNCTION purge_id(id int) RETURNS void LANGUAGE plpgsql
    AS '#variable_conflict use_variable\nBEGIN DELETE FROM orders WHERE id = 5; END';
CREATE FUNCTION purge_sql(p int) RETURNS void LANGUAGE sql AS 'DELETE FROM orders WHERE p > 0';
CREATE FUNCTION purge_atomic(p int) RETURNS void LANGUAGE sql
    BEGIN ATOMIC DELETE FROM orders WHERE p > 0; END;
CREATE FUNCTION outer_one() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM purge(); END';
CREATE FUNCTION forever(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN forever($1); END';
CREATE FUNCTION builds(t text) RETURNS void LANGUAGE plpgsql
    AS 'BEGIN EXECUTE format(''DELETE FROM %I'', t); END';
CREATE FUNCTION constant_text() RETURNS void LANGUAGE plpgsql
    AS 'BEGIN EXECUTE ''TRUNCATE archive.orders''; END';
CREATE FUNCTION moves() RETURNS void LANGUAGE plpgsql
    AS 'BEGIN SET search_path = archive; END';
CREATE FUNCTION moves_itself() RETURNS void LANGUAGE plpgsql
    AS 'BEGIN PERFORM set_config(''search_path'', ''archive'', true); DELETE FROM orders; END';
CREATE FUNCTION pinned() RETURNS void LANGUAGE plpgsql SET search_path = archive
    AS 'BEGIN PERFORM purge_there(); END';
CREATE FUNCTION archive.purge_there() RETURNS void LANGUAGE plpgsql
    AS 'BEGIN DELETE FROM orders; END';
CREATE FUNCTION reads() RETURNS SETOF orders LANGUAGE plpgsql STABLE
    AS 'DECLARE c CURSOR FOR SELECT ssn FROM customers; BEGIN RETURN QUERY TABLE orders; END';
CREATE FUNCTION role_of() RETURNS void LANGUAGE plpgsql AS 'BEGIN SET ROLE postgres; END';
CREATE FUNCTION prepares() RETURNS void LANGUAGE plpgsql AS 'BEGIN PREPARE x AS SELECT 1; END';
CREATE FUNCTION large() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM '<large>'; END$$;
CREATE FUNCTION copies() RETURNS void LANGUAGE plpgsql
    AS 'BEGIN COPY (SELECT ssn FROM customers) TO ''/tmp/x''; END';
CREATE PROCEDURE ends() LANGUAGE plpgsql AS 'BEGIN COMMIT; DELETE FROM audit; END';
""".replace("<large>", "x" * 20_000)


def one(
    parser: Parser, catalog: Catalog, sql: str, names: NameContext = SESSION
) -> tuple[Statement, set[str]]:
    """Return the last statement and its effects, ``all`` for those without WHERE."""
    statement = resolve(parser.parse(sql), catalog, names).statements[-1]
    return statement, {
        f"{e.cls} {e.object}" + (" all" if e.without_where else "") for e in statement.effects
    }


DOES = [
    ("SELECT purge()", {"select public.purge()", "delete public.orders all"}),
    ("SELECT * FROM purge()", {"delete public.orders all"}),
    ("SELECT purge_one(1)", {"delete public.orders"}),
    ("SELECT purge_by(1)", {"delete public.orders all"}),
    ("SELECT purge_id(1)", {"delete public.orders all"}),
    ("SELECT purge_sql(1)", {"delete public.orders all"}),
    ("SELECT purge_atomic(1)", {"delete public.orders all"}),
    ("SELECT outer_one()", {"delete public.orders all", "select public.purge()"}),
    ("SELECT forever(1)", {"select public.forever()"}),
    ("SELECT constant_text()", {"truncate archive.orders"}),
    ("SELECT moves_itself()", {"delete public.orders all", "delete archive.orders all"}),
    ("SELECT moves(), purge()", {"delete public.orders all", "delete archive.orders all"}),
    ("SELECT pinned()", {"delete archive.orders all"}),
    ("SELECT reads()", {"select public.orders", "select public.customers"}),
    ("SELECT copies()", {"copy_out public.customers", "select public.customers"}),
    ("CALL ends()", {"call public.ends()", "delete public.audit all", "transaction "}),
    ("DO 'BEGIN PERFORM purge(); END'", {"do ", "delete public.orders all"}),
    ("DO $$ BEGIN DELETE FROM orders WHERE id = 1; END $$", {"do ", "delete public.orders"}),
    (
        "DO $$ DECLARE id int; BEGIN DELETE FROM orders WHERE id = 1; END $$",
        {"delete public.orders all"},
    ),
    (
        "DO $$ BEGIN DELETE FROM orders o USING customers c WHERE c.id = o.id; END $$",
        {"delete public.orders", "select public.customers"},
    ),
    ("DO $$ BEGIN IF EXISTS (TABLE customers) THEN END IF; END $$", {"select public.customers"}),
    (
        "DO $$ BEGIN SET LOCAL search_path = archive; DELETE FROM orders; END $$",
        {"delete public.orders all", "delete archive.orders all"},
    ),
    (
        "DO $$ BEGIN PERFORM moves(); DELETE FROM orders; END $$",
        {"delete public.orders all", "delete archive.orders all"},
    ),
    ("DO $$ BEGIN DO 'BEGIN DELETE FROM orders; END'; END $$", {"delete public.orders all"}),
    ("DO $$ BEGIN CREATE TABLE x (a int); END $$", {"ddl public.x"}),
    ("SET search_path = archive; SELECT purge()", {"delete archive.orders all"}),
    (
        "SELECT set_config('search_path', 'archive', false), query_to_xml('TABLE orders', true, "
        "true, '')",
        {"select archive.orders", "select public.orders"},
    ),
    (
        "CREATE FUNCTION f(p int) RETURNS int LANGUAGE plpgsql AS "
        "'BEGIN DELETE FROM orders WHERE p = 1; END'",
        {"ddl public.f()", "delete public.orders all"},
    ),
]


@pytest.mark.parametrize(("sql", "effects"), DOES)
def test_a_body_does_to_its_caller_what_it_does(
    parser: Parser, bodies: Catalog, sql: str, effects: set[str]
) -> None:
    statement, found = one(parser, bodies, sql)
    assert effects <= found
    assert not statement.unknown
    assert statement.changes_state


UNKNOWN = [
    ("SELECT builds('orders')", "function public.builds() runs text that it builds"),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE ' || x; END $$", "the DO block runs text that it builds"),
    ("DO $$ BEGIN EXECUTE E'SELECT \\'' || 1; END $$", "the DO block runs text that it builds"),
    ("SELECT large()", "in function public.large(): its body is too large to be analysed"),
    ("SELECT prepares()", "function public.prepares() prepares statements"),
    ("DO $$ BEGIN TABLE nowhere; END $$", "relation nowhere is not in the target's catalog"),
    ("DO 'this is not it'", "in the DO block: its PL/pgSQL could not be read"),
    (
        "DO $$ BEGIN PERFORM FROM WHERE; END $$",
        "in the DO block: a statement in its PL/pgSQL could not be analysed",
    ),
    ("DO LANGUAGE plperl 'x'", "what a DO block in plperl runs is not known before it runs"),
    (
        "DO $$ BEGIN PERFORM '\\'; DELETE FROM orders; --'; END $$",
        "in the DO block: a literal in it depends on standard_conforming_strings",
    ),
]


@pytest.mark.parametrize(("sql", "reason"), UNKNOWN)
def test_what_a_body_builds_or_hides_is_unknown(
    parser: Parser, bodies: Catalog, sql: str, reason: str
) -> None:
    statement, found = one(parser, bodies, sql)
    assert statement.unknown == reason
    assert any(effect.startswith("unknown") for effect in found)


def test_flags_of_a_body_are_its_callers(parser: Parser, bodies: Catalog) -> None:
    statement, _ = one(parser, bodies, "SELECT role_of()")
    assert ("set_role", "postgres") in statement.flag_details
    statement, _ = one(parser, bodies, "DO $$ BEGIN SET ROLE postgres; END $$")
    assert ("set_role", "postgres") in statement.flag_details


def test_the_path_that_a_body_is_called_with_counts_each_time(
    parser: Parser, bodies: Catalog
) -> None:
    """pinned() calls with its own path; what is called directly sees the session's."""
    names = replace(SESSION, search_path=("pg_catalog", "public", "archive"))
    _, found = one(parser, bodies, "SELECT pinned(), purge_there()", names)
    assert {"delete archive.orders all", "delete public.orders all"} <= found


HOSTILE = {
    "many statements": "PERFORM 1; " * 1_400,
    "one long sum": "PERFORM 1" + "+1" * 7_000 + ";",
    "deep ifs": "IF true THEN " * 700 + "END IF; " * 700,
    "deep blocks": "BEGIN " * 1_400 + "END; " * 1_400,
    "deep parentheses": "PERFORM " + "(" * 7_000 + "1" + ")" * 7_000 + ";",
    "open parentheses": "PERFORM " + "(" * 14_000,
    "names": "x" + ".x" * 7_000 + " := 1;",
    "subscripts": "x" + "[1]" * 5_000 + " := 1;",
    "open brackets": "x" + "[" * 15_000,
    "assignments that are none": "x[ " * 5_000 + ";",
    "labels": "<<a>> " * 2_500,
    "targets": "SELECT 1 INTO " + "a," * 7_000 + "a;",
    "comments": "/*" * 60 + "*/" * 60 + "NULL;" * 3_000,
    "signs": "PERFORM 1 " + "+" * 15_000 + ";",
    "quotes": "PERFORM '" + "''" * 7_000 + "';",
    "dynamic": "EXECUTE 'EXECUTE ''x''';" * 600,
    "nested DO": "DO $a$BEGIN DO $b$BEGIN DO $c$BEGIN DO $d$BEGIN END$d$; END$c$; END$b$; END$a$;",
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_body_gets_an_answer_soon(shape: str) -> None:
    text = f"BEGIN {HOSTILE[shape]} END"
    assert len(text) <= 16_384
    started = time.thread_time()
    found = Analysis(LIBRARY).plpgsql(text)
    assert time.thread_time() - started < 1.5
    assert all(part.effects or part.relations or part.functions for part in found)
    started = time.thread_time()
    parsed = Parser().parse(f"DO $gate${text}$gate$")
    assert time.thread_time() - started < 1.5
    assert parsed.statements[0].kind in ("DoStmt", "")


def test_what_is_dropped_or_granted_is_not_run(parser: Parser, bodies: Catalog) -> None:
    for sql in (
        "DROP FUNCTION builds(text)",
        "ALTER FUNCTION builds(text) RENAME TO built",
        "GRANT EXECUTE ON FUNCTION builds(text) TO app_ro",
        "CREATE OR REPLACE FUNCTION purge() RETURNS void LANGUAGE plpgsql AS 'BEGIN END'",
    ):
        statement, found = one(parser, bodies, sql)
        assert not statement.unknown
        assert not any("orders" in effect for effect in found)
    _, found = one(
        parser,
        bodies,
        "CREATE TRIGGER t AFTER INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION purge()",
    )
    assert "delete public.orders all" in found


def test_functions_of_one_name_in_several_schemas_depend_on_the_path(
    parser: Parser, bodies: Catalog
) -> None:
    for sql, depends in (
        ("SELECT opaque(1)", True),
        ("SELECT public.opaque(1)", False),
        ("SELECT purge()", False),
        ("DO 'BEGIN PERFORM opaque(1); END'", True),
        ("SELECT now()", False),
    ):
        assert resolve(parser.parse(sql), bodies, SESSION).by_path is depends, sql
