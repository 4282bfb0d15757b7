"""The messages of a login after the first packet, from both sides."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from appliance.errors import ProtocolError
from proxy.wire import codes
from proxy.wire.framing import Buffer, frame
from proxy.wire.reader import Reader


@dataclass(frozen=True, slots=True)
class Authentication:
    """Any Authentication message. ``code``: ``codes.AUTH_*``; ``data``: what follows it."""

    kind: ClassVar[int] = codes.AUTHENTICATION
    code: int
    data: bytes = b""

    def encode(self) -> bytes:
        return frame(self.kind, struct.pack("!I", self.code) + self.data)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Return what an AuthenticationSASL offers."""
        if self.code != codes.AUTH_SASL or not self.data.endswith(b"\0\0"):
            raise ProtocolError("upstream", "malformed AuthenticationSASL message")
        names = self.data[:-2].split(b"\0")
        return tuple(name.decode("ascii", "replace") for name in names)

    @property
    def salt(self) -> bytes:
        """Return the salt of an AuthenticationMD5Password."""
        if self.code != codes.AUTH_MD5_PASSWORD or len(self.data) != 4:
            raise ProtocolError("upstream", "malformed AuthenticationMD5Password message")
        return self.data


def parse_authentication(body: Buffer) -> Authentication:
    reader = Reader(body, "upstream", "Authentication")
    return Authentication(reader.uint32(), reader.rest())


def authentication_ok() -> bytes:
    """Return a whole AuthenticationOk."""
    return Authentication(codes.AUTH_OK).encode()


def authentication_cleartext_password() -> bytes:
    """Return a whole AuthenticationCleartextPassword."""
    return Authentication(codes.AUTH_CLEARTEXT_PASSWORD).encode()


def authentication_sasl(mechanisms: tuple[str, ...]) -> bytes:
    """Return a whole AuthenticationSASL."""
    names = b"".join(name.encode() + b"\0" for name in mechanisms)
    return Authentication(codes.AUTH_SASL, names + b"\0").encode()


def authentication_sasl_continue(data: bytes) -> bytes:
    """Return a whole AuthenticationSASLContinue."""
    return Authentication(codes.AUTH_SASL_CONTINUE, data).encode()


def authentication_sasl_final(data: bytes) -> bytes:
    """Return a whole AuthenticationSASLFinal."""
    return Authentication(codes.AUTH_SASL_FINAL, data).encode()


@dataclass(frozen=True, slots=True)
class PasswordMessage:
    kind: ClassVar[int] = codes.PASSWORD
    password: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.password + b"\0")


def parse_password_message(body: Buffer) -> PasswordMessage:
    reader = Reader(body, "client", "PasswordMessage")
    message = PasswordMessage(reader.cstring())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class SASLInitialResponse:
    """``data``: the mechanism's first message, None where the client waits to be asked for it."""

    kind: ClassVar[int] = codes.PASSWORD
    mechanism: str
    data: bytes | None

    def encode(self) -> bytes:
        data = b"\xff\xff\xff\xff"
        if self.data is not None:
            data = struct.pack("!i", len(self.data)) + self.data
        return frame(self.kind, self.mechanism.encode() + b"\0" + data)


def parse_sasl_initial_response(body: Buffer) -> SASLInitialResponse:
    reader = Reader(body, "client", "SASLInitialResponse")
    mechanism = reader.cstring()
    if not mechanism.isascii():
        raise reader.malformed("expected the name of a mechanism")
    message = SASLInitialResponse(mechanism.decode(), reader.value())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class SASLResponse:
    kind: ClassVar[int] = codes.PASSWORD
    data: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.data)


def parse_sasl_response(body: Buffer) -> SASLResponse:
    return SASLResponse(bytes(body))


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    """``secret_key``: 4 bytes in protocol 3.0, up to 256 in 3.2."""

    kind: ClassVar[int] = codes.BACKEND_KEY_DATA
    process_id: int
    secret_key: bytes

    def encode(self) -> bytes:
        return frame(self.kind, struct.pack("!I", self.process_id) + self.secret_key)


def parse_backend_key_data(body: Buffer) -> BackendKeyData:
    reader = Reader(body, "upstream", "BackendKeyData")
    process_id = reader.uint32()
    if not 4 <= reader.left <= codes.MAX_CANCEL_KEY:
        raise reader.malformed(f"expected a key of 4 to {codes.MAX_CANCEL_KEY} bytes")
    return BackendKeyData(process_id, reader.rest())


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    """``newest``: the whole version number, as servers send it: 0x00030002.

    ``options``: the ``_pq_.`` options that the server does not know.
    """

    kind: ClassVar[int] = codes.NEGOTIATE_PROTOCOL_VERSION
    newest: int
    options: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        names = b"".join(name + b"\0" for name in self.options)
        return frame(self.kind, struct.pack("!II", self.newest, len(self.options)) + names)


def parse_negotiate_protocol_version(body: Buffer) -> NegotiateProtocolVersion:
    reader = Reader(body, "upstream", "NegotiateProtocolVersion")
    newest, count = reader.uint32(), reader.uint32()
    if count > reader.left:
        raise reader.malformed("it is shorter than it says")
    message = NegotiateProtocolVersion(newest, tuple(reader.cstring() for _ in range(count)))
    reader.done()
    return message
