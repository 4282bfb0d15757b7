"""Transcripts of guarded statements: asked about, sent without their end, taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.approvals.requests import Estimate
from appliance.entities import PolicyRule
from appliance.errors import ProtocolError
from proxy.commands import Work
from proxy.counting import RowsQuestion
from proxy.wire import backend, codes, frontend
from tests.proxy.playbook import FAILED, IDLE, OPEN, Play, bind, done, error, execute, parse, query

TEXT = "select g from generate_series(1, 9) g"
MANY = PolicyRule(name="many", action="block", commands=("select",), rows_over=3)
DESCRIBED = backend.RowDescription(())
FLUSH, SYNC = frontend.Flush(), frontend.Sync()
CLOSED = (backend.CLOSE_COMPLETE, backend.CLOSE_COMPLETE)


class Guarded(Play):
    """A session with a rule on rows, whose planner says what it is told to say."""

    def __init__(self, directory: Path, rows: int | None = 1, **rule: Any) -> None:
        super().__init__(directory, PolicyRule(**{**_fields(MANY), **rule}))
        self.asked: list[RowsQuestion] = []
        self.says = Estimate(rows)

        def ask(question: RowsQuestion) -> Estimate:
            self.asked.append(question)
            return self.says

        self.session.guard.ask = ask

    def work(self) -> Guarded:
        """Do off the loop what the session asks for."""
        for command in self.session.commands:
            assert isinstance(command, Work)
            command.run()
        self.session.commands.clear()
        self.session.resume()
        return self

    def rows(self, count: int) -> Guarded:
        self.target(*(backend.DataRow((b"x",)) for _ in range(count)))
        return self


def _fields(rule: PolicyRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in PolicyRule.__dataclass_fields__}


def sent(play: Play) -> str:
    return "".join(chr(message.kind) for message in play.upstream())


def begun(play: Guarded) -> Guarded:
    """Bring a Query to where the target runs it."""
    play.client(query(TEXT)).work()  # type: ignore[attr-defined]
    assert sent(play) == "PBDEH"
    play.target(backend.PARSE_COMPLETE, backend.BIND_COMPLETE, DESCRIBED)
    return play


def kinds(play: Play) -> str:
    return "".join(chr(message.kind) for message in play.received())


def test_nothing_is_sent_or_recorded_before_the_planner_has_answered(tmp_path: Path) -> None:
    play = Guarded(tmp_path)
    play.client(query(TEXT), query("select 2"))
    assert (play.upstream(), play.records(), play.asked) == ([], [], [])
    play.work()
    assert [question.asked.raw for question in play.asked] == [TEXT.encode()]
    assert sent(play) == "PBDEH"
    assert play.records() == [(TEXT, "sent")]


def test_the_client_gets_its_tag_once_it_is_committed(tmp_path: Path) -> None:
    play = begun(Guarded(tmp_path))
    play.rows(2).target(done("SELECT 2"))
    assert kinds(play) == "TDD"
    assert sent(play) == "CCS"
    play.target(*CLOSED, IDLE)
    assert play.received() == [done("SELECT 2"), IDLE]
    assert play.records() == [(TEXT, "done")]
    assert play.bodies()[-1]["rows"] == 2


def test_exactly_as_many_as_it_may_have_is_found_out_by_asking_for_one_more(
    tmp_path: Path,
) -> None:
    play = begun(Guarded(tmp_path))
    play.rows(3).target(backend.PORTAL_SUSPENDED)
    assert play.upstream() == [execute(rows=1), FLUSH]
    play.target(done("SELECT 0"), *CLOSED, IDLE)
    assert kinds(play) == "TDDDCZ"
    assert play.bodies()[-1]["tag"] == "SELECT 3"


def test_one_more_is_taken_back_and_never_leaves(tmp_path: Path) -> None:
    play = begun(Guarded(tmp_path))
    play.rows(3).target(backend.PORTAL_SUSPENDED)
    play.upstream()
    play.rows(1).target(backend.PORTAL_SUSPENDED)
    poison = play.upstream()[0]
    assert isinstance(poison, frontend.Execute)
    play.target(error("34000", f"portal {poison.portal.decode()} does not exist"), FAILED)
    *shown, refused, ready = play.received()
    assert [message.kind for message in shown] == list(b"TDDD")
    assert (refused.sqlstate, ready) == ("42501", FAILED)
    assert "would return more than 3 rows" in refused.message
    last = play.bodies()[-1]
    assert (last["state"], last["rows"], last["sqlstate"]) == ("failed", 4, "42501")


def test_a_limit_of_none_asks_for_one_row_that_must_not_be(tmp_path: Path) -> None:
    play = Guarded(tmp_path, rows=0, rows_over=0)
    begun(play)
    play.target(done("SELECT 0"), *CLOSED, IDLE)
    assert kinds(play) == "TCZ"


def test_an_error_of_its_own_ends_it_as_ever(tmp_path: Path) -> None:
    play = begun(Guarded(tmp_path))
    play.rows(1).target(error("22012"))
    assert sent(play) == "CCS"
    play.target(IDLE)
    assert kinds(play) == "TDEZ"
    assert play.records() == [(TEXT, "failed")]
    play.client(query("select 7"))
    play.work()
    assert sent(play) == "PBDEH"


def test_a_commit_that_fails_is_no_success(tmp_path: Path) -> None:
    play = begun(Guarded(tmp_path))
    play.rows(1).target(done("SELECT 1"), *CLOSED, error("23503"), IDLE)
    assert kinds(play) == "TDEZ"
    assert play.records() == [(TEXT, "failed")]


def test_above_by_the_estimate_it_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    play = Guarded(tmp_path, rows=50)
    play.client(query(TEXT)).work()  # type: ignore[attr-defined]
    (poison,) = play.upstream()
    assert TEXT.encode() not in poison.query
    assert play.records() == [(TEXT, "refused")]


def test_what_was_taken_back_is_refused_at_once_the_next_time(tmp_path: Path) -> None:
    test_one_more_is_taken_back_and_never_leaves(tmp_path / "first")
    play = begun(Guarded(tmp_path))
    play.rows(3).target(backend.PORTAL_SUSPENDED)
    play.rows(1).target(backend.PORTAL_SUSPENDED)
    nonce = next(m for m in play.upstream() if getattr(m, "portal", b"").startswith(b"gw:"))
    play.target(error("34000", nonce.portal.decode()), IDLE)
    play.client(query(TEXT))
    assert sent(play) == "Q"
    assert len(play.asked) == 1


def test_an_execute_waits_for_its_tag_before_the_sync_goes_on(tmp_path: Path) -> None:
    play = Guarded(tmp_path)
    play.client(parse(TEXT), bind(), execute(), SYNC).work()  # type: ignore[attr-defined]
    assert sent(play) == "PBH"
    play.target(backend.PARSE_COMPLETE, backend.BIND_COMPLETE)
    assert play.upstream() == [execute(rows=3), FLUSH]
    play.rows(2).target(done("SELECT 2"))
    assert sent(play) == "S"
    play.target(IDLE)
    assert kinds(play) == "12DDCZ"


def test_the_clients_own_bound_is_kept(tmp_path: Path) -> None:
    play = Guarded(tmp_path)
    play.client(parse(TEXT), bind(), execute(rows=2), execute(rows=2), SYNC)
    play.work()
    play.target(backend.PARSE_COMPLETE, backend.BIND_COMPLETE)
    assert play.upstream()[-2:] == [execute(rows=2), FLUSH]
    play.rows(2).target(backend.PORTAL_SUSPENDED)
    assert play.upstream() == [execute(rows=1), FLUSH]
    play.rows(1).target(backend.PORTAL_SUSPENDED)
    assert play.upstream() == [execute(rows=1), FLUSH]
    play.target(done("SELECT 0"))
    assert sent(play) == "S"
    assert kinds(play) == "12DDsDC"


def test_in_a_failed_transaction_nobody_is_asked(tmp_path: Path) -> None:
    play = Guarded(tmp_path)
    play.client(query("begin")).target(done("BEGIN"), OPEN)
    play.client(query("commit")).target(error("42601"), FAILED)
    play.upstream()
    play.client(query(TEXT))
    assert (sent(play), play.asked) == ("Q", [])


@pytest.mark.parametrize("answer", [bytes((codes.COPY_DATA, 0, 0, 0, 4)), IDLE])
def test_answers_that_it_did_not_ask_for_end_the_session(tmp_path: Path, answer: Any) -> None:
    play = Guarded(tmp_path)
    play.client(parse(TEXT), bind(), execute(), SYNC).work()  # type: ignore[attr-defined]
    play.target(backend.PARSE_COMPLETE, backend.BIND_COMPLETE)
    with pytest.raises(ProtocolError):
        play.target(backend.CLOSE_COMPLETE, IDLE)
