"""A held statement waits for a human: what its client sees, what the record says, what ran."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.approvals.requests import RequestState
from appliance.embedded import installation
from appliance.store import kills
from tests.e2e.held import (
    BO,
    RULE,
    Client,
    decide,
    left,
    recorded,
    settled,
    waiting,
)
from tests.e2e.programs import through
from tests.e2e.raw import SYNC, RawClient, cancel_request, query
from tests.e2e.raw import errors as raw_errors
from tests.e2e.test_cancel import Terminal
from tests.harness.gateway import ADMIN, ANA, CI, Gateway
from tests.harness.polling import eventually


def test_approved_it_runs_and_the_client_gets_its_tag(orders: Gateway) -> None:
    with orders.connect(options="-c gatepost.reason=INC-42") as connection:
        client = Client(connection, "DELETE FROM orders -- approved")
        request = waiting(orders, "-- approved")
        assert left(orders) == 42
        assert (request.identity, request.rule, request.reason) == (ANA, RULE, "INC-42")
        assert request.effects == (("delete", "public.orders"),)
        assert request.detail["estimate"]["rows"] > 0  # type: ignore[index]
        decide(orders, request, approve=True, reason="go on")
        assert client.ended() == "DELETE 42"
    (row,) = orders.statements("-- approved")
    assert (row["state"], row["verdict"], row["rule"]) == ("done", "hold", RULE)
    assert row["approval_id"] == request.id
    assert row["request_hash"] == request.request_hash
    assert row["durability"] == "durable"
    assert (row["decision"]["approver"], row["decision"]["via"]) == (BO, "browser")


def test_the_notice_says_at_once_who_can_approve_what_where_and_until_when(
    orders: Gateway,
) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- told")
        request = waiting(orders, "-- told")
        (notice,) = eventually(lambda: client.notices, what="the notice")
        assert notice.severity == "NOTICE"
        assert notice.message == f"gatepost: held for approval, request {request.id}"
        assert f"{request.expires_at:%H:%M:%S} UTC" in notice.detail
        assert f'"{RULE}": writes without WHERE' in notice.detail
        assert BO in notice.hint
        assert f"http://localhost:8080/approvals/{request.id}" in notice.hint
        lines = f"DETAIL:  {notice.detail}\nHINT:  {notice.hint}".splitlines()
        assert max(map(len, lines)) <= 80
        connection.cancel_safe()
        assert isinstance(client.ended(), errors.QueryCanceled)


def test_denied_the_client_reads_why_and_goes_on(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- denied")
        request = waiting(orders, "-- denied")
        decide(orders, request, approve=False, reason="not before the backup")
        error = client.ended()
        assert isinstance(error, errors.InsufficientPrivilege)
        assert f"{BO} denied request {request.id}: not before the backup" in str(error)
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(42,)]
    assert recorded(orders, "-- denied") == ("refused", "42501", "denied")


def test_cancelled_by_whichever_worker_nothing_reaches_the_target(orders: Gateway) -> None:
    for number in range(3):  # the kernel picks a worker for each connection
        text = f"DELETE FROM orders -- cancelled {number}"
        with RawClient(orders.port) as client:
            client.log_in(CI, orders.passwords[CI])
            client.send(query(text))
            request = waiting(orders, text)
            with RawClient(orders.port) as other:
                other.send(cancel_request(client.process_id, client.key))
                assert other.rest() == b""
            (error,) = raw_errors(client.until())
            assert (error["C"], error["M"]) == (
                "57014",
                "canceling statement due to user request",
            )
            settled(orders, request, RequestState.CANCELLED)
            assert raw_errors(client.ask("SELECT pg_sleep(0.1)")) == []  # nothing is left over
        assert recorded(orders, text) == ("withdrawn", "57014", "cancelled")
    assert left(orders) == 42


@pytest.mark.parametrize("size", [0, 200 << 10, 900 << 10])
def test_a_client_that_leaves_withdraws_its_request(orders: Gateway, size: int) -> None:
    """Also behind what it had sent on already: that end comes when nobody reads any more."""
    text = f"DELETE FROM orders -- left {size}"
    with RawClient(orders.port) as client:
        client.log_in(CI, orders.passwords[CI])
        client.send(query(text))
        request = waiting(orders, text)
        client.send(query(f"SELECT '{'x' * size}'"))
    settled(orders, request, RequestState.WITHDRAWN)
    state, _, outcome = recorded(orders, text)
    assert (state, outcome) == ("withdrawn", "withdrawn")
    assert left(orders) == 42


def test_a_killed_session_ends_its_request(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- killed")
        request = waiting(orders, "-- killed")
        kills.request(orders.store, ADMIN, datetime.now(UTC), request.session_id, "lunch")
        assert isinstance(client.ended(), errors.AdminShutdown)
    settled(orders, request, RequestState.KILLED)
    assert recorded(orders, "-- killed") == ("withdrawn", "", "killed")
    assert left(orders) == 42


def test_a_shutdown_does_not_wait_for_what_is_held(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- shutdown")
        request = waiting(orders, "-- shutdown")
        for number in (1, 2):
            assert orders.kill_worker(number, signal.SIGTERM) == 0
        error = client.ended()
        assert isinstance(error, errors.AdminShutdown)
        assert "gatepost: the gateway is shutting down" in str(error)
    settled(orders, request, RequestState.SHUTDOWN)
    assert recorded(orders, "-- shutdown") == ("withdrawn", "", "shutdown")
    for number in (1, 2):
        orders.start_worker(number, wait=False)
    orders.settle()


def test_in_a_transaction_both_sides_are_told_and_a_no_makes_it_fail(orders: Gateway) -> None:
    with orders.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO orders VALUES (43)")
        client = Client(connection, "DELETE FROM orders -- inside")
        request = waiting(orders, "-- inside")
        (notice,) = eventually(lambda: client.notices, what="the notice")
        assert "transaction keeps its locks" in notice.detail
        assert request.detail["transaction_since"] is not None
        assert (request.expires_at - request.created_at).total_seconds() == 120
        decide(orders, request, approve=False, reason="no")
        assert isinstance(client.ended(), errors.InsufficientPrivilege)
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        with pytest.raises(errors.InFailedSqlTransaction):  # nobody is asked for what cannot run
            connection.execute("DELETE FROM orders")
        connection.rollback()
    assert left(orders) == 42


def test_in_a_transaction_the_yes_is_part_of_it(orders: Gateway) -> None:
    with orders.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO orders VALUES (43)")
        client = Client(connection, "DELETE FROM orders -- together")
        decide(orders, waiting(orders, "-- together"), approve=True)
        assert client.ended() == "DELETE 43"
        connection.rollback()
    assert left(orders) == 42


def test_the_targets_own_timers_end_a_held_session_properly(orders: Gateway) -> None:
    with orders.connect(options="-c idle_session_timeout=2000") as connection:
        client = Client(connection, "DELETE FROM orders -- idle")
        request = waiting(orders, "-- idle")
        error = client.ended()
        assert isinstance(error, psycopg.OperationalError)
        assert "idle-session timeout" in str(error)
    settled(orders, request, RequestState.WITHDRAWN)


def test_what_was_sent_behind_a_held_statement_waits_in_order(orders: Gateway) -> None:
    with RawClient(orders.port) as client:
        client.log_in(CI, orders.passwords[CI])
        client.send(
            query("DELETE FROM orders -- first"), query("SELECT count(*) FROM orders"), SYNC
        )
        decide(orders, waiting(orders, "-- first"), approve=True)
        kinds = [message.kind for _ in range(3) for message in client.until()]
        assert "".join(kinds) == "NCZTDCZZ"


def test_a_script_is_held_whole(orders: Gateway) -> None:
    with orders.connect() as connection:
        text = "INSERT INTO orders VALUES (0); DELETE FROM orders; SELECT 'script'"
        client = Client(connection, text)
        request = waiting(orders, "'script'")
        assert request.text == text
        assert len(request.seqs) == 3
        decide(orders, request, approve=True)
        assert client.ended() == "INSERT 0 1"
    assert left(orders) == 0


def test_copy_in_waits_before_the_client_may_send_its_rows(orders: Gateway) -> None:
    orders.database.run("CREATE TABLE IF NOT EXISTS races (n int); TRUNCATE races")

    def copy(connection: psycopg.Connection[Any]) -> str | None:
        with connection.cursor() as cursor:
            with cursor.copy("COPY races FROM STDIN") as into:
                into.write("1\n2\n")
            return cursor.statusmessage

    with orders.connect() as connection, ThreadPoolExecutor(1) as client:
        tag = client.submit(copy, connection)
        decide(orders, waiting(orders, "COPY races"), approve=True)
        assert tag.result() == "COPY 2"
        tag = client.submit(copy, connection)
        decide(orders, waiting(orders, "COPY races"), approve=False, reason="enough")
        with pytest.raises(errors.InsufficientPrivilege):
            tag.result()
        assert connection.execute("SELECT count(*) FROM races").fetchone() == (2,)


@pytest.mark.parametrize("version", [16, 18])
def test_ctrl_c_in_psql_withdraws_and_psql_goes_on(orders: Gateway, version: int) -> None:
    terminal = Terminal(installation(version).program("psql"), through(orders))
    terminal.wait_for("shop=>")
    terminal.type("delete from orders;\n")
    terminal.wait_for("held for approval")
    terminal.wait_for("/approvals/")
    terminal.type("\x03")
    terminal.wait_for("ERROR:  canceling statement due to user request")
    terminal.type("select 6 * 7 as answer;\n")
    terminal.wait_for("42")
    assert terminal.close() == 0
    assert orders.statements("delete from orders;")[-1]["state"] == "withdrawn"
    assert left(orders) == 42
