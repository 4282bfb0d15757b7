"""A refused statement fails as any other would: the server never sees it, the session lives on."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from appliance.embedded import PostgresServer
from tests.e2e import raw
from tests.e2e.raw import RawClient
from tests.harness.gateway import ANA, CI, Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import fresh_database

Connection = psycopg.Connection[Any]
RULE = "no-ddl-from-machines"
WHY = "schema changes go through the migration pipeline"
MESSAGE = f'gatepost: blocked by rule "{RULE}": {WHY}'
HINT = f'Ask an admin of Gatepost about rule "{RULE}".'


@pytest.fixture(scope="module")
def guarded(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that lets machines change no schema."""
    directory = tmp_path_factory.mktemp("gateway")
    with fresh_database(postgres) as database, running_gateway(database, directory) as running:
        database.run("CREATE TABLE t (n int)")
        running.rule(
            RULE, "block", who=("kind:ci", "kind:bot"), commands=("ddl", "dcl"), message=WHY
        )
        running.rule("no-loading", "block", who=("kind:ci",), commands=("copy_in",))
        yield running


@dataclass
class Forbidden:
    """One table that must not come into being, and all that shows that it did not."""

    gateway: Gateway
    name: str
    log_start: int

    @property
    def log(self) -> str:
        return self.gateway.database.log(self.log_start)

    @property
    def text(self) -> str:
        return f"CREATE TABLE {self.name} (n int)"

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            yield
        diag = caught.value.diag
        assert diag.message_primary == MESSAGE
        assert diag.message_hint == HINT
        assert diag.severity == "ERROR"
        assert diag.statement_position is None
        assert (diag.source_file, diag.context, diag.internal_query) == (None, None, None)

    def check(self, connection: Connection, *, times: int = 1) -> None:
        """Check the record, the server, its log, and that the session lives."""
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.rollback()
        ending = secrets.token_hex(8)
        connection.execute(f"SELECT 'after {ending}'")
        database = self.gateway.database
        eventually(lambda: ending in self.log, what="the log of what came after")
        assert self.name not in self.log
        assert database.run(f"SELECT to_regclass('{self.name}')") == [(None,)]
        rows = self.gateway.statements(self.name)
        assert len(rows) >= times
        assert {(row["state"], row["verdict"], row["rule"]) for row in rows} <= {
            ("refused", "block", RULE)
        }
        assert {row["outcome_position"] for row in rows} <= {None}


@pytest.fixture
def forbidden(guarded: Gateway) -> Forbidden:
    log_start = guarded.database.server.log_size()
    return Forbidden(guarded, f"made_{secrets.token_hex(6)}", log_start)


@pytest.fixture
def machine(guarded: Gateway) -> Iterator[Connection]:
    with guarded.connect(CI) as connection:
        connection.execute("TRUNCATE t")
        yield connection


def test_a_simple_query_is_refused_and_the_session_lives_on(
    machine: Connection, forbidden: Forbidden
) -> None:
    with forbidden.refused():
        machine.execute(forbidden.text)
    forbidden.check(machine)


@pytest.mark.parametrize("how", [{"binary": True}, {"prepare": True}], ids=["once", "prepared"])
def test_the_extended_protocol_is_refused_at_parse(
    machine: Connection, forbidden: Forbidden, how: dict[str, Any]
) -> None:
    for _ in range(2):
        with forbidden.refused():
            machine.execute(forbidden.text, **how)
    forbidden.check(machine, times=2)


def test_a_refusal_in_a_pipeline_skips_to_the_sync_and_undoes_what_came_before(
    machine: Connection, forbidden: Forbidden
) -> None:
    with forbidden.refused(), machine.pipeline():
        machine.execute("INSERT INTO t VALUES (1)")
        machine.execute(forbidden.text)
        machine.execute("INSERT INTO t VALUES (2)")
    with machine.pipeline() as pipeline:
        machine.execute("INSERT INTO t VALUES (3)")
        pipeline.sync()
        with forbidden.refused():
            machine.execute(forbidden.text).fetchone()
        pipeline.sync()
        machine.execute("INSERT INTO t VALUES (4)")
    assert machine.execute("SELECT n FROM t ORDER BY n").fetchall() == [(3,), (4,)]
    forbidden.check(machine, times=2)


