"""Attacks on what a name means: each would read a forbidden table under a permitted one's name.

``calm.secrets`` may be read, ``public.secrets`` may not; a session that can make the gateway judge
by one search_path while the server runs by another has won.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from appliance.embedded import PostgresServer
from tests.e2e import raw
from tests.e2e.raw import SYNC, RawClient, bind, execute, frame, parse, query
from tests.harness.gateway import CI, Gateway, running_gateway
from tests.harness.postgres import fresh_database

READ = "SELECT v FROM secrets"
SECRET, CALM = b"the secret", b"nothing much"


@pytest.fixture(scope="module")
def vault(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that keeps machines away from public.secrets, and from nothing else."""
    directory = tmp_path_factory.mktemp("gateway")
    with fresh_database(postgres) as database, running_gateway(database, directory) as running:
        database.run(
            "CREATE SCHEMA calm; CREATE TABLE calm.secrets (v text); CREATE TABLE secrets (v text);"
            " INSERT INTO calm.secrets VALUES ('nothing much');"
            " INSERT INTO secrets VALUES ('the secret')"
        )
        running.rule("no-secrets", "block", who=("kind:ci",), tables=("public.secrets",))
        yield running


@pytest.fixture
def thief(vault: Gateway) -> Iterator[RawClient]:
    """A session of the machine, at first looking into the harmless schema."""
    with RawClient(vault.port) as client:
        client.log_in(CI, vault.passwords[CI])
        client.ask("SET search_path = calm")
        assert raw.values(client.ask(READ)) == [CALM]
        yield client


def refused(client: RawClient, data: bytes, syncs: int = 1) -> None:
    """Send the last move; it must be refused, and no secret may have come."""
    client.send(data)
    came = [message for _ in range(syncs) for message in client.until()]
    assert SECRET not in raw.values(came)
    assert any(error["C"] == "42501" for error in raw.errors(came)), came


def test_the_rule_itself_holds(thief: RawClient) -> None:
    thief.ask("SET search_path = public")
    refused(thief, query(READ))


def test_rollback_to_brings_an_older_search_path_back(thief: RawClient) -> None:
    thief.ask("SET search_path = public")
    for text in ("BEGIN", "SAVEPOINT a", "SET search_path = calm", READ, "ROLLBACK TO a"):
        thief.ask(text)
    refused(thief, query(READ))


@pytest.mark.parametrize("end", ["ROLLBACK AND CHAIN", "ROLLBACK; BEGIN"])
def test_a_chained_transaction_brings_an_older_search_path_back(thief: RawClient, end: str) -> None:
    thief.ask("SET search_path = public")
    for text in ("BEGIN", "SET search_path = calm", READ, end):
        thief.ask(text)
    refused(thief, query(READ))


def test_set_local_ends_at_a_chained_commit(thief: RawClient) -> None:
    thief.ask("SET search_path = public")
    for text in ("BEGIN", "SET LOCAL search_path = calm", READ, "COMMIT AND CHAIN"):
        thief.ask(text)
    refused(thief, query(READ))


def test_a_failed_transaction_makes_no_name_certain(thief: RawClient) -> None:
    for text in ("BEGIN", "SET search_path = public", "SAVEPOINT a", "SELECT 1/0"):
        thief.ask(text)
    thief.ask(READ)  # judged where the session cannot be asked
    thief.ask("ROLLBACK TO a")
    refused(thief, query(READ))


def test_a_skipped_question_makes_no_name_certain(thief: RawClient) -> None:
    for text in ("BEGIN", "SET search_path = public", "SAVEPOINT a"):
        thief.ask(text)
    thief.send(parse("SELECT 1/0"), bind(), execute(), parse(READ), bind(), execute(), SYNC)
    assert SECRET not in raw.values(thief.until())
    thief.ask("ROLLBACK TO a")
    refused(thief, query(READ))


