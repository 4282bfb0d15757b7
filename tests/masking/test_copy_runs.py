"""Runs of CopyData messages: the compiled path reads what it reads as the rows themselves do."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.masking.copy_rows import CopyMasker, copy_masker
from appliance.masking.maskers import Masker
from appliance.masking.maskers_text import Constant, HashText, Partial
from appliance.masking.rows import IMPLEMENTATION
from appliance.masking.types import Kind
from appliance.sql.copy_options import CopyOptions

OPTIONS = [
    CopyOptions(),
    CopyOptions(header=True),
    CopyOptions(delimiter="|"),
    CopyOptions(delimiter="*", null="none"),
    CopyOptions(null=""),
    CopyOptions("csv", ",", "", '"', '"'),
    CopyOptions("csv", ",", "***", '"', '"', True),
    CopyOptions("csv", "*", "", "'", "'"),
    CopyOptions("csv", ";", "", '"', "\\"),
    CopyOptions("csv", "a", "", "1", "1"),
    CopyOptions("csv", ",", "", '"', '"', force_quote=("a",)),
    CopyOptions("binary"),
]
START = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def backwards(value: bytes) -> bytes | None:
    return None if value == b"1" else value[::-1]


maskers = st.sampled_from(
    (None, None, backwards, Constant(None), Constant(b""), Constant(b"***"), Constant(b'a"\\,|\t'),
     Partial("utf-8"), Partial("utf-8", True), HashText(b"k", "utf-8", Kind.TEXT, -1),
     HashText(b"k" * 99, "latin-1", Kind.TEXT, 24), HashText(b"k", "utf-8", Kind.TEXT, 10))
)  # fmt: skip
texts = st.one_of(
    st.none(),
    st.sampled_from([b"", b"1", b"***", b"none", b"\\N", b"4111111111111111", b"abcde   "]),
    st.text("ab1,\"'|\t\n\r\\*; é", max_size=12).map(str.encode),
)


def frame(payload: bytes) -> bytes:
    return b"d" + struct.pack("!i", len(payload) + 4) + payload


def written(options: CopyOptions, row: list[bytes | None]) -> bytes:
    """Return a row as the server would write it; what makes it so is its own masker's."""
    plain = CopyOptions(
        options.format, options.delimiter, options.null, options.quote, options.escape,
        force_quote=options.force_quote,
    )  # fmt: skip
    values = [Constant(value) for value in row]
    return rows_of(plain, values).feed(blank(plain, len(row)))


def blank(options: CopyOptions, columns: int) -> bytes:
    if options.format == "binary":
        return START + struct.pack("!h", columns) + bytes(4) * columns
    empty = options.quote * 2 or "x"
    return options.delimiter.join([empty] * columns).encode() + b"\n"


def rows_of(options: CopyOptions, plan: list[Masker | None]) -> CopyMasker:
    return copy_masker(options, plan)


def in_python(options: CopyOptions, plan: list[Masker | None]) -> CopyMasker:
    return copy_masker(options, plan, is_compiled=False)


def outcome(masker: CopyMasker, runs: list[bytes]) -> list[object]:
    found: list[object] = []
    for data in runs:
        try:
            found.append(masker.rows(memoryview(data), 0, len(data)))
        except ProtocolError as error:
            return [*found, str(error)]
    return found


@pytest.mark.skipif(IMPLEMENTATION != "compiled", reason="no compiler: there is only one path")
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(OPTIONS), st.lists(maskers, min_size=1, max_size=4), st.data())
def test_both_give_the_same_bytes_also_for_damaged_messages(
    options: CopyOptions, plan: list[Masker | None], data: st.DataObject
) -> None:
    row = st.lists(texts, min_size=len(plan), max_size=len(plan) + data.draw(st.integers(0, 1)))
    rows = [written(options, one) for one in data.draw(st.lists(row, max_size=4))]
    if options.format == "binary":
        rows = (
            [rows[0], *(one.removeprefix(START) for one in rows[1:]), b"\xff\xff"] if rows else []
        )
    if data.draw(st.booleans()) and rows:  # messages that are not one row each
        stream = b"".join(rows)
        cut = data.draw(st.integers(0, len(stream)))
        rows = [stream[:cut], stream[cut:]]
    stream = b"".join(map(frame, rows))
    damaged = bytearray(stream)
    for _ in range(data.draw(st.integers(0, 2)) if stream else 0):
        at = data.draw(st.integers(0, len(stream) - 1))
        damaged[at] = data.draw(st.sampled_from(b'\0\1\t\n,"\\d\x7f\xff'))
    end = data.draw(st.integers(0, len(damaged)))
    runs = [bytes(damaged[:end]), bytes(damaged)]
    assert outcome(rows_of(options, plan), runs) == outcome(in_python(options, plan), runs)


@pytest.mark.parametrize("make", [rows_of, in_python])
def test_a_control_character_that_stays_visible_is_written_as_an_escape(make: Any) -> None:
    masker = make(CopyOptions(delimiter="|"), [None, Partial("utf-8")])
    row = frame(b"1|abc\t\n")
    assert masker.rows(memoryview(row), 0, len(row)) == (frame(b"1|***\\t\n"), len(row))


def test_a_run_of_plain_rows_is_rewritten_without_asking_python() -> None:
    masker = copy_masker(CopyOptions(), [None, Partial("utf-8"), Constant(b"***")])
    rows = b"".join(frame(b"%d\t4111111111111111\t\\N\n" % n) for n in range(100))
    if IMPLEMENTATION == "compiled":
        masker.feed = None  # type: ignore[method-assign,assignment]  # it must not be needed
    expected = b"".join(frame(b"%d\t************1111\t\\N\n" % n) for n in range(100))
    assert masker.rows(memoryview(rows), 0, len(rows)) == (expected, len(rows))
