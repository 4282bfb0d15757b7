"""Read the value of a ``fixed`` rule and write it as its column's type sends it."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from ipaddress import ip_interface, ip_network
from typing import Final
from uuid import UUID

from appliance.masking.maskers_redaction import fitted
from appliance.masking.maskers_values import (
    TEXT,
    Dialect,
    date_binary,
    date_text,
    numeric_binary,
    time_binary,
    timestamp_binary,
    timestamp_text,
)
from appliance.masking.types import TEXTS, Kind

_TRUE = frozenset({"t", "true", "yes", "on", "1"})
_FALSE = frozenset({"f", "false", "no", "off", "0"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_MAX_NUMERIC_DIGITS = 1000

Pair = tuple[bytes, bytes]  # text, binary


def fixed(kind: Kind, value: str, form: int, dialect: Dialect, typmod: int) -> bytes:
    """Return the value in text or binary.

    Raises:
        ValueError: the type has no such value, or the session's encoding not its characters.
    """
    if kind in TEXTS:
        if "\0" in value:
            raise ValueError("a text cannot hold a NUL")
        return fitted(value, kind, typmod).encode(dialect.codec or "ascii")
    if kind not in _FORMS:
        raise ValueError("no fixed value is possible")
    return _FORMS[kind](value.strip(), dialect)[form != TEXT]


def takes_fixed(kind: Kind) -> bool:
    """Return whether values of the kind can be written here."""
    return kind in TEXTS or kind in _FORMS


def _bool(value: str, dialect: Dialect) -> Pair:
    if value.lower() in _TRUE:
        return b"t", b"\x01"
    if value.lower() in _FALSE:
        return b"f", b"\x00"
    raise ValueError


def _integer(size: int) -> Callable[[str, Dialect], Pair]:
    def write(value: str, dialect: Dialect) -> Pair:
        number = int(_matching(_INTEGER, value))
        try:
            return b"%d" % number, number.to_bytes(size, signed=True)
        except OverflowError as error:
            raise ValueError from error

    return write


def _float(code: str) -> Callable[[str, Dialect], Pair]:
    def write(value: str, dialect: Dialect) -> Pair:
        number = float(_matching(_NUMBER, value))
        try:
            packed = struct.pack(code, number)
        except OverflowError as error:
            raise ValueError from error
        if not math.isfinite(number):
            raise ValueError
        return repr(number).removesuffix(".0").encode(), packed

    return write


def _numeric(value: str, dialect: Dialect) -> Pair:
    try:
        number = Decimal(_matching(_NUMBER, value))
    except InvalidOperation as error:
        raise ValueError from error
    text = f"{number:f}"
    if len(text) > _MAX_NUMERIC_DIGITS:
        raise ValueError
    return text.encode(), numeric_binary(Decimal(text))


def _uuid(value: str, dialect: Dialect) -> Pair:
    found = UUID(value)
    return str(found).encode(), found.bytes


def _bytea(value: str, dialect: Dialect) -> Pair:
    if not value.startswith("\\x"):
        raise ValueError
    found = bytes.fromhex(value[2:])
    return b"\\x" + found.hex().encode(), found


def _date(value: str, dialect: Dialect) -> Pair:
    found = date.fromisoformat(_matching(_DATE, value))
    return date_text(found, dialect), date_binary(found)


def _time(value: str, dialect: Dialect) -> Pair:
    found = time.fromisoformat(value)
    if found.tzinfo is not None:
        raise ValueError
    return found.isoformat().encode(), time_binary(found)


def _timestamp(value: str, dialect: Dialect) -> Pair:
    found = datetime.fromisoformat(value)
    if found.tzinfo is not None:
        raise ValueError
    return timestamp_text(found, dialect), timestamp_binary(found)


def _timestamptz(value: str, dialect: Dialect) -> Pair:
    found = datetime.fromisoformat(value)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return timestamp_text(found, dialect), timestamp_binary(found)


def _inet(value: str, dialect: Dialect) -> Pair:
    found = ip_interface(value)
    bits, address = found.network.prefixlen, found.packed
    text = str(found.ip) if bits == 8 * len(address) else str(found)
    return text.encode(), _address(bits, 0, address)


def _cidr(value: str, dialect: Dialect) -> Pair:
    found = ip_network(value)
    return str(found).encode(), _address(found.prefixlen, 1, found.network_address.packed)


def _address(bits: int, is_cidr: int, address: bytes) -> bytes:
    family = 2 if len(address) == 4 else 3  # PGSQL_AF_INET, PGSQL_AF_INET6
    return bytes((family, bits, is_cidr, len(address))) + address


def _macaddr(value: str, dialect: Dialect) -> Pair:
    text = _matching(_MAC, value).lower().replace("-", ":")
    return text.encode(), bytes.fromhex(text.replace(":", ""))


def _json(prefix: bytes) -> Callable[[str, Dialect], Pair]:
    def write(value: str, dialect: Dialect) -> Pair:
        found = json.loads(value, parse_constant=_refuse)
        text = json.dumps(found).encode()  # ASCII, in whatever encoding the session reads
        return text, prefix + text

    return write


def _refuse(constant: str) -> None:
    raise ValueError  # NaN and Infinity, which Python takes for JSON


def _matching(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError
    return value


_FORMS: Final[dict[Kind, Callable[[str, Dialect], Pair]]] = {
    Kind.BOOL: _bool,
    Kind.INT2: _integer(2),
    Kind.INT4: _integer(4),
    Kind.INT8: _integer(8),
    Kind.FLOAT4: _float("!f"),
    Kind.FLOAT8: _float("!d"),
    Kind.NUMERIC: _numeric,
    Kind.UUID: _uuid,
    Kind.BYTEA: _bytea,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMPTZ: _timestamptz,
    Kind.INET: _inet,
    Kind.CIDR: _cidr,
    Kind.MACADDR: _macaddr,
    Kind.JSON: _json(b""),
    Kind.JSONB: _json(b"\x01"),
}
