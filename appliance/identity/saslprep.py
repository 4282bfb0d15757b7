"""SASLprep of passwords exactly as PostgreSQL does it (src/common/saslprep.c), not as RFC 4013."""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepare(password: str) -> bytes:
    """Return the bytes that PBKDF2 gets.

    PostgreSQL takes pure ASCII as it is, also control characters; what SASLprep prohibits, and
    what is no valid UTF-8 (lone surrogates here), falls back to the raw bytes instead of failing.
    """
    if password.isascii():
        return password.encode()
    raw = password.encode("utf-8", "surrogateescape")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in password):
        return raw
    mapped = "".join(map(_mapped, password))
    if not mapped or _is_prohibited(mapped):
        return raw
    return unicodedata.normalize("NFKC", mapped).encode()


def _mapped(char: str) -> str:
    # U+200B is in both tables; PostgreSQL asks for spaces first.
    if stringprep.in_table_c12(char):
        return " "
    return "" if stringprep.in_table_b1(char) else char


def _is_prohibited(text: str) -> bool:
    """Judge the mapped text before normalization: so does PostgreSQL."""
    if any(is_in(char) for char in text for is_in in _PROHIBITED):
        return True
    if not any(map(stringprep.in_table_d1, text)):
        return False
    ends_right_to_left = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not ends_right_to_left or any(map(stringprep.in_table_d2, text))
