"""Sessions end when they must, as PostgreSQL ends them, and go on when they can."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg import errors

from appliance.entities import IdentityStatus, Limits, Settings
from appliance.identity import credentials
from appliance.store import credentials as credential_rows
from appliance.store import grants, identities, kills, settings, targets
from appliance.store.models import GrantRow
from appliance.store.targets import TargetSpec
from tests.e2e.raw import ErrorCame, RawClient, query, values
from tests.harness.gateway import ADMIN, ANA, CI, Gateway, running_gateway
from tests.harness.polling import eventually, promised
from tests.harness.postgres import Database, fresh_database, running_server


def now() -> datetime:
    return datetime.now(UTC)


def logged_in(gateway: Gateway, user: str = CI, **parameters: Any) -> RawClient:
    client = RawClient(gateway.port)
    client.log_in(user, gateway.passwords[user], **parameters)
    return client


def ending(client: RawClient) -> tuple[dict[str, str], float]:
    """Wait for the FATAL that ends a session; return its fields and how long it took."""
    started = time.monotonic()
    while (message := client.message()) is not None:
        if message.kind == "E" and message.fields["S"] == "FATAL":
            assert client.message() is None
            return message.fields, time.monotonic() - started
    raise AssertionError("the session ended without a word")


def sleeping(gateway: Gateway) -> list[tuple[object, ...]]:
    return gateway.database.run(
        "SELECT pid FROM pg_stat_activity"
        f" WHERE wait_event = 'PgSleep' AND datname = '{gateway.database.name}'"
    )


def live_session(gateway: Gateway) -> str:
    return next(str(s["id"]) for s in reversed(gateway.sessions()) if s["ended_at"] is None)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_kill_ends_a_session_at_once_and_stops_what_runs(
    shared_gateway: Gateway, busy: bool
) -> None:
    with logged_in(shared_gateway) as client, shared_gateway.connect() as other:
        (mine,) = (s["id"] for s in shared_gateway.sessions()[-2:] if s["identity"] == CI)
        if busy:
            client.send(query("SELECT pg_sleep(60)"))
            eventually(lambda: sleeping(shared_gateway), what="the sleep")
        kills.request(shared_gateway.store, ADMIN, now(), mine, "too curious")
        fields, took = ending(client)
        assert took < promised(2)
        assert fields["C"] == "57P01"
        assert fields["M"] == "gatepost: this session was ended by tests: too curious"
        eventually(lambda: not sleeping(shared_gateway), what="the end of the sleep")
        assert other.execute("SELECT 1").fetchone() == (1,)
        eventually(lambda: kills.is_done(shared_gateway.store, mine), what="the kill's row")
    session = next(s for s in shared_gateway.sessions() if s["id"] == mine)
    assert session["end_reason"] == "killed by tests"
    if busy:
        (row,) = shared_gateway.statements("pg_sleep(60)")
        assert row["state"] in ("failed", "sent")


def suspend(gateway: Gateway) -> None:
    identities.set_status(gateway.store, ADMIN, now(), CI, IdentityStatus.SUSPENDED)


def revoke(gateway: Gateway) -> None:
    page = credential_rows.find(gateway.store, now=now(), identity=CI)
    credentials.revoke(gateway.store, ADMIN, now(), page.items[0].id)


def rotate(gateway: Gateway) -> None:
    page = credential_rows.find(gateway.store, now=now(), identity=CI)
    credentials.rotate(gateway.store, ADMIN, now(), gateway.sealer, page.items[0].id)


def remove_grant(gateway: Gateway) -> None:
    for record in grants.find(gateway.store).items:
        if record.grant.who == f"identity:{CI}":
            grants.delete(gateway.store, ADMIN, now(), record.grant.id)


def move_target(gateway: Gateway) -> None:
    spec = TargetSpec("shop", "localhost", gateway.database.name, 1)
    targets.update(gateway.store, ADMIN, now(), "shop", spec)


@pytest.mark.parametrize("change", [suspend, revoke, rotate, remove_grant, move_target])
def test_taking_the_access_away_ends_its_live_sessions_within_two_seconds(
    gateway: Gateway, change: Callable[[Gateway], None]
) -> None:
    with logged_in(gateway) as idle, logged_in(gateway) as busy, gateway.connect() as other:
        busy.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: sleeping(gateway), what="the sleep")
        change(gateway)
        for client in (idle, busy):
            fields, took = ending(client)
            assert took < promised(2)
            assert fields["C"] == "57P01"
            assert fields["M"].startswith("gatepost: session ended: ")
        eventually(lambda: not sleeping(gateway), what="the end of the sleep")
        if change is not move_target:
            assert other.execute("SELECT 1").fetchone() == (1,)
            gateway.connect(ANA).close()


def test_a_rotated_secret_with_an_overlap_ends_nothing_yet(gateway: Gateway) -> None:
    with logged_in(gateway) as client:
        page = credential_rows.find(gateway.store, now=now(), identity=CI)
        made = credentials.rotate(
            gateway.store, ADMIN, now(), gateway.sealer, page.items[0].id,
            overlap=timedelta(hours=1),
        )  # fmt: skip
        gateway.settle()
        assert values(client.ask("SELECT 1")) == [b"1"]
        logged_in(gateway).sock.close()  # the old secret
        gateway.passwords[CI] = made.secret
        logged_in(gateway).sock.close()


def test_a_session_ends_at_the_end_of_its_time(gateway: Gateway) -> None:
    gateway.add_identity("brief", "service")
    number = gateway.grant("identity:brief", gateway.database.ro.name, max_session_s=60)
    with gateway.store.transaction():  # shorter than anybody could ask for
        GrantRow.update(max_session_s=2).where(GrantRow.id == number).execute()
    gateway.rule("anything", "allow")
    with logged_in(gateway, "brief") as client:
        assert values(client.ask("SELECT 1")) == [b"1"]
        fields, took = ending(client)
        assert took < promised(4)
        assert fields["C"] == "57P01"
        assert "end of its time" in fields["M"]


def test_draining_ends_idle_sessions_and_lets_a_transaction_finish(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t (n int)")
    with logged_in(gateway) as idle, logged_in(gateway) as busy:
        busy.ask("BEGIN")
        busy.ask("INSERT INTO t VALUES (1)")
        gateway.processes[1].send_signal(signal.SIGTERM)
        fields, took = ending(idle)
        assert (fields["C"], fields["M"]) == ("57P01", "gatepost: the gateway is shutting down")
        assert took < promised(2)
        busy.ask("INSERT INTO t VALUES (2)")
        assert values(busy.ask("SELECT count(*) FROM t")) == [b"2"]
        busy.send(query("COMMIT"))
        assert busy.until("C")[-1].body == b"COMMIT\0"
        assert ending(busy)[0]["C"] == "57P01"
        assert gateway.processes.pop(1).wait(20) == 0
    assert gateway.database.run("SELECT n FROM t ORDER BY n") == [(1,), (2,)]
    assert all(s["end_reason"] == "gateway shut down" for s in gateway.sessions())


def test_a_drain_has_an_end(gateway: Gateway) -> None:
    settings.put(gateway.store, ADMIN, now(), Settings(limits=Limits(drain_s=1)))
    gateway.settle()
    with logged_in(gateway) as busy:
        busy.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: sleeping(gateway), what="the sleep")
        gateway.processes[1].send_signal(signal.SIGTERM)
        assert ending(busy)[0]["C"] == "57P01"
        assert gateway.processes.pop(1).wait(20) == 0
    eventually(lambda: not sleeping(gateway), what="the end of the sleep")


def test_a_target_that_dies_is_told_and_works_again_when_it_is_back(tmp_path: Path) -> None:
    with (
        running_server() as server,
        fresh_database(server) as database,
        running_gateway(database, tmp_path / "gateway") as gateway,
        logged_in(gateway) as idle,
        logged_in(gateway) as busy,
    ):
        busy.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: sleeping(gateway), what="the sleep")
        server.kill()
        for client in (idle, busy):
            fields, _ = ending(client)
            assert fields["C"] in ("08006", "57P01", "57P02", "57P03")
        with RawClient(gateway.port) as client, pytest.raises(Exception, match="08006"):
            client.log_in(CI, gateway.passwords[CI])
        server.start()
        with logged_in(gateway) as client:
            assert values(client.ask("SELECT 1")) == [b"1"]
        server.stop()  # by itself it says why
        server.start()
        with logged_in(gateway) as client:
            threading.Timer(0.3, server.stop).start()
            fields, _ = ending(client)
            assert (fields["C"], "gatepost" in fields["M"]) == ("57P01", False)
        server.start()


@contextmanager
def locked(gateway: Gateway) -> Iterator[None]:
    """Keep everybody else from writing to the store."""
    path = gateway.config.store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as hog:
        hog.execute("BEGIN EXCLUSIVE")
        yield


def login_error(gateway: Gateway) -> str:
    """Return what a login is told, "" when it succeeds."""
    with RawClient(gateway.port) as client:
        try:
            client.log_in(CI, gateway.passwords[CI])
        except ErrorCame as error:
            return error.fields["M"]
        return ""


def test_sessions_go_on_while_the_store_is_away_and_logins_are_refused(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.execute("SELECT 1")
        with locked(gateway):
            refused = eventually(lambda: login_error(gateway), what="the refusal")
            assert "store does not answer" in refused
            for number in range(20):
                assert connection.execute(f"SELECT {number}").fetchone() == (number,)
        eventually(lambda: not login_error(gateway), what="logins")
        assert connection.execute("SELECT 'through it'").fetchone() == ("through it",)
    texts = {row["text"] for row in gateway.statements()}
    assert {f"SELECT {number}" for number in range(20)} <= texts


def test_a_store_away_for_too_long_refuses_what_nobody_could_decide(gateway: Gateway) -> None:
    settings.put(gateway.store, ADMIN, now(), Settings(limits=Limits(store_grace_s=1)))
    gateway.settle()
    with gateway.connect() as connection:

        def refused() -> bool:
            try:
                connection.execute("SELECT 1")
            except errors.CannotConnectNow as error:
                return "store has been away" in str(error)
            return False

        with locked(gateway):
            eventually(refused, what="the refusal")
        eventually(lambda: not refused(), what="its end")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_store_on_postgresql_may_go_and_come_back(database: Database, tmp_path: Path) -> None:
    with running_server() as server, fresh_database(server) as store:
        owner = store.owner
        url = f"postgresql://{owner.name}:{quote(owner.password)}@127.0.0.1:{server.port}/"
        with (
            running_gateway(
                database, tmp_path / "gateway", GATEPOST_STORE_URL=url + store.name
            ) as gateway,
            gateway.connect() as connection,
        ):
            server.kill()
            refused = eventually(lambda: login_error(gateway), what="the refusal")
            assert "store does not answer" in refused
            assert connection.execute("SELECT 'meanwhile'").fetchone() == ("meanwhile",)
            server.start()
            eventually(lambda: not login_error(gateway), what="logins")
            kills.request(gateway.store, ADMIN, now(), live_session(gateway))
            gateway.settle()
