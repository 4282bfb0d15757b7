"""Column types that mean the same on SQLite and on PostgreSQL."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import peewee

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    """Return microseconds since the epoch; ``at`` must be aware."""
    if at.tzinfo is None:
        raise ValueError("the store takes aware datetimes only")
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of ``to_micros``."""
    return _EPOCH + timedelta(microseconds=micros)


class UtcField(peewee.BigIntegerField):
    """A moment, as microseconds since the epoch: it sorts and compares alike everywhere."""

    def db_value(self, value: Any) -> int | None:
        return to_micros(value) if isinstance(value, datetime) else value

    def python_value(self, value: Any) -> datetime | None:
        return None if value is None else from_micros(value)


class JsonField(peewee.TextField):
    """Lists and objects as JSON text with sorted keys, so that equal values are equal texts."""

    def db_value(self, value: Any) -> str | None:
        if value is None:
            return None
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    def python_value(self, value: Any) -> Any:
        return orjson.loads(value) if value else None


class BytesField(peewee.Field):
    """Bytes as they are (peewee's BlobField asks the database for its type at import time)."""

    field_type = "BLOB"

    def db_value(self, value: Any) -> bytes | None:
        return None if value is None else bytes(value)

    def python_value(self, value: Any) -> bytes | None:
        return None if value is None else bytes(value)
