"""What a masked statement rests on is asked for again when it runs: a real server's answers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from appliance.embedded import PostgresServer
from appliance.masking.standing import question, stands
from appliance.sql.catalog import Catalog
from appliance.sql.dependencies import Dependency, Kind
from appliance.sql.facts import NameContext
from appliance.sql.lineage import lineage
from appliance.sql.native import PgQuery
from tests.harness.postgres import Database, fresh_database
from tests.sql.conftest import read_catalog

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text);
CREATE TABLE others (id int PRIMARY KEY, name text, ssn text);
CREATE TABLE events (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE VIEW faces AS SELECT id, name FROM people;
CREATE FUNCTION tell(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE DOMAIN word AS text CHECK (value <> '');
CREATE OPERATOR ### (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text);
CREATE SCHEMA side; CREATE SCHEMA "Späte ""Zeit";
CREATE TABLE "Späte ""Zeit"."Leute\\" (id int, ssn text);
INSERT INTO people VALUES (1, 'Ann', 'x'), (2, 'Bert', 'y');
"""
STATEMENTS = {
    "view": "SELECT upper(name) FROM faces",
    "table": "SELECT id FROM people WHERE name ~ 'A'",
    "code": "SELECT tell(name), name ### 'x', name::word FROM people",
    "parts": "SELECT note FROM events",
    "strange": 'SELECT max(ssn) FROM "Späte ""Zeit"."Leute\\"',
}


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[Database]:
    with fresh_database(postgres) as made:
        made.run(SCHEMA)
        yield made


@pytest.fixture(scope="module")
def known(database: Database) -> Catalog:
    return read_catalog(database)


def depends_on(
    catalog: Catalog, text: str, path: tuple[str, ...] = ("pg_catalog", "public")
) -> frozenset[Dependency]:
    names = NameContext(path, "app", frozenset())
    return lineage(text, catalog, names, PgQuery(holds_lock=True)).depends


Session = psycopg.Connection[tuple[object, ...]]


def still(session: Session, wanted: frozenset[Dependency]) -> bool:
    row = session.execute(question(wanted).encode()).fetchone()
    assert row is not None and len(row) == 1
    return stands(str(row[0]).encode(), wanted)


@pytest.mark.parametrize("name", list(STATEMENTS))
def test_what_nobody_changed_still_stands(known: Catalog, database: Database, name: str) -> None:
    wanted = depends_on(known, STATEMENTS[name])
    assert wanted
    with database.connect() as session:
        assert still(session, wanted)
        session.execute("SET client_encoding = latin1")
        session.execute("SET standard_conforming_strings = off")
        assert still(session, wanted)


@pytest.mark.parametrize(
    "harmless",
    [
        "ANALYZE people",
        "VACUUM people",
        "VACUUM FULL people",
        "CREATE INDEX ON people (name)",
        "REINDEX TABLE people",
        "TRUNCATE people",
        "INSERT INTO people VALUES (3, 'Cy', 'z')",
        "ALTER TABLE people SET (fillfactor = 50)",
        "CREATE SCHEMA aside; CREATE TABLE aside.people (id int)",
        "CREATE FUNCTION side.other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT 1",
    ],
)
def test_what_changes_no_meaning_asks_for_no_new_decision(
    known: Catalog, database: Database, harmless: str
) -> None:
    wanted = depends_on(known, STATEMENTS["view"]) | depends_on(known, STATEMENTS["code"])
    with database.connect() as session:
        database.run(harmless)
        assert still(session, wanted)


