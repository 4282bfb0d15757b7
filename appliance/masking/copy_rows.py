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
from appliance.masking.copy_text import CsvRows, TextRows
from appliance.masking.maskers import Masker

if TYPE_CHECKING:
    from appliance.sql.copy_options import CopyOptions

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


class CopyMasker:
    """One COPY's output. Keeps the row that is not all there yet."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._tail = bytearray()

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
    options: CopyOptions, maskers: Sequence[Masker | None], codec: str | None = "utf-8"
) -> CopyMasker:
    """Return what rewrites a copy with these options, one masker for each of its columns.

    ``maskers`` are for the text format, but for a binary copy. ``codec``: of the encoding that the
    copy is written in.

    Raises:
        ValueError: its rows cannot be told apart for sure; the message says what to change.
    """
    if options.format == "binary":
        return CopyMasker(BinaryRows(maskers))
    if codec is None:
        raise ValueError("its encoding cannot be read safely: use ENCODING 'UTF8'")
    make = CsvRows if options.format == "csv" else TextRows
    return CopyMasker(make(options, maskers, codec))
