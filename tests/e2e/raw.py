"""A client without manners: speaks the protocol byte by byte, as no driver would."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import scramp

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
SYNC = b"S\0\0\0\4"
FLUSH = b"H\0\0\0\4"
TERMINATE = b"X\0\0\0\4"


@dataclass(frozen=True, slots=True)
class Message:
    """One backend message; ``kind`` is its type byte as a letter."""

    kind: str
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """Return the fields of an ErrorResponse or NoticeResponse by their letter."""
        parts = (part for part in self.body.split(b"\0") if part)
        return {chr(part[0]): part[1:].decode() for part in parts}


class ErrorCame(Exception):
    """The server sent an ErrorResponse where something else was wanted."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message.fields))
        self.fields = message.fields


class RawClient:
    """A connection to the gateway's port. Use it as a context manager."""

    def __init__(self, port: int, first: bytes = b"", *, timeout_s: float = 60.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.parameters: dict[str, str] = {}
        self.process_id = 0
        self.key = b""
        self.login: list[Message] = []  # every message of it
        self._data = bytearray()
        if first:
            self.send(first)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    # -- bytes ---------------------------------------------------------------------------------

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def read(self, size: int = 65536) -> bytes:
        """Return what comes next, b"" at the end; a reset is an end too."""
        try:
            return self.sock.recv(size)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        data = bytes(self._data)
        while chunk := self.read():
            data += chunk
        return data

    def start_tls(self, *, alpn: bool = False, ask: bool = True) -> None:
        """Encrypt, after an SSLRequest unless ``ask`` is False (direct TLS)."""
        if ask:
            self.send(SSL_REQUEST)
            assert self.sock.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(["postgresql"])
        self.sock = context.wrap_socket(self.sock)

    # -- messages ------------------------------------------------------------------------------

    def message(self) -> Message | None:
        """Return the next backend message, None at the end of the connection."""
        while True:
            if len(self._data) >= 5:
                end = 1 + int.from_bytes(self._data[1:5], "big")
                if len(self._data) >= end:
                    found = Message(chr(self._data[0]), bytes(self._data[5:end]))
                    del self._data[:end]
                    return found
            chunk = self.read()
            if not chunk:
                assert not self._data, f"it ended inside a message: {self._data[:200]!r}"
                return None
            self._data += chunk

    def until(self, kind: str = "Z") -> list[Message]:
        """Return the messages up to one of this kind, it included."""
        found: list[Message] = []
        while not found or found[-1].kind != kind:
            message = self.message()
            assert message is not None, f"the connection ended after {found}"
            found.append(message)
        return found

    def startup(self, version: int = 0x30000, **parameters: str) -> None:
        self.send(startup(version, **parameters))

    def log_in(self, user: str, password: str, version: int = 0x30000, **parameters: str) -> None:
        """Send the start-up packet and prove the password. Raises ErrorCame."""
        self.startup(version, **{"user": user, "database": "shop", **parameters})
        self.prove(password)

    def prove(self, password: str) -> None:
        """Do SCRAM-SHA-256 and read up to ReadyForQuery. Raises ErrorCame."""
        client: Any = scramp.ScramClient(["SCRAM-SHA-256"], "x", password)
        while True:
            message = self.message()
            if message is None:
                raise EOFError("the connection ended during the login")
            self.login.append(message)
            match message.kind:
                case "E":
                    raise ErrorCame(message)
                case "R":
                    self._authenticate(client, message.body)
                case "S":
                    name, value = message.body[:-1].split(b"\0")
                    self.parameters[name.decode()] = value.decode()
                case "K":
                    self.process_id = int.from_bytes(message.body[:4], "big")
                    self.key = message.body[4:]
                case "Z":
                    return

    def _authenticate(self, client: Any, body: bytes) -> None:
        code = int.from_bytes(body[:4], "big")
        if code == 10:
            first = client.get_client_first().encode()
            self.send(frame("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        elif code == 11:
            client.set_server_first(body[4:].decode())
            self.send(frame("p", client.get_client_final().encode()))
        elif code == 12:
            client.set_server_final(body[4:].decode())

    def ask(self, text: str) -> list[Message]:
        """Send a Query and return everything up to ReadyForQuery."""
        self.send(query(text))
        return self.until()


def startup(version: int = 0x30000, **parameters: str) -> bytes:
    """Return a start-up packet; a dot in a name is written as two underscores."""
    body = struct.pack("!I", version)
    for name, value in parameters.items():
        body += name.replace("__", ".").encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel_request(process_id: int, key: bytes) -> bytes:
    return struct.pack("!III", 12 + len(key), 80877102, process_id) + key


def frame(kind: str, body: bytes = b"") -> bytes:
    """Return a frontend message."""
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def query(text: str) -> bytes:
    return frame("Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    return frame("P", name.encode() + b"\0" + text.encode() + b"\0\0\0")


def bind(portal: str = "", statement: str = "", *values: bytes) -> bytes:
    """Return a Bind with all values and results in text format."""
    parameters = b"".join(struct.pack("!i", len(value)) + value for value in values)
    head = portal.encode() + b"\0" + statement.encode() + b"\0\0\0"
    return frame("B", head + struct.pack("!h", len(values)) + parameters + b"\0\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return frame("E", portal.encode() + b"\0" + struct.pack("!i", rows))


def describe(kind: str = "P", name: str = "") -> bytes:
    return frame("D", kind.encode() + name.encode() + b"\0")


def values(messages: list[Message]) -> list[bytes | None]:
    """Return the first column of the DataRows."""
    found: list[bytes | None] = []
    for message in messages:
        if message.kind == "D":
            length = int.from_bytes(message.body[2:6], "big", signed=True)
            found.append(None if length < 0 else message.body[6 : 6 + length])
    return found


def kinds(messages: list[Message]) -> str:
    """Return the messages as a word of their letters."""
    return "".join(message.kind for message in messages)


def errors(messages: list[Message]) -> list[dict[str, str]]:
    """Return the fields of the errors among messages."""
    return [message.fields for message in messages if message.kind == "E"]
