"""Holds in the extended protocol: at Bind, in order; a no fails a batch as a Bind error does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from psycopg import errors

from appliance.approvals.requests import RequestState
from tests.e2e import raw
from tests.e2e.held import Client, decide, left, recorded, settled, waiting
from tests.e2e.raw import SYNC, RawClient
from tests.e2e.test_asyncpg import arguments, in_a_loop
from tests.harness.gateway import CI, Gateway
from tests.harness.polling import eventually

FLUSH = raw.frame("H")
DELETE = "DELETE FROM orders"


def through(gateway: Gateway) -> RawClient:
    client = RawClient(gateway.port)
    client.log_in(CI, gateway.passwords[CI])
    return client


def straight(gateway: Gateway) -> RawClient:
    database = gateway.database
    client = RawClient(database.server.port)
    client.startup(user=database.owner.name, database=database.name)
    client.prove(database.owner.password)
    return client


def is_quiet(client: RawClient) -> bool:
    """Return whether nothing comes for a moment."""
    client.sock.settimeout(0.3)
    try:
        return not client.sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(30)


# Each with the place at which the held statement is told no; BAD is put there for the server alone:
# a Bind that fails (no such statement), as a held Bind does.
BAD = raw.bind("", "no such statement")
PIPELINES: dict[str, tuple[Sequence[bytes], Sequence[bytes], int]] = {
    "alone": (
        [raw.parse(DELETE), raw.bind(), raw.describe(), raw.execute(), SYNC],
        [raw.parse(DELETE), BAD, raw.describe(), raw.execute(), SYNC],
        1,
    ),
    "described first": (
        [raw.parse(DELETE), raw.describe("S"), raw.bind(), raw.execute(), SYNC],
        [raw.parse(DELETE), raw.describe("S"), BAD, raw.execute(), SYNC],
        1,
    ),
    "after others": (
        [
            raw.parse("SELECT 1"), raw.bind(), raw.execute(),
            raw.parse(DELETE), raw.bind(), raw.execute(),
            raw.parse("SELECT 2"), raw.bind(), raw.execute(), SYNC,
            raw.query("SELECT 'after'"),
        ],
        [
            raw.parse("SELECT 1"), raw.bind(), raw.execute(),
            raw.parse(DELETE), BAD, raw.execute(),
            raw.parse("SELECT 2"), raw.bind(), raw.execute(), SYNC,
            raw.query("SELECT 'after'"),
        ],
        2,
    ),
    "in a transaction": (
        [
            raw.query("BEGIN"),
            raw.parse("INSERT INTO orders VALUES (43)"), raw.bind(), raw.execute(),
            raw.parse(DELETE), raw.bind(), raw.execute(), SYNC,
            raw.query("SELECT 1"),
            raw.query("ROLLBACK"),
        ],
        [
            raw.query("BEGIN"),
            raw.parse("INSERT INTO orders VALUES (43)"), raw.bind(), raw.execute(),
            raw.parse(DELETE), BAD, raw.execute(), SYNC,
            raw.query("SELECT 1"),
            raw.query("ROLLBACK"),
        ],
        4,
    ),
    "two batches in one write": (
        [
            raw.parse(DELETE, "gone"), SYNC,
            raw.bind("p", "gone"), raw.execute("p"), raw.describe("P", "p"), SYNC,
            raw.bind("", "gone"), SYNC,
        ],
        [
            raw.parse(DELETE, "gone"), SYNC,
            BAD, raw.execute("p"), raw.describe("P", "p"), SYNC,
            BAD, SYNC,
        ],
        3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_a_no_fails_a_pipeline_as_a_genuine_bind_error_does(orders: Gateway, name: str) -> None:
    held, genuine, readies = PIPELINES[name]
    with straight(orders) as server:
        server.send(*genuine)
        expected = [message for _ in range(readies) for message in server.until()]
    with through(orders) as client:
        client.send(*held)
        for _ in range(1 if raw.bind() in held else 2):
            decide(orders, waiting(orders, DELETE), approve=False, reason="no")
        got = [message for _ in range(readies) for message in client.until()]
        kinds = raw.kinds([message for message in got if message.kind != "N"])
        assert kinds == raw.kinds(expected)
        assert [m.body for m in got if m.kind == "Z"] == [m.body for m in expected if m.kind == "Z"]
        assert raw.values(client.ask("SELECT 'alive'")) == [b"alive"]
    assert left(orders) == 42


@pytest.mark.parametrize("name", ["alone", "described first", "after others"])
def test_a_yes_lets_a_pipeline_run_as_it_came(orders: Gateway, name: str) -> None:
    sent, _, readies = PIPELINES[name]
    with through(orders) as client:
        client.send(*sent)
        decide(orders, waiting(orders, DELETE), approve=True)
        got = [message for _ in range(readies) for message in client.until()]
    orders.database.run("INSERT INTO orders SELECT n FROM generate_series(1, 42) n")
    with straight(orders) as server:
        server.send(*sent)
        expected = [message for _ in range(readies) for message in server.until()]
    assert [(m.kind, m.body) for m in got if m.kind != "N"] == [(m.kind, m.body) for m in expected]


def test_nothing_of_a_held_batch_reaches_the_target_before_the_yes(orders: Gateway) -> None:
    with through(orders) as client:
        client.send(raw.parse(DELETE), raw.describe("S"), raw.bind(), raw.execute(), SYNC)
        request = waiting(orders, DELETE)
        (row,) = orders.database.run(
            f"SELECT query, state FROM pg_stat_activity WHERE pid = {client.process_id}"
        )
        assert "DELETE" not in str(row[0])
        assert row[1] == "idle"
        decide(orders, request, approve=True)
        assert raw.kinds([m for m in client.until() if m.kind != "N"]) == "1tn2CZ"
    assert left(orders) == 0


def test_what_the_client_asks_for_with_a_flush_is_answered_before_the_bind(
    orders: Gateway,
) -> None:
    with through(orders) as client:
        client.send(raw.parse(DELETE, "s"), raw.describe("S", "s"), FLUSH)
        assert raw.kinds(client.until("n")) == "1tn"
        client.send(raw.bind("", "s"), raw.execute(), SYNC)
        request = waiting(orders, DELETE)
        assert request.detail["transaction_since"] is not None  # a batch is a transaction too
        decide(orders, request, approve=True)
        assert raw.kinds([m for m in client.until() if m.kind != "N"]) == "2CZ"


def test_answers_of_statements_before_it_in_the_batch_come_while_it_waits(
    orders: Gateway,
) -> None:
    with through(orders) as client:
        client.send(raw.parse("SELECT 'early'"), raw.bind(), raw.execute())
        client.send(raw.parse(DELETE), raw.bind(), raw.execute(), SYNC)
        assert raw.values(client.until("C")) == [b"early"]
        decide(orders, waiting(orders, DELETE), approve=False, reason="no")
        assert raw.kinds([m for m in client.until() if m.kind != "N"]) in ("1EZ",)


def test_each_bind_of_a_held_statement_is_asked_about_with_its_own_parameters(
    orders: Gateway,
) -> None:
    text = "UPDATE orders SET note = $1"
    with through(orders) as client:
        client.send(raw.parse(text), raw.bind("", "", b"first"), raw.execute())
        client.send(raw.bind("", "", b"second"), raw.execute(), SYNC)
        for value in ("first", "second"):
            request = waiting(orders, text)
            assert request.parameters == (value,)
            decide(orders, request, approve=value == "first", reason="once is enough")
            settled(
                orders,
                request,
                RequestState.APPROVED if value == "first" else RequestState.DENIED,
            )
        assert raw.kinds([m for m in client.until() if m.kind != "N"]) == "12CEZ"
    assert orders.database.run("SELECT DISTINCT note FROM orders") == [(None,)]


def test_a_bind_that_is_too_large_to_look_at_is_refused(orders: Gateway) -> None:
    with through(orders) as client:
        text = "UPDATE orders SET note = $1 -- large"
        client.send(raw.parse(text), raw.bind("", "", b"x" * (2 << 20)), raw.execute(), SYNC)
        (error,) = raw.errors(client.until())
        assert (error["C"], "too large" in error["M"]) == ("42501", True)
        client.send(raw.parse(text), raw.bind("", "", b"y" * (200 << 10)), raw.execute(), SYNC)
        decide(orders, waiting(orders, "-- large"), approve=True)
        assert raw.errors(client.until()) == []
    assert orders.database.run("SELECT DISTINCT length(note) FROM orders") == [(200 << 10,)]


def test_execute_of_what_sql_prepared_is_held_too(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "PREPARE gone AS DELETE FROM orders")
        decide(orders, waiting(orders, "PREPARE gone"), approve=True)
        assert client.ended() == "PREPARE"
        client = Client(connection, "EXECUTE gone")
        request = waiting(orders, "EXECUTE gone")
        assert left(orders) == 42
        decide(orders, request, approve=True)
        assert client.ended() == "DELETE 42"


def test_psycopgs_pipeline_gets_each_outcome_where_it_belongs(orders: Gateway) -> None:
    with orders.connect() as connection, ThreadPoolExecutor(1) as bo:
        yes = bo.submit(lambda: decide(orders, waiting(orders, DELETE), approve=True))
        with connection.pipeline() as pipeline:
            before = connection.execute("SELECT 1")
            pipeline.sync()
            held = connection.execute(DELETE)
            pipeline.sync()
            after = connection.execute("SELECT 2")
            pipeline.sync()
            found = before.fetchone(), held.statusmessage, after.fetchone()
        yes.result()
        assert found == ((1,), "DELETE 42", (2,))
        no = bo.submit(lambda: decide(orders, waiting(orders, DELETE), approve=False, reason="no"))
        with pytest.raises(errors.InsufficientPrivilege), connection.pipeline():
            connection.execute(DELETE)
            connection.execute("INSERT INTO orders VALUES (3)")
        no.result()
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_asyncpg_waits_and_gets_its_tag_or_the_no(orders: Gateway) -> None:
    async def work() -> tuple[str, str]:
        connection = await asyncpg.connect(**arguments(orders, ssl=False))
        try:
            task = asyncio.ensure_future(connection.execute("UPDATE orders SET note = $1", "a"))
            request = await asyncio.to_thread(waiting, orders, "UPDATE orders")
            # binary, but described before: who approves can read it
            assert request.parameters == ({"hex": "61", "oid": 25},)
            decide(orders, request, approve=True)
            tag: str = await task
            task = asyncio.ensure_future(connection.fetch("DELETE FROM orders RETURNING id"))
            request = await asyncio.to_thread(waiting, orders, "RETURNING")
            decide(orders, request, approve=False, reason="never")
            with pytest.raises(asyncpg.InsufficientPrivilegeError) as caught:
                await task
            assert await connection.fetchval("SELECT 7") == 7
            return tag, str(caught.value)
        finally:
            await connection.close()

    tag, message = in_a_loop(work())
    assert tag == "UPDATE 42"
    assert ": never" in message


def test_a_cancel_of_a_held_bind_fails_its_batch(orders: Gateway) -> None:
    with through(orders) as client:
        client.send(raw.parse(f"{DELETE} -- given up"), raw.bind(), raw.execute(), SYNC)
        waiting(orders, "-- given up")
        with RawClient(orders.port) as other:
            other.send(raw.cancel_request(client.process_id, client.key))
            other.rest()
        got = [message for message in client.until() if message.kind != "N"]
        assert raw.kinds(got) == "1EZ"
        assert raw.errors(got)[0]["C"] == "57014"
    assert recorded(orders, "-- given up") == ("withdrawn", "57014", "cancelled")


def test_two_clients_hold_at_once_and_each_gets_its_own(orders: Gateway) -> None:
    clients: list[Any] = []
    with orders.connect() as one, orders.connect(CI) as two:
        for connection, text in ((one, f"{DELETE} -- one"), (two, f"{DELETE} -- two")):
            clients.append(Client(connection, text))
        first, second = waiting(orders, "-- one"), waiting(orders, "-- two")
        decide(orders, second, approve=True)
        assert clients[1].ended() == "DELETE 42"
        decide(orders, first, approve=False, reason="too late")
        assert isinstance(clients[0].ended(), errors.InsufficientPrivilege)
    eventually(lambda: left(orders) == 0)
