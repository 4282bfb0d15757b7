"""Words for time that people type: ``90d``, ``12h``, ``2027-01-31``."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from appliance.errors import Invalid

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"([0-9]{1,10})([smhdw])")
_MAX_S = 100 * 366 * 86400
_DAY = timedelta(days=1)


def parse_span(field: str, text: str) -> timedelta:
    """Return ``90d`` or ``2h`` as a length of time; ``0`` needs no unit. Raises: Invalid."""
    if text.strip() == "0":
        return timedelta(0)
    found = _SPAN.fullmatch(text.strip())
    seconds = int(found[1]) * _UNITS[found[2]] if found else _MAX_S + 1
    if seconds > _MAX_S:
        raise Invalid(field, f"expected a time such as 90d, 12h or 10m, got {text[:40]!r}")
    return timedelta(seconds=seconds)


def parse_expiry(field: str, text: str, now: datetime) -> datetime:
    """Return the first moment at which it has ended.

    A date lasts through the end of that day, UTC; a length counts from ``now``; a moment may also
    be given in full (``2027-01-31T18:00:00+01:00``). Raises: Invalid, also for what is past.
    """
    end = _moment(field, text.strip(), now)
    if end <= now:
        raise Invalid(field, f"{text} is over", "give a day or a time that is still to come")
    return end


def end_of_day(day: date) -> datetime:
    """Return the first moment after ``day``, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + _DAY


def show_expiry(at: datetime) -> str:
    """Return the word that ``parse_expiry`` reads back as ``at``."""
    at = at.astimezone(UTC)
    if (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0):
        return (at - _DAY).date().isoformat()
    return at.isoformat()


def show_span(span: timedelta) -> str:
    """Return the shortest word that ``parse_span`` reads back."""
    seconds = int(span.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def _moment(field: str, text: str, now: datetime) -> datetime:
    if _SPAN.fullmatch(text):
        return now + parse_span(field, text)
    try:
        if len(text) == len("2027-01-31"):
            return end_of_day(date.fromisoformat(text))
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            field, f"expected 90d, 12h or a day such as 2027-01-31, got {text[:40]!r}"
        ) from None


def seconds(number: int) -> timedelta:
    """Return a length of time in seconds, for ``show_span``."""
    return timedelta(seconds=number)
