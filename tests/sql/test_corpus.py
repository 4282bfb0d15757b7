"""Every row of the corpus says what it said when someone last read it. Rows are never deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from appliance.sql.planner import Planner
from appliance.sql.resolve import resolve
from tests.sql.conftest import FIXTURES
from tests.sql.rows import context, described

ROWS = [
    pytest.param(json.loads(line), id=f"{path.stem}-{number}")
    for path in sorted(FIXTURES.glob("*.jsonl"))
    for number, line in enumerate(path.read_text().splitlines(), 1)
]
# What a system view reads differs from version to version.
SYSTEM_VIEWS = ("pg_shadow", "information_schema")


def facts_row(parser: Parser, catalog: Catalog, sql: str) -> dict[str, Any]:
    facts = resolve(parser.parse(sql), catalog, context(parser, catalog))
    row: dict[str, Any] = {"sql": sql, "statements": described(facts)}
    if facts.refusal:
        row["refusal"] = facts.refusal
    if facts.needs_catalog:
        row["needs_catalog"] = True
    return row


@pytest.mark.parametrize("row", ROWS)
def test_a_statement_has_the_effects_that_its_row_says(
    parser: Parser, catalog: Catalog, row: dict[str, Any]
) -> None:
    assert facts_row(parser, catalog, row["sql"]) == row


def test_the_corpus_says_the_same_on_an_older_server(parser: Parser, catalog16: Catalog) -> None:
    wrong = [
        sql
        for parameter in ROWS
        if not any(view in (sql := parameter.values[0]["sql"]) for view in SYSTEM_VIEWS)  # type: ignore[index, call-overload]
        and facts_row(parser, catalog16, sql) != parameter.values[0]
    ]
    assert wrong == []


def test_the_planner_process_says_what_is_said_here(parser: Parser) -> None:
    with Planner() as planner:
        for parameter in ROWS:
            sql = parameter.values[0]["sql"]  # type: ignore[index, call-overload]
            assert planner.parse(sql) == parser.parse(sql)


def test_without_a_catalog_a_statement_that_names_something_is_unknown(parser: Parser) -> None:
    for sql, is_unknown in (
        ("SELECT 1", False),
        ("BEGIN", False),
        ("SET search_path = x", False),
        ("SELECT id FROM orders", True),
        ("SELECT now()", True),
        ("GRANT ALL ON ALL TABLES IN SCHEMA x TO y", True),
    ):
        facts = resolve(parser.parse(sql), None, context_free())
        assert bool(facts.statements[0].unknown) is is_unknown, sql
        assert facts.needs_catalog is is_unknown, sql
    named = resolve(parser.parse("DELETE FROM a.b"), None, context_free()).statements[0]
    assert [(e.cls, e.object, e.without_where) for e in named.effects] == [
        ("delete", "a.b", True),
        ("unknown", "", False),
    ]


def context_free() -> Any:
    from appliance.sql.facts import NameContext

    return NameContext(("pg_catalog", "public"), "x", frozenset())
