"""Rows are rewritten column by column; what does not fit its plan never passes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from proxy.wire import backend
from proxy.wire.rows import Replace, RowPlan, rewrite_rows
from tests.wire import strategies


def stars(value: bytes | None, form: int) -> bytes | None:
    return None if value is None else b"*" * len(value) + str(form).encode()


def to_null(value: bytes | None, form: int) -> bytes | None:
    return None


def seven(value: bytes | None, form: int) -> bytes | None:
    return b"7"


def plan(*columns: Replace | None, form: int = 0) -> RowPlan:
    return RowPlan(columns, (form,) * len(columns))


replaces = st.none() | st.sampled_from((stars, to_null, seven))


@given(
    st.lists(st.tuples(replaces, st.integers(0, 1)), max_size=5),
    st.lists(strategies.backend_messages, max_size=3),
    st.data(),
)
def test_every_column_is_what_its_replacement_returns(
    columns: list[tuple[Replace | None, int]], others: list[object], data: st.DataObject
) -> None:
    row = st.tuples(*(strategies.values for _ in columns))
    rows = data.draw(st.lists(row, max_size=4))
    messages: list[object] = [other for other in others if not isinstance(other, backend.DataRow)]
    expected = list(messages)
    for values in rows:
        replaced = tuple(
            value if replace is None else replace(value, form)
            for value, (replace, form) in zip(values, columns, strict=True)
        )
        messages.append(backend.DataRow(tuple(values)))
        expected.append(backend.DataRow(replaced))
    stream = b"".join(message.encode() for message in messages)  # type: ignore[attr-defined]
    found = rewrite_rows(
        memoryview(stream),
        RowPlan(tuple(one for one, _ in columns), tuple(form for _, form in columns)),
    )
    assert found == b"".join(message.encode() for message in expected)  # type: ignore[attr-defined]


@given(st.binary(max_size=60), st.integers(0, 3))
def test_a_body_that_is_no_row_of_the_plan_is_refused_or_fully_replaced(
    body: bytes, count: int
) -> None:
    message = b"D" + struct.pack("!I", len(body) + 4) + body
    try:
        found = rewrite_rows(message, plan(*(seven for _ in range(count))))
    except ProtocolError as error:
        assert error.peer == "upstream"
    else:
        assert found == backend.DataRow((b"7",) * count).encode()


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_a_row_with_another_number_of_columns_is_refused(columns: int) -> None:
    row = backend.DataRow((b"4111 1111 1111 1111",) * columns).encode()
    with pytest.raises(ProtocolError, match="expected 2 columns") as caught:
        rewrite_rows(row, plan(stars, None))
    assert "4111" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\2\0\0\0\1a",
        b"\0\2\0\0\0\1a\0\0\0\2b",
        b"\0\2\0\0\0\1a\xff\xff\xff\xfe",
        b"\0\2\0\0\0\1a\x7f\xff\xff\xff",
        b"\0\2\0\0\0\1a\0\0\0\1bc",
    ],
)
def test_a_row_whose_lengths_lie_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="does not fit"):
        rewrite_rows(b"D" + struct.pack("!I", len(body) + 4) + body, plan(None, stars))


def test_a_view_that_ends_within_a_message_is_refused() -> None:
    row = backend.DataRow((b"a", b"b")).encode()
    for cut in range(1, len(row)):
        with pytest.raises(ProtocolError):
            rewrite_rows(row[:cut], plan(None, stars))


def test_null_can_become_a_value_and_a_value_null() -> None:
    row = backend.DataRow((None, b"secret")).encode()
    assert rewrite_rows(row, plan(seven, to_null)) == backend.DataRow((b"7", None)).encode()


def test_a_plan_without_a_format_for_each_column_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="one format per column"):
        RowPlan((None, stars), (0,))
