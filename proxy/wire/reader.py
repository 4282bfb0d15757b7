"""Read the fields of one message's body, strictly: to its last byte and not beyond."""

from __future__ import annotations

import struct

from appliance.errors import ProtocolError

_INT16 = struct.Struct("!h")
_UINT16 = struct.Struct("!H")
_INT32 = struct.Struct("!i")
_UINT32 = struct.Struct("!I")


class Reader:
    """A cursor over a body; every method raises ``ProtocolError`` when the body is too short."""

    __slots__ = ("_body", "_message", "_peer", "offset")

    def __init__(
        self, body: bytes | bytearray | memoryview, peer: str, message: str, offset: int = 0
    ) -> None:
        self._body = bytes(body)
        self._peer = peer
        self._message = message
        self.offset = offset

    def uint8(self) -> int:
        return self.take(1)[0]

    def int16(self) -> int:
        return self._number(_INT16)

    def uint16(self) -> int:
        return self._number(_UINT16)

    def int32(self) -> int:
        return self._number(_INT32)

    def uint32(self) -> int:
        return self._number(_UINT32)

    def _number(self, form: struct.Struct) -> int:
        try:
            value: int = form.unpack_from(self._body, self.offset)[0]
        except struct.error:
            raise self.malformed("it ends within a number") from None
        self.offset += form.size
        return value

    def cstring(self) -> bytes:
        """Return the bytes up to the next NUL, and pass over it."""
        end = self._body.find(b"\0", self.offset)
        if end < 0:
            raise self.malformed("a string has no end")
        found = self._body[self.offset : end]
        self.offset = end + 1
        return found

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self.offset + count
        if count < 0 or end > len(self._body):
            raise self.malformed("it is shorter than it says")
        found = self._body[self.offset : end]
        self.offset = end
        return found

    def value(self) -> bytes | None:
        """Return a value that its length (int32, -1 = NULL) precedes."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    def rest(self) -> bytes:
        """Return everything that is left."""
        return self.take(len(self._body) - self.offset)

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return len(self._body) - self.offset

    def done(self) -> None:
        """Raise unless the body was read to its end."""
        if self.offset != len(self._body):
            raise self.malformed("it goes on after its end")

    def malformed(self, why: str) -> ProtocolError:
        """Return the error that says which message is wrong, never what is in it."""
        return ProtocolError(self._peer, f"malformed {self._message} message: {why}")
