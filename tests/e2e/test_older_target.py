"""PostgreSQL 16 as the target: its clients see it as it is, and the rules hold there too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import errors

from appliance.embedded import Installation, PostgresServer
from tests.e2e.programs import comparable, playing, run, straight, through
from tests.e2e.test_psql import HERE, SCHEMA, SCRIPTS, files, through_and_straight
from tests.harness.gateway import Gateway


@pytest.fixture(scope="module")
def gateway(
    postgres16: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with playing(postgres16, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize("script", [name for name in SCRIPTS if not name.endswith("-18")])
def test_a_script_prints_the_same_through_the_gateway_as_on_the_server(
    gateway: Gateway, programs16: Installation, tmp_path: Path, script: str
) -> None:
    text = (HERE / "psql" / f"{script}.sql").read_text()
    ours, theirs = through_and_straight(gateway, programs16, tmp_path, "-a", stdin=text)
    assert comparable(ours.out) == comparable(theirs.out)
    assert comparable(ours.err) == comparable(theirs.err)
    assert ours.code == theirs.code
    assert files(tmp_path / "through") == files(tmp_path / "straight")


def test_a_plain_dump_reads_the_same_as_one_made_directly(
    gateway: Gateway, programs16: Installation
) -> None:
    gateway.database.run(SCHEMA)
    ours, theirs = (
        run(programs16, "pg_dump", "-n", "play", where=where)
        for where in (through(gateway), straight(gateway))
    )
    assert not ours.err, ours.err
    assert comparable(ours.out) == comparable(theirs.out)


def test_a_rule_on_a_table_holds_through_views_search_path_and_own_changes(
    gateway: Gateway,
) -> None:
    gateway.rule("salaries", "block", tables=("public.salaries",))
    gateway.database.run(
        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.salaries (n int);"
        "INSERT INTO elsewhere.salaries VALUES (7); CREATE TABLE public.salaries (n int);"
        "CREATE VIEW public.well_paid AS SELECT * FROM public.salaries"
    )
    with gateway.connect() as connection:
        for text in ("SELECT * FROM salaries", "TABLE public.well_paid"):
            with pytest.raises(errors.InsufficientPrivilege, match='"salaries"'):
                connection.execute(text)
        connection.execute("SET search_path = elsewhere")
        assert connection.execute("SELECT n FROM salaries").fetchone() == (7,)
        connection.execute("BEGIN")
        connection.execute("CREATE TEMP VIEW mine AS SELECT n + 1 AS n FROM salaries")
        assert connection.execute("SELECT n FROM mine").fetchone() == (8,)
        connection.execute("SET LOCAL search_path = public")
        with pytest.raises(errors.InsufficientPrivilege, match='"salaries"'):
            connection.execute("SELECT n FROM salaries")
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT n FROM salaries").fetchone() == (7,)