def test_a_transaction_fails_by_it_and_goes_on_from_its_savepoint(
    machine: Connection, forbidden: Forbidden
) -> None:
    machine.execute("BEGIN")
    machine.execute("INSERT INTO t VALUES (1)")
    machine.execute("SAVEPOINT before")
    machine.execute("INSERT INTO t VALUES (2)")
    with forbidden.refused():
        machine.execute(forbidden.text)
    assert machine.info.transaction_status == TransactionStatus.INERROR
    with pytest.raises(errors.InFailedSqlTransaction):
        machine.execute("SELECT 1")
    machine.execute("ROLLBACK TO SAVEPOINT before")
    machine.execute("INSERT INTO t VALUES (3)")
    machine.execute("COMMIT")
    assert machine.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (3,)]
    forbidden.check(machine)


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_in_a_failed_transaction_the_refusal_wins(
    machine: Connection, forbidden: Forbidden, extended: bool
) -> None:
    machine.execute("BEGIN")
    with pytest.raises(errors.DivisionByZero):
        machine.execute("SELECT 1 / 0")
    with forbidden.refused():
        machine.execute(forbidden.text, binary=extended)
    assert machine.info.transaction_status == TransactionStatus.INERROR
    machine.execute("ROLLBACK")
    forbidden.check(machine)


@pytest.mark.parametrize(
    "script",
    [
        "INSERT INTO t VALUES (1); {}",
        "{}; INSERT INTO t VALUES (1)",
        "BEGIN; INSERT INTO t VALUES (1); COMMIT; {}; INSERT INTO t VALUES (2)",
        "/* ; */ INSERT INTO t VALUES (1);;; {} ;",
    ],
)
def test_of_a_script_with_something_refused_nothing_runs(
    machine: Connection, forbidden: Forbidden, script: str
) -> None:
    with forbidden.refused():
        machine.execute(script.format(forbidden.text))
    assert machine.execute("SELECT count(*) FROM t").fetchone() == (0,)
    forbidden.check(machine)


@pytest.mark.parametrize(
    "text",
    [
        "DO $$ BEGIN CREATE TABLE {} (n int); END $$",
        "DO $$ BEGIN EXECUTE 'CREATE TABLE {} (n int)'; END $$",
        "EXPLAIN ANALYZE CREATE TABLE {} AS SELECT 1",
        "CREATE TABLE {} AS SELECT 1",
        "SELECT 1 AS n INTO {}",
        'CREATE TABLE "{}" ()',
        "create/**/table {}()",
        "CREATE VIEW {} AS SELECT 1",
        "CREATE SCHEMA s CREATE TABLE {} ()",
        "ALTER TABLE t RENAME TO {}",
        "COMMENT ON TABLE t IS '{}'",
        "GRANT SELECT ON t TO public; SELECT '{}'",
        "CREATE ROLE {}",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public; SELECT '{}'",
    ],
)
def test_every_spelling_of_a_schema_change_is_refused(
    machine: Connection, forbidden: Forbidden, text: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="gatepost: blocked by"):
        machine.execute(text.format(forbidden.name))
    assert machine.execute("SELECT 1").fetchone() == (1,)
    assert forbidden.name not in forbidden.log
    assert forbidden.gateway.database.run(f"SELECT to_regclass('{forbidden.name}')") == [(None,)]
    assert {row["state"] for row in forbidden.gateway.statements(forbidden.name)} == {"refused"}


def test_people_are_not_meant_by_a_rule_for_machines(guarded: Gateway) -> None:
    with guarded.connect(ANA) as connection:
        connection.execute("CREATE TABLE by_ana (n int)")
        connection.execute("DROP TABLE by_ana")
    (made,) = guarded.statements("CREATE TABLE by_ana")
    assert (made["state"], made["tag"], made["verdict"]) == ("done", "CREATE TABLE", "allow")


