"""A worker that starts while its store is away answers, and serves once the store is there."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.harness.gateway import running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import Database


def test_a_starting_worker_without_its_store_says_so_and_then_serves(
    database: Database, tmp_path: Path
) -> None:
    with running_gateway(database, tmp_path / "gateway") as gateway:
        gateway.kill_worker()
        path = gateway.store.path
        assert path is not None
        gateway.store.close()
        away = path.with_suffix(".away")
        path.rename(away)
        path.mkdir()  # where SQLite finds a directory, it cannot open a database
        gateway.start_worker(wait=False)

        def refused() -> bool:
            with pytest.raises(psycopg.OperationalError) as raised:
                gateway.connect(connect_timeout=5).close()
            return "its store does not answer yet" in str(raised.value)

        eventually(refused, timeout=20)
        path.rmdir()
        away.rename(path)
        gateway.settle()
        with gateway.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
