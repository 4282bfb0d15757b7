"""A migrated store, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from appliance.store.database import Store, open_store
from appliance.store.migrate import migrate
from tests.harness.postgres import fresh_database


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'gatepost.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres")) as database:
        owner, server = database.owner, database.server
        yield (
            f"postgresql://{owner.name}:{quote(owner.password)}"
            f"@{server.host}:{server.port}/{database.name}"
        )


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, migrated store of either kind."""
    opened = open_store(store_url)
    migrate(opened)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An open, migrated SQLite store, for what does not depend on the kind."""
    opened = open_store(f"sqlite:///{tmp_path / 'gatepost.db'}")
    migrate(opened)
    try:
        yield opened
    finally:
        opened.close()
