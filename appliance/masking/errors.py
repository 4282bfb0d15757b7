"""Errors and notices without values: built anew from their SQLSTATE, never filtered.

Where an error may carry values is a list that grows with every version (8-wire-facts.md G), and
RAISE can fill most fields with anything. So nothing that came is passed on but what can be checked
against a list: the severity, the SQLSTATE, and a position, which is a number; and the text only
where it cannot hold a value (``errors_kept``).
"""

from __future__ import annotations

from appliance.masking.errors_kept import kept
from appliance.masking.errors_words import WORDS

_SEVERITIES = frozenset(
    {b"ERROR", b"FATAL", b"PANIC", b"WARNING", b"NOTICE", b"DEBUG", b"INFO", b"LOG"}
)
_ENDING = frozenset({b"ERROR", b"FATAL", b"PANIC"})
_UNKNOWN = b"P0001"  # what RAISE gives when it names nothing
_MAX_POSITION_DIGITS = 10


def scrub(body: bytes, *, is_error: bool) -> bytes:
    """Return the body of an ErrorResponse or NoticeResponse that says the same without values.

    ``body``: the fields with the zero byte that ends them. A field that cannot be read is as good
    as absent: what comes out is always a whole body.
    """
    fields = _fields(body)
    severity = _severity(fields, is_error=is_error)
    sqlstate = fields.get(b"C", b"")
    words = WORDS.get(sqlstate.decode("latin-1"))
    texts = kept(fields) if words is not None else ()
    if words is None:
        sqlstate, words = _UNKNOWN, WORDS[_UNKNOWN.decode()]
        if not is_error:
            words = WORDS["00000"]
    shown = fields.get(b"S", b"")
    parts = [
        b"S" + (shown if shown in _SEVERITIES else severity),
        b"V" + severity,
        b"C" + sqlstate,
        *(texts or (b"M" + words.encode(),)),
    ]
    position = fields.get(b"P", b"")
    if position.isdigit() and len(position) <= _MAX_POSITION_DIGITS:
        parts.append(b"P" + position)
    return b"\0".join(parts) + b"\0\0"


def _severity(fields: dict[bytes, bytes], *, is_error: bool) -> bytes:
    """Return the severity in English. Servers before 9.6 say it only in their own language."""
    for letter in (b"V", b"S"):
        found = fields.get(letter, b"")
        if found in _SEVERITIES and (found in _ENDING) is is_error:
            return found
    return b"ERROR" if is_error else b"NOTICE"


def _fields(body: bytes) -> dict[bytes, bytes]:
    """Return the first field of each letter."""
    found: dict[bytes, bytes] = {}
    for field in bytes(body).split(b"\0"):
        if not field:
            break
        found.setdefault(field[:1], field[1:])
    return found
