"""A machine learns, its owner signs, and from then on it runs that and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.approvals.requests import RequestKind, RequestState
from appliance.entities import ProfileMode
from appliance.store import approvals, profiles
from appliance.store.actors import Actor
from tests.harness.gateway import ANA, CI, Gateway, running_gateway
from tests.harness.polling import eventually, promised
from tests.harness.postgres import Database

OWNER = Actor(ANA, "browser", "127.0.0.1")
Connection = psycopg.Connection[Any]


@pytest.fixture
def two_workers(database: Database, tmp_path: Path) -> Iterator[Gateway]:
    database.run(
        "CREATE TABLE orders (id int, day int); INSERT INTO orders VALUES (1, 1), (2, 2);"
        "CREATE TABLE customers (id int)"
    )
    with running_gateway(database, tmp_path / "gateway", workers=2) as running:
        yield running


def on_both_workers(gateway: Gateway, stack: ExitStack) -> list[Connection]:
    """Return sessions of ci-nightly until each worker has one."""

    def have_both() -> list[Connection]:
        connection = stack.enter_context(gateway.connect(CI))
        found.append(connection)
        journals = {row["journal"] for row in gateway.sessions() if row["ended_at"] is None}
        return found if len(journals) == 2 else []

    found: list[Connection] = []
    return eventually(have_both, what="a session on each worker")


def refused(connection: Connection, text: str) -> errors.InsufficientPrivilege:
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        connection.execute(text)
    return caught.value


def test_learn_sign_enforce_ask_and_extend(two_workers: Gateway) -> None:
    gateway = two_workers
    store = gateway.store
    profiles.set_mode(store, OWNER, datetime.now(UTC), CI, ProfileMode.LEARN)
    with ExitStack() as stack:
        sessions = on_both_workers(gateway, stack)
        for number, connection in enumerate(sessions):
            connection.execute(f"SELECT count(*) FROM orders WHERE day = {number}")
            connection.execute("SELECT id FROM orders WHERE id = %s", (number,))
        gateway.index()
        learned = profiles.of(store, CI, datetime.now(UTC))
        assert [entry.ran for entry in learned.unsigned] == [len(sessions)] * 2
        assert learned.unsigned[0].tables[0] == "public.orders"

        now = datetime.now(UTC)
        profiles.sign(store, OWNER, now, CI, [e.fingerprint for e in learned.unsigned])
        profiles.set_mode(store, OWNER, now, CI, ProfileMode.ENFORCE)
        switched = time.monotonic()
        for connection in sessions:

            def is_refused(connection: Connection = connection) -> bool:
                try:
                    connection.execute("SELECT id FROM customers")
                except errors.InsufficientPrivilege:
                    return True
                return False

            eventually(is_refused, timeout=promised(2), what="the profile")
        assert time.monotonic() - switched < promised(2)

        for connection in sessions:
            with connection.transaction():
                connection.execute("SET LOCAL application_name = 'nightly'")
                connection.execute("SELECT count(*) FROM orders WHERE day = 4711")
            assert connection.execute("SELECT id FROM orders WHERE id = %s", (2,)).fetchall()
            error = refused(connection, "DROP TABLE orders")
            assert error.sqlstate == "42501"
            assert "its statement profile" in str(error.diag.message_primary)
            assert ANA in str(error.diag.message_hint)
            refused(connection, "SELECT count(*) FROM orders WHERE id = 1")
            refused(connection, "SELECT count(*) FROM orders; DROP TABLE orders")

        requests = asked(gateway)
        assert {r.text for r in requests} >= {"DROP TABLE orders", "SELECT id FROM customers"}
        assert len(requests) == len({request.fingerprint for request in requests})
        wanted = next(r for r in requests if r.text == "SELECT id FROM customers")
        approvals.decide(store, OWNER, datetime.now(UTC), wanted.id, approve=True)
        gateway.settle()
        for connection in sessions:
            assert connection.execute("SELECT id FROM customers").fetchall() == []
            refused(connection, "DROP TABLE orders")
    assert gateway.database.run("SELECT count(*) FROM orders") == [(2,)]
    dropped = gateway.statements("DROP TABLE orders")
    assert {(row["state"], row["rule"]) for row in dropped} == {("refused", "profile")}


def test_a_search_path_trick_is_another_statement(two_workers: Gateway) -> None:
    gateway = two_workers
    gateway.database.run("CREATE SCHEMA trap; CREATE TABLE trap.orders (id int, day int)")
    with gateway.connect(CI) as connection:
        connection.execute("SELECT id FROM orders")
        gateway.index()
        learned = profiles.of(gateway.store, CI, datetime.now(UTC))
        marks = [entry.fingerprint for entry in learned.unsigned]
        profiles.sign(gateway.store, OWNER, datetime.now(UTC), CI, marks)
        profiles.set_mode(gateway.store, OWNER, datetime.now(UTC), CI, ProfileMode.ENFORCE)
        gateway.settle()
        assert len(connection.execute("SELECT id FROM orders").fetchall()) == 2
        refused(connection, "SET search_path = trap")
        refused(connection, "SELECT id FROM trap.orders")
    trap = "-c search_path=trap"
    with pytest.raises(psycopg.OperationalError, match="its statement profile"):
        gateway.connect(CI, options=trap)
    request = next(r for r in asked(gateway) if r.text == "SET search_path TO 'trap'")
    approvals.decide(gateway.store, OWNER, datetime.now(UTC), request.id, approve=True)
    gateway.settle()
    with gateway.connect(CI, options=trap) as other:
        refused(other, "SELECT id FROM orders")


def test_settings_of_the_start_up_packet_are_learned(two_workers: Gateway) -> None:
    gateway, store = two_workers, two_workers.store
    profiles.set_mode(store, OWNER, datetime.now(UTC), CI, ProfileMode.LEARN)
    gateway.settle()
    started = {"options": "-c statement_timeout=5s -c datestyle=ISO", "application_name": "ci"}
    with gateway.connect(CI, **started) as connection:
        connection.execute("SELECT 1")
    gateway.index()
    learned = profiles.of(store, CI, datetime.now(UTC)).unsigned
    assert {entry.text for entry in learned} == {"SET statement_timeout TO '5s'", "SELECT 1"}
    profiles.sign(store, OWNER, datetime.now(UTC), CI, [one.fingerprint for one in learned])
    profiles.set_mode(store, OWNER, datetime.now(UTC), CI, ProfileMode.ENFORCE)
    gateway.settle()
    with gateway.connect(CI, **started) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)
        assert connection.execute("SELECT 2").fetchone() == (2,)
        refused(connection, "SELECT version()")
    with pytest.raises(psycopg.OperationalError, match="its statement profile"):
        gateway.connect(CI, options="-c lock_timeout=1s")
    assert len(asked(gateway)) == 2


def asked(gateway: Gateway) -> list[Any]:
    gateway.index()
    found = approvals.find(gateway.store, state=RequestState.WAITING, kind=RequestKind.PROFILE)
    return list(found.items)
