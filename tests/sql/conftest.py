"""A catalog read from a real server, and a parser, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.embedded import PostgresServer
from appliance.sql.catalog import CATALOG_SQL, Catalog
from appliance.sql.parser import Parser
from tests.harness.postgres import Database, fresh_database

FIXTURES = Path(__file__).parents[1] / "fixtures" / "sql"


def read_catalog(database: Database) -> Catalog:
    """Read the catalog as the owner of a test's database."""
    ((data,),) = database.run(CATALOG_SQL)
    return Catalog.from_json(str(data).encode())


@pytest.fixture(scope="session")
def parser() -> Parser:
    return Parser()


@pytest.fixture(scope="session")
def shop(postgres: PostgresServer) -> Iterator[Database]:
    """The schema of the corpus on PostgreSQL 18."""
    with fresh_database(postgres) as database:
        database.run((FIXTURES / "schema.sql").read_text())
        yield database


@pytest.fixture(scope="session")
def catalog(shop: Database) -> Catalog:
    return read_catalog(shop)


@pytest.fixture(scope="session")
def catalog16(postgres16: PostgresServer) -> Iterator[Catalog]:
    """The same schema as PostgreSQL 16 describes it."""
    with fresh_database(postgres16) as database:
        database.run((FIXTURES / "schema.sql").read_text())
        yield read_catalog(database)