def test_temporary_tables_are_no_schema_change(machine: Connection) -> None:
    """Also when one hides a permanent table: the same words mean another thing afterwards."""
    machine.execute("CREATE TEMP TABLE mine (n int)")
    machine.execute("INSERT INTO mine VALUES (1)")
    machine.execute("DROP TABLE mine")
    machine.execute("CREATE TEMP TABLE t (n text)")
    machine.execute("INSERT INTO t VALUES ('temporary')")
    machine.execute("DROP TABLE t")
    with pytest.raises(errors.InsufficientPrivilege, match=WHY):
        machine.execute("DROP TABLE t")
    with pytest.raises(errors.InsufficientPrivilege), machine.pipeline():
        machine.execute("CREATE TEMP TABLE t (n text)")
        machine.execute("DROP TABLE t")
        machine.execute("DROP TABLE t")


def test_an_earlier_genuine_error_comes_alone(guarded: Gateway, forbidden: Forbidden) -> None:
    with RawClient(guarded.port) as client:
        client.log_in(CI, guarded.passwords[CI])
        client.send(
            *(raw.parse("SELECT 1 / 0"), raw.bind(), raw.execute()),
            *(raw.parse(forbidden.text), raw.bind(), raw.execute(), raw.SYNC),
            *(raw.parse("SELECT 'next'"), raw.bind(), raw.execute(), raw.SYNC),
        )
        first, second = client.until(), client.until()
        assert [error["C"] for error in raw.errors(first)] == ["22012"]
        assert raw.kinds(first)[-2:] == "EZ"
        assert raw.kinds(second) == "12DCZ"
        assert raw.values(second) == [b"next"]
    with guarded.connect(CI) as connection:  # skipped, maybe before anybody looked at it
        forbidden.check(connection, times=0)


def test_a_refused_parse_answers_as_a_genuine_one_would(
    guarded: Gateway, forbidden: Forbidden
) -> None:
    with RawClient(guarded.port) as client:
        client.log_in(CI, guarded.passwords[CI])
        client.send(raw.parse("SELECT 'kept'", "kept"), raw.SYNC)
        assert raw.kinds(client.until()) == "1Z"
        client.send(raw.parse(forbidden.text, "refused"), raw.describe("S", "refused"), raw.FLUSH)
        assert client.until("E")[-1].fields["C"] == "42501"
        client.send(raw.bind("", "refused"), raw.execute(), raw.SYNC)
        assert raw.kinds(client.until()) == "Z"
        client.send(raw.bind("", "refused"), raw.execute(), raw.SYNC)
        assert [error["C"] for error in raw.errors(client.until())] == ["26000"]
        client.send(raw.bind("", "kept"), raw.execute(), raw.SYNC)
        assert raw.values(client.until()) == [b"kept"]
    with guarded.connect(CI) as connection:
        forbidden.check(connection)


@pytest.mark.parametrize("blind", [False, True], ids=["waits", "sends its rows at once"])
def test_a_refused_copy_ignores_the_rows_that_come_anyway(guarded: Gateway, blind: bool) -> None:
    rows = [raw.frame("d", b"1\n2\n"), raw.frame("c")] if blind else []
    with RawClient(guarded.port) as client:
        client.log_in(CI, guarded.passwords[CI])
        client.send(raw.query("COPY t FROM STDIN"), *rows, raw.query("SELECT 'next'"))
        first, second = client.until(), client.until()
        assert [error["C"] for error in raw.errors(first)] == ["42501"]
        assert "no-loading" in raw.errors(first)[0]["M"]
        assert raw.values(second) == [b"next"]
    assert guarded.database.run("SELECT count(*) FROM t WHERE n IN (1, 2)") == [(0,)]


def test_many_refusals_in_a_row_each_find_their_statement(guarded: Gateway) -> None:
    with RawClient(guarded.port) as client:
        client.log_in(CI, guarded.passwords[CI])
        for i in range(60):
            client.send(raw.query(f"SELECT {i}" if i % 3 else f"ALTER TABLE t ADD c{i} int"))
        for i in range(60):
            answer = client.until()
            if i % 3:
                assert raw.values(answer) == [str(i).encode()]
            else:
                assert [error["M"] for error in raw.errors(answer)] == [MESSAGE]
