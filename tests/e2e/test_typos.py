"""A slip of the pen reads as PostgreSQL says it, also where a rule refuses what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.harness.gateway import Gateway

RULE = "bulk-writes-need-a-human"


@pytest.fixture(scope="module")
def guarded(shared_gateway: Gateway) -> Iterator[Gateway]:
    shared_gateway.rule(RULE, "approve", commands=("delete", "update"), without_where=True)
    yield shared_gateway


@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("SELECT * FROM custmers", psycopg.errors.UndefinedTable, 'relation "custmers" does not'),
        ("SELECT * FROM no.such", psycopg.errors.UndefinedTable, 'relation "no.such" does not'),
        ("SELEC 1", psycopg.errors.SyntaxError, 'syntax error at or near "SELEC"'),
        ("PREPARE p AS CREATE TABLE x ()", psycopg.errors.SyntaxError, 'at or near "CREATE"'),
        ("SELECT no_such_function(1)", psycopg.errors.UndefinedFunction, "does not exist"),
    ],
)
def test_a_slip_of_the_pen_is_told_as_the_server_tells_it(
    guarded: Gateway, text: str, error: type[psycopg.Error], words: str, prepare: bool
) -> None:
    with guarded.connect() as connection:
        with pytest.raises(error) as raised:
            connection.execute(text.encode(), prepare=prepare)
        assert words in str(raised.value)
        assert RULE in (raised.value.diag.message_hint or "")
    (row,) = guarded.statements(text)[-1:]
    assert (row["state"], row["rule"]) == ("refused", RULE)


def test_what_a_rule_refuses_by_name_stays_its_refusal(guarded: Gateway) -> None:
    connection: psycopg.Connection[Any]
    with guarded.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM custmers")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DO $$ BEGIN DELETE FROM pg_class; END $$")
