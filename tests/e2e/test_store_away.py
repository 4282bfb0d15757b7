"""A worker that starts while its store is away answers, and serves once the store is there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.harness.gateway import running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import Database, running_server


def test_a_starting_worker_without_its_store_says_so_and_then_serves(
    database: Database, tmp_path: Path
) -> None:
    with (
        running_server() as server,
        running_gateway(
            database,
            tmp_path / "gateway",
            GATEPOST_STORE_URL=(
                f"postgresql://postgres:{quote(server.password)}"
                f"@{server.host}:{server.port}/postgres"
            ),
        ) as gateway,
    ):
        gateway.kill_worker()
        gateway.store.close()
        server.stop()
        gateway.start_worker(wait=False)

        def refused() -> bool:
            with pytest.raises(psycopg.OperationalError) as raised:
                gateway.connect(connect_timeout=5).close()
            return "its store does not answer yet" in str(raised.value)

        eventually(refused)
        server.start()
        gateway.settle()
        with gateway.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
