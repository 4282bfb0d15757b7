"""The rows of COPY in the text and CSV formats, as the server writes them.

Both are read by exactly the server's grammar: a row that it could not have written ends the copy,
so no choice of delimiter, quote, escape or NULL makes a value look like something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.errors import ProtocolError
from appliance.masking.maskers import Masker

if TYPE_CHECKING:
    from appliance.sql.copy_options import CopyOptions

_NEWLINE: Final = b"\n"
_ESCAPED: Final = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_WRITTEN: Final = {byte: b"\\" + letter for letter, byte in _LETTERS.items()} | {b"\\": b"\\\\"}


@dataclass(frozen=True, slots=True)
class Plain:
    """What the compiled path must know to read the rows that need no closer look.

    ``delimiter``, ``quote``: bytes; a quote of None: none is looked into. ``null``: None = a value
    may be written so too.
    """

    form: str
    delimiter: int = 0
    quote: int | None = None
    null: bytes | None = None


class TextRows:
    """COPY's own format: columns by a delimiter, backslash escapes, one row a line."""

    def __init__(self, options: CopyOptions, maskers: Sequence[Masker | None], codec: str) -> None:
        self._maskers = tuple(maskers)
        self._delimiter = _one_byte(options.delimiter, "DELIMITER", codec, b"\\\r\n")
        self._null = _null(options.null, codec, b"\r\n" + self._delimiter)
        # What a value could be written as too: it is masked as if it were one. So nobody learns
        # whether a value is what he guessed, and NULL '' tells no more than emptiness.
        self._special = re.compile(rb"[\\\x08\f\n\r\t\v%s]" % re.escape(self._delimiter))
        could_be = self.written(_ESCAPED.sub(_unescaped, self._null))
        self._is_ambiguous = bool(self._null) and could_be == self._null
        self._header = options.header
        self._seen = 0  # bytes of the unfinished row that hold no newline

    @property
    def is_plain(self) -> bool:
        """Return whether what comes next is a row of values."""
        return not self._header

    @property
    def plain(self) -> Plain:
        null = None if self._is_ambiguous else self._null
        return Plain("text", self._delimiter[0], None, null)

    def written(self, value: bytes | None) -> bytes:
        """Return a replacement as it stands in a row."""
        return self._null if value is None else self._special.sub(self._escape, value)

    def take(self, data: bytearray, out: list[bytes]) -> int:
        """Append the replacement of every whole row in ``data``; return where they end."""
        at = 0
        end = data.find(_NEWLINE, self._seen)
        while end >= 0:
            row = bytes(data[at:end])
            out.append(row if self._header else self._row(row))
            out.append(_NEWLINE)
            self._header = False
            at = end + 1
            end = data.find(_NEWLINE, at)
        self._seen = len(data) - at
        return at

    def _row(self, row: bytes) -> bytes:
        columns = row.split(self._delimiter) if self._maskers else []
        if b"\\" in row:
            columns = self._joined(columns)
        if len(columns) != len(self._maskers) or (row and not columns):
            raise _misfit(f"expected {len(self._maskers)} columns")
        for number, masker in enumerate(self._maskers):
            if masker is None or (columns[number] == self._null and not self._is_ambiguous):
                continue
            value = masker(_ESCAPED.sub(_unescaped, columns[number]))
            columns[number] = self.written(value)
        return self._delimiter.join(columns)

    def _joined(self, pieces: list[bytes]) -> list[bytes]:
        """Put together what was split at a delimiter that is escaped."""
        columns: list[bytes] = []
        open_pieces: list[bytes] = []
        for piece in pieces:
            open_pieces.append(piece)
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2 == 0:
                columns.append(self._delimiter.join(open_pieces))
                open_pieces = []
        if open_pieces:
            raise _misfit("it ends within an escape")
        return columns

    def _escape(self, found: re.Match[bytes]) -> bytes:
        return _WRITTEN.get(found[0], b"\\" + found[0])


