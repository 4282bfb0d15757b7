"""An error without values keeps its severity, SQLSTATE and position, and nothing else that came."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors as psycopg_errors

from appliance.masking.errors import scrub
from appliance.masking.errors_words import WORDS

SECRET = b"4111111111111111"
EVERY_LETTER = b"SVCMDHPpqWstcdnFLR"


def fields(body: bytes) -> dict[str, str]:
    assert body.endswith(b"\0\0")
    return {one[:1].decode(): one[1:].decode() for one in body[:-2].split(b"\0")}


def body(**values: bytes) -> bytes:
    return b"".join(letter.encode() + value + b"\0" for letter, value in values.items()) + b"\0"


def documented() -> list[str]:
    """Return every SQLSTATE that psycopg has a class for: they come from PostgreSQL's own list."""
    found = {
        one.sqlstate
        for one in vars(psycopg_errors).values()
        if isinstance(one, type) and issubclass(one, psycopg.Error) and one.sqlstate
    }
    return sorted(found)


def test_every_documented_sqlstate_has_words() -> None:
    assert set(documented()) <= set(WORDS)
    assert all(len(state) == 5 and words.isascii() for state, words in WORDS.items())


@pytest.mark.parametrize("sqlstate", ["23505", "22P02", "42501", "XX000", "40001", "P0001"])
@pytest.mark.parametrize("severity", [b"ERROR", b"FATAL", b"PANIC"])
def test_nothing_of_the_text_is_left(sqlstate: str, severity: bytes) -> None:
    came = body(**{letter: SECRET for letter in EVERY_LETTER.decode()})
    came = came.replace(b"S" + SECRET, b"S" + severity, 1).replace(b"V" + SECRET, b"V" + severity)
    came = came.replace(b"C" + SECRET, b"C" + sqlstate.encode())
    found = fields(scrub(came, is_error=True))
    assert found == {
        "S": severity.decode(), "V": severity.decode(), "C": sqlstate, "M": WORDS[sqlstate],
    }  # fmt: skip


def test_the_position_is_kept_where_it_is_a_number() -> None:
    for position, kept in ((b"17", True), (b"17x", False), (SECRET, False), (b"", False)):
        found = fields(scrub(body(S=b"ERROR", V=b"ERROR", C=b"22012", P=position), is_error=True))
        assert ("P" in found) is kept


@pytest.mark.parametrize("sqlstate", [b"41111", b"42ABC", b"", b"4111111111111111", b"\xff\xfe"])
def test_an_sqlstate_that_nobody_documented_becomes_that_of_raise(sqlstate: bytes) -> None:
    for is_error, words in ((True, WORDS["P0001"]), (False, WORDS["00000"])):
        came = body(S=b"ERROR", V=b"ERROR", C=sqlstate, M=SECRET)
        found = fields(scrub(came, is_error=is_error))
        assert (found["C"], found["M"]) == ("P0001", words)


@pytest.mark.parametrize(
    ("shown", "plain", "is_error", "expected"),
    [
        (b"FEHLER", b"ERROR", True, ("ERROR", "ERROR")),
        (b"ERROR", b"ERROR", True, ("ERROR", "ERROR")),
        (b"FEHLER", b"", True, ("ERROR", "ERROR")),
        (b"FATAL", b"", True, ("FATAL", "FATAL")),
        (SECRET, SECRET, True, ("ERROR", "ERROR")),
        (b"WARNUNG", b"WARNING", False, ("WARNING", "WARNING")),
        (b"HINWEIS", SECRET, False, ("NOTICE", "NOTICE")),
        (b"ERROR", b"FATAL", True, ("ERROR", "FATAL")),
    ],
)
def test_a_severity_is_one_that_postgresql_has(
    shown: bytes, plain: bytes, is_error: bool, expected: tuple[str, str]
) -> None:
    found = fields(scrub(body(S=shown, V=plain, C=b"22012"), is_error=is_error))
    assert (found["S"], found["V"]) == expected


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_become_a_whole_message(came: bytes, is_error: bool) -> None:
    found = fields(scrub(came, is_error=is_error))
    assert {"S", "V", "C", "M"} <= set(found) <= set("SVCMDHP")
    assert found["C"] in WORDS
