"""What the record keeps of a masked session: which columns were masked, and no values."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest
from click.testing import CliRunner

from appliance.cli import gatepost
from tests.e2e.held import Client, decide, waiting
from tests.e2e.masked_people import CARD, OTHER_SSN, SSN, secrets_in
from tests.harness.gateway import ANA, CI, Gateway

NEW = "666-12-3456"


def run(people: Gateway, user: str, *statements: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Run statements in a session of its own; return their records."""
    with people.connect(user) as connection:
        for text, *parameters in statements:
            try:
                connection.execute(text, *parameters)
            except psycopg.Error:
                continue
        pid = connection.info.backend_pid
    assert pid
    rows = people.statements()
    last = rows[-1]["session_id"]
    return [row for row in rows if row["session_id"] == last]


def brief(row: dict[str, Any]) -> list[tuple[str, list[str], str, str]]:
    return [
        (one["output"], one["columns"], one["rule"], one["method"]) for one in row["masked"] or ()
    ]


def test_a_record_names_the_masked_columns_of_its_result_with_their_rules(people: Gateway) -> None:
    plain, computed, other, copy = run(
        people,
        ANA,
        ("select id, card, ssn as id_number from people",),
        ("select name || ssn as both from people",),
        ("select note from plain",),
        ("declare c cursor for select 1",),
    )
    assert brief(plain) == [
        ("card", ["public.people.card"], "cards", "partial"),
        ("id_number", ["public.people.ssn"], "ids", "hash"),
    ]
    assert brief(computed)[0] == ("both", ["public.people.ssn"], "ids", "redact")
    assert not other["masked"] and not copy["masked"]


def test_what_is_compared_is_findable_and_its_values_are_not_recorded(people: Gateway) -> None:
    rows = run(
        people,
        ANA,
        (f"select id from people where ssn = '{SSN}' limit 3",),
        ("select id from people where ssn = %s", (SSN,)),
        ("select id from people where ssn = %b", (SSN,)),
        (f"prepare q(text) as select id from people where ssn = $1 and name > '{OTHER_SSN}'",),
        (f"execute q('{SSN}')",),
        ("select id from people where pay > 51000",),
        ("select name from people where id = 1 and name <> 'x1'",),
    )
    assert rows[0]["text"] == "select id from people where ssn = '***' limit 3"
    assert brief(rows[0]) == [("", ["public.people.ssn"], "ids", "hash")]
    assert rows[1]["parameters"] == [{"redacted": True}] and brief(rows[1]) == brief(rows[0])
    assert rows[4]["text"] == "execute q('***')"
    assert rows[5]["text"].endswith("pay > '***'")
    assert rows[6]["text"].endswith("id = 1 and name <> 'x1'"), "nothing masked was looked at"
    assert secrets_in([(row["text"], row["parameters"]) for row in rows]) == []


def test_a_batch_that_fails_before_its_execute_is_answered_leaves_no_open_record(
    people: Gateway,
) -> None:
    rows = run(people, ANA, ("select id from people where ssn = %s", (SSN.encode(),)))
    assert [row["state"] for row in rows] == ["withdrawn", "failed"]


def test_values_that_are_stored_in_masked_columns_are_not_recorded(people: Gateway) -> None:
    rows = run(
        people,
        ANA,
        ("begin",),
        (f"insert into people (id, name, ssn) values (11, 'Joe', '{NEW}')",),
        ("insert into people (id, name, ssn) values (%s, %s, %s)", (12, "Jim", NEW)),
        (f"update people set card = '{CARD}' where id = 11",),
        ("rollback",),
        ("update people set name = 'Ann' where id = 1",),
        (f"insert into people values (1, 'Ann', '{CARD}')",),
        ("insert into plain values (1, 'b')",),
    )
    assert not any(NEW in f"{row['text']}{row['parameters']}" for row in rows)
    assert not any(CARD in f"{row['text']}{row['parameters']}" for row in rows)
    assert rows[5]["text"] == "update people set name = 'Ann' where id = 1"
    assert (rows[6]["state"], rows[6]["sqlstate"]) == ("failed", "23505")
    assert rows[7]["text"] == "insert into plain values (1, 'b')"


def test_a_refused_statement_names_the_rule_and_hides_its_values(people: Gateway) -> None:
    (row,) = run(people, ANA, ("select id from people where born = '1986-02-13'",))
    assert (row["state"], row["verdict"], row["rule"]) == ("refused", "block", "birthdays")
    assert row["text"] == "select id from people where born = '***'"


def test_an_approver_sees_no_values_either(people: Gateway) -> None:
    with people.connect() as connection:
        text, parameters = "delete from people where ssn = %s and pay > 51834", (NEW,)
        client = Client(connection, text, *parameters)
        request = waiting(people, "delete from people")
        assert request.text == "delete from people where ssn = $1 and pay > '***'"
        assert NEW not in str(request)
        assert request.detail["hides_values"]
        decide(people, request, approve=True)
        assert client.ended() == "DELETE 0"


def test_whoever_is_exempt_is_recorded_as_ever(people: Gateway) -> None:
    (row,) = run(people, CI, ("select ssn from people where id = 1",))
    assert not row["masked"] and row["state"] == "done"


def test_session_show_lists_the_masked_outputs(
    people: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = run(people, ANA, ("select card from people where ssn > ''",))
    for name, value in people.environment.items():
        if name.startswith("GATEPOST_"):
            monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(gatepost, ["session", "show", row["session_id"], "--json"])
    assert shown.exit_code == 0, shown.output
    (statement,) = orjson.loads(shown.output)["statements"]
    assert statement["masked"] == ["card"]
    shown = CliRunner().invoke(gatepost, ["session", "show", row["session_id"]])
    assert "-- masked: card: rule cards, partial" in shown.output
