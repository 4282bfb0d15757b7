"""Rows are rewritten column by column, by the compiled path and its twin alike."""

from __future__ import annotations

import hmac
import shutil
import struct
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.masking import rows, rows_python
from appliance.masking.maskers import Masker
from appliance.masking.maskers_text import Constant, HashText, Partial
from appliance.masking.rows_python import PythonRowMasker
from appliance.masking.types import Kind

IMPLEMENTATIONS: list[Callable[[Sequence[Masker | None]], Any]] = [PythonRowMasker]
if rows.RowMasker is not PythonRowMasker:
    IMPLEMENTATIONS.append(rows.RowMasker)
each_implementation = pytest.mark.parametrize("make", IMPLEMENTATIONS)


def reverse(value: bytes) -> bytes | None:
    return value[::-1] * 2


def to_null(value: bytes) -> bytes | None:
    return None


maskers = st.sampled_from(
    (None, None, reverse, to_null, Constant(None), Constant(b""), Constant(b"***"),
     Constant(b"x" * 9000), Partial("utf-8"), Partial("utf-8", True), Partial("latin-1"),
     HashText(b"", "utf-8", Kind.TEXT, -1), HashText(b"k" * 32, "latin-1", Kind.TEXT, 20),
     HashText(b"k" * 65, "utf-8", Kind.TEXT, 10), HashText(b"k", "utf-8", Kind.BPCHAR, 24),
     HashText(b"k", None, Kind.TEXT, -1))
)  # fmt: skip
values = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.text(max_size=30).map(str.encode),
    st.text(st.sampled_from("abc 1é"), max_size=30).map(str.encode),
)


def data_row(columns: Sequence[bytes | None]) -> bytes:
    body = struct.pack("!H", len(columns)) + b"".join(
        b"\xff\xff\xff\xff" if value is None else struct.pack("!i", len(value)) + value
        for value in columns
    )
    return b"D" + struct.pack("!i", len(body) + 4) + body


def outcome(make: Any, plan: Sequence[Masker | None], *where: Any) -> tuple[bytes, int] | str:
    try:
        found: tuple[bytes, int] = make(plan).rows(*where)
    except ProtocolError as error:
        assert error.peer == "upstream"
        return str(error)
    return found


@settings(suppress_health_check=[HealthCheck.too_slow])  # of the machine, not of the test
@given(st.lists(maskers, max_size=6), st.data())
def test_every_column_is_what_its_masker_returns(
    plan: list[Masker | None], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(st.tuples(*(values for _ in plan)), max_size=5))
    before = data.draw(st.binary(max_size=5))
    stream = before + b"".join(map(data_row, drawn)) + data.draw(st.sampled_from((b"", b"C", b"D")))
    expected = b"".join(
        data_row(
            [
                value if masker is None or value is None else masker(value)
                for value, masker in zip(row, plan, strict=True)
            ]
        )
        for row in drawn
    )
    end = len(before) + sum(len(data_row(row)) for row in drawn)
    for make in IMPLEMENTATIONS:
        found = make(plan).rows(memoryview(stream), len(before), len(stream))
        assert found == (expected, end)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(maskers, max_size=4), st.data())
def test_damaged_rows_end_alike_in_both_and_never_beyond_the_message(
    plan: list[Masker | None], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(st.lists(values, max_size=5), max_size=3))
    stream = bytearray(b"".join(map(data_row, drawn)))
    for _ in range(data.draw(st.integers(0, 4))):
        if stream:
            at = data.draw(st.integers(0, len(stream) - 1))
            stream[at] = data.draw(st.sampled_from((0, 1, 2, 6, 0x44, 0x7F, 0x80, 0xFF)))
    size = data.draw(st.integers(0, len(stream)))
    where = (memoryview(bytes(stream)), data.draw(st.integers(0, size)), size)
    found = [outcome(make, plan, *where) for make in IMPLEMENTATIONS]
    assert all(one == found[0] for one in found)
    if not isinstance(found[0], str):
        assert found[0][1] <= size


@each_implementation
@pytest.mark.parametrize("key", [b"", b"k" * 32, b"k" * 64, b"k" * 65])
def test_hashes_of_texts_of_any_length_are_those_of_hmac(make: Any, key: bytes) -> None:
    masker = make([HashText(key, "utf-8", Kind.TEXT, -1)])
    for size in (*range(130), 1000):
        value = bytes(33 + i % 90 for i in range(size))
        digest = hmac.new(key, b"text\0" + value, "sha256").hexdigest()
        row = data_row([value])
        assert masker.rows(memoryview(row), 0, len(row))[0] == data_row([digest[:16].encode()])


