"""A held statement waits for a human: what its client sees, what the record says, what ran."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.approvals.requests import RequestState
from appliance.embedded import PostgresServer
from tests.e2e.held import BO, RULE, decide, holding_gateway, state_of, waiting
from tests.harness.gateway import Gateway


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with holding_gateway(postgres, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(autouse=True)
def orders(gateway: Gateway) -> None:
    """Let every test begin with 42 orders."""
    gateway.database.run(
        "CREATE TABLE IF NOT EXISTS orders (id int, note text); TRUNCATE orders;"
        " INSERT INTO orders SELECT n FROM generate_series(1, 42) n"
    )


class Client(threading.Thread):
    """Runs one statement beside the test; ``outcome`` is its tag or its error."""

    def __init__(self, connection: psycopg.Connection[Any], text: str, *parameters: Any) -> None:
        super().__init__()
        self.notices: list[Any] = []
        connection.add_notice_handler(self.notices.append)
        self.connection, self.text, self.parameters = connection, text, parameters
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.connection.execute(self.text, self.parameters or None).statusmessage
        except psycopg.Error as error:
            self.outcome = error

    def ended(self) -> Any:
        self.join(20)
        assert not self.is_alive(), "the statement did not end"
        return self.outcome


def left(gateway: Gateway) -> int:
    (row,) = gateway.database.run("SELECT count(*) FROM orders")
    return int(row[0])


def test_approved_it_runs_and_the_client_gets_its_tag(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- a")
        request = waiting(gateway, "-- a")
        assert left(gateway) == 42
        decide(gateway, request, approve=True, reason="go on")
        assert client.ended() == "DELETE 42"
    (row,) = gateway.statements("DELETE FROM orders -- a")
    assert (row["state"], row["verdict"], row["rule"]) == ("done", "hold", RULE)
    assert row["approval_id"] == request.id


def test_denied_the_client_reads_why_and_goes_on(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- b")
        request = waiting(gateway, "-- b")
        decide(gateway, request, approve=False, reason="not before the backup")
        error = client.ended()
        assert isinstance(error, errors.InsufficientPrivilege)
        assert f"{BO} denied request {request.id}: not before the backup" in str(error)
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(42,)]
    assert state_of(gateway, request) is RequestState.DENIED
