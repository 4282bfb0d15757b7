"""Rewrite what COPY … TO STDOUT sends, in text, CSV and binary.

Rows may span messages, and a message may hold several: nothing is passed on before a row is whole
and every column of it was looked at. What is not as the server's own COPY writes it ends the copy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from appliance.errors import ProtocolError
from appliance.masking.copy_binary import BinaryRows
from appliance.masking.copy_text import CsvRows, Plain, TextRows
from appliance.masking.maskers import Masker

if TYPE_CHECKING:
    from appliance.masking._copy_rows import CompiledCopy
    from appliance.sql.copy_options import CopyOptions
else:
    try:
        from appliance.masking._copy_rows import CompiledCopy
    except ImportError:  # it was installed without a compiler: slower, but the same
        CompiledCopy = None

_HEADER: Final = struct.Struct("!Bi")
_COPY_DATA: Final = ord("d")
_HEADER_BYTES: Final = 5
_LARGEST_ROW: Final = 64 << 20
_LARGEST_MESSAGE: Final = 0x3FFF_FFFE


class Rows(Protocol):
    """Rewrites the rows of one format."""

    def take(self, data: bytearray, out: list[bytes]) -> int:
        """Append the replacement of every whole row in ``data``; return where they end."""
        ...

    def written(self, value: bytes | None) -> bytes:
        """Return a replacement, None = NULL, as it stands in a row."""
        ...

    @property
    def is_plain(self) -> bool:
        """Return whether what comes next is a row of values."""
        ...

    @property
    def plain(self) -> Plain:
        """Return how plain rows look."""
        ...


class CopyMasker:
    """One COPY's output. Keeps the row that is not all there yet.

    ``run``: rewrites messages with one plain row each; None = there is no compiled path.
    """

    def __init__(self, rows: Rows, run: CompiledCopy | None = None) -> None:
        self._rows = rows
        self._run = run
        self._tail = bytearray()

    @property
    def is_between_rows(self) -> bool:
        """Return whether the next message begins with a row of values."""
        return not self._tail and self._rows.is_plain

    def feed(self, payload: memoryview | bytes) -> bytes:
        """Return the replacement of the rows that are whole now, of all that came before too.

        Raises:
            ProtocolError: a row does not fit, or is larger than 64 MiB.
        """
        self._tail += payload
        out: list[bytes] = []
        done = self._rows.take(self._tail, out)
        del self._tail[:done]
        if len(self._tail) > _LARGEST_ROW:
            raise ProtocolError(
                "upstream", f"a row of the copy is larger than {_LARGEST_ROW >> 20} MiB"
            )
        return b"".join(out)

    def end(self) -> bytes:
        """Return what is left to send.

        Raises:
            ProtocolError: the copy ended within a row.
        """
        if self._tail:
            raise ProtocolError("upstream", "the copy ended within a row")
        return b""

    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]:
        """Return the replacement of the whole CopyData messages from ``pos`` on, and their end.

        As RowMasker.rows does for DataRow messages.
        """
        if self._run is not None:
            return self._run.rows(view, pos, size, self)
        if not 0 <= pos <= size <= len(view):
            raise ValueError("expected a position within the view")
        out: list[bytes] = []
        while size - pos >= _HEADER_BYTES:
            kind, length = _HEADER.unpack_from(view, pos)
            if kind != _COPY_DATA:
                break
            if length < 4:
                raise ProtocolError("upstream", "the length of a CopyData is impossible")
            end = pos + 1 + length
            if end > size:
                break
            made = self.feed(view[pos + _HEADER_BYTES : end])
            if len(made) + 4 > _LARGEST_MESSAGE:
                raise ProtocolError("upstream", "a masked row is larger than a message can be")
            if made:
                out.append(_HEADER.pack(_COPY_DATA, len(made) + 4))
                out.append(made)
            pos = end
        return b"".join(out), pos


def copy_masker(
    options: CopyOptions,
    maskers: Sequence[Masker | None],
    codec: str | None = "utf-8",
    *,
    is_compiled: bool = True,
) -> CopyMasker:
    """Return what rewrites a copy with these options, one masker for each of its columns.

    ``maskers`` are for the text format, but for a binary copy. ``codec``: of the encoding that the
    copy is written in. ``is_compiled``: use the compiled path if it is there.

    Raises:
        ValueError: its rows cannot be told apart for sure; the message says what to change.
    """
    rows: Rows
    if options.format == "binary":
        rows = BinaryRows(maskers)
    elif codec is None:
        raise ValueError("its encoding cannot be read safely: use ENCODING 'UTF8'")
    elif options.format == "csv":
        rows = CsvRows(options, maskers, codec)
    else:
        rows = TextRows(options, maskers, codec)
    if CompiledCopy is None or not is_compiled:
        return CopyMasker(rows)
    plain = rows.plain
    quote = -1 if plain.quote is None else plain.quote
    return CopyMasker(
        rows, CompiledCopy(plain.form, plain.delimiter, quote, plain.null, maskers, rows.written)
    )
