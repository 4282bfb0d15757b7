"""What COPY sends is rewritten so that PostgreSQL reads back exactly the masked rows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from appliance.errors import ProtocolError
from appliance.masking.copy_rows import CopyMasker, copy_masker
from appliance.masking.maskers import Masker
from appliance.masking.maskers_text import Constant, Partial
from appliance.sql.copy_options import CopyOptions
from tests.harness.postgres import PostgresServer, fresh_database

NASTY = [
    "", "\\N", "\\", "\\.", "\n", "\r\n", "\t", "a\tb", 'a"b', '"', '""', ",", "a,b|c;d", "NULL",
    "4111111111111111", "41\n11\t11\\11|11,11\"11'11\b\f\v\x01\x7f", "n/a", "näää€😀" * 3,
    "\\\\", "\\t", "x'41", "end\\", " leading and trailing ", "***", "*",
]  # fmt: skip

TEXT_OPTIONS = [
    (CopyOptions(), ""),
    (CopyOptions(delimiter="|"), "DELIMITER '|'"),
    (CopyOptions(delimiter="*"), "DELIMITER '*'"),
    (CopyOptions(delimiter=",", null="none"), "DELIMITER ',', NULL 'none'"),
    (CopyOptions(null="\\\\N"), "NULL '\\\\N'"),
    (CopyOptions(header=True), "HEADER"),
]
CSV = CopyOptions("csv", ",", "", '"', '"')
CSV_OPTIONS = [
    (CSV, "FORMAT csv"),
    (CopyOptions("csv", ",", "", '"', '"', True), "FORMAT csv, HEADER"),
    (CopyOptions("csv", ";", "", "'", "'"), "FORMAT csv, DELIMITER ';', QUOTE ''''"),
    (CopyOptions("csv", "\t", "NULL", '"', "\\"),
     "FORMAT csv, DELIMITER E'\\t', NULL 'NULL', ESCAPE '\\'"),
    (CopyOptions("csv", "*", "", '"', "|"), "FORMAT csv, DELIMITER '*', ESCAPE '|'"),
    (CopyOptions("csv", ",", "***", '"', '"'), "FORMAT csv, NULL '***'"),
    (CopyOptions("csv", ",", "", '"', '"', force_quote=("*",)), "FORMAT csv, FORCE_QUOTE *"),
]  # fmt: skip
BINARY_OPTIONS = [(CopyOptions("binary"), "FORMAT binary")]
ALL = [*TEXT_OPTIONS, *CSV_OPTIONS, *BINARY_OPTIONS]
ids = [written or "plain" for _, written in ALL]
AMBIGUOUS = {("text", "none"): "none", ("text", "\\\\N"): "\\N"}  # what they are written for
PLAN: list[Masker | None] = [None, Partial("utf-8"), Constant(b"***"), Constant(None), None]


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with fresh_database(postgres) as database, database.connect() as connection:
        columns = sql.SQL("id int, a text, b text, c text, d text")
        for name in ("source", "copied"):
            statement = sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), columns)
            connection.execute(statement)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO source VALUES (%s, %s, %s, %s, %s)",
                [(i, v, v, v, v) for i, v in enumerate([*NASTY, None])],
            )
        yield connection


def copied_out(connection: psycopg.Connection[Any], written: str) -> list[bytes]:
    """Return the payload of each CopyData that the server sends."""
    text = f"COPY (SELECT * FROM source ORDER BY id) TO STDOUT ({written or 'FORMAT text'})"
    with connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
        return [bytes(piece) for piece in copy]


def read_back(connection: psycopg.Connection[Any], written: str, data: bytes) -> list[Any]:
    connection.execute("TRUNCATE copied")
    written = ", ".join(
        one for one in (written or "FORMAT text").split(", ") if "FORCE_QUOTE" not in one
    )
    text = f"COPY copied FROM STDIN ({written})"
    with connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
        copy.write(data)
    return connection.execute("SELECT a, b, c, d FROM copied ORDER BY id").fetchall()


def masked(value: str | None, masker: Masker | None) -> str | None:
    if value is None or masker is None:
        return value
    found = masker(value.encode())
    return None if found is None else found.decode()


@pytest.mark.parametrize(("options", "written"), ALL, ids=ids)
def test_the_server_reads_back_the_masked_rows_and_the_others_as_they_were(
    connection: psycopg.Connection[Any], options: CopyOptions, written: str
) -> None:
    pieces = copied_out(connection, written)
    masker = copy_masker(options, PLAN)
    found = b"".join(masker.feed(memoryview(piece)) for piece in pieces) + masker.end()
    expected = [tuple(masked(value, one) for one in PLAN[1:]) for value in [*NASTY, None]]
    value = AMBIGUOUS.get((options.format, options.null))
    if value is not None:
        # NULL could be a value as well, so it is masked like one; and where it passes, PostgreSQL
        # reads a value that looks like NULL as NULL.
        expected[-1] = (*(masked(value, one) for one in PLAN[1:-1]), None)
        expected = [tuple(None if one == value else one for one in row) for row in expected]
    assert read_back(connection, written, found) == expected


@pytest.mark.parametrize(("options", "written"), ALL, ids=ids)
def test_rows_may_be_cut_anywhere(
    connection: psycopg.Connection[Any], options: CopyOptions, written: str
) -> None:
    pieces = copied_out(connection, written)
    stream = b"".join(pieces)
    whole = copy_masker(options, PLAN)
    expected = whole.feed(stream) + whole.end()
    for step in (1, 7, 100):
        masker = copy_masker(options, PLAN)
        found = b"".join(masker.feed(stream[i : i + step]) for i in range(0, len(stream), step))
        assert found + masker.end() == expected
    if not stream.endswith(pieces[-1][:1]) or options.format != "binary":
        cut = copy_masker(options, PLAN)
        cut.feed(stream[:-1])
        with pytest.raises(ProtocolError, match="ended within a row"):
            cut.end()


@pytest.mark.parametrize(("options", "written"), ALL, ids=ids)
def test_copy_data_messages_are_rewritten_in_runs(
    connection: psycopg.Connection[Any], options: CopyOptions, written: str
) -> None:
    pieces = copied_out(connection, written)
    stream = b"".join(map(frame, pieces))
    one_by_one = copy_masker(options, PLAN)
    expected = b"".join(frame(made) for made in map(one_by_one.feed, pieces) if made)
    after = b"c\0\0\0\4"
    masker = copy_masker(options, PLAN)
    view = memoryview(b"x" + stream + after)
    assert masker.rows(view, 1, len(view)) == (expected, 1 + len(stream))
    assert masker.end() == b""
    masker = copy_masker(options, PLAN)
    cut = len(stream) - 1
    found, end = masker.rows(memoryview(stream), 0, cut)
    assert end == len(stream) - len(frame(pieces[-1])) and expected.startswith(found)


def frame(payload: bytes) -> bytes:
    return b"d" + struct.pack("!i", len(payload) + 4) + payload


@pytest.mark.parametrize("length", [-1, 0, 3, -(2**31)])
def test_a_copy_data_message_of_impossible_length_is_refused(length: int) -> None:
    data = b"d" + struct.pack("!i", length)
    with pytest.raises(ProtocolError):
        copy_masker(CopyOptions(), PLAN).rows(memoryview(data), 0, len(data))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.none() | st.sampled_from(NASTY) | st.text(max_size=12).filter(
        lambda text: "\0" not in text), min_size=3, max_size=3), max_size=4),
    st.sampled_from([options for options, _ in CSV_OPTIONS]),
)  # fmt: skip
def test_no_choice_of_quotes_makes_csv_columns_move(
    rows: list[list[str | None]], options: CopyOptions
) -> None:
    stream = "".join(csv_row(row, options) for row in rows).encode("utf-8", "surrogatepass")
    seen: list[bytes] = []

    def look(value: bytes) -> bytes | None:
        seen.append(value)
        return value

    masker = copy_masker(replace_header(options), [None, look, None])
    assert masker.feed(stream) + masker.end() == stream
    expected = [row[1].encode("utf-8", "surrogatepass") for row in rows if row[1] is not None]
    assert seen == expected


def replace_header(options: CopyOptions) -> CopyOptions:
    o = options
    return CopyOptions(o.format, o.delimiter, o.null, o.quote, o.escape, False, "", o.force_quote)


def csv_row(row: list[str | None], options: CopyOptions) -> str:
    """Return a row as CopyAttributeOutCSV writes it."""
    o, parts = options, []
    for value in row:
        if value is None:
            parts.append(o.null)
            continue
        must = any(c in value for c in (o.delimiter, o.quote, "\n", "\r")) or value == o.null
        if must or o.force_quote:
            marks = {o.quote, o.escape}
            value = "".join(o.escape + c if c in marks else c for c in value)
            value = f"{o.quote}{value}{o.quote}"
        parts.append(value)
    return o.delimiter.join(parts) + "\n"


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60), st.sampled_from([options for options, _ in ALL]))
def test_any_bytes_become_rows_or_are_refused_and_the_masked_column_never_shows(
    data: bytes, options: CopyOptions
) -> None:
    if options.format == "binary":
        data = b"PGCOPY\n\xff\r\n\0" + bytes(8) + data
    masker = copy_masker(replace_header(options), [Constant(b"?")])
    try:
        found = masker.feed(data)
    except ProtocolError as error:
        assert error.peer == "upstream"
        return
    assert masker.feed(b"") == b""
    if options.format == "binary":
        return
    rows = found.decode("latin-1").split("\n")[:-1]
    assert set(rows) <= {"?", options.null, f"{options.quote}?{options.quote}"}


@pytest.mark.parametrize(
    "options",
    [
        CopyOptions(delimiter="\\"),
        CopyOptions(delimiter="ab"),
        CopyOptions(delimiter="é"),
        CopyOptions("csv", ",", "", "\n", '"'),
        CopyOptions("csv", ",", "", '"', "\n"),
        CopyOptions("csv", ",", "", ",", '"'),
        CopyOptions("csv", ",", "", "", ""),
    ],
)
def test_options_that_make_rows_ambiguous_are_refused(options: CopyOptions) -> None:
    with pytest.raises(ValueError, match="makes columns ambiguous"):
        copy_masker(options, PLAN)


def test_an_encoding_that_cannot_be_read_is_refused_but_in_binary() -> None:
    with pytest.raises(ValueError, match="encoding"):
        copy_masker(CopyOptions(), PLAN, None)
    assert isinstance(copy_masker(CopyOptions("binary"), PLAN, None), CopyMasker)


@pytest.mark.parametrize(
    ("options", "row"),
    [
        (CopyOptions(), b"4111\t4111\n"),
        (CopyOptions(), b"4111\n"),
        (CopyOptions(), b"4111\\\t4111\t1\n"),
        (CopyOptions(), b"4\t1\t11\\\n"),
        (CSV, b"4111,4111\n"),
        (CSV, b"\n"),
        (CopyOptions("binary"), b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\2" + bytes(8)),
        (CopyOptions("binary"), b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\3\xff\xff\xff\xfe"),
        (CopyOptions("binary"), b"PGCOPY\n\xff\r\n\0\0\1" + bytes(6) + b"\0\3" + bytes(12)),
        (CopyOptions("binary"), b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xffxx"),
        (CopyOptions("binary"), b"PGCOPY\n\xff\r\nX" + bytes(8) + b"\0\3" + bytes(12)),
    ],
)
def test_a_row_that_the_server_could_not_have_written_is_refused(
    options: CopyOptions, row: bytes
) -> None:
    with pytest.raises(ProtocolError) as caught:
        copy_masker(options, [Constant(b"*"), None, None]).feed(row)
    assert "4111" not in str(caught.value)


def test_a_row_without_end_is_refused_before_it_fills_the_memory() -> None:
    masker = copy_masker(CopyOptions(), [None])
    with pytest.raises(ProtocolError, match="64 MiB"):
        for _ in range(70):
            masker.feed(bytes(1 << 20))