CHANGES = {
    "a view replaced": (
        "view",
        "CREATE OR REPLACE VIEW faces AS SELECT id, ssn AS name FROM people",
    ),
    "a view dropped and made again": (
        "view",
        "DROP VIEW faces; CREATE VIEW faces AS SELECT id, name FROM people",
    ),
    "a view's column renamed": ("view", "ALTER VIEW faces RENAME name TO called"),
    "two columns under a view swapped": (
        "view",
        "ALTER TABLE people RENAME name TO x; ALTER TABLE people RENAME ssn TO name",
    ),
    "tables swapped": (
        "table",
        "ALTER TABLE people RENAME TO p; ALTER TABLE others RENAME TO people",
    ),
    "a table put under another schema": (
        "table",
        "CREATE SCHEMA far; ALTER TABLE people SET SCHEMA far",
    ),
    "schemas swapped": ("strange", 'ALTER SCHEMA "Späte ""Zeit" RENAME TO late'),
    "a column's type changed": (
        "table",
        "ALTER TABLE others ALTER ssn TYPE varchar;ALTER TABLE people ALTER ssn TYPE varchar",
    ),
    "row security turned on": ("table", "ALTER TABLE people ENABLE ROW LEVEL SECURITY"),
    "a policy made": ("table", "CREATE POLICY p ON people USING (true)"),
    "a trigger made": (
        "table",
        "CREATE TRIGGER t BEFORE UPDATE ON people FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ),
    "a rule made": ("table", "CREATE RULE r AS ON INSERT TO people DO ALSO SELECT 1"),
    "a child made": ("table", "CREATE TABLE child () INHERITS (people)"),
    "a partition added": (
        "parts",
        "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20)",
    ),
    "a partition taken off": ("parts", "ALTER TABLE events DETACH PARTITION events_1"),
    "an index over code": ("table", "CREATE INDEX ON people (tell(name))"),
    "a function replaced": (
        "code",
        "CREATE OR REPLACE FUNCTION tell(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ssn"
        " FROM people WHERE name = $1'",
    ),
    "a function of that name elsewhere": (
        "code",
        "CREATE FUNCTION side.tell(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    ),
    "a function that shadows a built-in": (
        "view",
        "CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    ),
    "an operator of that name": (
        "table",
        "CREATE OPERATOR side.~ (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
    ),
    "a domain's check": ("code", "ALTER DOMAIN word ADD CHECK (tell(value) <> 'q')"),
    "a cast": ("code", "CREATE TYPE odd AS (x int); CREATE CAST (odd AS text) WITH INOUT"),
}


def test_what_another_session_changed_is_seen(postgres: PostgresServer) -> None:
    with fresh_database(postgres) as own:
        own.run(SCHEMA)
        with own.connect() as session:
            for change in ("a view replaced", "tables swapped", "a function replaced"):
                name, text = CHANGES[change]
                wanted = depends_on(read_catalog(own), STATEMENTS[name])
                assert still(session, wanted)
                own.run(text)
                assert not still(session, wanted), change
                wanted = depends_on(read_catalog(own), STATEMENTS[name])
                assert still(session, wanted), f"{change}, read anew"


@pytest.mark.parametrize("change", list(CHANGES))
def test_what_has_changed_is_seen(known: Catalog, database: Database, change: str) -> None:
    name, text = CHANGES[change]
    wanted = depends_on(known, STATEMENTS[name])
    with database.connect() as session, session.transaction(force_rollback=True):
        assert still(session, wanted)
        session.execute(text.encode())
        assert not still(session, wanted)


def test_what_the_session_itself_changed_is_seen(known: Catalog, database: Database) -> None:
    table, code = (depends_on(known, STATEMENTS[name]) for name in ("table", "code"))
    with database.connect() as session, session.transaction(force_rollback=True):
        session.execute("SET LOCAL search_path = side, public")
        assert not still(session, code)
        session.execute("SET LOCAL search_path = public")
        session.execute("CREATE TEMP TABLE people (id int, name text)")
        assert not still(session, table)


def test_a_temporary_relation_stands_until_its_name_means_another(
    known: Catalog, database: Database
) -> None:
    names = NameContext(("pg_catalog", "public"), "app", frozenset({"people"}))
    wanted = lineage(STATEMENTS["table"], known, names, PgQuery(holds_lock=True)).depends
    assert [d.expected for d in wanted if d.kind is Kind.NAME] == ["temp"]
    with database.connect() as session:
        assert not still(session, wanted)
        session.execute("CREATE TEMP TABLE people (id int, name text)")
        assert still(session, wanted)


def test_look_alikes_in_the_session_do_not_answer(known: Catalog, database: Database) -> None:
    wanted = depends_on(known, STATEMENTS["code"], ("side", "pg_catalog", "public"))
    with database.connect() as session, session.transaction(force_rollback=True):
        session.execute("CREATE TEMP TABLE pg_class (oid oid, relname name)")
        session.execute("CREATE TEMP TABLE pg_proc AS SELECT * FROM pg_catalog.pg_proc LIMIT 0")
        for name, types in (("concat", "text"), ("to_regclass", "text"), ("string_agg", "text")):
            session.execute(
                f"CREATE FUNCTION side.{name}({types}) RETURNS text LANGUAGE sql"
                " AS 'SELECT NULL::text'"
            )
        session.execute("CREATE OPERATOR side.= (FUNCTION = oidne, LEFTARG = oid, RIGHTARG = oid)")
        session.execute("SET LOCAL search_path = side, pg_catalog, public")
        # Nothing of what was made here is named by the statement.
        assert still(session, wanted)


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"x", b"{}", b"[]", b"null", b'{"name": null}', b'{"name": ["1"], "relation": []}'],
)
def test_an_answer_that_is_not_the_whole_one_does_not_stand(
    known: Catalog, database: Database, answer: bytes | None
) -> None:
    assert not stands(answer, depends_on(known, STATEMENTS["view"]))
