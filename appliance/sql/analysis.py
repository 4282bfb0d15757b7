"""Parses one text in this process, without guards: parser.py and planner.py decide where."""

from __future__ import annotations

from functools import partial

from appliance.sql.extract import extract, extract_inner, unknown_statement
from appliance.sql.facts import NO_GRAMMAR
from appliance.sql.fingerprint import of_text, structure
from appliance.sql.lexing import doubtful_literals, ends_elsewhere, has_long_run_of_signs
from appliance.sql.native import GrammarError, PgQuery, Token
from appliance.sql.parsed import Parsed, ParsedStatement

REFUSAL_BACKSLASH = (
    "what this text says depends on standard_conforming_strings: write a backslash before a quote"
    " in an E'…' literal"
)
TOO_DEEP = "the statement nests too deep to be analysed"
# A text inside a literal of another text is parsed in the same place, so it obeys the same bound.
MAX_INNER_BYTES = 8192
MAX_INNER_COMMENTS = 64


class Analysis:
    """PostgreSQL's grammar and the walk over its tree."""

    def __init__(self, library: PgQuery) -> None:
        self._library = library
        self._structure = partial(structure, library)

    def __call__(self, text: str) -> Parsed:
        """Return what a text says. ``text`` has no NUL and no lone surrogate."""
        data = text.encode()
        library = self._library
        try:
            doubtful = self._doubtful(data)
            if any(ends_elsewhere(data, token) for token in doubtful):
                return Parsed((), refusal=REFUSAL_BACKSLASH, size=len(text))
            return extract(library.parse(data), data, self._inner, self._structure, bool(doubtful))
        except GrammarError as error:
            return unknown(NO_GRAMMAR + error.message, text)
        except ValueError:  # orjson: nested over 1,024 levels
            return unknown(TOO_DEEP, text)

    def _inner(self, text: str, depth: int) -> list[ParsedStatement] | None:
        too_large = len(text) > MAX_INNER_BYTES or text.count("/*") > MAX_INNER_COMMENTS
        if too_large or has_long_run_of_signs(text):
            return None
        data = text.encode()
        library = self._library
        try:
            doubtful = self._doubtful(data)
            if any(ends_elsewhere(data, token) for token in doubtful):
                return None
            return extract_inner(
                library.parse(data), self._inner, self._structure, depth, bool(doubtful)
            )
        except (GrammarError, ValueError):
            return None

    def _doubtful(self, data: bytes) -> list[Token]:
        return doubtful_literals(data, self._library.scan(data)) if b"\\" in data else []


def unknown(reason: str, text: str) -> Parsed:
    """Return what is known of a text that cannot be analysed: nothing, and why."""
    statement = unknown_statement(reason, code=(of_text(text),))
    return Parsed((statement,), literal_sensitive=True, size=len(text))
