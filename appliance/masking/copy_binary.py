"""The rows of COPY in the binary format (PostgreSQL's documentation of COPY, "Binary Format")."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from appliance.errors import ProtocolError
from appliance.masking.copy_text import Plain
from appliance.masking.maskers import Masker

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_FIXED: Final = struct.Struct("!11sIi")  # signature, flags, length of the extension
_COUNT: Final = struct.Struct("!h")
_LENGTH: Final = struct.Struct("!i")
_TRAILER: Final = -1
_NULL: Final = b"\xff\xff\xff\xff"


class BinaryRows:
    """Header, tuples, trailer; nothing else."""

    def __init__(self, maskers: Sequence[Masker | None]) -> None:
        self._maskers = tuple(maskers)
        self._began = False
        self._ended = False

    @property
    def is_plain(self) -> bool:
        """Return whether what comes next is a tuple, or the trailer."""
        return self._began and not self._ended

    @property
    def plain(self) -> Plain:
        return Plain("binary")

    def written(self, value: bytes | None) -> bytes:
        """Return a replacement as it stands in a row."""
        return _NULL if value is None else _LENGTH.pack(len(value)) + value

    def take(self, data: bytearray, out: list[bytes]) -> int:
        """Append the replacement of every whole row in ``data``; return where they end."""
        at = 0
        if not self._began:
            at = self._header(data, out)
        while self._began and len(data) - at >= _COUNT.size:
            if self._ended:
                raise _misfit("it goes on after its end")
            end = self._tuple(data, at, out)
            if end is None:
                break
            at = end
        if self._ended and at < len(data):
            raise _misfit("it goes on after its end")
        return at

    def _header(self, data: bytearray, out: list[bytes]) -> int:
        if len(data) < _FIXED.size:
            return 0
        signature, flags, extension = _FIXED.unpack_from(data)
        # Flag 16 (OIDs) and the others above 15 change how a tuple looks.
        if signature != _SIGNATURE or flags or extension:
            raise _misfit("its header is not one that COPY writes")
        self._began = True
        out.append(bytes(data[: _FIXED.size]))
        return _FIXED.size

    def _tuple(self, data: bytearray, at: int, out: list[bytes]) -> int | None:
        """Append one tuple and return where it ends; None: it is not all there."""
        count: int = _COUNT.unpack_from(data, at)[0]
        if count == _TRAILER:
            self._ended = True
            out.append(_COUNT.pack(count))
            return at + _COUNT.size
        if count != len(self._maskers):
            raise _misfit(f"expected {len(self._maskers)} columns")
        parts = [_COUNT.pack(count)]
        at += _COUNT.size
        for masker in self._maskers:
            if len(data) - at < _LENGTH.size:
                return None
            length: int = _LENGTH.unpack_from(data, at)[0]
            if length < -1:
                raise _misfit("the length of a column is impossible")
            start, at = at, at + _LENGTH.size + max(length, 0)
            if at > len(data):
                return None
            if masker is None or length < 0:
                parts.append(bytes(data[start:at]))
                continue
            parts.append(self.written(masker(bytes(data[start + _LENGTH.size : at]))))
        out += parts
        return at


def _misfit(why: str) -> ProtocolError:
    return ProtocolError("upstream", f"a binary copy cannot be read: {why}")