class CsvRows:
    """Columns by a delimiter, quoted where they must be; newlines only within quotes."""

    def __init__(self, options: CopyOptions, maskers: Sequence[Masker | None], codec: str) -> None:
        self._maskers = tuple(maskers)
        self._delimiter = _one_byte(options.delimiter, "DELIMITER", codec, b"\r\n")
        self._quote = _one_byte(options.quote, "QUOTE", codec, b"\r\n" + self._delimiter)
        self._escape = _one_byte(options.escape, "ESCAPE", codec, b"\r\n" + self._delimiter)
        self._null = _null(options.null, codec, b"\r\n" + self._delimiter + self._quote)
        self._header = options.header
        self._is_forced = bool(options.force_quote)
        quote, escape = re.escape(self._quote), re.escape(self._escape)
        delimiter = re.escape(self._delimiter)
        within = rb"[^%s]" % quote if quote == escape else rb"[^%s%s]" % (quote, escape)
        escaped = rb"%s[%s%s]" % (escape, escape, quote)
        value = rb"(?:%s++|%s)*+" % (within, escaped)
        plain = rb"[^%s%s\r\n]*+" % (quote, delimiter)
        self._column = re.compile(
            rb"(?:%s(%s)%s|(%s))[%s\n]" % (quote, value, quote, plain, delimiter)
        )
        column = rb"(?:%s%s%s|%s)" % (quote, value, quote, plain)
        self._whole = re.compile(rb"(?:%s%s)*+%s\n" % (column, delimiter, column))
        self._escaped = re.compile(escaped)
        self._must_quote = re.compile(rb"[%s%s\r\n]" % (quote, delimiter))
        self._special = re.compile(rb"[%s%s]" % (quote, escape))

    def take(self, data: bytearray, out: list[bytes]) -> int:
        """Append the replacement of every whole row in ``data``; return where they end."""
        at = 0
        while (found := self._whole.match(data, at)) is not None:
            row = found[0]
            out.append(row if self._header else self._row(row))
            self._header = False
            at = found.end()
        return at

    def _row(self, row: bytes) -> bytes:
        columns = list(self._column.finditer(row))
        wanted = len(self._maskers) or 1  # a row without columns looks like one empty column
        if len(columns) != wanted or (not self._maskers and row != _NEWLINE):
            raise _misfit(f"expected {len(self._maskers)} columns")
        if not self._maskers:
            return row
        return self._delimiter.join(map(self._replaced, columns, self._maskers)) + _NEWLINE

    def _replaced(self, found: re.Match[bytes], masker: Masker | None) -> bytes:
        """Return a column as it is to be written. What is NULL is never quoted, all else may be."""
        quoted, bare = found[1], found[2]
        if masker is None or bare == self._null:
            return found[0][:-1]
        return self.written(
            masker(bare if quoted is None else self._escaped.sub(_second_byte, quoted))
        )

    @property
    def is_plain(self) -> bool:
        """Return whether what comes next is a row of values."""
        return not self._header

    @property
    def plain(self) -> Plain:
        is_simple = self._quote == self._escape and not self._is_forced
        quote = self._quote[0] if is_simple else None
        return Plain("csv", self._delimiter[0], quote, self._null)

    def written(self, value: bytes | None) -> bytes:
        """Return a replacement as it stands in a row."""
        if value is None:
            return self._null
        if self._is_forced or value == self._null or self._must_quote.search(value):
            return self._quote + self._special.sub(self._marked, value) + self._quote
        return value

    def _marked(self, found: re.Match[bytes]) -> bytes:
        return self._escape + found[0]


def _second_byte(found: re.Match[bytes]) -> bytes:
    return found[0][1:]


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code in _LETTERS:
        return _LETTERS[code]
    if code[:1] == b"x" and len(code) > 1:
        return bytes((int(code[1:], 16),))
    if code.isdigit() and code[0] < 0x38:  # an octal number
        return bytes((int(code, 8) & 0xFF,))
    return code


def _null(text: str, codec: str, forbidden: bytes) -> bytes:
    try:
        found = text.encode(codec)
    except UnicodeEncodeError as error:
        raise ValueError("its NULL cannot be written in its encoding: use another") from error
    if any(byte in forbidden for byte in found):
        raise ValueError("its NULL makes columns ambiguous: use another, or none")
    return found


def _one_byte(text: str, what: str, codec: str, forbidden: bytes) -> bytes:
    try:
        found = text.encode(codec)
    except UnicodeEncodeError:
        found = b""
    if len(found) != 1 or found in forbidden:
        raise ValueError(f"its {what} makes columns ambiguous: use another, or none")
    return found


def _misfit(why: str) -> ProtocolError:
    return ProtocolError("upstream", f"a copied row does not fit its columns: {why}")
