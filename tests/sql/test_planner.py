"""The planner process: answers, limits, crashes, its end."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from appliance.sql.format import format_sql
from appliance.sql.parser import Parser
from appliance.sql.planner import Planner
from tests.harness.polling import eventually


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def started(planner: Planner) -> int:
    assert planner.parse("SELECT 1") is not None
    assert planner.pid is not None
    return planner.pid


def test_a_large_statement_is_parsed_by_the_planner_and_is_not_unknown() -> None:
    text = "INSERT INTO orders VALUES " + ", ".join(f"({i}, 'x')" for i in range(5000))
    with Planner() as planner:
        (statement,) = Parser(planner).parse(text).statements
        assert planner.pid is not None
    assert not statement.unknown
    assert [str(use.name) for use in statement.relations] == ["orders"]


def test_a_small_statement_starts_no_process() -> None:
    with Planner() as planner:
        Parser(planner).parse("SELECT 1")
        assert planner.pid is None


def test_a_killed_planner_is_replaced_at_the_next_request() -> None:
    with Planner() as planner:
        first = started(planner)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: not is_alive(first))
        assert started(planner) != first


def test_a_text_that_takes_too_long_is_unknown_and_the_next_one_is_not() -> None:
    with Planner(timeout_s=2) as planner:
        parser = Parser(planner)
        slow = "SELECT 1 " + "/*" * 60_000 + "*/" * 60_000
        (statement,) = parser.parse(slow).statements
        assert statement.unknown
        assert planner.parse("SELECT 1") is not None


def test_a_closed_planner_answers_nothing_and_its_process_is_gone() -> None:
    planner = Planner()
    pid = started(planner)
    planner.close()
    planner.close()
    assert not is_alive(pid)
    assert planner.parse("SELECT 1") is None


def test_the_planner_ends_when_its_caller_closes_the_pipe() -> None:
    planner = Planner()
    pid = started(planner)
    child = planner._child
    assert child is not None and child.stdin is not None
    child.stdin.close()
    eventually(lambda: child.poll() is not None)
    assert not is_alive(pid)
    planner.close()


def test_several_threads_may_ask_at_once() -> None:
    texts = [f"SELECT {'a+' * 20}b{n}" for n in range(40)]
    answers: dict[str, str] = {}
    with Planner() as planner:

        def ask(part: list[str]) -> None:
            for text in part:
                parsed = planner.parse(text)
                assert parsed is not None
                answers[text] = parsed.statements[0].kind

        threads = [threading.Thread(target=ask, args=(texts[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == dict.fromkeys(texts, "SelectStmt")


def test_a_statement_is_laid_out_over_lines_without_changing_a_word() -> None:
    with Planner() as planner:
        laid_out = format_sql("select a, b from t where x = 1 order by 2", planner)
    assert laid_out.splitlines()[0] == "SELECT"
    assert "".join(laid_out.split()).lower() == "selecta,bfromtwherex=1orderby2"


def test_what_would_be_changed_or_is_not_understood_is_shown_as_it_came() -> None:
    with Planner() as planner:
        for text in (
            "EXPLAIN ANALYZE DELETE FROM t",
            "SET ROLE x",
            "this is not sql",
            "SELECT a::varchar(3) FROM t -- why",
            "SELECT '" + "x" * 30_000 + "'",
            "SELECT '\ud800'",
            "",
        ):
            assert format_sql(text, planner) == text
    assert format_sql("select 1", None) == "select 1"