def test_a_question_that_times_out_makes_no_name_certain(thief: RawClient) -> None:
    for at in range(40):  # what makes the gateway's own question slow
        thief.ask("".join(f"CREATE TEMP TABLE t{at}_{n} (n int);" for n in range(50)))
    thief.ask("SET statement_timeout = '1ms'")
    for _ in range(5):
        thief.ask("SET search_path = public")
        thief.send(query(READ))
        came = thief.until()
        assert SECRET not in raw.values(came)
        thief.ask("SET search_path = calm")


def test_a_suspended_portal_has_run_its_functions(thief: RawClient) -> None:
    thief.ask("BEGIN")
    thief.send(
        parse("SELECT set_config('search_path', 'public', false), g FROM generate_series(1, 9) g"),
        bind("p"),
        execute("p", 1),
        SYNC,
    )
    assert "s" in raw.kinds(thief.until())
    refused(thief, query(READ))


def test_a_harmless_setting_hides_no_other_change(vault: Gateway, thief: RawClient) -> None:
    vault.database.run(
        "CREATE FUNCTION calm.moves() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN set_config('search_path', 'public', false); END $$"
    )
    thief.ask("SELECT set_config('application_name', 'x', false), calm.moves()")
    refused(thief, query(READ))


@pytest.mark.parametrize("by_sql", [True, False], ids=["PREPARE", "Parse"])
def test_execute_means_what_it_means_now(thief: RawClient, by_sql: bool) -> None:
    if by_sql:
        thief.ask(f"PREPARE s AS {READ}")
    else:
        thief.send(parse(READ, "s"), SYNC)
        thief.until()
    thief.ask("SET search_path = public")
    refused(thief, query("EXECUTE s"))


def test_execute_within_explain_means_what_it_means_now(thief: RawClient) -> None:
    thief.ask(f"PREPARE s AS {READ}")
    thief.ask("SET search_path = public")
    refused(thief, query("EXPLAIN ANALYZE EXECUTE s"))


def test_a_statement_that_executes_itself_is_refused_not_followed(thief: RawClient) -> None:
    thief.send(parse("EXECUTE s", "s"), SYNC)
    thief.until()
    thief.ask("EXECUTE s")
    assert raw.values(thief.ask("SELECT 'alive'")) == [b"alive"]


def test_a_name_prepared_twice_keeps_its_first_meaning(thief: RawClient) -> None:
    thief.send(parse(READ, "s"), SYNC)
    thief.until()
    thief.ask("SET search_path = public")
    moves = parse("SELECT 1", "s") + SYNC + bind("", "s") + execute() + SYNC
    refused(thief, moves, syncs=2)


def test_a_failing_prepare_takes_no_name_over(thief: RawClient) -> None:
    thief.send(parse(READ, "s"), SYNC)
    thief.until()
    thief.ask("SET search_path = public")
    assert raw.errors(thief.ask("PREPARE s AS SELECT 1"))[0]["C"] == "42P05"
    refused(thief, bind("", "s") + execute() + SYNC)
    refused(thief, query("EXECUTE s"))


def test_a_prepare_that_is_never_reached_takes_no_name_over(thief: RawClient) -> None:
    thief.ask(f"PREPARE s AS {READ}")
    thief.ask("SET search_path = public")
    thief.ask("DEALLOCATE none_such; DEALLOCATE s; PREPARE s AS SELECT 1")
    refused(thief, query("EXECUTE s"))


def test_a_skipped_close_frees_no_name(thief: RawClient) -> None:
    thief.send(parse(READ, "s"), SYNC)
    thief.until()
    thief.ask("SET search_path = public")
    moves = parse("SELECT 1/0", "x") + bind("", "x") + execute() + frame("C", b"Ss\0") + SYNC
    moves += parse("SELECT 1", "s") + SYNC + bind("", "s") + execute() + SYNC
    refused(thief, moves, syncs=3)


