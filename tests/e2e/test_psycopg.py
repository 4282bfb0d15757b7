"""psycopg 3 through the gateway gets what it gets from the server itself."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import psycopg_pool
import pytest
from psycopg import errors, sql
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from appliance.embedded import ServerOptions
from tests.harness.gateway import Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import fresh_database, running_server

Connection = psycopg.Connection[Any]
MANY = 10 << 20

TLS = {"sslmode": "require", "channel_binding": "require"}
PLAIN = {"sslmode": "disable"}


@pytest.fixture(params=[TLS, PLAIN], ids=["TLS", "plain"])
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How the client connects: inside TLS with channel binding, or in clear."""
    found: dict[str, Any] = request.param
    return found


@pytest.fixture
def connection(shared_gateway: Gateway, how: dict[str, Any]) -> Iterator[Connection]:
    with shared_gateway.connect(**how) as opened:
        assert opened.pgconn.ssl_in_use is (how == TLS)
        opened.execute("DROP SCHEMA IF EXISTS play CASCADE")
        opened.execute("CREATE SCHEMA play")
        opened.execute("SET search_path = play")
        yield opened


@pytest.fixture
def direct(shared_gateway: Gateway) -> Iterator[Connection]:
    with shared_gateway.database.connect() as opened:
        opened.execute("SET search_path = play")
        yield opened