@each_implementation
def test_it_stops_before_a_message_that_is_not_all_there(make: Any) -> None:
    row = data_row([b"4111111111111111", b"x"])
    masked = data_row([b"************1111", b"x"])
    masker = make([Partial("utf-8"), None])
    for size in range(2 * len(row)):
        view = memoryview(row * 2)
        found = masker.rows(view, 0, size)
        assert found == ((masked, len(row)) if size >= len(row) else (b"", 0))


@each_implementation
@pytest.mark.parametrize("columns", [0, 1, 3])
def test_a_row_with_another_number_of_columns_is_refused(make: Any, columns: int) -> None:
    row = data_row([b"4111 1111 1111 1111"] * columns)
    with pytest.raises(ProtocolError, match="expected 2 columns") as caught:
        make([Partial("utf-8"), None]).rows(memoryview(row), 0, len(row))
    assert "4111" not in str(caught.value)


@each_implementation
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\2\0\0\0\1a",
        b"\0\2\0\0\0\1a\0\0\0\2b",
        b"\0\2\0\0\0\1a\0\0\0\1bc",
        b"\0\2\0\0\0\1a\xff\xff\xff\xfe",
        b"\0\2\x7f\xff\xff\xffa\0\0\0\1b",
        b"\0\2\0\0\0\1a\x7f\xff\xff\xffb",
        b"\0\2\x80\0\0\0a\0\0\0\1b",
    ],
)
def test_a_row_whose_lengths_do_not_add_up_is_refused(make: Any, body: bytes) -> None:
    row = b"D" + struct.pack("!i", len(body) + 4) + body
    for plan in ([None, None], [Constant(b"*"), None], [None, reverse]):
        with pytest.raises(ProtocolError):
            make(plan).rows(memoryview(row), 0, len(row))


@each_implementation
@pytest.mark.parametrize("length", [-(2**31), -1, 0, 3, 4, 5])
def test_a_message_whose_length_is_impossible_is_refused(make: Any, length: int) -> None:
    row = b"D" + struct.pack("!i", length) + b"\0\0\0\0"
    with pytest.raises(ProtocolError):
        make([]).rows(memoryview(row), 0, len(row))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(b"DDDdC"), st.integers(-2, 30)), max_size=6), st.data())
def test_a_run_of_messages_ends_where_another_kind_or_the_bytes_end(
    messages: list[tuple[int, int]], data: st.DataObject
) -> None:
    stream = b"".join(
        bytes((kind,)) + struct.pack("!i", length) + bytes(max(length - 4, 0))
        for kind, length in messages
    )
    size = data.draw(st.integers(0, len(stream)))
    found: list[object] = []
    for ends in {rows_python.end_of_run, rows.end_of_run}:
        try:
            found.append(ends(memoryview(stream), 0, size, ord("D")))
        except ProtocolError as error:
            found.append(str(error))
    expected: object = 0
    for kind, length in messages:
        assert isinstance(expected, int)
        if kind != ord("D") or size - expected < 5:
            break
        expected = expected + 1 + length if length >= 4 else "the length of a row is impossible"
        if isinstance(expected, str):
            break
    assert found == [expected] * len(found)


@each_implementation
def test_a_position_outside_of_the_view_is_an_error_of_the_caller(make: Any) -> None:
    for pos, size in ((-1, 3), (2, 1), (0, 4), (4, 4)):
        with pytest.raises(ValueError, match="position"):
            make([None]).rows(memoryview(b"abc"), pos, size)


@each_implementation
def test_what_a_masker_raises_reaches_the_caller(make: Any) -> None:
    def fails(value: bytes) -> bytes | None:
        raise RuntimeError("no")

    row = data_row([b"a"])
    with pytest.raises(RuntimeError):
        make([fails]).rows(memoryview(row), 0, len(row))


def test_the_compiled_path_is_there_wherever_it_could_be_built() -> None:
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    # A name alone proves nothing: macOS has a cc that only asks to install one.
    has_compiler = shutil.which("cc") and not subprocess.call(["cc", "--version"])
    expected = "compiled" if has_compiler and headers.exists() else "pure Python"
    assert expected == rows.IMPLEMENTATION, "run make setup, or delete .venv and run it"
