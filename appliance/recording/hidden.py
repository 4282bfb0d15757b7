"""Texts without their literals, for records: those may be values that a mask is on (pure)."""

from __future__ import annotations

import re

from appliance.recording.redact import REPLACEMENT, REST_REPLACEMENT
from appliance.recording.texts import PreparedText, prepare

_MAX_CHARACTERS = 256 << 10  # what lies behind is left out rather than looked through
# Whatever is no literal is skipped in one go. Each repetition is bounded by what it cannot match.
_PIECE = re.compile(
    r"""(?P<comment>/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|--[^\n]*+)
      | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$)
      | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*+(?:'|\Z))
      | (?P<string>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*+(?:'|\Z))
      | (?P<number>(?:\.?[0-9])[0-9A-Za-z_.]*+(?:(?<=[eE])[+-][0-9]++)?)
      | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*+(?:"|\Z))
      | (?P<word>\$[0-9]++|[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*+)
      | [^\w\s]
    """,
    re.VERBOSE | re.DOTALL,
)
# Numbers behind these are of the statement, not of its data.
_COUNTING = frozenset({"limit", "offset", "first", "next", "by"})


def hidden(text: str) -> PreparedText:
    """Return a text as it is recorded where its literals may be masked values.

    Strings and numbers are replaced, in comments too, and its parameters are not recorded.
    """
    cut = text[:_MAX_CHARACTERS]
    pieces: list[str] = []
    at, before = 0, ""
    while (found := _PIECE.search(cut, at)) is not None:
        kind, start, end = found.lastgroup, found.start(), found.end()
        pieces.append(cut[at:start])
        piece = found.group()
        if kind == "string" and "\\'" in piece and piece[0] == "'":
            pieces.append(REST_REPLACEMENT)  # where it ends depends on a setting
            return _made("".join(pieces))
        if kind == "dollar":
            closing = cut.find(piece, end)
            end = len(cut) if closing < 0 else closing + len(piece)
            piece = REPLACEMENT
        elif (kind == "number" and before not in _COUNTING) or kind in ("escaped", "string"):
            piece = REPLACEMENT
        elif kind == "comment":
            piece = "/* *** */" if piece.startswith("/*") else "-- ***"
        pieces.append(piece)
        before = piece.lower() if kind == "word" else ""
        at = end
    pieces.append(cut[at:])
    if len(text) > len(cut):
        pieces.append("\n/* the rest was not recorded */")
    return _made("".join(pieces))


def _made(text: str) -> PreparedText:
    clean = prepare(text)
    return PreparedText(clean.text, clean.sha, secret=True)
