"""Rewrite runs of DataRow messages in plain Python: the twin of the compiled ``_rows``."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from appliance.errors import ProtocolError
from appliance.masking.maskers import Masker

_LENGTH: Final = struct.Struct("!i")
_COUNT: Final = struct.Struct("!H")
_HEADER: Final = struct.Struct("!BiH")
_DATA_ROW: Final = ord("D")
_HEADER_BYTES: Final = 5
LARGEST: Final = 0x3FFF_FFFE  # of a message, as the server and libpq have it
_NULL: Final = b"\xff\xff\xff\xff"


class PythonRowMasker:
    """One masker for each column of a result, None = it passes."""

    def __init__(self, maskers: Sequence[Masker | None]) -> None:
        self._columns = len(maskers)
        self._maskers = tuple(
            (number, masker) for number, masker in enumerate(maskers) if masker is not None
        )

    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]:
        """Return the replacement of the whole DataRow messages from ``pos`` on, and their end.

        It stops before the first message that is no DataRow or not all there; ``size`` is where
        the bytes in ``view`` end.

        Raises:
            ProtocolError: a row does not fit: none of it is ever passed on.
        """
        if not 0 <= pos <= size <= len(view):
            raise ValueError("expected a position within the view")
        data = bytes(view[pos:size])
        size -= pos
        out: list[bytes] = []
        at = 0
        while size - at >= _HEADER_BYTES and data[at] == _DATA_ROW:
            length: int = _LENGTH.unpack_from(data, at + 1)[0]
            end = at + 1 + length
            if length < 4 + _COUNT.size:
                raise misfit("its length is impossible")
            if end > size:
                break
            self._row(data, at + _HEADER_BYTES, end, out)
            at = end
        return b"".join(out), pos + at

    def _row(self, data: bytes, at: int, end: int, out: list[bytes]) -> None:
        """Append one row. What passes between two replaced columns is copied in one piece."""
        if _COUNT.unpack_from(data, at)[0] != self._columns:
            raise misfit(f"expected {self._columns} columns")
        at += _COUNT.size
        parts: list[bytes] = []
        run = at
        column = 0
        for number, masker in self._maskers:
            at = skip(data, at, end, number - column)
            column = number + 1
            after = skip(data, at, end, 1)
            value_at = at + _LENGTH.size
            if after > value_at or data[at] == 0:  # a length of -1 is NULL, which stays
                value = masker(data[value_at:after])
                parts.append(data[run:at])
                parts.append(_NULL if value is None else _LENGTH.pack(len(value)) + value)
                run = after
            at = after
        if skip(data, at, end, self._columns - column) != end:
            raise misfit("it goes on after its last column")
        parts.append(data[run:end])
        length = 4 + _COUNT.size + sum(map(len, parts))
        if length > LARGEST:
            raise misfit("its replacement is larger than a message can be")
        out.append(_HEADER.pack(_DATA_ROW, length, self._columns))
        out += parts


def end_of_run(view: memoryview, pos: int, size: int, kind: int) -> int:
    """Return where the messages of one kind end that follow each other from ``pos`` on.

    At least the header of the first is there. The last may end beyond ``size``.

    Raises:
        ProtocolError: a length is impossible.
    """
    unpack = _LENGTH.unpack_from
    while size - pos >= _HEADER_BYTES and view[pos] == kind:
        length: int = unpack(view, pos + 1)[0]
        if length < 4:
            raise ProtocolError("upstream", "the length of a row is impossible")
        pos += 1 + length
    return pos


def skip(data: bytes, at: int, end: int, count: int) -> int:
    """Return where the values end that begin at ``at``."""
    for _ in range(count):
        if end - at < _LENGTH.size:
            raise misfit("it ends within a column")
        length: int = _LENGTH.unpack_from(data, at)[0]
        at += _LENGTH.size + max(length, 0)
        if length < -1 or at > end:
            raise misfit("it ends within a column")
    return at


def misfit(why: str) -> ProtocolError:
    return ProtocolError("upstream", f"a row does not fit its result: {why}")
