"""A session as a timeline: its pace, its gaps, where to jump."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from appliance.recording.replay import Mark, describe_seconds, timeline

BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Session:
    started_at: datetime = BEGAN
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Statement:
    seq: int
    at: datetime
    state: str = "done"
    verdict: str = "allow"
    duration_ms: float | None = 100.0


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def test_short_gaps_keep_their_pace() -> None:
    line = timeline(Session(), [Statement(1, after(1)), Statement(2, after(2.5))])
    assert [(tick.offset_s, tick.play_s, tick.idle_s) for tick in line.ticks] == [
        (1.0, 1.0, 0.0),
        (2.5, 2.5, 0.0),
    ]


def test_a_long_gap_is_shortened_to_two_seconds_and_said() -> None:
    line = timeline(Session(), [Statement(1, after(1)), Statement(2, after(1.1 + 18 * 60))])
    second = line.ticks[1]
    assert second.play_s == pytest.approx(1.1 + 2)
    assert second.idle_text == "18 min idle"
    assert line.length_s == pytest.approx(1.2 + 18 * 60)
    assert line.play_length_s == pytest.approx(3.2)


def test_a_statement_that_ran_long_is_no_gap() -> None:
    slow = Statement(1, after(1), duration_ms=60_000)
    line = timeline(Session(), [slow, Statement(2, after(62))])
    assert line.ticks[1].idle_s == 0.0 and line.ticks[1].play_s == 62.0


def test_speed_divides_what_is_left() -> None:
    line = timeline(Session(), [Statement(1, after(1)), Statement(2, after(100))], speed=10)
    assert line.ticks[0].play_s == pytest.approx(0.1)
    assert line.ticks[1].play_s == pytest.approx(0.31)


def test_the_idle_end_of_a_session_is_shortened_too() -> None:
    line = timeline(Session(ended_at=after(3600)), [Statement(1, after(1))])
    assert line.length_s == 3600 and line.play_length_s == pytest.approx(3.1)


def test_jump_lists_name_errors_holds_and_refusals() -> None:
    line = timeline(
        Session(),
        [
            Statement(1, after(0)),
            Statement(2, after(0), state="failed"),
            Statement(3, after(0), state="refused", verdict="block"),
            Statement(4, after(0), state="done", verdict="hold"),
            Statement(5, after(0), state="refused", verdict="hold"),
            Statement(6, after(0), state="withdrawn", verdict="hold"),
            Statement(7, after(0), state="sent", duration_ms=None),
        ],
    )
    assert line.errors == (2,)
    assert line.holds == (4, 5, 6)
    assert line.refusals == (3, 5)
    assert line.ticks[6].mark is Mark.UNKNOWN and line.ticks[0].mark is Mark.RAN
    assert line.ticks[4].mark is Mark.REFUSED and line.ticks[5].mark is Mark.UNKNOWN


def test_a_withdrawn_statement_never_ran_and_nobody_held_it() -> None:
    line = timeline(Session(), [Statement(1, after(0), state="withdrawn")])
    assert line.ticks[0].mark is Mark.UNKNOWN
    assert (line.errors, line.holds, line.refusals) == ((), (), ())


def test_statements_in_any_order_and_clocks_that_went_back_do_no_harm() -> None:
    line = timeline(Session(), [Statement(2, after(-5)), Statement(1, after(3))])
    assert [tick.seq for tick in line.ticks] == [1, 2]
    assert all(tick.offset_s >= 0 and tick.play_s >= 0 for tick in line.ticks)


def test_an_empty_session_has_an_empty_timeline() -> None:
    line = timeline(Session(ended_at=after(1)), [])
    assert line.ticks == () and line.length_s == 1.0
    assert line.tick_at(5) is None


def test_the_tick_at_a_moment_is_the_last_one_shown() -> None:
    line = timeline(Session(), [Statement(1, after(1)), Statement(2, after(2))])
    shown = line.tick_at(1.5)
    assert shown is not None and shown.seq == 1


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_a_speed_that_goes_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        timeline(Session(), [], speed=speed)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.012, "12 ms"), (3.0, "3 s"), (3.25, "3.2 s"), (1080, "18 min"), (9000, "2.5 h")],
)
def test_lengths_of_time_are_said_as_people_do(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text