def test_a_name_in_two_encodings_is_not_one_statement(thief: RawClient) -> None:
    thief.ask("SET client_encoding = 'LATIN1'")
    thief.send(frame("P", b"\xe9\0" + READ.encode() + b"\0\0\0"), SYNC)
    thief.until()
    thief.send(frame("P", b"\xc3\xa9\0SELECT 1\0\0\0"), SYNC)
    thief.until()
    thief.ask("SET client_encoding = 'UTF8'; SET search_path = public")
    refused(thief, frame("B", b"\0\xc3\xa9\0\0\0\0\0\0\0") + execute() + SYNC)


def test_a_new_operator_is_seen_by_texts_decided_before(vault: Gateway, thief: RawClient) -> None:
    text = "SELECT 1 @#@ 2"
    thief.ask(text)
    vault.database.run(
        "CREATE FUNCTION calm.reads(int, int) RETURNS text LANGUAGE sql AS"
        " 'SELECT v FROM public.secrets'"
    )
    vault.database.run(
        "CREATE OPERATOR calm.@#@ (FUNCTION = calm.reads, LEFTARG = int, RIGHTARG = int)"
    )
    thief.ask("CREATE TABLE calm.makes_the_catalog_old ()")
    refused(thief, query(text))


def test_an_aggregate_over_set_config_is_refused(thief: RawClient) -> None:
    refused(
        thief,
        query(
            "CREATE AGGREGATE calm.moving(text, boolean)"
            " (SFUNC = set_config, STYPE = text, INITCOND = 'search_path')"
        ),
    )


def test_an_aggregate_made_elsewhere_may_change_names(vault: Gateway, thief: RawClient) -> None:
    vault.database.run(
        "CREATE AGGREGATE calm.moved(text, boolean)"
        " (SFUNC = set_config, STYPE = text, INITCOND = 'search_path')"
    )
    thief.ask("CREATE TABLE calm.makes_it_older ()")
    thief.ask("SELECT calm.moved('public', false)")
    refused(thief, query(READ))


def test_a_cascading_delete_reaches_the_table(vault: Gateway, thief: RawClient) -> None:
    vault.database.run(
        "CREATE TABLE calm.parents (id int PRIMARY KEY);"
        "ALTER TABLE secrets ADD parent int REFERENCES calm.parents ON DELETE CASCADE"
    )
    thief.ask("CREATE TABLE calm.makes_it_oldest ()")
    refused(thief, query("DELETE FROM calm.parents WHERE id = 1"))


@pytest.mark.parametrize(
    "text",
    [
        "CREATE FUNCTION calm.opaque() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN (SELECT v FROM public.secrets); END $$",
        "CREATE FUNCTION pg_temp.opaque() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN (SELECT v FROM public.secrets); END $$",
        "CREATE PROCEDURE calm.opaque() LANGUAGE 'plpgsql' AS"
        " $$ BEGIN DELETE FROM public.secrets; END $$",
        "CREATE FUNCTION calm.clear() RETURNS text LANGUAGE sql AS"
        " $$ SELECT v FROM public.secrets $$",
    ],
)
def test_a_body_that_may_read_the_table_is_refused(thief: RawClient, text: str) -> None:
    refused(thief, query(text))


def call(oid: int, *values: bytes) -> bytes:
    arguments = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return frame("F", struct.pack("!Ihh", oid, 0, len(values)) + arguments + struct.pack("!h", 0))


def test_a_grant_of_the_fast_path_is_no_way_round_the_rules(vault: Gateway) -> None:
    vault.add_identity("fast", "ci")
    vault.grant("identity:fast", vault.database.owner.name, fastpath=True)
    vault.settle()
    set_config, lo_creat, lo_import = 2078, 957, 764
    with RawClient(vault.port) as client:
        client.log_in("fast", vault.passwords["fast"])
        client.ask("SET search_path = calm")
        assert raw.values(client.ask(READ)) == [CALM]
        client.send(call(lo_creat, b"-1"))
        assert "V" in raw.kinds(client.until())
        refused(client, call(lo_import, b"/etc/passwd"))
        refused(client, call(set_config, b"search_path", b"public", b"f"))
        assert raw.values(client.ask(READ)) == [CALM]
