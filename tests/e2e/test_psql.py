"""psql through the gateway behaves as on the server itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.embedded import Installation, PostgresServer, installation
from tests.e2e.programs import Ran, comparable, playing, run, straight, through
from tests.harness.gateway import ANA, Gateway
from tests.harness.polling import eventually

HERE = Path(__file__).parent
SCHEMA = (HERE / "psql_schema.sql").read_text()
SCRIPTS = sorted(path.stem for path in (HERE / "psql").glob("*.sql"))
OPERATOR = "operator"


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with playing(postgres, tmp_path_factory.mktemp("gateway")) as running:
        running.add_identity(OPERATOR, "service")
        running.grant(f"identity:{OPERATOR}", running.database.owner.name, fastpath=True)
        running.settle()
        yield running


@pytest.fixture(params=[18, 16])
def psql(request: pytest.FixtureRequest) -> Installation:
    return installation(request.param)


def through_and_straight(
    gateway: Gateway,
    programs: Installation,
    tmp_path: Path,
    *arguments: str,
    stdin: str = "",
    user: str = ANA,
) -> tuple[Ran, Ran]:
    """Run psql both ways, each time on a fresh schema and in a directory of its own."""
    found = []
    for name, where in (("through", through(gateway, user)), ("straight", straight(gateway))):
        gateway.database.run(SCHEMA)
        directory = tmp_path / name
        directory.mkdir()
        found.append(
            run(programs, "psql", *arguments, where=where, stdin=stdin, directory=directory)
        )
    return found[0], found[1]


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_prints_the_same_through_the_gateway_as_on_the_server(
    gateway: Gateway, psql: Installation, tmp_path: Path, script: str
) -> None:
    if script.endswith("-18") and psql.major < 18:
        pytest.skip("this psql does not know these commands")
    text = (HERE / "psql" / f"{script}.sql").read_text()
    ours, theirs = through_and_straight(gateway, psql, tmp_path, "-a", stdin=text)
    assert comparable(ours.out) == comparable(theirs.out)
    assert comparable(ours.err) == comparable(theirs.err)
    assert ours.code == theirs.code
    assert files(tmp_path / "through") == files(tmp_path / "straight")
    assert len(theirs.out) > 100  # the script did something


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "select 1; select 2; create table x (n int); select count(*) from x"],
        ["-c", "select 1", "-c", "select 1/0", "-c", "select 3"],
        ["-c", "insert into customers (name) values ('gone'); select 1/0; select 2"],
        ["-c", "begin; insert into customers (name) values ('left open')"],
        ["-1", "-c", "create table kept (n int)", "-c", "select 'in one transaction'"],
        ["-1", "-c", "create table gone (n int)", "-c", "select 1/0"],
        ["-At", "-F", "|", "-c", "table customers"],
        ["-c", "\\d customers", "-c", "\\x", "-c", "table orders"],
        ["-v", "ON_ERROR_STOP=1", "-c", "select 1/0", "-c", "select 'never'"],
        ["-c", ""],
        ["-c", "copy customers to stdout; copy (select 1) to stdout"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_commands_on_the_command_line_do_the_same(
    gateway: Gateway, psql: Installation, tmp_path: Path, arguments: list[str]
) -> None:
    ours, theirs = through_and_straight(gateway, psql, tmp_path, *arguments)
    assert ours == theirs


@pytest.mark.parametrize("single", [[], ["-1"]], ids=["statement by statement", "in one piece"])
def test_a_script_file_stops_at_its_first_error_when_asked_to(
    gateway: Gateway, psql: Installation, tmp_path: Path, single: list[str]
) -> None:
    script = tmp_path / "script.sql"
    script.write_text(
        "create table first (n int);\ninsert into first values (1), (2);\n"
        "select * from first;\nselect 1/0;\nselect 'never reached';\n"
    )
    ours, theirs = through_and_straight(
        gateway, psql, tmp_path, *single, "-v", "ON_ERROR_STOP=1", "-f", str(script)
    )
    assert ours == theirs
    assert ours.code == 3
    assert "never reached" not in ours.out
    left = gateway.database.run("select to_regclass('play.first') is not null")
    assert left == [(not single,)]


def test_large_objects_go_in_and_out_where_the_grant_allows_the_fast_path(
    gateway: Gateway, psql: Installation, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 1000
    for name in ("through", "straight"):
        (tmp_path / f"{name}.in").write_bytes(content)
    for name, where in (("through", through(gateway, OPERATOR)), ("straight", straight(gateway))):
        script = (
            f"\\lo_import '{tmp_path}/{name}.in' 'a comment'\n"
            f"\\lo_export :LASTOID '{tmp_path}/{name}.out'\n"
            "\\lo_unlink :LASTOID\n"
        )
        done = run(psql, "psql", "-v", "ON_ERROR_STOP=1", where=where, stdin=script)
        assert done.code == 0, done.err
        assert (tmp_path / f"{name}.out").read_bytes() == content


def test_the_fast_path_is_refused_where_the_grant_does_not_allow_it(
    gateway: Gateway, psql: Installation, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    before = gateway.database.run("select count(*) from pg_largeobject_metadata")
    done = run(
        psql,
        "psql",
        "-v",
        "ON_ERROR_STOP=1",
        where=through(gateway),
        stdin=f"\\lo_import '{tmp_path}/file'\n",
    )
    assert done.code == 3
    assert "fast-path function calls are not allowed by the grant" in done.err
    assert gateway.database.run("select count(*) from pg_largeobject_metadata") == before


def test_a_wrong_target_is_answered_with_what_one_can_reach(
    gateway: Gateway, psql: Installation
) -> None:
    done = run(psql, "psql", "-c", "select 1", where=through(gateway, dbname="warehouse"))
    assert done.code == 2
    assert 'no target "warehouse" that you have a grant on' in done.err
    assert f"you can reach: shop ({gateway.database.owner.name})" in done.err


def test_connecting_to_another_database_by_its_bare_name_says_how_to_write_it(
    gateway: Gateway, psql: Installation
) -> None:
    script = "\\c other\nselect 'still here' as where;\n\\c shop\nselect 'again' as where;\n"
    done = run(psql, "psql", "-At", where=through(gateway), stdin=script)
    assert "did you mean shop/other?" in done.err
    assert "again" not in done.out  # a script ends where \c fails, as on the server itself
    done = run(psql, "psql", "-At", where=through(gateway), stdin="\\c shop\nselect 'again';\n")
    assert done.out.splitlines()[-1] == "again"


def test_changing_the_own_password_is_refused_and_the_session_goes_on(
    gateway: Gateway, psql: Installation
) -> None:
    owner = gateway.database.owner
    before = password_of(gateway, owner.name)
    done = run(
        psql,
        "psql",
        "-At",
        "-c",
        "\\password",
        "-c",
        f"alter role {owner.name} password 'round the gateway'",
        "-c",
        "alter user current_user password 'round the gateway'",
        "-c",
        "select 'alive'",
        where=through(gateway),
        stdin="new secret\nnew secret\n",
    )
    assert done.err.count("gatepost: blocked by built-in rule passwords") == 3
    assert "allow_builtin: [passwords]" in done.err
    assert done.out.splitlines()[-1] == "alive"
    assert password_of(gateway, owner.name) == before
    gateway.database.connect().close()  # the old one still opens the target


def test_a_client_that_vanishes_ends_its_session_and_the_target_notices_as_ever(
    gateway: Gateway,
) -> None:
    connection = gateway.connect()
    pid = connection.info.backend_pid
    connection.pgconn.send_query(b"select pg_sleep(1.5)")
    eventually(lambda: "pg_sleep(1.5)" in running(gateway, pid), what="the sleep")
    socket.socket(fileno=os.dup(connection.pgconn.socket)).shutdown(socket.SHUT_RDWR)
    ended = eventually(lambda: [s for s in gateway.sessions()[-1:] if s["ended_at"]])
    assert ended[0]["end_reason"] == "client left"
    eventually(lambda: not running(gateway, pid), what="the end of the target's session")
    connection.close()


def running(gateway: Gateway, pid: int) -> str:
    with gateway.database.server.connect() as admin:
        row = admin.execute("select query from pg_stat_activity where pid = %s", [pid]).fetchone()
        return str(row[0]) if row else ""


def password_of(gateway: Gateway, role: str) -> object:
    with gateway.database.server.connect() as admin:
        return admin.execute(
            "select rolpassword from pg_authid where rolname = %s", [role]
        ).fetchone()
