"""Transcripts of the extended protocol: pipelines, errors, refusals, barriers, COPY."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.entities import PolicyRule
from appliance.errors import ProtocolError
from proxy.refusal import Refusal
from proxy.wire import backend, codes, frontend
from proxy.wire.backend import BIND_COMPLETE, NO_DATA, PARSE_COMPLETE
from tests.proxy.playbook import (
    FAILED,
    IDLE,
    OPEN,
    Play,
    bind,
    done,
    error,
    execute,
    parse,
    poisoned,
    query,
)

SYNC, FLUSH = frontend.Sync(), frontend.Flush()
NO_DDL = PolicyRule(name="no-ddl", action="block", commands=("ddl",))
CREATE = "create temp table t (a int)"
NO_TEMP = PolicyRule(name="no-temp", action="block", commands=("temp_ddl",))


def test_a_pipeline_passes_as_it_came_and_each_answer_finds_its_statement(tmp_path: Path) -> None:
    play = Play(tmp_path)
    sent = [parse("select $1"), bind(b"7"), frontend.Describe(codes.PORTAL, b""), execute(), SYNC]
    play.client(*sent)
    assert play.records() == [("select $1", "sent")]
    assert play.bodies()[0]["parameters"] == ["7"]
    assert play.upstream() == sent
    answers = [PARSE_COMPLETE, BIND_COMPLETE, NO_DATA, done("SELECT 1"), IDLE]
    play.target(*answers)
    assert play.received() == answers
    assert play.records() == [("select $1", "done")]


def test_a_parse_that_the_target_refuses_is_recorded_as_failed(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("selec", b"s1"), bind(statement=b"s1"), execute(), SYNC)
    play.target(error("42601"), IDLE)
    assert [m.kind for m in play.received()] == list(b"EZ")
    assert ("selec", "failed") in play.records()
    assert b"s1" not in play.session.statements


def test_what_an_error_skips_is_withdrawn_and_the_next_batch_runs(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1/0"), bind(), execute(), parse("select 2"), bind(), execute(), SYNC)
    play.client(parse("select 3"), bind(), execute(), SYNC)
    play.target(PARSE_COMPLETE, BIND_COMPLETE, error("22012"), IDLE)
    play.target(PARSE_COMPLETE, BIND_COMPLETE, done("SELECT 1"), IDLE)
    assert play.records() == [
        ("select 1/0", "failed"),
        ("select 2", "withdrawn"),
        ("select 3", "done"),
    ]


def test_after_an_error_nothing_goes_out_before_the_clients_sync(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1/0"), bind(), execute(), FLUSH)
    play.target(PARSE_COMPLETE, BIND_COMPLETE, error("22012"))
    play.upstream()
    play.client(parse("select 2"), bind(), execute())
    assert play.upstream() == []
    play.client(SYNC)
    assert play.upstream() == [SYNC]
    play.target(IDLE)
    assert [text for text, _ in play.records()] == ["select 1/0"]


def test_a_refused_parse_fails_on_the_target_and_skips_to_sync(tmp_path: Path) -> None:
    play = Play(tmp_path, NO_TEMP)
    play.client(parse(CREATE, b"s1"), bind(statement=b"s1"), execute(), SYNC)
    first, last = play.upstream()
    assert first.statement == b"s1" and b"create" not in first.query
    assert last == SYNC
    play.target(poisoned(play), OPEN)
    refused, ready = play.received()
    assert (refused.sqlstate, ready) == ("42501", OPEN)
    assert play.records() == [(CREATE, "refused")], "what the target skips is no second entry"
    assert b"s1" not in play.session.statements


def test_a_genuine_error_before_the_refused_message_is_the_one_that_the_client_sees(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, NO_TEMP)
    play.client(parse("select 1/0"), bind(), execute(), parse(CREATE), SYNC)
    play.target(PARSE_COMPLETE, BIND_COMPLETE, error("22012"), IDLE)
    assert [getattr(m, "sqlstate", "") for m in play.received()] == ["", "", "22012", ""]
    play.client(query("select 2")).target(error("42601", "syntax error"), IDLE)
    assert play.received()[0].sqlstate == "42601"


def test_a_failing_named_parse_keeps_the_old_statement(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1", b"s"), SYNC).target(PARSE_COMPLETE, IDLE)
    old = play.session.statements[b"s"]
    play.client(parse("select 2", b"s"), SYNC).target(error("42P05"), IDLE)
    assert play.session.statements[b"s"] is old


def test_a_failing_unnamed_parse_has_destroyed_the_old_statement(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1"), SYNC).target(PARSE_COMPLETE, IDLE)
    play.client(parse("selec"), SYNC).target(error("42601"), IDLE)
    assert b"" not in play.session.statements


def test_a_skipped_close_leaves_the_statement(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1", b"s"), SYNC).target(PARSE_COMPLETE, IDLE)
    play.client(parse("selec"), frontend.Close(codes.STATEMENT, b"s"), SYNC)
    play.target(error("42601"), IDLE)
    assert b"s" in play.session.statements


def test_a_statement_that_was_parsed_before_the_gate_closed_is_refused_at_bind(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1", b"s"), SYNC).target(PARSE_COMPLETE, IDLE)
    play.upstream()
    play.gate.closed = Refusal("57P03", "gatepost: closed")
    play.client(bind(statement=b"s"), execute(), SYNC)
    sent = play.upstream()
    assert sent[0].statement != b"s"
    head = play.session.queue.head
    assert head is not None and head.refusal is not None
    play.target(error("26000", f'prepared statement "{head.refusal.nonce}" does not exist'), IDLE)
    assert play.received()[-2].sqlstate == "57P03"
    assert ("select 1", "refused") in play.records()


def test_what_may_change_the_meaning_of_names_is_waited_for(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("set search_path = a"), bind(), execute(), parse("select lower('A')"), SYNC)
    assert [m.kind for m in play.upstream()] == list(b"PBEH")
    play.target(PARSE_COMPLETE, BIND_COMPLETE, done("SET"))
    assert [m.kind for m in play.upstream()] == list(b"PS")
    assert [m.kind for m in play.received()] == list(b"12C")


def test_in_an_unsynced_batch_the_gateways_own_exchange_ends_in_a_flush(tmp_path: Path) -> None:
    rule = PolicyRule(name="secrets", action="block", tables=("public.secrets",))
    play = Play(tmp_path, rule)
    play.client(parse("set search_path = a"), bind(), execute(), parse("select lower('A')"), SYNC)
    play.upstream()
    play.target(PARSE_COMPLETE, BIND_COMPLETE, done("SET"))
    play.received()
    play.answer_exchange(synced=False)
    assert play.received() == []
    assert [m.kind for m in play.upstream()] == list(b"PS")


def test_begin_does_not_hold_up_a_pipeline(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("begin"), bind(), execute(), parse("select 1"), bind(), execute(), SYNC)
    assert [m.kind for m in play.upstream()] == list(b"PBEPBES")


def test_partial_executes_add_up(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1"), bind(portal=b"p"), execute(b"p", 2), FLUSH)
    row = backend.DataRow((b"1",))
    play.target(PARSE_COMPLETE, BIND_COMPLETE, row, row, backend.PORTAL_SUSPENDED)
    play.client(execute(b"p", 2), SYNC)
    play.target(row, done("SELECT 1"), IDLE)
    assert play.bodies()[-1]["rows"] == 3
    assert play.records() == [("select 1", "done")]


def test_an_execute_of_a_cursor_that_sql_declared_is_recorded_as_a_fetch(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(execute(b"c1"), SYNC)
    play.target(backend.DataRow((b"1",)), done("FETCH 1"), IDLE)
    assert play.records() == [('FETCH ALL FROM "c1"', "done")]


def test_a_bind_to_a_statement_that_nobody_prepared_is_unknown(tmp_path: Path) -> None:
    strict = PolicyRule(name="only-selects", action="block", commands=("unknown",))
    play = Play(tmp_path, strict)
    play.client(bind(statement=b"dynamic"), execute(), SYNC)
    assert play.upstream()[0].statement != b"dynamic"


def test_a_statement_made_by_sql_prepare_can_be_bound(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("prepare q as select 1")).target(done("PREPARE"), IDLE)
    play.client(bind(statement=b"q"), execute(), SYNC)
    play.target(BIND_COMPLETE, done("SELECT 1"), IDLE)
    assert play.records()[-1] == ('EXECUTE "q"', "done")


def test_a_prepare_that_failed_does_not_change_what_execute_means(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("prepare q as select 1")).target(done("PREPARE"), IDLE)
    first = play.session.statements[b"q"]
    play.client(query("prepare q as select 2")).target(error("42P05"), IDLE)
    assert play.session.statements[b"q"] is first
    play.client(query("deallocate q; prepare q as select 3; select 1/0"))
    play.target(done("DEALLOCATE"), done("PREPARE"), error("22012"), IDLE)
    assert b"q" not in play.session.statements


def test_syncs_in_copy_in_mode_are_not_answered(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("copy pg_class from stdin"), bind(), execute(), SYNC)
    while play.session.commands:
        play.session.commands.clear()
        play.session.resume()
    play.target(PARSE_COMPLETE, BIND_COMPLETE)
    play.target(backend.CopyResponse(codes.COPY_IN_RESPONSE, 0, (0,)))
    play.client(frontend.CopyData(b"1\n"), frontend.CopyDone(), SYNC)
    play.target(done("COPY 1"), IDLE)
    assert not play.session.queue
    assert play.received()[-1] == IDLE
    play.client(query("select 1")).target(done("SELECT 1"), IDLE)
    assert not play.session.queue


def test_a_large_bind_streams_and_is_recorded_in_part(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select $1", b"s"), SYNC).target(PARSE_COMPLETE, IDLE)
    play.upstream()
    whole = bind(b"x" * 1_000_000, statement=b"s").encode()
    play.client(whole[:100_000])
    assert len(play.session.tail) == 0
    passed = len(b"".join(play.session.to_upstream))
    assert passed == 100_000
    play.client(whole[100_000:], execute(), SYNC)
    assert play.upstream()[0].parameters == (b"x" * 1_000_000,)
    play.target(BIND_COMPLETE, done("SELECT 1"), IDLE)
    recorded = play.bodies()[0]["parameters"][0]
    assert len(recorded) < 65_000 and recorded.endswith("(cut: 1000000 bytes)")


def test_the_rest_of_a_large_refused_bind_is_dropped(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select $1", b"s"), SYNC).target(PARSE_COMPLETE, IDLE)
    play.upstream()
    play.gate.closed = Refusal("57P03", "gatepost: closed")
    whole = bind(b"x" * 1_000_000, statement=b"s").encode()
    for start in range(0, len(whole), 100_000):
        play.client(whole[start : start + 100_000])
    play.client(SYNC)
    assert [m.kind for m in play.upstream()] == list(b"BS")


@pytest.mark.parametrize(
    "message",
    [
        b"P\0\0\0\5x",
        b"B\0\0\0\4",
        b"E\0\0\0\5\0",
        b"C\0\0\0\4",
        b"P" + struct.pack("!i", 4 + 4) + b"\0\0\0\1",
    ],
)
def test_malformed_messages_end_the_session(tmp_path: Path, message: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        Play(tmp_path).client(message)
    assert raised.value.peer == "client"


_CLIENT = b"".join(
    m.encode()
    for m in (
        parse("select $1", b"s"),
        bind(b"7", statement=b"s"),
        execute(),
        SYNC,
        query("select 1; select 2"),
        parse(CREATE),
        bind(),
        execute(),
        SYNC,
    )
)
_TARGET = b"".join(
    m if isinstance(m, bytes) else m.encode()
    for m in (
        PARSE_COMPLETE,
        BIND_COMPLETE,
        backend.DataRow((b"7",)),
        done("SELECT 1"),
        IDLE,
        done("SELECT 1"),
        error("22012"),
        FAILED,
    )
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, len(_CLIENT) - 1), max_size=8), step=st.integers(1, 9))
def test_however_the_bytes_are_cut_the_session_does_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], step: int
) -> None:
    whole = Play(tmp_path_factory.mktemp("whole"))
    whole.client(_CLIENT)
    whole.target(_TARGET)
    parts = Play(tmp_path_factory.mktemp("parts"))
    edges = [0, *sorted(set(cuts)), len(_CLIENT)]
    for start, end in itertools.pairwise(edges):
        parts.client(_CLIENT[start:end])
    for start in range(0, len(_TARGET), step):
        parts.target(_TARGET[start : start + step])
    assert parts.upstream() == whole.upstream()
    assert parts.received() == whole.received()
    assert parts.records() == whole.records()
    assert bool(parts.session.queue) == bool(whole.session.queue)
