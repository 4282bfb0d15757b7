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
def copies(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, str]]:
    """A gateway to a filled database, and the name of an empty one beside it."""
    other = f"other_{secrets.token_hex(4)}"
    with fresh_database(postgres) as database:
        owner = database.owner.name
        with postgres.connect() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(other), sql.Identifier(owner)
                )
            )
        database.run(SCHEMA + MORE)
        try:
            with running_gateway(database, tmp_path_factory.mktemp("gateway")) as running:
                running.add_identity(OPERATOR, "service")
                running.grant(f"identity:{OPERATOR}", owner, databases=("*",))
                running.settle()
                yield running, other
        finally:
            with postgres.connect() as admin:
                admin.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(other))
                )


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dump_restored_through_the_gateway_is_the_same_database(
    copies: tuple[Gateway, str], programs: Installation, tmp_path: Path, jobs: int
) -> None:
    gateway, other = copies
    there, here = through(gateway, OPERATOR), through(gateway, OPERATOR, f"shop/{other}")
    form = ["-Fd", "-j", "2"] if jobs > 1 else ["-Fc"]
    dumped = run(programs, "pg_dump", *form, "-f", str(tmp_path / "dump"), where=there)
    assert (dumped.code, dumped.err) == (0, "")
    restored = run(
        programs,
        "pg_restore",
        *("--exit-on-error", "--clean", "--if-exists", "-j", str(jobs)),
        *("-d", f"dbname=shop/{other}", str(tmp_path / "dump")),
        where=here,
    )
    assert (restored.code, restored.err) == (0, "")
    assert plain_dump(programs, straight(gateway, other)) == plain_dump(programs, straight(gateway))


def test_a_plain_dump_reads_the_same_as_one_made_directly(
    copies: tuple[Gateway, str], programs: Installation
) -> None:
    gateway, _ = copies
    ours = plain_dump(programs, through(gateway, OPERATOR))
    assert ours == plain_dump(programs, straight(gateway))
    assert "customer 3000" in ours


def plain_dump(programs: Installation, where: dict[str, str]) -> str:
    done = run(programs, "pg_dump", where=where)
    assert (done.code, done.err) == (0, "")
    return comparable(done.out)
