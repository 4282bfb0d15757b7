"""Parses texts of clients: never raises, never stalls or kills the process that calls.

A text goes three ways (7-hot-path.md, last section). Short ones are parsed here. Longer ones are
first counted by the scanner, which does not recurse; up to some thousand tokens they are parsed
here too, with the interpreter's lock released. What is larger, or could be slow even to scan
(nested comments), goes to the planner process; where there is none, it is unknown.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Protocol

from appliance.sql.analysis import Analysis, unknown
from appliance.sql.lexing import has_long_run_of_signs, unreadable
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.parsed import Parsed, ParsedStatement

__all__ = ["Parsed", "ParsedStatement", "Parser"]

CHEAP_CHARACTERS = 4096  # cannot have more tokens than characters: some ms at the very worst
CHEAP_COMMENTS = 32
SCANNED_COMMENTS = 200  # 1 ms of the scanner when nested
MAX_TOKENS = 4000
SCANNED_CHARACTERS = 1 << 20
MAX_CHARACTERS = 64 << 20  # larger is not even sent to the planner
TOO_LARGE = "the statement is too large or too deep to be analysed"


class LargeTexts(Protocol):
    """What parses texts that may crash or stall: the planner process."""

    def parse(self, text: str) -> Parsed | None:
        """Return what the text says; None when it crashed, took too long or cannot be had."""
        ...


class Parser:
    """Parses texts, remembering what it parsed. Safe to be called from several threads."""

    def __init__(self, planner: LargeTexts | None = None, cache_bytes: int = 16 << 20) -> None:
        self._planner = planner
        self._here = Analysis(PgQuery(holds_lock=True))
        self._released = PgQuery(holds_lock=False)
        self._apart = Analysis(self._released)
        self._cache = _Cache(cache_bytes)

    def parse(self, text: str) -> Parsed:
        """Return what ``text`` says; what cannot be told is a statement with ``unknown`` set."""
        found = self._cache.get(text)
        if found is None:
            found = self._parse(text)
            self._cache.put(text, found)
        return found

    def is_cheap(self, text: str) -> bool:
        """Return whether ``parse`` is quick enough for an event loop."""
        return _is_short(text) or self._cache.get(text) is not None

    def _parse(self, text: str) -> Parsed:
        refusal = unreadable(text)
        if refusal:
            return Parsed((), refusal=refusal, size=len(text))
        if has_long_run_of_signs(text):
            return unknown(TOO_LARGE, text)
        try:
            if _is_short(text):
                return self._here(text)
            if self._may_parse_here(text):
                return self._apart(text)
            return self._large(text)
        except Exception:
            # The promise of this class. A tree of a shape that the walk does not expect comes
            # here; it must not end the session, and must not pass as harmless either.
            return unknown("the statement could not be analysed", text)

    def _may_parse_here(self, text: str) -> bool:
        if len(text) > SCANNED_CHARACTERS or text.count("/*") > SCANNED_COMMENTS:
            return False
        try:
            return self._released.count_tokens(text.encode()) <= MAX_TOKENS
        except GrammarError:  # unterminated: the parser says the same, at the same point
            return len(text) <= 16 * CHEAP_CHARACTERS

    def _large(self, text: str) -> Parsed:
        found = None
        if self._planner is not None and len(text) <= MAX_CHARACTERS:
            found = self._planner.parse(text)
        return unknown(TOO_LARGE, text) if found is None else found


def _is_short(text: str) -> bool:
    return len(text) <= CHEAP_CHARACTERS and text.count("/*") <= CHEAP_COMMENTS


class _Cache:
    """Texts and what they say, bounded by the memory they are held to take."""

    _OVERHEAD = 2048  # bytes of an entry besides its text

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, Parsed] = OrderedDict()
        self._lock = Lock()

    def get(self, text: str) -> Parsed | None:
        with self._lock:
            found = self._entries.get(text)
            if found is not None:
                self._entries.move_to_end(text)
            return found

    def put(self, text: str, parsed: Parsed) -> None:
        weight = self._weight(text, parsed)
        if weight > self._limit // 8:
            return
        with self._lock:
            if text in self._entries:
                return
            self._entries[text] = parsed
            self._size += weight
            while self._size > self._limit:
                old, value = self._entries.popitem(last=False)
                self._size -= self._weight(old, value)

    def _weight(self, text: str, parsed: Parsed) -> int:
        names = sum(len(s.relations) + len(s.functions) for s in parsed.statements)
        return 2 * len(text) + self._OVERHEAD * max(1, len(parsed.statements)) + 256 * names
