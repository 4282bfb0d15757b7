"""A Bind's parameters for the record: complete, or saying what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.recording.parameters import BinaryValue, Parameter
from proxy.wire import frontend
from tests.wire import strategies

LIMIT = 64 << 10


def read(bind: frontend.Bind, limit: int = LIMIT, cut: int | None = None) -> tuple[Parameter, ...]:
    body = bind.encode()[5:][:cut]
    portal, statement, offset = frontend.bind_names(memoryview(body))
    assert (portal, statement) == (bind.portal, bind.statement)
    return frontend.bind_parameters(memoryview(body), offset, limit)


@given(strategies.cstrings, strategies.cstrings, strategies.value_lists)
def test_names_are_found_without_looking_at_the_parameters(
    portal: bytes, statement: bytes, parameters: tuple[bytes | None, ...]
) -> None:
    read(frontend.Bind(portal, statement, (), parameters))


def test_long_names_are_found_too() -> None:
    read(frontend.Bind(b"p" * 1000, b"s" * 5000, (), (b"x",)))


def test_a_bind_without_names_is_refused() -> None:
    with pytest.raises(ProtocolError, match="malformed Bind"):
        frontend.bind_names(b"portal\0statement")


@pytest.mark.parametrize(
    ("formats", "expected"),
    [
        ((), ("a", None, "b")),
        ((0,), ("a", None, "b")),
        ((1,), (BinaryValue(b"a", 0), None, BinaryValue(b"b", 0))),
        ((0, 1, 1), ("a", None, BinaryValue(b"b", 0))),
        ((1, 0, 0), (BinaryValue(b"a", 0), None, "b")),
    ],
)
def test_text_becomes_text_and_binary_stays_bytes(
    formats: tuple[int, ...], expected: tuple[Parameter, ...]
) -> None:
    assert read(frontend.Bind(b"", b"", formats, (b"a", None, b"b"))) == expected


def test_binary_values_carry_the_types_that_are_known() -> None:
    body = frontend.Bind(b"", b"", (1,), (b"\0\0\0\1", b"x")).encode()[5:]
    found = frontend.bind_parameters(body, 2, LIMIT, types=(23,))
    assert found == (BinaryValue(b"\0\0\0\1", 23), BinaryValue(b"x", 0))


def test_text_is_read_in_the_sessions_encoding() -> None:
    body = frontend.Bind(b"", b"", (), ("Bjørn".encode("latin-1"),)).encode()[5:]
    assert frontend.bind_parameters(body, 2, LIMIT, codec="latin-1") == ("Bjørn",)
    assert frontend.bind_parameters(body, 2, LIMIT) == ("Bj\\xf8rn",)


def test_formats_that_do_not_fit_the_parameters_are_the_targets_to_refuse() -> None:
    found = read(frontend.Bind(b"", b"", (0, 1), (b"a", b"b", b"c")))
    assert found == ("a", BinaryValue(b"b", 0), "c")


def test_a_value_beyond_the_limit_is_cut_and_the_record_says_so() -> None:
    found = read(frontend.Bind(b"", b"", (), (b"id", b"x" * 100, b"after")), limit=10)
    assert found == (
        "id",
        "xxxxxxxx… (cut: 100 bytes)",
        "(the last value has 100 bytes; 1 more parameters not recorded)",
    )


def test_values_behind_a_used_up_limit_are_counted() -> None:
    found = read(frontend.Bind(b"", b"", (), (b"0123456789", None, b"b", b"c")), limit=10)
    assert found == ("0123456789", None, "(2 more parameters not recorded: too large)")


@given(strategies.formats, strategies.value_lists, st.integers(0, 200), st.integers(0, 200))
def test_the_beginning_of_a_bind_gives_the_beginning_of_its_parameters(
    formats: tuple[int, ...], parameters: tuple[bytes | None, ...], cut: int, limit: int
) -> None:
    bind = frontend.Bind(b"", b"", formats, parameters)
    whole = read(bind)
    assert len(whole) == len(parameters)
    found = read(bind, limit=limit, cut=cut + 2)
    if found == whole:
        return
    assert isinstance(found[-1], str)
    assert "not recorded" in found[-1]
    for kept, true in zip(found[:-2], whole, strict=False):
        assert kept == true


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        _, _, offset = frontend.bind_names(body)
        frontend.bind_parameters(body, offset, 30)
    except ProtocolError as error:
        assert error.peer == "client"
