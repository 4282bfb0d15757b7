"""Replacements that depend on the value: a part of a text, a domain, a keyed hash.

Each is a small value, so that the compiled row path can tell those that it does itself.
"""

from __future__ import annotations

import hmac
import re
from binascii import hexlify
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from appliance.masking.maskers_redaction import STARS, fitted
from appliance.masking.maskers_values import TEXT
from appliance.masking.types import Kind

# A domain's last label has a letter: what is all digits may be anything.
_DOMAIN: Final = re.compile(r"([\w-]+\.)*(?=[\w-]*[^\W\d_])[\w-]+\.?")
_MAX_DOMAIN = 253  # RFC 1035
_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every value; None = NULL."""

    value: bytes | None

    def __call__(self, value: bytes) -> bytes | None:
        return self.value


@dataclass(frozen=True, slots=True)
class Partial:
    """The last min(4, length/4) characters stay. ``is_padded``: char(n)'s blanks are no value."""

    codec: str
    is_padded: bool = False

    def __call__(self, value: bytes) -> bytes | None:
        try:
            text = value.decode(self.codec)
        except UnicodeDecodeError:
            return STARS.encode()
        shown = text.rstrip(" ") if self.is_padded else text
        hidden = len(shown) - min(4, len(shown) // 4)
        masked = "*" * hidden + shown[hidden:] + " " * (len(text) - len(shown))
        return masked.encode(self.codec)


@dataclass(frozen=True, slots=True)
class Email:
    """The domain stays. What has none, or one that is none, is replaced whole."""

    codec: str
    kind: Kind
    typmod: int

    def __call__(self, value: bytes) -> bytes | None:
        try:
            text = value.decode(self.codec).rstrip(" ")
        except UnicodeDecodeError:
            text = ""
        local, _, domain = text.rpartition("@")
        is_address = local and len(domain) <= _MAX_DOMAIN and _DOMAIN.fullmatch(domain)
        masked = f"{STARS}@{domain}" if is_address else STARS
        return fitted(masked, self.kind, self.typmod).encode(self.codec)


@dataclass(frozen=True, slots=True)
class HashText:
    """16 hex digits of a keyed hash; equal for values that the type holds to be equal."""

    key: bytes
    codec: str | None
    kind: Kind
    typmod: int

    def __call__(self, value: bytes) -> bytes | None:
        if self.codec is not None and (self.kind is not Kind.TEXT or not value.isascii()):
            with suppress(UnicodeDecodeError):  # else the bytes as they came
                value = self._plain(value.decode(self.codec)).encode("utf-8")
        digest = hmac.digest(self.key, b"text\0" + value, "sha256")
        made = hexlify(digest[: _HASH_DIGITS // 2])
        if self.typmod < 0:
            return made
        return fitted(made.decode(), self.kind, self.typmod).encode()

    def _plain(self, text: str) -> str:
        if self.kind is Kind.BPCHAR:
            return text.rstrip(" ")
        return text.lower() if self.kind is Kind.CITEXT else text


@dataclass(frozen=True, slots=True)
class HashInteger:
    """A number from 0 to the largest of the type; ``size`` is its bytes."""

    key: bytes
    size: int
    form: int

    def __call__(self, value: bytes) -> bytes | None:
        try:
            number = int(value) if self.form == TEXT else int.from_bytes(value, signed=True)
        except ValueError:
            return None
        digest = hmac.digest(self.key, b"integer\0%d" % number, "sha256")
        hashed = int.from_bytes(digest[:8]) & ((1 << (8 * self.size - 1)) - 1)
        return b"%d" % hashed if self.form == TEXT else hashed.to_bytes(self.size)


@dataclass(frozen=True, slots=True)
class HashUuid:
    """A random-looking UUID (version 4)."""

    key: bytes
    form: int

    def __call__(self, value: bytes) -> bytes | None:
        if self.form == TEXT:
            try:
                value = bytes.fromhex(value.decode("ascii").replace("-", ""))
            except ValueError:
                return None
        digest = bytearray(hmac.digest(self.key, b"uuid\0" + value, "sha256")[:16])
        digest[6] = digest[6] & 0x0F | 0x40
        digest[8] = digest[8] & 0x3F | 0x80
        if self.form != TEXT:
            return bytes(digest)
        return _UUID.sub(rb"\1-\2-\3-\4-\5", digest.hex().encode())


_UUID: Final = re.compile(rb"(.{8})(.{4})(.{4})(.{4})(.{12})")
