"""Masks hold while definitions, names and rules change under a masked session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from appliance.embedded import PostgresServer
from appliance.entities import MaskingRule
from appliance.masking.values import Method
from appliance.store import masking_rules
from proxy.wire import codes, frontend
from tests.e2e.raw import FLUSH, SYNC, RawClient
from tests.harness.gateway import ADMIN, ANA, Gateway, running_gateway
from tests.harness.polling import eventually, promised
from tests.harness.postgres import fresh_database

CARD, OTHER = "4929813726507418", "5311760923842277"
Connection = psycopg.Connection[Any]
CHANGED = (psycopg.errors.SerializationFailure,)


@pytest.fixture(scope="module")
def running(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with (
        fresh_database(postgres) as database,
        running_gateway(database, tmp_path_factory.mktemp("shop")) as gateway,
    ):
        mask(gateway, "cards", "*.customers.card")
        yield gateway


class Shop:
    """A schema of one test's own: what rules have found in it stays theirs."""

    def __init__(self, gateway: Gateway, schema: str) -> None:
        self.gateway = gateway
        self.schema = schema
        self.other = f"{schema}_other"

    def connect(self, *, autocommit: bool = True) -> Connection:
        """Log in as who has masked columns."""
        return self.gateway.connect(options=f"-c search_path={self.schema}", autocommit=autocommit)

    def run(self, text: str) -> list[tuple[object, ...]]:
        """Run statements past the gateway; return the rows of the first."""
        with self.gateway.database.connect() as connection:
            connection.execute(f"SET search_path = {self.schema}".encode())
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def names_masked(self) -> Iterator[None]:
        """Mask the names too, for a while."""
        mask(self.gateway, "names", f"{self.schema}.customers.name")
        try:
            yield
        finally:
            masking_rules.delete(self.gateway.store, ADMIN, datetime.now(UTC), "names")
            self.gateway.settle()


@pytest.fixture
def shop(running: Gateway) -> Shop:
    own = Shop(running, f"s{secrets.token_hex(4)}")
    running.database.run(f"CREATE SCHEMA {own.schema}; CREATE SCHEMA {own.other}")
    own.run(
        f"""CREATE TABLE customers (id int, name text, card text);
        INSERT INTO customers VALUES (1, 'Ann', '{CARD}'), (2, 'Bo', '{OTHER}');
        CREATE TABLE staff (id int, name text); INSERT INTO staff VALUES (1, 'Cy');
        CREATE VIEW v AS SELECT id, name AS x FROM customers;
        CREATE VIEW harmless AS SELECT id, name AS x FROM staff;
        CREATE FUNCTION f(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1::text';"""
    )
    return own


def mask(gateway: Gateway, name: str, column: str) -> None:
    rule = MaskingRule(0, name, "shop", (column,), Method.REDACT)
    masking_rules.create(gateway.store, ADMIN, datetime.now(UTC), rule)
    gateway.settle()


def rows(connection: Connection, text: str) -> list[Any]:
    """Return the first column of a statement's rows; never a card, whatever happened before."""
    found = connection.execute(text.encode()).fetchall()
    assert CARD not in str(found) and OTHER not in str(found)
    return [row[0] for row in found]


def rows_or_no(connection: Connection, text: str) -> list[Any]:
    """Return the rows, or [] where the gateway asks to run it again, or refuses it by now."""
    try:
        return rows(connection, text)
    except (*CHANGED, psycopg.errors.InsufficientPrivilege):
        return []


REPLACED = "CREATE OR REPLACE VIEW {0} AS SELECT id, card || '' AS x FROM customers"


