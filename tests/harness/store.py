"""A migrated store, once on SQLite and once on PostgreSQL: copies of one that was migrated once."""

from __future__ import annotations

import functools
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql

from appliance.embedded import PostgresServer
from appliance.store.database import Store, open_store, sqlite_path
from appliance.store.migrate import migrate
from tests.harness.postgres import Database, fresh_database


def migrated(url: str) -> Store:
    """Open the new store at ``url``, migrated as ``gatepost migrate`` leaves it."""
    path = sqlite_path(url)
    store = open_store(url)
    if path is None:
        migrate(store)
    else:
        path.write_bytes(_migrated_file())
    return store


@functools.cache
def _migrated_file() -> bytes:
    """Return the bytes of a migrated SQLite store; migrating takes thirty times as long."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gatepost.db"
        store = open_store(f"sqlite:///{path}")
        migrate(store)
        store.close()  # the last connection takes the write-ahead log in
        assert not path.with_name("gatepost.db-wal").exists()
        return path.read_bytes()


@pytest.fixture(scope="session")
def migrated_database(postgres: PostgresServer) -> Iterator[Database]:
    """A PostgreSQL store that was migrated, to be copied; nobody connects to it."""
    with fresh_database(postgres) as database:
        store = open_store(_url(database, database.name))
        migrate(store)
        store.close()
        yield database


@contextmanager
def _copied(template: Database) -> Iterator[str]:
    """Copy a database; yield the URL by which its owner, the same, connects."""
    name = f"t_{secrets.token_hex(4)}"
    words = {"name": name, "template": template.name, "owner": template.owner.name}
    names = {word: sql.Identifier(value) for word, value in words.items()}
    create = sql.SQL("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}")
    with template.server.connect() as admin:
        admin.execute(create.format(**names))
    try:
        yield _url(template, name)
    finally:
        with template.server.connect() as admin:
            admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


def _url(database: Database, name: str) -> str:
    owner, server = database.owner, database.server
    place = f"{server.host}:{server.port}/{name}"
    return f"postgresql://{owner.name}:{quote(owner.password)}@{place}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store of either kind that was never migrated."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'gatepost.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres")) as database:
        yield _url(database, database.name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated store of either kind, with nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'gatepost.db'}"
        migrated(url).close()
        yield url
        return
    with _copied(request.getfixturevalue("migrated_database")) as url:
        yield url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, migrated store of either kind."""
    opened = open_store(store_url)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An open, migrated SQLite store, for what does not depend on the kind."""
    opened = migrated(f"sqlite:///{tmp_path / 'gatepost.db'}")
    try:
        yield opened
    finally:
        opened.close()
