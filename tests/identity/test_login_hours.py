"""Hours of the week, on the wall clock of their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Invalid
from appliance.hours import parse_hours

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a moment of the week of Monday 2026-11-23, in UTC."""
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("09:00-17:00", [at(0, 9), at(6, 16, 59)], [at(0, 8, 59), at(0, 17)]),
        ("daily 0:00-24:00", [at(0, 0), at(6, 23, 59)], []),
        ("Mon-Fri 00:00-06:00", [at(0, 0), at(4, 5, 59)], [at(5, 1), at(0, 6)]),
        ("mon-FRI 00:00-06:00 UTC", [at(4, 0)], [at(6, 0)]),
        ("Monday-Friday 08:00-09:00", [at(2, 8)], [at(5, 8)]),
        ("Fri-Mon 08:00-09:00", [at(4, 8), at(6, 8), at(0, 8)], [at(1, 8), at(3, 8)]),
        ("Mon,Wed,Sat 08:00-09:00", [at(0, 8), at(2, 8), at(5, 8)], [at(1, 8)]),
        ("Sat 10:00-12:00; Mon-Fri 08:00-18:00", [at(5, 10), at(0, 17)], [at(5, 13), at(6, 11)]),
        # In November Oslo is one hour before UTC.
        ("Mon-Fri 00:00-06:00 Europe/Oslo", [at(0, 4, 59), at(0, 23)], [at(0, 5), at(4, 23)]),
        # Past midnight belongs to the day on which it begins.
        ("Fri 22:00-06:00", [at(4, 22), at(4, 23, 59), at(5, 5, 59)], [at(4, 5), at(5, 6)]),
        ("Sun 22:00-06:00", [at(6, 23), at(0, 3)], [at(0, 22), at(5, 23)]),
    ],
)
def test_a_moment_is_inside_or_outside(
    text: str, inside: list[datetime], outside: list[datetime]
) -> None:
    hours = parse_hours(text)
    assert [moment for moment in inside if not hours.contains(moment)] == []
    assert [moment for moment in outside if hours.contains(moment)] == []


def test_summer_time_moves_the_hours_with_the_wall_clock() -> None:
    hours = parse_hours("08:00-09:00 Europe/Oslo")
    assert hours.contains(datetime(2026, 7, 1, 6, 30, tzinfo=UTC))
    assert hours.contains(datetime(2026, 12, 1, 7, 30, tzinfo=UTC))
    assert not hours.contains(datetime(2026, 12, 1, 6, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mon-Fri",
        "25:00-26:00",
        "08:60-09:00",
        "08:00-08:00",
        "24:00-06:00",
        "Man-Fri 08:00-09:00",
        "Mon-Foo 08:00-09:00",
        "08:00-09:00 Europe/Atlantis",
        "08:00-09:00 ../../etc/passwd",
        "Mon Fri 08:00-09:00",
        "08:00\u201309:00",
        ";",
        "08:00-09:00;",
        "Mon- 08:00-09:00 UTC x",
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_hours(text)
    assert raised.value.field == "hours"
    assert "Mon-Fri 00:00-06:00 Europe/Oslo" in raised.value.message + raised.value.hint


@given(st.text(max_size=40))
def test_any_text_is_hours_or_refused(text: str) -> None:
    try:
        hours = parse_hours(text)
    except Invalid:
        return
    assert hours.windows


def test_the_next_end_is_found_within_a_week() -> None:
    hours = parse_hours("Mon-Fri 08:00-18:00; Mon 17:00-19:00; Sat 22:00-24:00; Sun 22:00-06:00")
    assert hours.next_end(at(1, 9)) == at(1, 18)
    assert hours.next_end(at(0, 9)) == at(0, 19), "the end of one inside another is none"
    assert hours.next_end(at(5, 23)) == at(6, 0)
    assert hours.next_end(at(6, 23)) == at(7, 6)
    assert parse_hours("daily 0:00-24:00").next_end(at(0, 9)) is None


def test_the_next_start_is_found_within_a_week() -> None:
    hours = parse_hours("Mon-Fri 08:00-09:00; Sat 22:00-02:00")
    assert hours.next_start(at(0, 7)) == at(0, 8)
    assert hours.next_start(at(0, 8, 30)) == at(1, 8)
    assert hours.next_start(at(5, 0)) == at(5, 22)
    assert hours.next_start(at(6, 0)) == at(7, 8)
