"""Access for a time through a real gateway: asked for, given, used by name, ended by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from appliance.approvals.requests import RequestState
from appliance.store import access_requests, approvals, grants
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor
from appliance.store.models import GrantRow
from tests.e2e.held import BO, Client, state_of, waiting
from tests.harness.gateway import ADMIN, Gateway
from tests.harness.polling import eventually

DI = "di@example.com"


def given(gateway: Gateway, name: str, role: str, length: timedelta) -> int:
    """Let somebody ask for a role, and bo say yes; shorter than anybody could ask for."""
    now = datetime.now(UTC)
    ask = AccessAsk(name, "shop", role, 3600, "INC-42")
    number = access_requests.ask(gateway.store, Actor(name, "browser"), now, ask)
    with gateway.store.transaction():
        approvals.decide(gateway.store, Actor(BO, "browser"), now, number, approve=True)
        mine = GrantRow.request_id == number
        GrantRow.update(expires_at=now + length).where(mine).execute()
        grant_id = int(GrantRow.select(GrantRow.id).where(mine).scalar())
    gateway.settle()
    return grant_id


def ended(connection: psycopg.Connection[object]) -> psycopg.Error:
    """Return the error by which a session ends."""

    def error() -> list[psycopg.Error]:
        try:
            connection.execute("SELECT 1")
        except psycopg.Error as found:
            return [found]
        return []

    return eventually(error, what="the session's end")[0]


def test_its_role_is_asked_for_by_name_and_the_session_ends_with_it(orders: Gateway) -> None:
    role = orders.database.rw.name
    orders.add_identity(DI, "human")
    orders.settle()
    with pytest.raises(psycopg.OperationalError, match="you can reach nothing yet"):
        orders.connect(DI)
    given(orders, DI, role, timedelta(seconds=3))
    with pytest.raises(psycopg.OperationalError) as refused:
        orders.connect(DI)
    assert f"your access on shop as {role} is for a time: ask for it by name" in str(refused.value)
    hint = f"options='-c gatepost.role={role}'"
    assert f"connect with {hint}" in str(refused.value)
    with psycopg.connect(f"{orders.dsn(DI)} {hint}", autocommit=True) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)
        error = ended(connection)
        assert error.diag.sqlstate == "57P01"
        assert error.diag.message_primary == (
            f"gatepost: session ended: your access on shop as {role} has ended"
        )
    with pytest.raises(psycopg.OperationalError, match=f"as {role} has ended"):
        psycopg.connect(f"{orders.dsn(DI)} {hint}")


def test_an_admin_ends_it_early_and_what_it_held_is_not_run(orders: Gateway) -> None:
    role = orders.database.rw.name
    name = "ed@example.com"
    orders.add_identity(name, "human")
    orders.database.run(f"GRANT ALL ON orders TO {role}")
    grant_id = given(orders, name, role, timedelta(hours=1))
    options = f"-c gatepost.role={role}"
    with orders.connect(name, options=options) as connection:
        client = Client(connection, "DELETE FROM orders -- for a time")
        request = waiting(orders, "-- for a time")
        grants.delete(orders.store, ADMIN, datetime.now(UTC), grant_id)
        error = client.ended()
        assert error.sqlstate == "57P01" and "has ended" in str(error)
    eventually(lambda: state_of(orders, request) is not RequestState.WAITING, what="its end")
    assert state_of(orders, request) is RequestState.KILLED
    assert orders.database.run("SELECT count(*) FROM orders") == [(42,)]