VALUES = (
    ("bool", True),
    ("int8", -(2**63)),
    ("numeric", Decimal("12345678901234567890.123456789")),
    ("float8", 1.5e-300),
    ("text", "Ünïcode ✓ 日本語 \U0001f418 'quoted' \\ back"),
    ("bytea", bytes(range(256))),
    ("date", date(1815, 12, 10)),
    ("timestamptz", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
    ("interval", timedelta(days=-3, microseconds=1)),
    ("uuid", UUID(int=2**127 + 1)),
    ("jsonb", Jsonb({"a": [1, None, {"b": "ü"}]})),
    ("int4[]", [1, None, 3]),
    ("int4range", Range(1, 5)),
    ("text", None),
    ("text", ""),
)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_values_of_many_types_come_back_as_from_the_server(
    connection: Connection, direct: Connection, binary: bool
) -> None:
    def fetch(source: Connection) -> list[Any]:
        found = []
        for type_name, value in VALUES:
            cursor = source.cursor(binary=binary)
            marker = "%b" if binary else "%t"
            cursor.execute(f"SELECT {marker}::{type_name} AS v", [value])
            assert cursor.description is not None
            assert cursor.pgresult is not None
            raw = cursor.pgresult.get_value(0, 0)
            found.append((cursor.description[0].type_code, raw, cursor.fetchone()))
        return found

    assert fetch(connection) == fetch(direct)


def test_the_session_looks_like_the_servers_own(connection: Connection, direct: Connection) -> None:
    for name in (b"server_version", b"client_encoding", b"TimeZone", b"integer_datetimes"):
        ours = connection.pgconn.parameter_status(name)
        assert ours == direct.pgconn.parameter_status(name)
        assert ours
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    assert connection.info.backend_pid == pid
    connection.execute("SET application_name = 'renamed'")
    assert connection.info.parameter_status("application_name") == "renamed"


def test_a_server_side_cursor_hands_out_its_rows_piece_by_piece(connection: Connection) -> None:
    with connection.transaction(), connection.cursor("walk", scrollable=True) as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT i FROM generate_series(1, 1000) i")
        assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
        cursor.scroll(500, mode="absolute")
        assert cursor.fetchone() == (501,)
        assert sum(1 for _ in cursor) == 499
        cursor.scroll(-2)
        assert cursor.fetchone() == (1000,)
    with connection.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT i FROM generate_series(1, 10) i")
        assert len(cursor.fetchall()) == 10


def test_rows_come_one_by_one_with_stream(connection: Connection) -> None:
    with connection.cursor() as cursor:
        seen = [row[0] for row in cursor.stream("SELECT i FROM generate_series(1, 500) i")]
        assert seen == list(range(1, 501))
        with pytest.raises(errors.DivisionByZero):
            list(cursor.stream("SELECT 1 / (3 - i) FROM generate_series(1, 5) i"))
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pipeline_gives_every_answer_to_its_question(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (n int PRIMARY KEY)")
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT %s::int", [i]) for i in range(300)]
        connection.cursor().executemany("INSERT INTO t VALUES (%s)", [(i,) for i in range(100)])
        pipeline.sync()
        last = connection.execute("SELECT count(*) FROM t")
        assert last.fetchone() == (100,)
    assert [cursor.fetchone() for cursor in cursors] == [(i,) for i in range(300)]


def test_an_error_in_a_pipeline_skips_to_the_sync_and_no_further(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (n int)")
    connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(errors.DivisionByZero), connection.pipeline():
        connection.execute("INSERT INTO t VALUES (2)")
        connection.execute("SELECT 1 / 0")
        connection.execute("INSERT INTO t VALUES (3)")
    assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
    with connection.pipeline() as pipeline:
        connection.execute("INSERT INTO t VALUES (4)")
        pipeline.sync()
        with pytest.raises(errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere").fetchone()
        pipeline.sync()
        connection.execute("INSERT INTO t VALUES (5)")
    assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (4,), (5,)]


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
def test_copy_out_and_in_moves_the_same_bytes(
    connection: Connection, direct: Connection, form: str
) -> None:
    connection.execute("CREATE TABLE source AS SELECT i, 'line ' || i || E'\\n' AS t,"
                       " i * 1.5 AS n FROM generate_series(1, 20000) i")  # fmt: skip
    connection.execute("CREATE TABLE sink (LIKE source)")
    out = f"COPY (SELECT * FROM source ORDER BY i) TO STDOUT (FORMAT {form})"

    def read(source: Connection) -> bytes:
        with source.cursor().copy(out) as copy:
            return b"".join(bytes(part) for part in copy)

    data = read(connection)
    assert data == read(direct)
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY sink FROM STDIN (FORMAT {form})") as copy:
            for start in range(0, len(data), 9999):
                copy.write(data[start : start + 9999])
        assert cursor.rowcount == 20000
    same = "SELECT count(*) FROM (TABLE source EXCEPT TABLE sink) d"
    assert connection.execute(same).fetchone() == (0,)


def test_a_copy_that_fails_leaves_the_session_usable(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (n int)")
    with (
        pytest.raises(errors.InvalidTextRepresentation),
        connection.cursor().copy("COPY t FROM STDIN") as copy,
    ):
        for i in range(5000):
            copy.write(f"{i}\n")
        copy.write("no number\n")
    with (
        pytest.raises(ZeroDivisionError),
        connection.cursor().copy("COPY t FROM STDIN") as copy,
    ):
        copy.write_row([1])
        raise ZeroDivisionError  # psycopg sends CopyFail
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize("threshold", [0, 2, None], ids=["at once", "later", "never"])
def test_prepared_statements_give_the_same_answers(
    connection: Connection, threshold: int | None
) -> None:
    connection.prepare_threshold = threshold
    connection.execute("CREATE TABLE t (n int, s text)")
    for i in range(20):
        connection.execute("INSERT INTO t VALUES (%s, %s)", [i, f"row {i}"])
    for i in range(20):
        row = connection.execute("SELECT s FROM t WHERE n = %s", [i]).fetchone()
        assert row == (f"row {i}",)
    connection.execute("ALTER TABLE t ALTER n TYPE bigint")
    with contextlib.suppress(errors.FeatureNotSupported):  # "cached plan must not change"
        connection.execute("SELECT * FROM t WHERE n = %s", [3]).fetchone()
    connection.execute("DEALLOCATE ALL")
    assert connection.execute("SELECT s FROM t WHERE n = %s", [3]).fetchone() == ("row 3",)


def test_transactions_end_as_the_client_wants(connection: Connection) -> None:
    def status() -> TransactionStatus:
        return connection.info.transaction_status

    connection.execute("CREATE TABLE t (n int)")
    connection.autocommit = False
    connection.execute("INSERT INTO t VALUES (1)")
    assert status() == TransactionStatus.INTRANS
    connection.rollback()
    assert status() == TransactionStatus.IDLE
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (2)")
        with contextlib.suppress(errors.DivisionByZero), connection.transaction():
            connection.execute("INSERT INTO t VALUES (3)")
            connection.execute("SELECT 1 / 0")
        connection.execute("INSERT INTO t VALUES (4)")
    with pytest.raises(errors.SyntaxError):
        connection.execute("SELEC 1")
    assert status() == TransactionStatus.INERROR
    with pytest.raises(errors.InFailedSqlTransaction):
        connection.execute("SELECT 1")
    connection.rollback()
    connection.autocommit = True
    assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(2,), (4,)]


def test_two_phase_commit_works_to_its_end(tmp_path: Path) -> None:
    options = ServerOptions(settings={"max_prepared_transactions": "4"})
    with (
        running_server(18, options) as server,
        fresh_database(server) as database,
        running_gateway(database, tmp_path / "gateway") as gateway,
    ):
        database.run("CREATE TABLE t (n int)")
        for number in (1, 2):
            preparing = gateway.connect(autocommit=False)
            preparing.tpc_begin(preparing.xid(1, f"global-{number}", "branch"))
            preparing.execute("INSERT INTO t VALUES (%s)", [number])
            preparing.tpc_prepare()
            preparing.close()
        with gateway.connect(autocommit=False) as ending:
            committed, rolled_back = sorted(ending.tpc_recover(), key=str)
            ending.rollback()
            ending.tpc_commit(committed)
            ending.tpc_rollback(rolled_back)
            assert ending.tpc_recover() == []
        assert database.run("SELECT n FROM t") == [(1,)]


def test_notifications_arrive_from_other_sessions(
    shared_gateway: Gateway, connection: Connection
) -> None:
    connection.execute("LISTEN here")
    with shared_gateway.connect() as sender:
        sender.execute("SELECT pg_notify('here', 'n ' || i) FROM generate_series(1, 5) i")
        found = list(connection.notifies(timeout=30, stop_after=5))
        assert [note.payload for note in found] == [f"n {i}" for i in range(1, 6)]
        assert {note.pid for note in found} == {sender.info.backend_pid}


def test_large_objects_work_through_their_functions(connection: Connection) -> None:
    content = bytes(range(256)) * 400
    with connection.transaction():
        (oid,) = connection.execute("SELECT lo_from_bytea(0, %b)", [content]).fetchone() or (0,)
        (fd,) = connection.execute("SELECT lo_open(%s, 262144)", [oid]).fetchone() or (0,)
        connection.execute("SELECT lo_lseek(%s, 1000, 0)", [fd])
        read = connection.execute("SELECT loread(%s, 24)", [fd], binary=True).fetchone()
        assert read == (content[1000:1024],)
        connection.execute("SELECT lo_unlink(%s)", [oid])


def test_a_value_of_ten_megabytes_passes_both_ways(connection: Connection) -> None:
    value = b"\0\1\2\3\4\5\6\7" * (MANY // 8)
    cursor = connection.cursor(binary=True)
    row = cursor.execute("SELECT %b::bytea, md5(%b::bytea)", [value, value]).fetchone()
    assert row is not None
    assert row[0] == value
    text = "é" * (MANY // 2)
    assert connection.execute("SELECT %s::text", [text]).fetchone() == (text,)
    literal = sql.SQL("SELECT length({})").format(sql.Literal("x" * (1 << 20)))
    assert connection.execute(literal).fetchone() == (1 << 20,)


@pytest.mark.parametrize("way", ["cancel", "cancel_safe"])
def test_a_cancel_stops_what_runs_and_nothing_else(
    shared_gateway: Gateway, connection: Connection, way: str
) -> None:
    cancel: Callable[[], None] = getattr(connection, way)
    other = shared_gateway.connect()
    started = time.monotonic()

    def stop() -> None:
        pid = connection.info.backend_pid
        query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%pg_sleep%%'"
        eventually(lambda: other.execute(query, [pid]).fetchone(), what="the sleep")
        cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(errors.QueryCanceled, match="due to user request"):
        connection.execute("SELECT pg_sleep(60)")
    thread.join()
    assert time.monotonic() - started < 40  # of 60
    cancel()  # nothing runs: nothing happens
    assert connection.execute("SELECT 1").fetchone() == (1,)
    other.close()


def test_the_servers_timeouts_are_the_servers(connection: Connection) -> None:
    connection.execute("SET statement_timeout = '300ms'")
    with pytest.raises(errors.QueryCanceled, match="statement timeout"):
        connection.execute("SELECT pg_sleep(30)")
    connection.execute("SET statement_timeout = 0")
    connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
    connection.execute("BEGIN")
    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        eventually(lambda: connection.execute("SELECT 1") and None, interval=0.2)
    assert connection.closed


def test_a_pool_of_twenty_serves_many_threads(shared_gateway: Gateway, how: dict[str, Any]) -> None:
    seen: list[int] = []

    def work(pool: psycopg_pool.ConnectionPool[Connection], number: int) -> None:
        for _ in range(10):
            with pool.connection() as borrowed:
                (n,) = borrowed.execute("SELECT %s::int", [number]).fetchone() or (0,)
                seen.append(n)

    dsn = shared_gateway.dsn(**how)
    with psycopg_pool.ConnectionPool(dsn, min_size=20, max_size=20, timeout=30) as pool:
        pool.wait(30)
        threads = [threading.Thread(target=work, args=(pool, i)) for i in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == sorted(list(range(40)) * 10)


def test_errors_bring_all_their_fields(connection: Connection, direct: Connection) -> None:
    connection.execute("CREATE TABLE t (n int CONSTRAINT small CHECK (n < 3))")

    def fields(source: Connection) -> list[Any]:
        with pytest.raises(errors.CheckViolation) as caught:
            source.execute("INSERT INTO play.t VALUES (%s)", [7])
        diag = caught.value.diag
        return [getattr(diag, name) for name in dir(diag) if not name.startswith("_")]

    assert fields(connection) == fields(direct)
