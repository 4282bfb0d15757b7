"""Cancels reach the statement that they are for, from anywhere, and no other one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from appliance.embedded import Installation, PostgresServer
from tests.e2e.programs import environment, through
from tests.e2e.raw import (
    SYNC,
    RawClient,
    bind,
    cancel_request,
    execute,
    parse,
    query,
    values,
)
from tests.e2e.raw import errors as raw_errors
from tests.harness.gateway import CI, Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import fresh_database


@pytest.fixture(scope="module")
def two_workers(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    with (
        fresh_database(postgres) as database,
        running_gateway(database, directory, workers=2) as running,
    ):
        yield running


def sleeps(gateway: Gateway, pid: int) -> bool:
    """Return whether a backend of the target sleeps now."""
    row = gateway.database.run(
        f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
    )
    return bool(row)


def ask_to_cancel(gateway: Gateway, pid: int, key: bytes, *, tls: bool) -> bytes:
    """Send a CancelRequest on a connection of its own; return what came back."""
    with RawClient(gateway.port) as client:
        if tls:
            client.start_tls(alpn=True)
        client.send(cancel_request(pid, key))
        return client.rest()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("version", [0x30000, 0x30002])
def test_a_cancel_finds_its_session_in_whichever_worker(
    two_workers: Gateway, version: int, tls: bool
) -> None:
    for _ in range(4):  # the kernel picks a worker for each connection
        with RawClient(two_workers.port) as client:
            if tls:
                client.start_tls(alpn=True)
            client.log_in(CI, two_workers.passwords[CI], version)
            client.send(query("SELECT pg_sleep(60)"))
            eventually(lambda c=client: sleeps(two_workers, c.process_id), what="the sleep")  # type: ignore[misc]
            assert ask_to_cancel(two_workers, client.process_id, client.key, tls=tls) == b""
            assert [error["C"] for error in raw_errors(client.until())] == ["57014"]
            assert values(client.ask("SELECT 'alive'")) == [b"alive"]


def test_a_wrong_key_cancels_nothing(two_workers: Gateway) -> None:
    with RawClient(two_workers.port) as client, RawClient(two_workers.port) as other:
        client.log_in(CI, two_workers.passwords[CI])
        other.log_in(CI, two_workers.passwords[CI])
        client.send(query("SELECT pg_sleep(1.5), 'slept'"))
        eventually(lambda: sleeps(two_workers, client.process_id), what="the sleep")
        wrong = bytes(byte ^ 0xFF for byte in client.key)
        for pid, key in (
            (client.process_id, wrong),
            (client.process_id, other.key),
            (other.process_id, client.key),
            (0, client.key),
            (client.process_id, client.key + b"\0"),
        ):
            assert ask_to_cancel(two_workers, pid, key, tls=False) == b""
        ask_to_cancel(two_workers, client.process_id, client.key[:3], tls=False)
        assert raw_errors(client.until()) == []


def test_a_cancel_of_an_idle_session_hits_nothing_that_comes_later(two_workers: Gateway) -> None:
    with RawClient(two_workers.port) as client:
        client.log_in(CI, two_workers.passwords[CI])
        for _ in range(5):
            ask_to_cancel(two_workers, client.process_id, client.key, tls=False)
        eventually(lambda: raw_errors(client.ask("SELECT 1")) == [])
        assert values(client.ask("SELECT pg_backend_pid()")) == [str(client.process_id).encode()]


class Terminal:
    """psql at a terminal of its own, where Ctrl-C means what it means to people."""

    def __init__(self, psql: str, where: dict[str, str]) -> None:
        self.seen = ""
        self._master, slave = pty.openpty()
        # A session's leader that opens a terminal gets it as its own.
        become = (
            "import os, sys; tty = os.open(sys.argv[1], os.O_RDWR);"
            " [os.dup2(tty, number) for number in (0, 1, 2)]; os.execv(sys.argv[2], sys.argv[2:])"
        )
        command = [psql, "-At", "-P", "pager=off", "-n"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", become, os.ttyname(slave), *command],
            env={**environment(where), "TERM": "dumb"},
            start_new_session=True,
        )
        self._slave = slave

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read on until the terminal shows a text."""
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], 20)
            assert ready, f"never saw {text!r} in {self.seen!r}"
            self.seen += os.read(self._master, 4096).decode()

    def close(self) -> int:
        self.type("\\q\n")
        code = self._process.wait(20)
        os.close(self._slave)
        os.close(self._master)
        return code


def test_ctrl_c_in_psql_cancels_the_statement_and_psql_goes_on(
    two_workers: Gateway, programs: Installation
) -> None:
    terminal = Terminal(programs.program("psql"), through(two_workers))
    terminal.wait_for("shop=>")
    terminal.type("select pg_sleep(61);\n")
    asleep = (
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'select pg_sleep(61)%'"
        f" AND wait_event = 'PgSleep' AND datname = '{two_workers.database.name}'"
    )
    eventually(lambda: two_workers.database.run(asleep), what="the sleep")
    terminal.type("\x03")
    terminal.wait_for("ERROR:  canceling statement due to user request")
    terminal.type("select 6 * 7 as answer;\n")
    terminal.wait_for("42")
    assert terminal.close() == 0
    (row,) = two_workers.statements("pg_sleep(61)")
    assert (row["state"], row["sqlstate"]) == ("failed", "57014")


def test_in_a_transaction_a_cancel_leaves_it_failed(two_workers: Gateway) -> None:
    with two_workers.connect(autocommit=False) as connection:
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid

        def stop() -> None:
            eventually(lambda: sleeps(two_workers, pid), what="the sleep")
            connection.cancel_safe()

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")
        thread.join()
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()


def test_of_a_pipeline_only_what_runs_is_cancelled(two_workers: Gateway) -> None:
    with RawClient(two_workers.port) as client:
        client.log_in(CI, two_workers.passwords[CI])
        for text in ("SELECT pg_sleep(60)", "SELECT 'skipped'"):
            client.send(parse(text), bind(), execute())
        client.send(SYNC, parse("SELECT 'after'"), bind(), execute(), SYNC)
        eventually(lambda: sleeps(two_workers, client.process_id), what="the sleep")
        ask_to_cancel(two_workers, client.process_id, client.key, tls=False)
        first, second = client.until(), client.until()
        assert [error["C"] for error in raw_errors(first)] == ["57014"]
        assert values(first) == []
        assert values(second) == [b"after"]


def test_a_cancel_when_its_worker_is_gone_is_no_harm(two_workers: Gateway) -> None:
    with RawClient(two_workers.port) as client:
        client.log_in(CI, two_workers.passwords[CI])
        for number in (1, 2):
            two_workers.kill_worker(number)
            two_workers.start_worker(number)
        assert ask_to_cancel(two_workers, client.process_id, client.key, tls=False) == b""
        assert client.message() is None
    with two_workers.connect() as connection, pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1/0")
