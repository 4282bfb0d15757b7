"""Texts made to kill or stall: each gets an answer, soon, and the process lives on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.planner import Planner
from appliance.sql.resolve import resolve
from appliance.sql.skeleton import skeleton
from tests.harness.polling import promised

SIZES = (1_000, 20_000, 100_000)
SHAPES = {
    "sums": lambda n: "SELECT " + "+".join(["1"] * n),
    "concatenations": lambda n: "SELECT " + "||".join(["a"] * n),
    "casts": lambda n: "SELECT 1" + "::int" * n,
    "unions": lambda n: " UNION ALL ".join(["SELECT 1"] * n),
    "joins": lambda n: "SELECT * FROM a " + " JOIN b ON true" * n,
    "commas": lambda n: "SELECT * FROM " + ",".join(["a"] * n),
    "parentheses": lambda n: "SELECT " + "(" * n + "1" + ")" * n,
    "open parentheses": lambda n: "SELECT " + "(" * n,
    "sub-selects": lambda n: "SELECT " + "(SELECT " * n + "1" + ")" * n,
    "sub-selects in FROM": lambda n: "SELECT * FROM " + "(SELECT * FROM " * n + "a" + ") x" * n,
    "cases": lambda n: "SELECT " + "CASE WHEN a THEN " * n + "1" + " END" * n,
    "negations": lambda n: "SELECT " + "NOT " * n + "true",
    "arrays": lambda n: "SELECT " + "ARRAY[" * n + "1" + "]" * n,
    "subscripts": lambda n: "SELECT a" + "[1]" * n,
    "calls": lambda n: "SELECT " + "f(" * n + "1" + ")" * n,
    "ands": lambda n: "SELECT 1 WHERE " + " AND ".join(["a"] * n),
    "ctes": lambda n: "WITH " + ",".join(f"c{i} AS (SELECT 1)" for i in range(n)) + " SELECT 1",
    "nested ctes": lambda n: "WITH a AS (" * n + "SELECT 1" + ") SELECT 1" * n,
    "rows": lambda n: "INSERT INTO t VALUES " + ",".join(["(1, 'a')"] * n),
    "statements": lambda n: "SELECT 1;" * n,
    "semicolons": lambda n: ";" * n,
    "comments": lambda n: "SELECT 1 " + "/*" * n + "*/" * n,
    "open comments": lambda n: "SELECT 1 " + "/*" * n,
    "closed comments": lambda n: "SELECT 1 " + "/**/" * n,
    "line comments": lambda n: "--\n" * n + "SELECT 1",
    "dots": lambda n: "SELECT a" + ".a" * n,
    "columns": lambda n: "SELECT " + ",".join(f"c{i}" for i in range(n)) + " FROM t",
    "long name": lambda n: "SELECT " + "a" * n,
    "long literal": lambda n: "SELECT '" + "x" * n * 10 + "'",
    "backslashes": lambda n: "SELECT '" + "\\" * n + "'",
    "quotes": lambda n: "SELECT '" + "'" * (2 * n) + "'",
    "open quote": lambda n: "SELECT '" + "x" * n,
    "open name": lambda n: 'SELECT "' + "x" * n,
    "open dollar": lambda n: "SELECT $a$" + "x" * n,
    "open escape": lambda n: "SELECT E'" + "\\x" * n,
    "dollars": lambda n: "SELECT " + "$a$$b$" * n,
    "number": lambda n: "SELECT " + "9" * n,
    "signs": lambda n: "SELECT 1 " + "+" * n,
    "both signs": lambda n: "SELECT 1 " + "-+" * n,
    "short runs of signs": lambda n: "SELECT 1 " + ("+" * 120 + "1") * (n // 100),
    "operators": lambda n: "SELECT 1 " + "*+" * n,
    "bodies": lambda n: f"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS '{'SELECT 1;' * n}'",
    "texts in texts": lambda n: "SELECT query_to_xml('" + "SELECT 1" + "+1" * n + "',true,true,'')",
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Parser]:
    with Planner(timeout_s=3) as planner:
        yield Parser(planner)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hostile_text_gets_an_answer_and_nothing_dies(guarded: Parser, shape: str) -> None:
    for size in SIZES:
        text = SHAPES[shape](size)
        started = time.monotonic()
        parsed = guarded.parse(text)
        facts = resolve(parsed, None, NameContext())
        assert time.monotonic() - started < promised(10)  # START_S of a planner included
        assert parsed.refusal or all(s.effects for s in facts.statements)
        skeleton(text)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_planner_what_is_too_large_is_unknown(shape: str) -> None:
    parsed = Parser().parse(SHAPES[shape](100_000))
    assert (
        parsed.refusal
        or not parsed.statements
        or parsed.statements[0].kind
        or (parsed.statements[0].unknown)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_what_counts_as_cheap_is_answered_within_the_loops_patience(shape: str) -> None:
    parser = Parser()
    size = 1
    while len(SHAPES[shape](size * 2)) <= 4096:
        size *= 2
    text = SHAPES[shape](size)
    if not parser.is_cheap(text):
        return
    best = min(_seconds(text) for _ in range(5))
    assert best < 0.1  # some ms


def _seconds(text: str) -> float:
    parser = Parser()
    started = time.thread_time()
    parser.parse(text)
    return time.thread_time() - started


@pytest.mark.parametrize(
    "text",
    ["SELECT '\0'", "\0", "SELECT '\ud800'", "\udfff", "SELECT 1\0; DROP TABLE x"],
    ids=["nul in literal", "nul", "surrogate in literal", "surrogate", "nul between"],
)
def test_a_text_that_no_server_could_read_is_refused(guarded: Parser, text: str) -> None:
    parsed = guarded.parse(text)
    assert parsed.refusal
    assert not parsed.statements
    assert skeleton(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "\ufeff", "é", "😀", "SELECT '😀'", "--", "/**/", ";"]
)
def test_odd_little_texts_are_no_accident(guarded: Parser, text: str) -> None:
    parsed = guarded.parse(text)
    assert not parsed.refusal
    assert all(s.unknown != "the statement could not be analysed" for s in parsed.statements)


def test_a_small_thread_stack_is_enough_for_what_is_parsed_in_process() -> None:
    parser = Parser()
    texts = [SHAPES[shape](1900) for shape in ("sums", "concatenations", "casts", "unions")]
    old = threading.stack_size(512 << 10)
    try:
        thread = threading.Thread(target=lambda: [parser.parse(text) for text in texts])
        thread.start()
    finally:
        threading.stack_size(old)
    thread.join(30)
    assert all(parser.parse(text).statements for text in texts)