@pytest.mark.parametrize("view", ["v", "harmless"])
@pytest.mark.parametrize("text", ["SELECT x || '' FROM {0}", "SELECT x FROM {0}", "TABLE {0}"])
def test_a_view_that_another_session_replaces(shop: Shop, view: str, text: str) -> None:
    with shop.connect() as connection:
        before = rows(connection, text.format(view))
        shop.run(REPLACED.format(view))
        assert rows_or_no(connection, text.format(view)) in ([], ["***", "***"], [1, 2])
        assert rows(connection, text.format(view)) != before or text.startswith("TABLE")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_sees_the_catalog_as_it_was(shop: Shop, level: str) -> None:
    with shop.connect() as connection:
        assert rows(connection, "SELECT x || '' FROM v") == ["Ann", "Bo"]
        connection.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        assert rows(connection, "SELECT count(*) FROM staff") == [1]
        shop.run(REPLACED.format("v"))
        assert rows_or_no(connection, "SELECT x || '' FROM v") == []
        connection.execute("ROLLBACK")
        assert rows(connection, "SELECT x || '' FROM v") == ["***", "***"]


def test_a_function_that_another_session_replaces(shop: Shop) -> None:
    with shop.connect() as connection:
        rows(connection, "SELECT f(id) FROM staff")
        shop.run(
            "CREATE OR REPLACE FUNCTION f(int) RETURNS text LANGUAGE sql STABLE"
            " AS 'SELECT card FROM customers WHERE id = $1'"
        )
        assert rows_or_no(connection, "SELECT f(id) FROM staff") in ([], ["***"], [None])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM staff",
        "SELECT upper(name) FROM staff",
        "INSERT INTO {0}.kept SELECT name FROM staff RETURNING 'done'",
        "COPY (SELECT name FROM staff) TO STDOUT",
    ],
)
def test_a_table_that_takes_the_name_of_another(shop: Shop, text: str) -> None:
    text = text.format(shop.other)
    shop.run(f"CREATE TABLE {shop.other}.kept (x text)")

    def run() -> None:
        if not text.startswith("COPY"):
            rows_or_no(connection, text)
            return
        try:
            with connection.cursor().copy(text.encode()) as copy:
                assert CARD.encode() not in b"".join(map(bytes, copy))
        except CHANGED:
            pass

    with shop.connect() as connection:
        run()
        shop.run(
            "ALTER TABLE staff RENAME TO gone; ALTER TABLE customers RENAME TO staff;"
            "ALTER TABLE staff RENAME COLUMN name TO first; ALTER TABLE staff RENAME card TO name"
        )
        run()
        run()
    assert (CARD,) not in shop.run(f"SELECT x FROM {shop.other}.kept")


def test_a_table_made_anew_under_its_name(shop: Shop) -> None:
    with shop.connect() as connection:
        assert rows(connection, "SELECT card FROM customers") == ["***", "***"]
        shop.run(
            "DROP TABLE customers CASCADE; CREATE TABLE customers (card text, id int);"
            f"INSERT INTO customers VALUES ('{CARD}', 1)"
        )
        for _ in range(2):
            assert rows_or_no(connection, "SELECT card FROM customers") in ([], ["***"], [None])
            rows_or_no(connection, "SELECT lower(card) FROM customers")
        assert rows(connection, "SELECT lower(card) FROM customers") == ["***"]


def test_a_table_that_another_session_makes_a_part_of_a_masked_one(shop: Shop) -> None:
    """A plain read is asked nothing: what others change is seen within a second or so."""
    shop.run(
        f"""CREATE TABLE late (id int, name text, card text);
        INSERT INTO late VALUES (7, 'Di', '{OTHER}')"""
    )
    with shop.connect() as connection:
        query = "SELECT card FROM late"
        assert connection.execute(query).fetchall() == [(OTHER,)], "no rule says anything of it"
        shop.run("ALTER TABLE late INHERIT customers")
        eventually(lambda: connection.execute(query).fetchall() == [("***",)], timeout=20)


