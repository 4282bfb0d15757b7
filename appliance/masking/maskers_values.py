"""Values in the forms in which PostgreSQL sends them: text, or the binary of each type."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

TEXT: Final = 0
BINARY: Final = 1

_EPOCH: Final = datetime(2000, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)
_DIGITS: Final = 4  # decimal digits in one digit of a binary numeric


@dataclass(frozen=True, slots=True)
class Dialect:
    """The session's settings on which the form of its values depends.

    ``codec``: Python's for its client_encoding; None = one that cannot be read safely.
    """

    codec: str | None = "utf-8"
    timezone: str = "UTC"
    date_style: str = "ISO, MDY"


def date_text(value: date, dialect: Dialect) -> bytes:
    """Return a date as the session's DateStyle writes it."""
    style, _, order = dialect.date_style.partition(",")
    if "DMY" in order.upper():
        first, second = value.day, value.month
    else:
        first, second = value.month, value.day
    forms = {
        "german": f"{value.day:02}.{value.month:02}.{value.year:04}",
        "sql": f"{first:02}/{second:02}/{value.year:04}",
        "postgres": f"{first:02}-{second:02}-{value.year:04}",
    }
    return forms.get(style.strip().lower(), value.isoformat()).encode()


def timestamp_text(value: datetime, dialect: Dialect) -> bytes:
    """Return a timestamp as the session's DateStyle writes it; an aware one is given in UTC."""
    zone = "" if value.tzinfo is None else "+00"
    value = value if value.tzinfo is None else value.astimezone(UTC)
    clock = value.time().isoformat()
    if dialect.date_style.lower().startswith("postgres"):
        # Mon Jan 01 00:00:00 0001: the one style that does not begin with a date
        day = f"{value.day:02}"
        month = _MONTHS[value.month - 1]
        pair = f"{day} {month}" if "DMY" in dialect.date_style.upper() else f"{month} {day}"
        end = " UTC" if zone else ""
        return f"{_DAYS[value.weekday()]} {pair} {clock} {value.year:04}{end}".encode()
    if zone and not dialect.date_style.lower().startswith("iso"):
        zone = " UTC"
    return date_text(value.date(), dialect) + f" {clock}{zone}".encode()


def date_binary(value: date) -> bytes:
    return struct.pack("!i", (value - _EPOCH.date()).days)


def timestamp_binary(value: datetime) -> bytes:
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return struct.pack("!q", (value - _EPOCH) // _MICROSECOND)


def time_binary(value: time) -> bytes:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return struct.pack("!q", seconds * 1_000_000 + value.microsecond)


def first_instant(timezone: str) -> datetime:
    """Return a moment that is on 0001-01-01 in UTC and in the session's time zone as well.

    Clients that have no years before 1 fail on a moment that lies in one of them.
    """
    try:
        offset = ZoneInfo(timezone).utcoffset(datetime(1, 1, 2))
    except (KeyError, OSError, ValueError):
        offset = None  # a zone that only the server knows
    west = max(-(offset or timedelta()), timedelta())
    return datetime(1, 1, 1, tzinfo=UTC) + west


def numeric_binary(value: Decimal) -> bytes:
    """Return a finite number as numeric's digits in base 10,000."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("expected a finite number")
    scale = max(-exponent, 0)
    whole = "".join(map(str, digits)) + "0" * max(exponent, 0)
    whole = whole.rjust(scale + 1, "0")
    left, right = whole[: len(whole) - scale], whole[len(whole) - scale :]
    left = left.lstrip("0")
    left = left.rjust(-(-len(left) // _DIGITS) * _DIGITS, "0")
    right = right.ljust(-(-len(right) // _DIGITS) * _DIGITS, "0")
    groups = [int(part) for part in _in_fours(left + right)]
    weight = len(left) // _DIGITS - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        weight, sign = 0, 0
    head = struct.pack("!hhHH", len(groups), weight, 0x4000 if sign else 0, scale)
    return head + b"".join(struct.pack("!h", group) for group in groups)


def _in_fours(digits: str) -> list[str]:
    return [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
