"""Transcripts of the simple protocol: Query, refusals, COPY, fast path, the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.entities import PolicyRule
from appliance.errors import JournalUnavailable, ProtocolError
from appliance.recording.recorder import State
from proxy.commands import AwaitDisk, Finish, Prepare
from proxy.decision import Need
from proxy.refusal import Refusal
from proxy.wire import backend, codes, frontend
from tests.proxy.playbook import FAILED, IDLE, OPEN, Play, done, error, parse, poisoned, query

NO_DDL = PolicyRule(name="no-ddl", action="block", commands=("ddl",), message="use the pipeline")
COPY_IN = backend.CopyResponse(codes.COPY_IN_RESPONSE, 0, (0,))
COPY_OUT = backend.CopyResponse(codes.COPY_OUT_RESPONSE, 0, (0,))


def test_a_query_is_recorded_before_it_is_forwarded(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("select 1"))
    assert play.records() == [("select 1", "sent")]
    assert play.upstream() == [query("select 1")]
    play.target(backend.DataRow((b"1",)), done("SELECT 1"), IDLE)
    assert play.received() == [backend.DataRow((b"1",)), done("SELECT 1"), IDLE]
    assert play.records() == [("select 1", "done")]
    assert play.bodies()[-1]["rows"] == 1


def test_each_statement_of_a_script_is_an_entry_with_its_own_outcome(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("select 1; select 1/0; select 3"))
    play.target(done("SELECT 1"), error("22012"), IDLE)
    assert [state for _, state in play.records()] == ["done", "failed", "withdrawn"]
    assert [text.strip() for text, _ in play.records()] == ["select 1", "select 1/0", "select 3"]
    assert play.bodies()[-2]["sqlstate"] == "22012"


def test_a_refused_text_never_reaches_the_target(tmp_path: Path) -> None:
    play = Play(tmp_path, NO_DDL)
    play.client(query("create table orders (a int)"))
    (sent,) = play.upstream()
    assert sent.kind == codes.QUERY and b"create" not in sent.query
    play.target(poisoned(play), FAILED)
    refused, ready = play.received()
    assert (refused.sqlstate, ready) == ("42501", FAILED)
    assert "no-ddl" in refused.message and "use the pipeline" in refused.message
    assert play.records() == [("create table orders (a int)", "refused")]


def test_a_script_is_refused_whole(tmp_path: Path) -> None:
    play = Play(tmp_path, NO_DDL)
    play.client(query("select 1; create table orders (a int)"))
    (sent,) = play.upstream()
    assert b"select" not in sent.query
    assert [state for _, state in play.records()] == ["refused", "refused"]


def test_a_genuine_error_is_passed_as_it_is(tmp_path: Path) -> None:
    play = Play(tmp_path, NO_DDL)
    said = error("42P01", 'relation "nope" does not exist')
    play.client(query("select 1")).target(said, IDLE)
    assert play.received()[0].encode() == said


def test_an_empty_query_is_recorded_too(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("")).target(backend.EMPTY_QUERY_RESPONSE, IDLE)
    assert play.received() == [backend.EMPTY_QUERY_RESPONSE, IDLE]
    assert play.records() == [("", "done")]


def test_names_are_asked_of_the_session_before_the_first_statement_that_needs_them(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, knows_names=False)
    play.client(query("select * from orders"))
    assert play.records() == []
    play.answer_exchange()
    assert play.received() == []
    assert play.session.commands == [Prepare(Need.CATALOG, b"select * from orders")]
    play.session.commands.clear()
    play.session.resume()
    assert play.upstream() == [query("select * from orders")]


def test_a_failed_exchange_of_the_gateways_own_stays_between_it_and_the_target(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, knows_names=False)
    play.client(query("select lower('A')"))
    assert len(play.upstream()) == 6
    play.target(error("57014"), IDLE)
    assert play.received() == []


def test_a_large_text_is_parsed_off_the_loop(tmp_path: Path) -> None:
    play = Play(tmp_path)
    text = "select " + "+".join(["1"] * 60_000)
    play.client(query(text))
    (command,) = play.session.commands
    assert isinstance(command, Prepare) and command.need is Need.PARSE
    assert play.upstream() == []
    play.session.judge.decide_slowly(command.raw)
    play.session.resume()
    assert len(play.upstream()) == 1


def test_what_the_client_sends_while_it_waits_comes_in_order_afterwards(tmp_path: Path) -> None:
    play = Play(tmp_path, knows_names=False)
    play.client(query("select lower('A')"), query("select 2"))
    play.client(query("select 3"))
    play.answer_exchange()
    if play.session.commands:
        play.session.commands.clear()
        play.session.resume()
    assert [m.query for m in play.upstream()] == [b"select lower('A')", b"select 2", b"select 3"]


def test_ddl_waits_for_the_disk_and_runs_only_if_the_disk_took_it(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("create table t (a int)"))
    (command,) = play.session.commands
    assert isinstance(command, AwaitDisk) and play.upstream() == []
    play.session.resume()
    assert play.upstream() == [query("create table t (a int)")]
    play.target(done("CREATE TABLE"), IDLE)
    play.session.commands.clear()
    play.client(query("create table u (a int)"))
    play.session.ready_failed = True
    play.session.resume()
    play.target(poisoned(play), IDLE)
    assert play.received()[-2].sqlstate == "57P03"


def test_a_statement_that_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.journal.close()
    with pytest.raises(JournalUnavailable):
        play.session.recorder.statement("x", (), _verdict(play), State.SENT)
    play.client(query("select 1")).target(poisoned(play), IDLE)
    assert play.received()[0].sqlstate == "57P03"
    assert all(b"select" not in message.query for message in play.upstream())


def _verdict(play: Play) -> object:
    decision = play.session.judge.decide(b"select 1")
    return decision.verdict  # type: ignore[union-attr]


def test_a_closed_gate_refuses_every_statement(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.gate.closed = Refusal("57P03", "gatepost: the store has been away too long")
    play.client(query("select 1")).target(poisoned(play), IDLE)
    assert play.received()[0].sqlstate == "57P03"


def test_copy_in_passes_and_ends(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("copy (select 1) to stdout"))
    play.target(COPY_OUT, backend.CopyData(b"1\n"), backend.CopyDone(), done("COPY 1"), IDLE)
    assert [m.kind for m in play.received()] == list(b"HdcCZ")


def test_a_query_in_the_middle_of_copy_in_ends_the_session(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.session.queue.copy_in = True
    with pytest.raises(ProtocolError) as raised:
        play.client(query("select 1"))
    assert raised.value.peer == "client"


def test_fast_path_calls_need_a_grant(tmp_path: Path) -> None:
    call = frontend.FunctionCall(957, (), (), 0)  # lo_creat
    play = Play(tmp_path / "no")
    play.client(call)
    assert [m.kind for m in play.upstream()] == [codes.QUERY]
    play.target(poisoned(play), IDLE)
    assert play.received()[0].sqlstate == "42501"
    granted = Play(tmp_path / "yes", fastpath=True)
    granted.client(call)
    while granted.session.commands:
        granted.session.commands.clear()
        granted.session.resume()
    assert granted.upstream() == [call]
    granted.target(backend.FunctionCallResponse(b"1"), IDLE)
    assert [m.kind for m in granted.received()] == list(b"VZ")


def test_terminate_is_passed_on_and_finishes(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(frontend.Terminate())
    assert play.session.commands == [Finish("client ended")]
    assert play.upstream() == [frontend.Terminate()]


def test_any_other_message_of_the_client_ends_the_session(tmp_path: Path) -> None:
    play = Play(tmp_path)
    for kind in set(range(256)) - set(b"QPBEDCSHdcfFX"):
        with pytest.raises(ProtocolError) as raised:
            play.client(bytes([kind]) + b"\0\0\0\4")
        assert raised.value.peer == "client"


def test_any_answer_without_its_question_ends_the_session(tmp_path: Path) -> None:
    play = Play(tmp_path)
    for kind in set(range(256)) - set(b"AENS"):
        with pytest.raises(ProtocolError) as raised:
            play.target(bytes([kind]) + b"\0\0\0\5I")
        assert raised.value.peer == "upstream"


@pytest.mark.parametrize("length", [0, 1, 3, 2**31 - 1, -1])
def test_an_impossible_length_ends_the_session(tmp_path: Path, length: int) -> None:
    with pytest.raises(ProtocolError):
        Play(tmp_path).client(b"Q" + length.to_bytes(4, "big", signed=True))


def test_parameter_status_may_come_at_any_time(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.target(backend.ParameterStatus(b"client_encoding", b"LATIN1"))
    assert play.received() == [backend.ParameterStatus(b"client_encoding", b"LATIN1")]
    play.client(frontend.Query("select 'é'".encode("latin-1")))
    assert play.records() == [("select 'é'", "sent")]


def test_a_transaction_status_is_the_targets(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(query("begin")).target(done("BEGIN"), OPEN)
    assert not play.session.is_idle
    play.client(query("commit")).target(done("COMMIT"), IDLE)
    assert play.session.is_idle


def test_a_query_behind_an_unsynced_batch_gets_a_sync_of_ours_before_it(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.client(parse("select 1"), query("select 2"))
    assert [m.kind for m in play.upstream()] == list(b"PH")
    play.target(backend.PARSE_COMPLETE)
    assert [m.kind for m in play.upstream()] == list(b"S")
    play.target(IDLE)
    assert play.upstream() == [query("select 2")]
    play.target(done("SELECT 1"), IDLE)
    assert [m.kind for m in play.received()] == list(b"1CZ")
