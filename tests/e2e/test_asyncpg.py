"""asyncpg, which speaks the protocol by itself, through the gateway."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.harness.gateway import ANA, Gateway

Connection = asyncpg.Connection
Work = Callable[[Any], Awaitable[Any]]


def encrypted() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture(params=[True, False], ids=["TLS", "plain"])
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"ssl": encrypted() if request.param else False}


def arguments(gateway: Gateway, **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": gateway.port,
        "user": ANA,
        "password": gateway.passwords[ANA],
        "database": "shop",
        **more,
    }


def in_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` in a thread: the browser tests of this process may keep a loop of their own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def through(gateway: Gateway, how: dict[str, Any], work: Work) -> Any:
    """Run ``work`` with a connection through the gateway."""

    async def run() -> Any:
        connection = await asyncpg.connect(**arguments(gateway, **how))
        try:
            await connection.execute("DROP SCHEMA IF EXISTS play CASCADE; CREATE SCHEMA play")
            await connection.execute("SET search_path = play")
            return await work(connection)
        finally:
            await connection.close(timeout=10)

    return in_a_loop(run())


def test_it_fetches_rows_of_built_in_and_own_types(
    shared_gateway: Gateway, how: dict[str, Any]
) -> None:
    async def work(connection: Any) -> None:
        await connection.execute(
            "CREATE TYPE mood AS ENUM ('sad', 'happy');"
            "CREATE TYPE pair AS (n int, m mood[]);"
            "CREATE DOMAIN small AS int CHECK (VALUE < 10);"
            "CREATE TABLE t (id serial, p pair, ps pair[], s small, d date)"
        )
        await connection.execute(
            "INSERT INTO t (p, ps, s, d) VALUES ($1, $2, $3, $4)",
            (1, ["sad"]),
            [(2, []), (3, ["happy", "sad"])],
            7,
            date(2026, 2, 28),
        )
        row = await connection.fetchrow("SELECT * FROM t WHERE id = $1", 1)
        assert tuple(row["p"]) == (1, ["sad"])
        assert [tuple(pair) for pair in row["ps"]] == [(2, []), (3, ["happy", "sad"])]
        assert (row["s"], row["d"]) == (7, date(2026, 2, 28))
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("INSERT INTO t (s) VALUES ($1)", 10)
        assert await connection.fetchval("SELECT count(*) FROM t") == 1

    through(shared_gateway, how, work)


def test_prepared_statements_and_cursors_work(shared_gateway: Gateway, how: dict[str, Any]) -> None:
    async def work(connection: Any) -> None:
        statement = await connection.prepare("SELECT $1::int * i AS n FROM generate_series(1, 9) i")
        assert [a.name for a in statement.get_attributes()] == ["n"]
        assert [row["n"] for row in await statement.fetch(3)] == list(range(3, 28, 3))
        async with connection.transaction():
            cursor = await connection.cursor("SELECT i FROM generate_series(1, 100) i")
            assert [row[0] for row in await cursor.fetch(5)] == [1, 2, 3, 4, 5]
            assert await cursor.forward(90) == 90
            assert (await cursor.fetchrow())[0] == 96
            seen = [row[0] async for row in connection.cursor("VALUES (1), (2)", prefetch=1)]
            assert seen == [1, 2]
        await connection.executemany("SELECT $1::text", [(str(i),) for i in range(200)])

    through(shared_gateway, how, work)


def test_copy_goes_in_and_out(shared_gateway: Gateway, how: dict[str, Any]) -> None:
    async def work(connection: Any) -> None:
        await connection.execute("CREATE TABLE t (n int, s text)")
        rows = [(i, f"row {i}") for i in range(5000)]
        assert await connection.copy_records_to_table("t", records=rows) == "COPY 5000"
        out = BytesIO()
        query = "SELECT * FROM t WHERE n < $1 ORDER BY n"
        await connection.copy_from_query(query, 3, output=out, format="csv")
        assert out.getvalue() == b"0,row 0\n1,row 1\n2,row 2\n"
        await connection.copy_to_table("t", source=BytesIO(b"9999\tx\n"), format="text")
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await connection.copy_to_table("t", source=BytesIO(b"x\tx\n"), format="text")
        assert await connection.fetchval("SELECT count(*) FROM t") == 5001

    through(shared_gateway, how, work)


def test_transactions_nest_and_errors_leave_them_as_they_should(
    shared_gateway: Gateway, how: dict[str, Any]
) -> None:
    async def work(connection: Any) -> None:
        await connection.execute("CREATE TABLE t (n int)")
        async with connection.transaction(isolation="serializable"):
            await connection.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (2)")
                    await connection.fetch("SELECT 1 / 0")
            await connection.execute("INSERT INTO t VALUES (3)")
        assert [row[0] for row in await connection.fetch("TABLE t")] == [1, 3]

    through(shared_gateway, how, work)


def test_a_time_out_of_the_client_cancels_what_runs(
    shared_gateway: Gateway, how: dict[str, Any]
) -> None:
    async def work(connection: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetch("SELECT pg_sleep(60)", timeout=0.2)
        assert await connection.fetchval("SELECT 1") == 1

    through(shared_gateway, how, work)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'" \
        " AND state = 'active' AND pid <> pg_backend_pid()"  # fmt: skip
    assert shared_gateway.database.run(busy) == [(0,)]


def test_notifications_and_notices_reach_their_listeners(
    shared_gateway: Gateway, how: dict[str, Any]
) -> None:
    async def work(connection: Any) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await connection.add_listener("here", lambda *said: heard.put_nowait(said[1:]))
        connection.add_log_listener(lambda _, note: heard.put_nowait(note.message))
        await connection.execute("SELECT pg_notify('here', 'a payload')")
        pid = connection.get_server_pid()
        assert await asyncio.wait_for(heard.get(), 10) == (pid, "here", "a payload")
        await connection.execute("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
        assert await asyncio.wait_for(heard.get(), 10) == "noticed"
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid

    through(shared_gateway, how, work)


def test_a_pool_resets_its_connections_and_serves_many_tasks(
    shared_gateway: Gateway, how: dict[str, Any]
) -> None:
    async def run() -> None:
        wanted = arguments(shared_gateway, min_size=5, max_size=5, **how)
        async with asyncpg.create_pool(**wanted) as pool:

            async def work(number: int) -> None:
                async with pool.acquire() as connection:
                    await connection.execute(f"SET application_name = 'task {number}'")
                    assert await connection.fetchval("SELECT $1::int", number) == number

            await asyncio.gather(*(work(number) for number in range(60)))
            async with pool.acquire() as connection:
                assert await connection.fetchval("SHOW application_name") == ""

    in_a_loop(run())
