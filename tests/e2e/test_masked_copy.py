"""COPY of masked columns, in all formats and both protocols."""

from __future__ import annotations

import struct
from typing import Any

import psycopg
import pytest

from tests.e2e.masked_people import SSN, secrets_in
from tests.e2e.raw import RawClient
from tests.harness.gateway import ANA, Gateway

SHAPES = [
    ("people", [1, 2], ["************7418", None]),
    ("people (id, card)", [1, 2], ["************7418", None]),
    ("(select id, card from people order by id)", [1, 2], ["************7418", None]),
    ("(select id, upper(card) from people where ssn > '' order by 1)", [1, 2], ["***", None]),
    ("(with x as (select * from people) select id, card from x order by 1)", [1, 2],
     ["************7418", None]),
    ("/* ( */ (select id, (card) from people order by (id)) ", [1, 2],
     ["************7418", None]),
]  # fmt: skip


def copied(connection: psycopg.Connection[Any], text: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
        return b"".join(map(bytes, copy))


@pytest.mark.parametrize(("shape", "ids", "cards"), SHAPES, ids=range(len(SHAPES)))
def test_a_copy_gives_what_a_select_would(
    people: Gateway, shape: str, ids: list[int], cards: list[str | None]
) -> None:
    with people.connect() as connection:
        text = copied(connection, f"copy {shape} to stdout").decode()
        rows = [line.split("\t") for line in text.splitlines()]
        assert [int(row[0]) for row in rows] == ids
        place = 2 if shape == "people" else 1
        assert [row[place] for row in rows] == [card or "\\N" for card in cards]
        csv = copied(connection, f"copy {shape} to stdout (format csv, header, null 'none')")
        lines = csv.decode().splitlines()
        assert lines[0].split(",")[place] in ("card", "upper")
        assert [line.split(",")[place] for line in lines[1:]] == [card or "none" for card in cards]
        binary = copied(connection, f"copy {shape} to stdout (format binary)")
        assert [row[place] for row in tuples(binary)] == [
            None if card is None else card.encode() for card in cards
        ]
        assert secrets_in(text.encode() + csv + binary) == []


def tuples(data: bytes) -> list[list[bytes | None]]:
    """Read the rows of a binary copy."""
    at, rows = 19, []
    while (count := struct.unpack_from("!h", data, at)[0]) >= 0:
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from("!i", data, at)
            at += 4
            row.append(None if size < 0 else data[at : at + size])
            at += max(size, 0)
        rows.append(row)
    assert at + 2 == len(data)
    return rows


def test_a_simple_query_can_copy_and_its_transaction_is_as_it_would_be(people: Gateway) -> None:
    with RawClient(people.port) as client:
        client.log_in(ANA, people.passwords[ANA])
        for before, status in (("select 1", b"I"), ("begin", b"T")):
            client.ask(before)
            messages = client.ask("copy people to stdout")
            assert [message.kind for message in messages] == list("HddcCZ")
            assert messages[-1].body == status and messages[-2].body == b"COPY 2\0"
            assert secrets_in(b"".join(message.body for message in messages)) == []
        messages = client.ask("copy (select nothing from people) to stdout")
        assert [message.kind for message in messages] == ["E", "Z"]
        assert messages[0].fields["C"] == "42703" and messages[-1].body == b"E"


def test_a_copy_that_is_run_again_gives_the_same(people: Gateway) -> None:
    with people.connect() as connection:
        first = copied(connection, "copy people to stdout")
        assert copied(connection, "copy people to stdout") == first
        assert secrets_in(first) == []


def test_a_strict_column_may_be_copied_but_not_looked_at(people: Gateway) -> None:
    with people.connect() as connection:
        assert copied(connection, "copy people (born) to stdout") == b"0001-01-01\n\\N\n"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="birthdays"):
            copied(connection, "copy (select 1 from people where born > '1990-01-01') to stdout")


def test_rows_that_cannot_be_told_apart_are_refused_before_they_run(people: Gateway) -> None:
    with people.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="encoding"):
            copied(connection, "copy people to stdout (encoding 'SJIS')")
        assert copied(connection, "copy people to stdout (encoding 'LATIN1')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="several"):
            connection.execute("copy people to stdout; select 1")


def test_copies_of_other_tables_and_into_masked_ones_pass(people: Gateway) -> None:
    with people.connect() as connection, connection.transaction(force_rollback=True):
        assert copied(connection, "copy plain to stdout") == b"1\ta\n2\tb\n"
        with (
            connection.cursor() as cursor,
            cursor.copy("copy people (id, name, ssn) from stdin") as copy,
        ):
            copy.write_row((5, "Eve", "555-55-5555"))
        count = connection.execute("select count(*) from people").fetchone()
        assert count == (3,)


def test_large_rows_are_masked_whole(people: Gateway) -> None:
    with people.connect() as connection:
        data = copied(
            connection,
            "copy (select id, filler, ssn from large join people using (id)) to stdout",
        )
        ((_, filler, ssn),) = (row.split(b"\t") for row in data.splitlines())
        assert (len(filler), len(ssn)) == (3_000_000, 16)
        assert secrets_in(data) == []


def test_what_a_copy_into_a_table_fails_with_shows_nothing(people: Gateway) -> None:
    with people.connect() as connection:
        for text, row, sqlstate in (
            ("copy people (id, name, ssn) from stdin", (21, "Eve", SSN), "23505"),
            ("copy watched from stdin", (1,), "P0001"),
            ("copy late from stdin", (1,), "P0001"),
        ):
            with (
                pytest.raises(psycopg.Error) as caught,
                connection.cursor() as cursor,
                cursor.copy(text) as copy,
            ):
                copy.write_row(row)
            assert caught.value.sqlstate == sqlstate
            diag = caught.value.diag
            assert (diag.message_detail, diag.context) == (None, None)
            assert secrets_in(str(caught.value)) == []
        assert connection.execute("select 1").fetchone() == (1,)
