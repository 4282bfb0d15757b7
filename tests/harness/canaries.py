"""Find values that must not be seen in bytes that were received, however they are dressed."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

PART = 6  # characters of a value that already are a leak
_DIGEST_PART = 12  # of a digest, in hexadecimal: what a person would cut off to look it up
_UNIX_EPOCH, _POSTGRES_EPOCH = date(1970, 1, 1), date(2000, 1, 1)
_POSTGRES_EPOCH_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_GENERIC = 4  # different characters that a part needs to be a sign of anything
_LONG = 16  # characters with which it is one anyhow


@dataclass(frozen=True, slots=True)
class Finding:
    """One value seen: which, how it was dressed, and where."""

    canary: str
    shape: str
    at: int
    around: bytes

    def __str__(self) -> str:
        return f"{self.canary} ({self.shape}) in {self.around!r}"


class Canaries:
    """The values to look for. Built once: it takes a moment."""

    def __init__(self, values: Mapping[str, Iterable[Any]]) -> None:
        """Take values by kind, which are those of ``_take``; bytes are given in hex."""
        # The first PART bytes of a pattern, in lower case -> the patterns that begin so.
        self._long: dict[bytes, list[tuple[bytes, bool, str, str]]] = defaultdict(list)
        self._short: list[tuple[bytes, str, str]] = []
        self._codes: dict[str, str] = {}
        self._numbers: dict[int, str] = {}
        self.names: list[str] = []
        for kind, those in values.items():
            for value in those:
                self._take(kind, value)

    def find(self, received: bytes) -> Finding | None:
        """Return the first value seen in these bytes, None if there is none."""
        lower = received.lower()
        known = self._long
        for at in range(len(lower) - PART + 1):
            head = lower[at : at + PART]
            if head in known:
                for pattern, any_case, canary, shape in known[head]:
                    if (lower if any_case else received).startswith(pattern, at):
                        return _finding(canary, shape, at, received)
        for short, canary, shape in self._short:
            at = received.find(short)
            if at >= 0:
                return _finding(canary, shape, at, received)
        return None

    def find_code(self, sqlstates: Iterable[str]) -> Finding | None:
        """Return a value of which five characters came as an error code."""
        for code in sqlstates:
            if code in self._codes:
                return Finding(self._codes[code], "SQLSTATE", 0, code.encode())
        return None

    def find_count(self, counts: Iterable[int]) -> Finding | None:
        """Return a number that came as the number of rows."""
        for count in counts:
            if count in self._numbers:
                return Finding(self._numbers[count], "number of rows", 0, str(count).encode())
        return None

    # -- what a value may look like --------------------------------------------------------------

    def _take(self, kind: str, value: Any) -> None:
        name = str(value)
        self.names.append(name)
        match kind:
            case "text":
                self._text(name, name, "text")
                for size in range(len(name) - 4):
                    self._codes[name[size : size + 5].upper()] = name
            case "bytes":
                raw = bytes.fromhex(value)
                self._bytes(raw, name)
                self._text(value, name, "text")
            case "int4" | "int8" | "float8" | "numeric":
                self._number(kind, value)
            case "uuid":
                self._text(name, name, "text")
                self._text(name.replace("-", ""), name, "text")
                self._bytes(bytes.fromhex(name.replace("-", "")), name)
            case "inet":
                self._text(name, name, "text")
                self._bytes(ip_address(name).packed, name)
            case "timestamp":
                self._timestamp(datetime.fromisoformat(name), name)
            case "interval":  # its time of day; days stand apart in the binary form
                self._text(name, name, "text")
                since = datetime.fromisoformat(f"2000-01-01 {name}+00:00") - _POSTGRES_EPOCH_TIME
                self._add_short(struct.pack("!q", _micros(since)), name, "binary interval")
            case "date":
                self._date(date.fromisoformat(name), name)
            case _:
                raise ValueError(f"no such kind of canary: {kind}")

    def _text(self, value: str, name: str, shape: str) -> None:
        for dressed, how in ((value, ""), (value[::-1], " reversed")):
            raw = dressed.encode()
            for part in _parts(raw):
                self._add(part, name, shape + how)
                for cased in {part, part.lower(), part.upper()}:
                    self._add(cased.hex().encode(), name, f"hex of {shape}{how}")
                self._add(part.decode().encode("utf-16-le"), name, f"UTF-16 of {shape}{how}")
                self._add(part.decode().encode("utf-16-be"), name, f"UTF-16 of {shape}{how}")
            for cased in {raw, raw.lower(), raw.upper()}:
                self._base64(cased, name, f"base64 of {shape}{how}")
                self._digests(cased, name, shape + how)
        spelled = ", ".join(str(byte) for byte in value.encode()[:PART])
        self._add(spelled.encode(), name, f"codes of {shape}")
        self._add(spelled.replace(", ", ",").encode(), name, f"codes of {shape}")

    def _bytes(self, raw: bytes, name: str) -> None:
        for part in (raw[at : at + 5] for at in range(len(raw) - 4)):
            self._add_short(part, name, "raw bytes")
            self._add_short(part[::-1], name, "raw bytes reversed")
        self._base64(raw, name, "base64")
        self._digests(raw, name, "bytes")
        octal = "".join(f"\\{byte:03o}" if byte > 126 or byte < 32 else chr(byte) for byte in raw)
        self._add(octal.encode()[:12], name, "bytea in escape format")

    def _number(self, kind: str, value: Any) -> None:
        name, number = str(value), Decimal(str(value))
        self._text(name, name, "text")
        if kind == "numeric":
            self._add_short(_numeric_digits(number), name, "binary numeric")
            whole = int(number)
            self._text(str(whole), name, "whole part")
            self._add_short(struct.pack("!q", int(number * 100)), name, "binary money")
        elif kind == "float8":
            self._add_short(struct.pack("!d", float(value)), name, "binary float8")
            self._add_short(struct.pack("<d", float(value)), name, "binary float8")
            return
        else:
            whole = int(value)
            self._numbers[whole] = name
            self._add_short(_numeric_digits(number), name, "binary numeric")
        for one in {whole, -whole}:
            for form in ("i", "q") if abs(one) < 1 << 31 else ("q",):
                self._add_short(struct.pack("!" + form, one), name, "binary integer")
            self._add_short(struct.pack("!d", one), name, "binary float8")
        for based in (f"{whole:x}", f"{whole:o}", f"{whole:b}"):
            if len(based) >= PART:
                self._add(based.encode(), name, "another base")

    def _date(self, day: date, name: str) -> None:
        for form in ("%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y"):
            self._add(day.strftime(form).encode(), name, "date")
        self._add(day.strftime("%Y%m%d").encode(), name, "date")
        self._digests(name.encode(), name, "date")
        self._base64(name.encode(), name, "base64 of date")
        since_unix = (day - _UNIX_EPOCH).days
        since = (day - _POSTGRES_EPOCH).days
        self._add_short(struct.pack("!i", since), name, "binary date")
        self._add(str(since_unix * 86400).encode(), name, "seconds")
        self._add_short(struct.pack("!d", since_unix * 86400), name, "seconds as float8")
        self._add_short(_numeric_digits(Decimal(since_unix * 86400)), name, "seconds as numeric")
        midnight = struct.pack("!q", since * 86_400_000_000)
        self._add_short(midnight[:5], name, "binary timestamp")  # of any time that day, nearly
        self._add(str(since_unix + 2440588)[:7].encode(), name, "Julian day")

    def _timestamp(self, time: datetime, name: str) -> None:
        self._date(time.date(), str(time.date()))
        self._text(time.strftime("%H:%M:%S.%f"), name, "time of day")
        self._add_short(
            struct.pack("!q", _micros(time - _POSTGRES_EPOCH_TIME)), name, "binary timestamp"
        )
        self._add(f"{time.timestamp():.6f}".encode()[:14], name, "seconds")

    def _base64(self, raw: bytes, name: str, shape: str) -> None:
        for part in _parts(raw):
            for before in range(3):
                whole = base64.b64encode(bytes(before) + part)
                first = -(-before * 8 // 6)  # characters that hold bits of what is before
                last = (before + len(part)) * 8 // 6
                self._add(whole[first:last], name, shape, any_case=False)

    def _digests(self, raw: bytes, name: str, shape: str) -> None:
        for algorithm in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
            digest = hashlib.new(algorithm, raw, usedforsecurity=False)
            text = digest.hexdigest().encode()
            for part in _parts(text, _DIGEST_PART):
                self._add(part, name, f"{algorithm} of {shape}")
            self._add_short(digest.digest()[:8], name, f"{algorithm} of {shape}")
            self._add(base64.b64encode(digest.digest())[:10], name, f"{algorithm}", any_case=False)

    def _add(self, pattern: bytes, name: str, shape: str, *, any_case: bool = True) -> None:
        pattern = pattern.lower() if any_case else pattern
        if len(pattern) >= _LONG or (len(pattern) >= PART and len(set(pattern)) >= _NOT_GENERIC):
            self._long[pattern[:PART].lower()].append((pattern, any_case, name, shape))

    def _add_short(self, pattern: bytes, name: str, shape: str) -> None:
        if len(pattern) >= PART:
            self._add(pattern, name, shape, any_case=False)
        else:
            self._short.append((pattern, name, shape))


def _parts(value: bytes, size: int = PART) -> Iterator[bytes]:
    if len(value) < size:
        yield value
    for at in range(len(value) - size + 1):
        yield value[at : at + size]


def _numeric_digits(number: Decimal) -> bytes:
    """Return the digits of numeric's binary form: groups of four, on both sides of the point."""
    whole, _, fraction = f"{number:f}".partition(".")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    text = whole + fraction
    return b"".join(struct.pack("!h", int(text[at : at + 4])) for at in range(0, len(text), 4))


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _finding(canary: str, shape: str, at: int, received: bytes) -> Finding:
    return Finding(canary, shape, at, received[max(at - 30, 0) : at + 40])
