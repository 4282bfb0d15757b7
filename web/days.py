"""Dates as forms have them: a day that something lasts through, against the moment it ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from web.forms import Form
from web.services import now

_DAY = timedelta(days=1)


def end_of_day(form: Form, name: str) -> datetime | None:
    """Return the first moment after the typed day (UTC), None where nothing was typed.

    A wrong or past day becomes an error beside its field.
    """
    text = form.value(name)
    if not text:
        return None
    try:
        last = date.fromisoformat(text)
    except ValueError:
        form.refuse(name, f"Expected a date such as 2027-06-30, got “{text[:20]}”.")
        return None
    if last.year > 9000:
        form.refuse(name, "Expected a date before the year 9000.")
        return None
    ends = datetime.combine(last, time(), UTC) + _DAY
    if ends <= now():
        form.refuse(name, f"{text} has already passed.")
        return None
    return ends


def last_day_of(ends: datetime | None) -> str:
    """Return the last whole day before an exclusive end, as a form shows it."""
    return (ends - timedelta(microseconds=1)).astimezone(UTC).strftime("%Y-%m-%d") if ends else ""
