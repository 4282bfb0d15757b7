"""What every type has in place of a value of which nothing may be known."""

from __future__ import annotations

import struct
from datetime import date, datetime
from typing import Final

from appliance.masking.maskers_values import (
    TEXT,
    Dialect,
    date_binary,
    date_text,
    first_instant,
    timestamp_binary,
    timestamp_text,
)
from appliance.masking.types import DATES, Kind, Type

STARS: Final = "***"
_MODIFIER: Final = 4  # what atttypmod of a character type has on top of its length
_FIRST_DAY: Final = date(1, 1, 1)
_IPV4: Final = 2  # PGSQL_AF_INET, whatever the server's platform says


def redaction(of: Type, form: int, dialect: Dialect, typmod: int) -> bytes | None:
    """Return the same for every value of a type, in text or binary; None = NULL."""
    kind = of.kind
    if kind in DATES:
        return zero_date(kind, form, dialect)
    if kind is Kind.ARRAY:
        return b"{}" if form == TEXT else struct.pack("!iiI", 0, 0, of.element)
    if kind is Kind.BIT:
        length = max(typmod, 1)
        return b"0" * length if form == TEXT else struct.pack("!i", length) + bytes(-(-length // 8))
    if kind in _CHARACTERS:
        return fitted(STARS, kind, typmod).encode()
    found = _CONSTANT.get(kind)
    return None if found is None else found[form != TEXT]


def zero_date(kind: Kind, form: int, dialect: Dialect) -> bytes:
    """Return 0001-01-01 for one of DATES."""
    if kind is Kind.DATE:
        return date_text(_FIRST_DAY, dialect) if form == TEXT else date_binary(_FIRST_DAY)
    moment = datetime(1, 1, 1)
    if kind is Kind.TIMESTAMPTZ:
        moment = first_instant(dialect.timezone)
    return timestamp_text(moment, dialect) if form == TEXT else timestamp_binary(moment)


def fitted(text: str, kind: Kind, typmod: int) -> str:
    """Return a replacement that is no longer than varchar(n) or name take, padded for char(n)."""
    if kind is Kind.NAME:
        return text[:_NAME_BYTES].encode()[:_NAME_BYTES].decode("utf-8", "ignore")
    length = typmod - _MODIFIER
    if length < 0:
        return text
    text = text[:length]
    return text.ljust(length) if kind is Kind.BPCHAR else text


_NAME_BYTES: Final = 63
_CHARACTERS: Final = frozenset({Kind.TEXT, Kind.BPCHAR, Kind.CITEXT, Kind.NAME})

# (text, binary) as each type's output and send functions write it. Money is written without its
# sign, which depends on the server's locale; regclass and its like have "-" for no object.
_CONSTANT: Final = {
    Kind.BOOL: (b"f", bytes(1)),
    Kind.INT2: (b"0", bytes(2)),
    Kind.INT4: (b"0", bytes(4)),
    Kind.INT8: (b"0", bytes(8)),
    Kind.FLOAT4: (b"0", bytes(4)),
    Kind.FLOAT8: (b"0", bytes(8)),
    Kind.NUMERIC: (b"0", bytes(8)),
    Kind.MONEY: (b"0", bytes(8)),
    Kind.CHAR: (b"*", b"*"),
    Kind.BYTEA: (b"\\x", b""),
    Kind.UUID: (b"00000000-0000-0000-0000-000000000000", bytes(16)),
    Kind.TIME: (b"00:00:00", bytes(8)),
    Kind.TIMETZ: (b"00:00:00+00", bytes(12)),
    Kind.INTERVAL: (b"00:00:00", bytes(16)),
    Kind.INET: (b"0.0.0.0", bytes((_IPV4, 32, 0, 4)) + bytes(4)),
    Kind.CIDR: (b"0.0.0.0/32", bytes((_IPV4, 32, 1, 4)) + bytes(4)),
    Kind.MACADDR: (b"00:00:00:00:00:00", bytes(6)),
    Kind.MACADDR8: (b"00:00:00:00:00:00:00:00", bytes(8)),
    Kind.JSON: (b"{}", b"{}"),
    Kind.JSONB: (b"{}", b"\x01{}"),
    Kind.JSONPATH: (b"$", b"\x01$"),
    Kind.XML: (b"<masked/>", b"<masked/>"),
    Kind.VARBIT: (b"", bytes(4)),
    Kind.POINT: (b"(0,0)", bytes(16)),
    Kind.LSEG: (b"[(0,0),(0,0)]", bytes(32)),
    Kind.PATH: (b"((0,0))", struct.pack("!bi", 1, 1) + bytes(16)),
    Kind.BOX: (b"(0,0),(0,0)", bytes(32)),
    Kind.POLYGON: (b"((0,0))", struct.pack("!i", 1) + bytes(16)),
    Kind.LINE: (b"{0,1,0}", struct.pack("!ddd", 0, 1, 0)),
    Kind.CIRCLE: (b"<(0,0),0>", bytes(24)),
    Kind.TSVECTOR: (b"", bytes(4)),
    Kind.TSQUERY: (b"'masked'", struct.pack("!ibbb", 1, 1, 0, 0) + b"masked\0"),
    Kind.OID: (b"0", bytes(4)),
    Kind.REGOBJECT: (b"-", bytes(4)),
    Kind.REGOPERATOR: (b"0", bytes(4)),
    Kind.XID8: (b"0", bytes(8)),
    Kind.TID: (b"(0,0)", bytes(6)),
    Kind.PG_LSN: (b"0/0", bytes(8)),
    Kind.SNAPSHOT: (b"1:1:", struct.pack("!iqq", 0, 1, 1)),
    Kind.INT2VECTOR: (b"0", struct.pack("!iiIiiih", 1, 0, 21, 1, 0, 2, 0)),
    Kind.OIDVECTOR: (b"0", struct.pack("!iiIiiiI", 1, 0, 26, 1, 0, 4, 0)),
    Kind.RANGE: (b"empty", b"\x01"),
    Kind.MULTIRANGE: (b"{}", bytes(4)),
}
