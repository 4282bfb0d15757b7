"""A connection's first packets, which have no type byte: from a client, or to a target."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from appliance.errors import ProtocolError
from proxy.wire import codes
from proxy.wire.framing import Buffer
from proxy.wire.reader import Reader

_PEER = "client"


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """``version``: ``major << 16 | minor``. ``parameters``: name and value in the order sent."""

    version: int
    parameters: tuple[tuple[bytes, bytes], ...]

    def encode(self) -> bytes:
        pairs = b"".join(name + b"\0" + value + b"\0" for name, value in self.parameters)
        return _packet(self.version, pairs + b"\0")


@dataclass(frozen=True, slots=True)
class SSLRequest:
    def encode(self) -> bytes:
        return _packet(codes.SSL_REQUEST)


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    def encode(self) -> bytes:
        return _packet(codes.GSSENC_REQUEST)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """``secret_key``: 4 bytes in protocol 3.0, up to 256 in 3.2."""

    process_id: int
    secret_key: bytes

    def encode(self) -> bytes:
        return _packet(codes.CANCEL_REQUEST, struct.pack("!I", self.process_id) + self.secret_key)


InitialPacket = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest


def parse(body: Buffer) -> InitialPacket:
    """Return the packet; ``body`` is what follows the length.

    A version that nobody speaks is returned as a StartupMessage without parameters: the caller
    knows which versions it speaks.

    Raises:
        ProtocolError: the body does not fit what it says it is.
    """
    reader = Reader(body, _PEER, "start-up")
    code = reader.uint32()
    match code:
        case codes.SSL_REQUEST:
            reader.done()
            return SSLRequest()
        case codes.GSSENC_REQUEST:
            reader.done()
            return GSSENCRequest()
        case codes.CANCEL_REQUEST:
            process_id, key = reader.uint32(), reader.rest()
            if not 4 <= len(key) <= codes.MAX_CANCEL_KEY:
                raise ProtocolError(_PEER, "invalid length of cancel key")
            return CancelRequest(process_id, key)
    if code >> 16 != codes.PROTOCOL_LATEST >> 16:
        return StartupMessage(code, ())
    return StartupMessage(code, _parameters(reader))


def _parameters(reader: Reader) -> tuple[tuple[bytes, bytes], ...]:
    found = []
    while name := reader.cstring():
        found.append((name, reader.cstring()))
    if reader.left:
        raise ProtocolError(
            _PEER, "invalid startup packet layout: expected terminator as last byte"
        )
    return tuple(found)


def _packet(code: int, rest: bytes = b"") -> bytes:
    return struct.pack("!II", 8 + len(rest), code) + rest
