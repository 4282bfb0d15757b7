"""pg_dump and pg_restore through the gateway carry a database over, unchanged."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from appliance.embedded import Installation, PostgresServer
from tests.e2e.programs import comparable, run, straight, through
from tests.harness.gateway import Gateway, running_gateway
from tests.harness.postgres import fresh_database

OPERATOR = "operator"
SCHEMA = (Path(__file__).parent / "psql_schema.sql").read_text()
MORE = (Path(__file__).parent / "dump_schema.sql").read_text()


@pytest.fixture(scope="module")
def filled(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway to a filled database, and to all others of its server."""
    with fresh_database(postgres) as database:
        database.run(SCHEMA + MORE)
        with running_gateway(database, tmp_path_factory.mktemp("gateway")) as running:
            running.add_identity(OPERATOR, "service")
            running.grant(f"identity:{OPERATOR}", database.owner.name, databases=("*",))
            running.settle()
            yield running


@pytest.fixture
def empty(filled: Gateway) -> Iterator[str]:
    """The name of an empty database beside the filled one."""
    name = sql.Identifier(f"empty_{secrets.token_hex(4)}")
    owner = sql.Identifier(filled.database.owner.name)
    with filled.database.server.connect() as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        yield name.as_string().strip('"')
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dump_restored_through_the_gateway_is_the_same_database(
    filled: Gateway, empty: str, programs: Installation, tmp_path: Path, jobs: int
) -> None:
    there, here = through(filled, OPERATOR), through(filled, OPERATOR, f"shop/{empty}")
    form = ["-Fd", "-j", "2"] if jobs > 1 else ["-Fc"]
    dumped = run(programs, "pg_dump", *form, "-f", str(tmp_path / "dump"), where=there)
    assert not dumped.err, dumped.err
    restored = run(
        programs,
        "pg_restore",
        *("--exit-on-error", "-j", str(jobs), "-d", f"dbname=shop/{empty}"),
        str(tmp_path / "dump"),
        where=here,
    )
    assert not restored.err, restored.err
    assert plain_dump(programs, straight(filled, empty)) == plain_dump(programs, straight(filled))


def test_a_plain_dump_reads_the_same_as_one_made_directly(
    filled: Gateway, programs: Installation
) -> None:
    ours = plain_dump(programs, through(filled, OPERATOR))
    assert ours == plain_dump(programs, straight(filled))
    assert "customer 3000" in ours


def plain_dump(programs: Installation, where: dict[str, str]) -> str:
    done = run(programs, "pg_dump", where=where)
    assert not done.err, done.err
    return comparable(done.out)
