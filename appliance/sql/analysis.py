"""Parses one text in this process, without guards: parser.py and planner.py decide where."""

from __future__ import annotations

from functools import partial

import orjson

from appliance.sql.extract import extract, extract_inner, unknown_statement
from appliance.sql.facts import NO_GRAMMAR
from appliance.sql.fingerprint import of_text, structure
from appliance.sql.lexing import doubtful_literals, ends_elsewhere, has_long_run_of_signs
from appliance.sql.native import GrammarError, PgQuery, Token
from appliance.sql.parsed import Parsed, ParsedStatement
from appliance.sql.plpgsql import Kind, NotUnderstood, Piece, read_body
from appliance.sql.walker import BUILDS_TEXT, MAX_NESTED_TEXTS

REFUSAL_BACKSLASH = (
    "what this text says depends on standard_conforming_strings: write a backslash before a quote"
    " in an E'…' literal"
)
TOO_DEEP = "the statement nests too deep to be analysed"
# A text inside a literal of another text is parsed in the same place, so it obeys the same bound.
MAX_INNER_BYTES = 8192
MAX_INNER_COMMENTS = 64
# Of PL/pgSQL only the pieces between its semicolons are parsed, each within the bound above.
MAX_BODY = 65536


def is_slow(text: str) -> bool:
    """Return whether a text could be slow even to scan."""
    return text.count("/*") > MAX_INNER_COMMENTS or has_long_run_of_signs(text)


class Analysis:
    """PostgreSQL's grammar and the walk over its tree."""

    def __init__(self, library: PgQuery) -> None:
        self._library = library
        self._structure = partial(structure, library)

    def __call__(self, text: str, variables: frozenset[str] | None = None) -> Parsed:
        """Return what a text says. ``text`` has no NUL and no lone surrogate.

        ``variables``: not None for a function's body: names in it may be its parameters.
        """
        data = text.encode()
        try:
            doubtful = self._doubtful(data)
            if any(ends_elsewhere(data, token) for token in doubtful):
                return Parsed((), refusal=REFUSAL_BACKSLASH, size=len(text))
            tree = self._library.parse(data)
            return extract(tree, data, self, self._structure, bool(doubtful), variables)
        except GrammarError as error:
            return unknown(NO_GRAMMAR + error.message, text)
        except ValueError:  # orjson: nested over 1,024 levels
            return unknown(TOO_DEEP, text)

    def inner(
        self, text: str, depth: int, variables: frozenset[str] | None = None
    ) -> list[ParsedStatement] | None:
        """Return what a text in a literal says; None when it cannot be analysed."""
        if len(text) > MAX_INNER_BYTES or is_slow(text):
            return None
        data = text.encode()
        try:
            doubtful = self._doubtful(data)
            if any(ends_elsewhere(data, token) for token in doubtful):
                return None
            tree = self._library.parse(data)
            return extract_inner(tree, self, self._structure, depth, bool(doubtful), variables)
        except (GrammarError, ValueError):
            return None

    def plpgsql(
        self, text: str, parameters: tuple[str, ...] = (), depth: int = 0
    ) -> list[ParsedStatement]:
        """Return what the SQL in a PL/pgSQL body says; what cannot be told has ``unknown``."""
        if len(text) > MAX_BODY or is_slow(text):
            return [unknown_statement("its body is too large to be analysed")]
        data = text.encode()
        try:
            tokens = self._library.scan(data)
            if any(ends_elsewhere(data, token) for token in doubtful_literals(data, tokens)):
                return [unknown_statement("a literal in it depends on standard_conforming_strings")]
            body = read_body(data, tokens, parameters)
        except (GrammarError, NotUnderstood):
            return [unknown_statement("its PL/pgSQL could not be read")]
        found: list[ParsedStatement] = []
        for piece in body.pieces:
            part = self._piece(piece, body.variables, depth)
            if part is None:
                return [unknown_statement("a statement in its PL/pgSQL could not be analysed")]
            found += part
        return found

    def _piece(
        self, piece: Piece, variables: frozenset[str], depth: int
    ) -> list[ParsedStatement] | None:
        text = piece.text.decode()
        found = self.inner(text, depth, variables)
        if found is None or len(found) != 1:
            return None
        if piece.kind is Kind.STATIC:
            return found
        run = self._constant(piece.text)
        if run is None or "\\" in run:
            return [*found, unknown_statement(BUILDS_TEXT)]
        said = self.inner(run, depth + 1) if depth < MAX_NESTED_TEXTS else None
        return None if said is None else found + said

    def _constant(self, text: bytes) -> str | None:
        """Return the constant that an EXECUTE runs; None when it is built as it runs."""
        (raw,) = orjson.loads(self._library.parse(text))["stmts"]
        select = raw["stmt"]["SelectStmt"]
        targets = select.get("targetList", ())
        if len(targets) != 1 or set(select) - {"targetList", "limitOption", "op"}:
            return None
        value = targets[0]["ResTarget"].get("val", {}).get("A_Const", {}).get("sval")
        return None if value is None else str(value.get("sval", ""))

    def _doubtful(self, data: bytes) -> list[Token]:
        return doubtful_literals(data, self._library.scan(data)) if b"\\" in data else []


def unknown(reason: str, text: str) -> Parsed:
    """Return what is known of a text that cannot be analysed: nothing, and why."""
    statement = unknown_statement(reason, code=(of_text(text),))
    return Parsed((statement,), literal_sensitive=True, size=len(text))