def test_an_operator_that_another_session_puts_before_the_systems(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute(f"SET search_path = {shop.schema}, pg_catalog".encode())
        assert rows(connection, "SELECT 1 + 1::smallint") == [2]
        shop.run(
            "CREATE FUNCTION near(int, smallint) RETURNS text LANGUAGE sql STABLE"
            " AS 'SELECT card FROM customers WHERE id = $1';"
            "CREATE OPERATOR + (LEFTARG = int, RIGHTARG = smallint, FUNCTION = near)"
        )
        for _ in range(2):
            assert rows_or_no(connection, "SELECT 1 + 1::smallint") in ([], ["***"], [None])


def test_a_function_that_runs_any_text_can_neither_store_nor_prepare(shop: Shop) -> None:
    shop.run(
        "CREATE FUNCTION anything(x text) RETURNS text LANGUAGE plpgsql"
        " AS 'BEGIN EXECUTE x; RETURN x; END'"
    )
    with shop.connect() as connection:
        connection.execute("PREPARE p AS SELECT name || '' FROM customers")
        for text in ("deallocate p", "create table leak as select card from customers"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="text that it builds"):
                connection.execute(f"SELECT anything('{text}')".encode())
        assert rows(connection, "EXECUTE p") == ["Ann", "Bo"]
    assert shop.run("SELECT to_regclass('leak')") == [(None,)]


def test_names_that_the_session_itself_gives_another_meaning(shop: Shop) -> None:
    shop.run(f"CREATE TABLE {shop.other}.customers AS SELECT id, card FROM customers;")
    with shop.connect() as connection:
        assert rows(connection, "SELECT upper(name) FROM staff") == ["CY"]
        connection.execute("CREATE TEMP TABLE staff AS SELECT id, name FROM customers")
        assert rows(connection, "SELECT upper(name) FROM staff") == ["ANN", "BO"]
        connection.execute(f"DROP TABLE pg_temp.staff; SET search_path = {shop.other}".encode())
        found = [rows_or_no(connection, "SELECT lower(card) FROM customers") for _ in range(2)]
        assert found[-1] == ["***", "***"]
        connection.execute(f"RESET ALL; SET search_path = {shop.schema}".encode())
        assert rows(connection, "SELECT lower(card) FROM customers") == ["***", "***"]


def test_definitions_of_the_own_transaction_count_before_it_ends(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE VIEW mine AS SELECT id, name FROM customers")
        assert rows(connection, "SELECT name || '' FROM mine ORDER BY id") == ["Ann", "Bo"]
        connection.execute("SAVEPOINT a")
        connection.execute("ALTER TABLE staff RENAME TO people")
        assert rows(connection, "SELECT upper(name) FROM people") == ["CY"]
        connection.execute("ROLLBACK TO a")
        assert rows(connection, "SELECT upper(name) FROM staff") == ["CY"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="would pass on"):
            connection.execute("CREATE VIEW leak AS SELECT card FROM customers")
        connection.execute("ROLLBACK")


def test_a_rule_reaches_statements_and_cursors_of_before_within_its_time(shop: Shop) -> None:
    with shop.connect(autocommit=False) as connection, shop.connect() as other:
        text = "SELECT name || '' FROM customers WHERE id < %s"
        for _ in range(7):
            assert other.execute(text, (2,)).fetchall() == [("Ann",)]
        cursor = connection.cursor("mine")
        cursor.execute("SELECT name || '', name FROM customers ORDER BY id")
        assert cursor.fetchone() == ("Ann", "Ann")
        with shop.names_masked():
            assert cursor.fetchone() == ("***", "***")
            assert other.execute(text, (2,)).fetchall() == [("***",)]
        eventually(lambda: other.execute(text, (2,)).fetchall() == [("Ann",)], timeout=promised(2))


def test_a_portal_suspended_in_the_middle_goes_on_by_the_rules_of_now(shop: Shop) -> None:
    with RawClient(shop.gateway.port) as client:
        path = f"-c search_path={shop.schema}"
        client.log_in(ANA, shop.gateway.passwords[ANA], options=path)
        client.send(
            frontend.Parse(b"s", b"SELECT id, name FROM customers ORDER BY id").encode(),
            frontend.Describe(codes.STATEMENT, b"s").encode(),
            frontend.Bind(b"p", b"s").encode(),
            frontend.Execute(b"p", 1).encode(),
            FLUSH,
        )
        assert client.until("s")[-2].body.endswith(b"Ann")
        with shop.names_masked():
            client.send(frontend.Execute(b"p", 0).encode(), SYNC)
            assert client.until()[0].body.endswith(b"***")
