"""What a masked identity is shown, over every way in which PostgreSQL's protocol gives rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest

from appliance.embedded import Installation, PostgresServer
from appliance.entities import MaskingRule
from appliance.masking.values import Method
from appliance.store import masking_rules
from tests.e2e.programs import run, through
from tests.e2e.raw import RawClient
from tests.harness.gateway import ADMIN, ANA, CI, Gateway, running_gateway
from tests.harness.postgres import fresh_database

CARD, OTHER = "4929813726507418", "5311760923842277"
SHOWN, SHOWN_OTHER = "************7418", "************2277"
_SCHEMA = f"""
CREATE TABLE customers (id int PRIMARY KEY, name text, card text);
INSERT INTO customers VALUES (1, 'Ann', '{CARD}'), (2, 'Bo', '{OTHER}'), (3, 'Cy', NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, total numeric);
INSERT INTO orders VALUES (1, 1, 10), (2, 2, 20);
CREATE VIEW cards AS SELECT id, 'no ' || card AS card, name FROM customers;
"""


@pytest.fixture(scope="module", params=["postgres", "postgres16"])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway before each version that hides cards from everybody but ci-nightly."""
    server: PostgresServer = request.getfixturevalue(request.param)
    with (
        fresh_database(server) as database,
        running_gateway(database, tmp_path_factory.mktemp("shop")) as gateway,
    ):
        database.run(_SCHEMA)
        column = ("public.customers.card",)
        rule = MaskingRule(0, "cards", "shop", column, Method.PARTIAL, exempt=(f"identity:{CI}",))
        masking_rules.create(gateway.store, ADMIN, datetime.now(UTC), rule)
        gateway.settle()
        yield gateway


def is_clean(received: Any) -> bool:
    shown = received if isinstance(received, bytes) else str(received).encode()
    return not any(value.encode() in shown for value in (CARD, OTHER, CARD[4:], OTHER[4:]))


def asked(gateway: Gateway, text: str, user: str = ANA) -> bytes:
    """Return all that a Query is answered with, kinds and bodies."""
    with RawClient(gateway.port) as client:
        client.log_in(user, gateway.passwords[user])
        client.send(b"Q" + (len(text.encode()) + 5).to_bytes(4, "big") + text.encode() + b"\0")
        return b"|".join(one.kind.encode() + one.body for one in client.until())


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("server_side", [False, True], ids=["query", "cursor"])
def test_psycopg_gets_columns_masked_and_the_others_as_they_are(
    shop: Gateway, binary: bool, server_side: bool
) -> None:
    text = "SELECT id, card, upper(card), name FROM customers WHERE id < %s ORDER BY id"
    with shop.connect(autocommit=False) as connection:
        for round_ in range(7):  # from the sixth on it is prepared
            name = f"c{round_}" if server_side else ""
            with connection.cursor(name, binary=binary) as cursor:  # type: ignore[call-overload]
                cursor.execute(text, (9,))
                assert cursor.fetchmany(2) == [
                    (1, SHOWN, "***", "Ann"),
                    (2, SHOWN_OTHER, "***", "Bo"),
                ]
                assert cursor.fetchall() == [(3, None, None, "Cy")]


def test_what_is_exempt_costs_and_loses_nothing(shop: Gateway) -> None:
    with shop.connect(CI) as connection:
        found = connection.execute("SELECT card, upper(card) FROM customers ORDER BY id").fetchall()
    assert found == [(CARD, CARD), (OTHER, OTHER), (None, None)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id, upper(name) FROM customers ORDER BY id",
        "SELECT count(*) FROM customers WHERE card LIKE '4%'",
        "UPDATE customers SET name = upper(name) WHERE id = 3 RETURNING id, lower(name)",
        "DELETE FROM customers WHERE length(card) = 99",
        "EXPLAIN (COSTS OFF) SELECT id FROM cards",
        "SELECT 1/(id - 1) FROM customers WHERE card IS NOT NULL ORDER BY id",
        "SELECT nosuch FROM customers",
        "WITH x AS (SELECT id FROM cards) SELECT id + 1 FROM x WHERE false",
        "PREPARE gone AS SELECT name || '' FROM customers",
        "DECLARE c CURSOR FOR SELECT name FROM cards",
        "SELECT id, upper(name) FROM customers WHERE id = $1",
    ],
)
def test_a_query_that_is_looked_at_first_is_answered_as_any_query(shop: Gateway, text: str) -> None:
    masked, plain = asked(shop, text), asked(shop, text, CI)
    kinds = [[part[:1] for part in found.split(b"|")] for found in (masked, plain)]
    assert kinds[0] == kinds[1]
    if b"E" not in kinds[1]:
        assert masked == plain


