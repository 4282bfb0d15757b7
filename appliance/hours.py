"""Hours of the week in a time zone: ``Mon-Fri 00:00-06:00 Europe/Oslo``."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from appliance.entities import PolicyRule, Snapshot
from appliance.errors import Invalid

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMES = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_EXAMPLE = "Mon-Fri 00:00-06:00 Europe/Oslo"
_MIDNIGHT = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """Some weekdays (Monday is 0) and the minutes of the day, ``end`` exclusive.

    ``end <= start`` runs past midnight and belongs to the day on which it begins.
    """

    days: frozenset[int]
    start_min: int
    end_min: int

    def contains(self, local: datetime) -> bool:
        """Return whether a moment of local time lies inside."""
        minute = local.hour * 60 + local.minute
        today = local.weekday()
        if self.start_min < self.end_min:
            return today in self.days and self.start_min <= minute < self.end_min
        if today in self.days and minute >= self.start_min:
            return True
        return (today - 1) % 7 in self.days and minute < self.end_min


@dataclass(frozen=True, slots=True)
class Hours:
    """Windows in one time zone; a moment is inside when any window has it."""

    windows: tuple[Window, ...]
    zone: ZoneInfo

    def contains(self, now: datetime) -> bool:
        """Return whether ``now`` (aware) is inside, on the zone's own wall clock."""
        local = now.astimezone(self.zone)
        return any(window.contains(local) for window in self.windows)

    def next_start(self, now: datetime) -> datetime | None:
        """Return the first full minute within a week from ``now`` that is inside, or None."""
        midnight = datetime.combine(now.astimezone(self.zone).date(), time(), self.zone)
        starts = [
            midnight + timedelta(days=day, minutes=window.start_min)
            for day in range(8)
            for window in self.windows
        ]
        return min((at for at in starts if at > now and self.contains(at)), default=None)

    def next_end(self, now: datetime) -> datetime | None:
        """Return the first full minute within a week from ``now`` that is outside, or None."""
        midnight = datetime.combine(now.astimezone(self.zone).date(), time(), self.zone)
        ends = [
            midnight + timedelta(days=day, minutes=window.end_min)
            for day in range(9)
            for window in self.windows
        ]
        return min((at for at in ends if at > now and not self.contains(at)), default=None)


@lru_cache(maxsize=256)
def parse_hours(text: str) -> Hours:
    """Parse ``[DAYS] HH:MM-HH:MM[, …] [ZONE]``; days and zone may be left out (daily, UTC).

    Days are ``Mon``, ``Mon-Fri``, ``Mon,Wed,Fri`` or ``daily``. Several windows are separated by
    ``;``, with one zone at the end for all: ``Mon-Fri 08:00-18:00; Sat 10:00-12:00 Europe/Oslo``.

    Raises: ``Invalid`` (field "hours") that says what was expected.
    """
    parts = [part.split() for part in text.split(";")]
    zone = "UTC"
    if parts[-1] and not _TIMES.fullmatch(parts[-1][-1]):
        zone = parts[-1].pop()
    windows = tuple(_window(part, text) for part in parts)
    try:
        return Hours(windows, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            "hours", f"unknown time zone {zone!r}", f"write it like {_EXAMPLE!r}"
        ) from None


def closed_rules(snapshot: Snapshot, now: datetime | None) -> frozenset[str]:
    """Return the names of the rules that are outside of their hours.

    Where nobody can say whether it is (hours that cannot be read, ``now`` None: any moment), a rule
    that allows is closed and a strict one is open.
    """
    return frozenset(rule.name for rule in snapshot.rules if rule.hours and not _is_open(rule, now))


def _is_open(rule: PolicyRule, now: datetime | None) -> bool:
    if now is not None:
        with suppress(Invalid):
            return parse_hours(rule.hours).contains(now)
    return rule.action != "allow"


def _window(words: list[str], text: str) -> Window:
    match words:
        case [times]:
            days = frozenset(range(7))
        case [day_words, times]:
            days = _days(day_words, text)
        case _:
            raise _wrong(text)
    found = _TIMES.fullmatch(times)
    if not found:
        raise _wrong(text)
    start_h, start_m, end_h, end_m = (int(number) for number in found.groups())
    start, end = start_h * 60 + start_m, end_h * 60 + end_m
    if start_m > 59 or end_m > 59 or start >= _MIDNIGHT or end > _MIDNIGHT or start == end:
        raise _wrong(text)
    return Window(days, start, end)


def _days(words: str, text: str) -> frozenset[int]:
    if words.lower() in ("daily", "*"):
        return frozenset(range(7))
    found: set[int] = set()
    for part in words.lower().split(","):
        first, _, last = part.partition("-")
        if first[:3] not in _DAYS or (last and last[:3] not in _DAYS):
            raise _wrong(text)
        begin = _DAYS.index(first[:3])
        count = (_DAYS.index(last[:3]) - begin) % 7 if last else 0
        found.update((begin + step) % 7 for step in range(count + 1))
    return frozenset(found)


def _wrong(text: str) -> Invalid:
    return Invalid("hours", f"expected hours like {_EXAMPLE!r}, got {text!r}")
