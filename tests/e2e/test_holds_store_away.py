"""Holds while the store is away: nothing new waits, who waits can go, all is told later."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import errors

from appliance.approvals.requests import RequestState
from appliance.entities import PermissionRole
from appliance.store import approvals, identities
from appliance.store.database import open_store
from tests.e2e.held import BO, Client, waiting
from tests.harness.gateway import ADMIN, CI, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import Database, running_server


def test_without_a_store_nobody_is_asked_and_who_waits_can_go(
    database: Database, tmp_path: Path
) -> None:
    database.run("CREATE TABLE orders (n int)")
    with running_server() as server:
        url = f"postgresql://postgres:{quote(server.password)}@{server.host}:{server.port}/postgres"
        with running_gateway(database, tmp_path / "gateway", GATEPOST_STORE_URL=url) as gateway:
            gateway.add_identity(BO, "human")
            roles = frozenset({PermissionRole.APPROVER})
            identities.set_permission_roles(gateway.store, ADMIN, datetime.now(UTC), BO, roles)
            gateway.rule("deletes", "approve", commands=("delete",))
            with gateway.connect() as first, gateway.connect(CI) as second:
                client = Client(first, "DELETE FROM orders -- first")
                request = waiting(gateway, "-- first")
                gateway.store.close()
                server.stop()
                with pytest.raises(errors.CannotConnectNow) as refused:
                    second.execute("DELETE FROM orders -- second")
                assert "store does not answer" in str(refused.value)
                assert second.execute("SELECT 1").fetchone() == (1,)
                first.cancel_safe()
                assert isinstance(client.ended(), errors.QueryCanceled)
                assert first.execute("SELECT 1").fetchone() == (1,)
                server.start()
                gateway.store = open_store(url)

                def is_told() -> bool:
                    state = approvals.get(gateway.store, request.id).state
                    return state is RequestState.CANCELLED

                eventually(is_told, what="the end of the request")
            (row,) = gateway.statements("-- second")
            assert (row["state"], row["sqlstate"]) == ("refused", "57P03")