def test_psql_reads_what_it_would_read_without_a_gateway(
    shop: Gateway, programs: Installation
) -> None:
    script = """
        SELECT id, card, upper(card) FROM customers ORDER BY id;
        BEGIN; DECLARE c CURSOR FOR SELECT card, card || '!' FROM customers ORDER BY id;
        FETCH 1 FROM c; FETCH ALL FROM c; COMMIT;
        PREPARE p AS SELECT upper(card) FROM customers WHERE id = $1; EXECUTE p(1);
        SELECT * FROM cards ORDER BY id; TABLE orders; COPY customers TO STDOUT;
        SELECT upper(card) FROM customers WHERE id = 1 \\gset
        \\echo :upper
        \\d customers
    """
    ran = run(programs, "psql", "-X", "-A", "-t", where=through(shop), stdin=script)
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert lines[:3] == [f"1|{SHOWN}|***", f"2|{SHOWN_OTHER}|***", "3||"]
    assert lines[lines.index("DECLARE CURSOR") + 1 :][:3] == [
        f"{SHOWN}|***",
        f"{SHOWN_OTHER}|***",
        "|",
    ]
    assert "1|***|Ann" in lines and f"1\tAnn\t{SHOWN}" in lines and "2|2|20" in lines
    assert is_clean(ran.out)


def test_asyncpg_gets_no_more_by_its_cached_statements_and_cursors(shop: Gateway) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=shop.port,
            user=ANA,
            password=shop.passwords[ANA],
            database="shop",
            ssl=False,
        )
        text = "SELECT card, upper(card) AS u, id FROM customers WHERE id <= $1 ORDER BY id"
        for _ in range(3):
            found = await connection.fetch(text, 2)
            assert [tuple(row) for row in found] == [(SHOWN, "***", 1), (SHOWN_OTHER, "***", 2)]
        async with connection.transaction():
            cursor = await connection.cursor(text, 3)
            first, rest = await cursor.fetch(1), await cursor.fetch(5)
            assert [row["u"] for row in first + rest] == ["***", "***", None]
        with pytest.raises(asyncpg.NumericValueOutOfRangeError) as caught:
            await connection.fetch("SELECT card::int FROM customers")
        assert is_clean(str(caught.value))
        assert await connection.fetchval("SELECT $1::int + 1", 1) == 2
        await connection.close()

    asyncio.run(work())


def test_a_pipeline_goes_through_in_order(shop: Gateway) -> None:
    with shop.connect() as connection, connection.pipeline():
        a = connection.execute("SELECT upper(card) FROM customers WHERE id = 1")
        b = connection.execute("SELECT 5")
        c = connection.execute("SELECT card FROM customers WHERE id = 2")
        d = connection.execute("SELECT count(*) FROM orders")
        found = [one.fetchone() for one in (a, b, c, d)]
    assert found == [("***",), (5,), (SHOWN_OTHER,), (2,)]


def test_a_failing_statement_fails_the_rest_of_its_batch_only(shop: Gateway) -> None:
    with shop.connect() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
            connection.execute("SELECT 1 / (id - id), upper(card) FROM customers")
            connection.execute("INSERT INTO orders VALUES (9, 1, 1)")
        assert connection.execute("SELECT id FROM orders WHERE id = 9").fetchall() == []
        with connection.transaction():
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("SELECT 1 / (id - id), upper(card) FROM customers")
            found = connection.execute("SELECT upper(card) FROM customers WHERE id = 1").fetchone()
        assert found == ("***",)


def test_what_would_pass_masked_values_on_is_refused_and_said_why(shop: Gateway) -> None:
    with shop.connect() as connection:
        for text, why in (
            ("CREATE TABLE x AS SELECT card FROM customers", "would pass on"),
            ("INSERT INTO orders SELECT 7, 1, length(card) FROM customers", "would pass on"),
            ("DO $$ BEGIN END $$", "its effect on masked columns"),
            ("SELECT 1; SELECT card FROM customers", "one of several statements"),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=why) as caught:
                connection.execute(text.encode())
            assert caught.value.diag.message_hint
    assert shop.database.run("SELECT count(*) FROM orders") == [(2,)]
    row = shop.statements("CREATE TABLE x")[-1]
    assert (row["state"], row["rule"]) == ("refused", "cards")


def test_the_fast_path_is_closed_to_who_has_masked_columns(shop: Gateway) -> None:
    with RawClient(shop.port) as client:
        client.log_in(ANA, shop.passwords[ANA])
        client.send(b"F" + (14).to_bytes(4, "big") + (952).to_bytes(4, "big") + bytes(6))
        kinds = [
            (one.kind, one.fields.get("C") if one.kind == "E" else "") for one in client.until()
        ]
    assert kinds == [("E", "42501"), ("Z", "")]


def test_the_record_has_the_masked_columns_and_no_value_of_them(shop: Gateway) -> None:
    with shop.connect() as connection:
        connection.execute("SELECT id AS seen, upper(card) FROM customers").fetchall()
    (row,) = shop.statements("AS seen")
    assert row["state"] == "done"
    assert [one["output"] for one in row["masked"] if one["output"]] == ["upper"]
    assert is_clean(str(row))
