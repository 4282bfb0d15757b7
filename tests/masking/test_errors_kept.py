"""Errors that keep their text though masked columns are in reach, and those that must not."""

from __future__ import annotations

import pytest

from appliance.masking.errors import scrub

SECRET = "078-05-1120"


def body(sqlstate: str, message: str, **more: str) -> bytes:
    fields = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": message, **more}
    return b"\0".join((letter + text).encode() for letter, text in fields.items()) + b"\0\0"


@pytest.mark.parametrize(
    ("sqlstate", "message", "more"),
    [
        ("42703", 'column "emial" does not exist', {"P": "8", "H": 'Perhaps … "people.email".'}),
        ("42P01", 'relation "peple" does not exist', {"P": "15"}),
        ("42601", 'syntax error at or near "form"', {"P": "10"}),
        ("22P02", 'invalid input syntax for type integer: "abc"', {"P": "40"}),
        ("57014", "canceling statement due to user request", {}),
        ("57014", "canceling statement due to statement timeout", {}),
        ("40001", "could not serialize access due to concurrent update", {}),
        ("25006", "cannot execute UPDATE in a read-only transaction", {}),
    ],
)
def test_what_is_said_of_the_clients_own_text_is_kept(
    sqlstate: str, message: str, more: dict[str, str]
) -> None:
    made = scrub(body(sqlstate, message, **more, F="x.c", L="1", R="f"), is_error=True)
    assert b"M" + message.encode() + b"\0" in made
    assert (b"H" in made) == ("H" in more)
    assert b"\0Fx.c" not in made


@pytest.mark.parametrize(
    ("sqlstate", "more"),
    [
        ("22P02", {}),  # ssn::int, while it runs
        ("42704", {}),  # ssn::regtype
        ("42601", {"W": "PL/pgSQL function f() line 3 at EXECUTE"}),
        ("42601", {"q": f"select {SECRET}", "p": "8"}),
        ("42703", {"P": "8", "W": "SQL function f"}),
        ("42P01", {"P": "8", "q": f"select {SECRET}", "p": "3"}),
        ("22P02", {"P": "8", "W": "PL/pgSQL function checked() line 2 at RAISE"}),
        ("23505", {"P": "8"}),
        ("57014", {}),
        ("P0001", {"P": "8"}),
        ("42ABC", {"P": "8"}),
        ("42703", {"P": "8x"}),
    ],
)
def test_what_code_or_a_stored_value_can_have_a_part_in_is_not(
    sqlstate: str, more: dict[str, str]
) -> None:
    made = scrub(body(sqlstate, f"about {SECRET}", **more, D=SECRET, H=SECRET), is_error=True)
    assert SECRET.encode() not in made
