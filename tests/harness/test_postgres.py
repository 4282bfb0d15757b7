"""The embedded servers are real, closed to strangers, and come back after a crash."""

from __future__ import annotations

import subprocess

import psycopg
import pytest

from appliance.embedded import Installation, PostgresServer, installation
from tests.harness.polling import eventually
from tests.harness.postgres import Database, running_server


@pytest.mark.parametrize("major", [18, 16])
def test_a_server_answers_in_the_version_asked_for(
    request: pytest.FixtureRequest, major: int
) -> None:
    server: PostgresServer = request.getfixturevalue("postgres" if major == 18 else "postgres16")
    with server.connect() as connection:
        assert connection.info.server_version // 10_000 == major


def test_a_wrong_password_is_refused(database: Database) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.server.dsn(database.name, database.ro.name, "wrong"))


def test_the_reading_role_reads_and_does_not_write(database: Database) -> None:
    database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
    assert database.run("SELECT n FROM t", database.ro) == [(7,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.run("INSERT INTO t VALUES (8)", database.ro)
    database.run("INSERT INTO t VALUES (8)", database.rw)
    assert database.run("SELECT count(*) FROM t") == [(2,)]


def test_psql_of_the_package_runs_and_the_log_shows_what_ran(
    database: Database, programs: Installation
) -> None:
    done = subprocess.run(
        [programs.program("psql"), "-X", "-At", "-c", "select 'from psql'"],
        env={
            "PGHOST": database.server.host,
            "PGPORT": str(database.server.port),
            "PGDATABASE": database.name,
            "PGUSER": database.ro.name,
            "PGPASSWORD": database.ro.password,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "from psql\n"
    eventually(lambda: "select 'from psql'" in database.log())


def test_a_killed_server_comes_back_on_its_port_with_its_data() -> None:
    with running_server() as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE kept ()")
        port = server.port
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            server.connect()
        server.start()
        assert server.port == port
        with server.connect() as connection:
            connection.execute("SELECT FROM kept")


def test_both_versions_bring_their_programs() -> None:
    for major in (18, 16):
        done = subprocess.run(
            [installation(major).program("pg_dump"), "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f" {major}." in done.stdout
