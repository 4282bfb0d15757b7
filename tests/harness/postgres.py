"""Real PostgreSQL 18 and 16 for tests, with a fresh database and fresh roles per test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from appliance.embedded import (
    Installation,
    PostgresServer,
    ServerOptions,
    installation,
    temporary_directory,
)

# Everything that ran can be read back from the server's own log.
_LOGGED = ServerOptions(
    settings={
        "log_statement": "all",
        "log_line_prefix": "%m [%p] %u@%d %a: ",
        "log_connections": "on",
        "log_disconnections": "on",
        "autovacuum": "off",  # what it changes, it changes in the midst of some test
    }
)


@dataclass(frozen=True, slots=True)
class Role:
    """A login role of one test's database."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Database:
    """One test's own database: ``owner`` owns it, ``rw`` reads and writes, ``ro`` only reads."""

    server: PostgresServer
    name: str
    owner: Role
    rw: Role
    ro: Role
    log_start: int = 0  # how long the shared server's log was before it

    def log(self, since: int | None = None) -> str:
        """Return what the server has logged since then, or since this database is there."""
        return self.server.log(self.log_start if since is None else since)

    def dsn(self, role: Role | None = None) -> str:
        """Return the connection string of a role, by default of its owner."""
        role = role or self.owner
        return self.server.dsn(self.name, role.name, role.password)

    def connect(self, role: Role | None = None) -> psycopg.Connection[tuple[object, ...]]:
        """Open an autocommit connection straight to the server."""
        return psycopg.connect(self.dsn(role), autocommit=True)

    def run(self, text: str, role: Role | None = None) -> list[tuple[object, ...]]:
        """Run statements straight on the server; return the rows of the last one that has any."""
        with self.connect(role) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[Database]:
    """Create a database with three roles on ``server``; drop all four at the end."""
    mark = secrets.token_hex(4)
    database = Database(
        server,
        f"t_{mark}",
        *(Role(f"{kind}_{mark}", secrets.token_urlsafe(12)) for kind in ("owner", "rw", "ro")),
        log_start=server.log_size(),
    )
    roles = (database.owner, database.rw, database.ro)
    with server.connect() as admin:
        for role in roles:
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(role.name), sql.Literal(role.password)
                )
            )
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(database.name), sql.Identifier(database.owner.name)
            )
        )
        _grant(admin, "pg_read_all_data", database.ro)
        _grant(admin, "pg_read_all_data", database.rw)
        _grant(admin, "pg_write_all_data", database.rw)
    try:
        yield database
    finally:
        if server.pid is None:  # the test stopped it
            server.start()
        with server.connect() as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    sql.Identifier(database.name)
                )
            )
            for role in roles:
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role.name)))


def _grant(admin: psycopg.Connection[tuple[object, ...]], privilege: str, role: Role) -> None:
    admin.execute(
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(privilege), sql.Identifier(role.name))
    )


@contextmanager
def running_server(major: int = 18, options: ServerOptions = _LOGGED) -> Iterator[PostgresServer]:
    """Run a server of one's own, for tests that stop or kill it."""
    with PostgresServer(installation(major), temporary_directory(), options) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL 18, shared by the tests of one process. Kill your own instead of this one."""
    with running_server(18) as server:
        yield server


@pytest.fixture(scope="session")
def postgres16() -> Iterator[PostgresServer]:
    """PostgreSQL 16, shared by the tests of one process."""
    with running_server(16) as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 18."""
    with fresh_database(postgres) as fresh:
        yield fresh


@pytest.fixture
def database16(postgres16: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 16."""
    with fresh_database(postgres16) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def programs() -> Installation:
    """psql, pgbench, pg_dump … of version 18; ``installation(16)`` has the older ones."""
    return installation(18)


@pytest.fixture(scope="session")
def programs16() -> Installation:
    return installation(16)
