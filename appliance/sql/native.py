"""libpg_query, PostgreSQL's own grammar, through the shared library that postgast ships.

Called through ctypes and not through postgast's functions: those decode protobuf, which refuses
trees nested over 100 levels. Nothing here guards against texts that crash the library: parser.py
decides what may be handed to it.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

_LIBRARY_NAMES = {"darwin": "libpg_query.dylib", "win32": "pg_query.dll"}


class _Error(Structure):
    _fields_ = (
        ("message", c_char_p),
        ("funcname", c_char_p),
        ("filename", c_char_p),
        ("lineno", c_int),
        ("cursorpos", c_int),
        ("context", c_char_p),
    )


class _ParseResult(Structure):
    _fields_ = (
        ("parse_tree", c_char_p),
        ("stderr_buffer", c_char_p),
        ("error", POINTER(_Error)),
    )


class _Protobuf(Structure):
    _fields_ = (("len", c_size_t), ("data", c_void_p))


class _ScanResult(Structure):
    _fields_ = (
        ("pbuf", _Protobuf),
        ("stderr_buffer", c_char_p),
        ("error", POINTER(_Error)),
    )


class GrammarError(Exception):
    """PostgreSQL's grammar does not accept the text. ``position``: 1-based, in characters."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


@dataclass(frozen=True, slots=True)
class Token:
    """One token's place in the UTF-8 bytes of the text, and its number in the grammar."""

    start: int
    end: int
    number: int


class PgQuery:
    """The loaded library. One is enough for a process; its functions are safe in any thread.

    ``holds_lock`` True keeps the interpreter's lock during a call: right for short texts, where
    handing it over costs more than the call. False lets other threads run meanwhile.
    """

    def __init__(self, holds_lock: bool = False) -> None:
        loader = ctypes.PyDLL if holds_lock else ctypes.CDLL
        library = loader(str(library_path()))
        self._parse = _function(library, "pg_query_parse", _ParseResult)
        self._scan = _function(library, "pg_query_scan", _ScanResult)
        self._free_parse = _release(library, "pg_query_free_parse_result", _ParseResult)
        self._free_scan = _release(library, "pg_query_free_scan_result", _ScanResult)

    def parse(self, text: bytes) -> bytes:
        """Return the parse tree as JSON. ``text`` is UTF-8 without NUL.

        Raises:
            GrammarError: the grammar does not accept it.
        """
        result = self._parse(text)
        try:
            if result.error:
                _fail(result.error)
            tree: bytes = result.parse_tree
            return tree
        finally:
            self._free_parse(result)

    def scan(self, text: bytes) -> list[Token]:
        """Return the tokens. The scanner does not recurse, whatever the text.

        Raises:
            GrammarError: the text has an unterminated literal, comment or name.
        """
        return decode_tokens(self._scanned(text))

    def count_tokens(self, text: bytes) -> int:
        """Return how many tokens a text has, without making a list of them.

        Raises:
            GrammarError: as of ``scan``.
        """
        packed, at, count = self._scanned(text), 0, 0
        while at < len(packed):
            length, after = _varint(packed, at + 1)
            if packed[at] == _TOKEN:
                count += 1
                at = after + length
            else:
                at = after
        return count

    def _scanned(self, text: bytes) -> bytes:
        result = self._scan(text)
        try:
            if result.error:
                _fail(result.error)
            return ctypes.string_at(result.pbuf.data, result.pbuf.len)
        finally:
            self._free_scan(result)


def library_path() -> Path:
    """Return the path of the shared library inside the installed postgast package."""
    spec = find_spec("postgast")
    if spec is None or spec.origin is None:
        raise ImportError("postgast is not installed: pip install 'postgast>=0.2,<0.3'")
    return Path(spec.origin).parent / _LIBRARY_NAMES.get(sys.platform, "libpg_query.so")


# ScanResult { int32 version = 1; repeated ScanToken tokens = 2; }
# ScanToken { int32 start = 1; int32 end = 2; Token token = 4; KeywordKind keyword_kind = 5; }
_TOKEN = 0x12
_START, _END, _NUMBER = 0x08, 0x10, 0x20


def decode_tokens(packed: bytes) -> list[Token]:
    """Decode a packed ScanResult; only what its few fields need."""
    tokens, at = [], 0
    while at < len(packed):
        tag = packed[at]
        length, at = _varint(packed, at + 1)
        if tag != _TOKEN:
            continue
        stop, fields = at + length, {}
        while at < stop:
            key = packed[at]
            fields[key], at = _varint(packed, at + 1)
        tokens.append(Token(fields.get(_START, 0), fields.get(_END, 0), fields.get(_NUMBER, 0)))
    return tokens


def _varint(packed: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = packed[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _function(library: ctypes.CDLL, name: str, result: type[Structure]) -> Any:
    function = getattr(library, name)
    function.argtypes = [c_char_p]
    function.restype = result
    return function


def _release(library: ctypes.CDLL, name: str, result: type[Structure]) -> Any:
    function = getattr(library, name)
    function.argtypes = [result]
    function.restype = None
    return function


def _fail(error: Any) -> NoReturn:
    contents = error.contents
    message = (contents.message or b"").decode("utf-8", "replace")
    raise GrammarError(message, contents.cursorpos)
