"""What must be true of a text before its parse tree can be trusted."""

from __future__ import annotations

import re

from appliance.sql.native import Token

_SCONST = 261  # of the grammar: an ordinary, E'', U&'', dollar-quoted or N'' literal
_SPACE = b" \t\n\r\f\v"


# Nested comments and runs of signs cost PostgreSQL's scanner quadratic time: it reads a run to its
# end, gives all but one sign back, and begins again. 100,000 signs take minutes.
_SIGNS = re.compile(r"(?:\+|-\+)[+\-]{126}")


def has_long_run_of_signs(text: str) -> bool:
    """Return whether the scanner would be slow on a run of + and -."""
    return len(text) >= 128 and _SIGNS.search(text) is not None


def unreadable(text: str) -> str:
    """Return why a text cannot be handed to the grammar at all, or ""."""
    if "\0" in text:
        return "the text has a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the text is not valid Unicode"
    return ""


def doubtful_literals(text: bytes, tokens: list[Token]) -> list[Token]:
    """Return the literals whose value depends on standard_conforming_strings.

    Those are the ordinary '…' literals with a backslash in them: there it is an escape when the
    setting is off. The grammar here reads with the setting on; the session's may differ, and
    cannot be tracked (8-wire-facts.md E).
    """
    return [
        token
        for token in tokens
        if token.number == _SCONST
        and text[token.start] == 0x27
        and text.find(b"\\", token.start, token.end) >= 0
    ]


def ends_elsewhere(text: bytes, token: Token) -> bool:
    """Return whether a literal ends at another place when the setting is off."""
    return _end_with_escapes(text, token.start) != token.end


def _end_with_escapes(text: bytes, start: int) -> int:
    """Return where a literal that begins at ``start`` ends when backslash escapes; -1 = nowhere."""
    at = start + 1
    while True:
        quote = text.find(b"'", at)
        if quote < 0:
            return -1
        escape = text.find(b"\\", at, quote)
        if escape >= 0:
            at = escape + 2
            continue
        if text[quote + 1 : quote + 2] == b"'":
            at = quote + 2
            continue
        # A literal goes on after white space with a line break in it.
        after = quote + 1
        while after < len(text) and text[after] in _SPACE:
            after += 1
        gap = text[quote + 1 : after]
        if text[after : after + 1] == b"'" and (b"\n" in gap or b"\r" in gap):
            at = after + 1
            continue
        return quote + 1
