"""What tests of holds share: a gateway with a rule that holds, an approver, and their requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from appliance.approvals.requests import Request, RequestState
from appliance.embedded import PostgresServer
from appliance.entities import PermissionRole
from appliance.store import approvals, identities, rules
from appliance.store.actors import Actor
from tests.harness.gateway import ADMIN, Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import fresh_database

BO, CY = "bo@example.com", "cy@example.com"
RULE = "bulk-writes-need-a-human"


class Notice(NamedTuple):
    severity: str
    message: str
    detail: str
    hint: str


class Client(threading.Thread):
    """Runs one statement beside the test; ``ended()`` is its tag or its error."""

    def __init__(self, connection: psycopg.Connection[Any], text: str, *parameters: Any) -> None:
        super().__init__(daemon=True)
        self.notices: list[Notice] = []
        connection.add_notice_handler(self._note)
        self._connection, self._text, self._parameters = connection, text, parameters
        self._outcome: Any = None
        self.start()

    def _note(self, said: psycopg.errors.Diagnostic) -> None:  # gone when this returns
        parts = (said.severity, said.message_primary, said.message_detail, said.message_hint)
        self.notices.append(Notice(*(part or "" for part in parts)))

    def run(self) -> None:
        try:
            cursor = self._connection.execute(self._text, self._parameters or None)
            self._outcome = cursor.statusmessage
        except psycopg.Error as error:
            self._outcome = error

    def ended(self) -> Any:
        self.join(20)
        assert not self.is_alive(), "the statement did not end"
        return self._outcome


@contextmanager
def holding_gateway(
    postgres: PostgresServer, directory: Path, *, workers: int = 2
) -> Iterator[Gateway]:
    """Run workers whose rule holds every DELETE without WHERE; bo and cy are approvers."""
    with (
        fresh_database(postgres) as database,
        running_gateway(database, directory, workers=workers) as gateway,
    ):
        for name in (BO, CY):
            gateway.add_identity(name, "human")
            identities.set_permission_roles(
                gateway.store, ADMIN, datetime.now(UTC), name, frozenset({PermissionRole.APPROVER})
            )
        gateway.rule(
            RULE,
            "approve",
            commands=("delete", "update"),
            without_where=True,
            message="writes without WHERE need a second pair of eyes",
        )
        table = {"commands": ("delete", "update"), "without_where": True}
        gateway.rule("brief", "approve", tables=("public.brief",), timeout_s=1, **table)
        gateway.rule("later", "approve", tables=("public.later",), retry_s=900, **table)
        gateway.rule("races", "approve", tables=("public.races",), commands=("insert",))
        rules.reorder(gateway.store, ADMIN, datetime.now(UTC), ("brief", "later", RULE))
        gateway.settle()
        yield gateway


def waiting(gateway: Gateway, text: str = "") -> Request:
    """Return the one request that waits, as soon as there is one."""

    def found() -> list[Request]:
        page = approvals.find(gateway.store, text, state=RequestState.WAITING)
        return [request for request in page.items if text in request.text]

    (request,) = eventually(found, what="a waiting request")
    return request


def decide(gateway: Gateway, request: Request, *, approve: bool, **more: Any) -> None:
    by = Actor(more.pop("by", BO), "browser", "127.0.0.1")
    approvals.decide(gateway.store, by, datetime.now(UTC), request.id, approve=approve, **more)


def state_of(gateway: Gateway, request: Request) -> RequestState:
    return approvals.get(gateway.store, request.id).state


def left(gateway: Gateway) -> int:
    """Return how many orders there are."""
    (row,) = gateway.database.run("SELECT count(*) FROM orders")
    return int(str(row[0]))


def settled(gateway: Gateway, request: Request, state: RequestState) -> None:
    """Wait until a request has ended so."""
    eventually(lambda: state_of(gateway, request) is state, what=f"the state {state}")


def recorded(gateway: Gateway, text: str) -> tuple[str, str, str]:
    """Return state, SQLSTATE and the human's part of the one record of a statement."""
    (row,) = gateway.statements(text)
    return row["state"], row["sqlstate"], (row["decision"] or {}).get("outcome", "")


@pytest.fixture(scope="session")
def holding(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """Two workers that hold, for all tests that leave the rules as they are."""
    with holding_gateway(postgres, tmp_path_factory.mktemp("holding")) as gateway:
        yield gateway


@pytest.fixture
def orders(holding: Gateway) -> Gateway:
    """The same, with 42 orders."""
    holding.database.run(
        "CREATE TABLE IF NOT EXISTS orders (id int, note text); TRUNCATE orders;"
        " INSERT INTO orders SELECT n FROM generate_series(1, 42) n"
    )
    return holding
