"""The words for time that people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Invalid
from appliance.identity.spans import parse_expiry, parse_span, show_expiry, show_span
from tests.store.conftest import NOW


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        (" 2w ", NOW + timedelta(weeks=2)),
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2028-02-29", datetime(2028, 3, 1, tzinfo=UTC)),
        ("2027-01-31T18:00:00+01:00", datetime(2027, 1, 31, 17, tzinfo=UTC)),
        ("2027-01-31 18:00", datetime(2027, 1, 31, 18, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 24, tzinfo=UTC)),
    ],
)
def test_an_end_is_the_first_moment_after(text: str, end: datetime) -> None:
    assert parse_expiry("expires", text, NOW) == end


@pytest.mark.parametrize(
    "text",
    ["", "soon", "90", "-1d", "1.5h", "0d", "2027-02-30", "2026-11-22", "9999-12-31", "1y", "٣d"],
)
def test_an_end_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_expiry("expires", text, NOW)
    assert caught.value.field == "expires"


@pytest.mark.parametrize("text", ["90000000000d", "999999999w", "1d2h", "d", "1 d"])
def test_a_length_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_span("timeout", text)


@given(st.integers(0, 100 * 365 * 86400))
def test_a_length_that_is_shown_is_read_back(number: int) -> None:
    span = timedelta(seconds=number)
    assert parse_span("x", show_span(span)) == span


@given(st.datetimes(min_value=datetime(2026, 12, 1), max_value=datetime(9000, 1, 1)))
def test_an_end_that_is_shown_is_read_back(at: datetime) -> None:
    end = at.replace(tzinfo=UTC)
    assert parse_expiry("x", show_expiry(end), NOW) == end
