"""What tests of holds share: a gateway with a rule that holds, an approver, and their requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.approvals.requests import Request, RequestState
from appliance.embedded import PostgresServer
from appliance.entities import PermissionRole
from appliance.store import approvals, identities
from appliance.store.actors import Actor
from tests.harness.gateway import ADMIN, Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import fresh_database

BO, CY = "bo@example.com", "cy@example.com"
RULE = "bulk-writes-need-a-human"


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
