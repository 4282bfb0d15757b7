"""Play an attack's steps message by message, keeping every byte that comes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.raw import (
    FLUSH,
    SYNC,
    RawClient,
    cancel_request,
    describe,
    execute,
    frame,
    parse,
    query,
)

Straight = Callable[[str], list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class Door:
    """Where a client knocks: the gateway or, for the control, the target itself."""

    host: str
    port: int
    user: str
    password: str
    database: str
    options: str = ""


class TapedClient(RawClient):
    """A raw client that keeps what it was sent."""

    def __init__(self, door: Door) -> None:
        self.tape = bytearray()
        super().__init__(door.port, timeout_s=20)
        self._door = door

    def enter(self, parameters: Mapping[str, str]) -> None:
        """Log in. Raises ErrorCame."""
        more = dict(parameters)
        version = 0x30002 if more.pop("_version", "") == "3.2" else 0x30000
        options = " ".join(filter(None, (self._door.options, more.pop("options", ""))))
        if options:
            more["options"] = options
        more["database"] = self._door.database
        self.log_in(self._door.user, self._door.password, version, **more)

    def read(self, size: int = 65536) -> bytes:
        data = super().read(size)
        self.tape += data
        return data


class Player:
    """Sends the steps of an attack over one connection. ``straight``: the owner's own way."""

    def __init__(self, client: TapedClient, straight: Straight) -> None:
        self.client = client
        self.straight = straight

    def step(self, step: Any, by: str) -> None:
        """Run one step of an attack by the protocol that it names."""
        if isinstance(step, str):
            self.statement(step, by)
        elif "owner" in step:
            self.straight(step["owner"])
        else:
            data = step["data"].encode()
            self.client.send(query(step["copy"]))
            if self._until("GZ") == "G":
                self.client.send(frame("d", data), frame("c"))
                self._until("Z")

    def statement(self, text: str, by: str) -> None:
        if by == "simple":
            self.client.send(query(text))
        else:
            formats = int(by == "binary")
            self.client.send(parse(text), _bind("", "", [formats]), describe(), execute(), SYNC)
        self._until("Z")

    def messages(self, script: tuple[Any, ...]) -> None:
        """Send messages one after the other, reading only where the script does."""
        pending: list[bytes] = []
        for entry in script:
            kind, *arguments = [entry] if isinstance(entry, str) else entry
            match kind:
                case "sync" | "query" | "until" | "owner" | "query_cancel":
                    self.client.send(*pending)
                    pending = []
                    self._turn(kind, arguments)
                case _:
                    pending.append(_message(kind, arguments))
        assert not pending, "a script ends with sync or query"

    def call(self, name: str, arguments: list[str]) -> None:
        """Call a function by the fast path."""
        oid = self.straight(
            f"SELECT oid::int FROM pg_proc WHERE proname = '{name}' AND pronargs = {len(arguments)}"
        )[0][0]
        values = [
            str(self.straight(f"SELECT ({one})::text FROM customers WHERE id = 1")[0][0]).encode()
            for one in arguments
        ]
        body = struct.pack("!ihh", oid, 0, len(values))
        body += b"".join(struct.pack("!i", len(value)) + value for value in values)
        self.client.send(frame("F", body + struct.pack("!h", 0)))
        self._until("Z")

    def _turn(self, kind: str, arguments: list[Any]) -> None:
        match kind:
            case "sync":
                self.client.send(SYNC)
                self._until("Z")
            case "query":
                self.client.send(query(arguments[0]))
                self._until("Z")
            case "until":
                self._until(arguments[0] + "EZ")
            case "owner":
                self.straight(arguments[0])
            case "query_cancel":
                self.client.send(query(arguments[0]))
                self._until("DEZ")
                with RawClient(self.client.sock.getpeername()[1]) as other:
                    other.send(cancel_request(self.client.process_id, self.client.key))
                self._until("Z")

    def _until(self, kinds: str) -> str:
        while True:
            message = self.client.message()
            if message is None:
                raise EOFError
            if message.kind in kinds:
                return message.kind


def _message(kind: str, arguments: list[Any]) -> bytes:
    match kind, arguments:
        case "parse", [name, text]:
            return parse(text, name)
        case "parse_types", [name, text, types]:
            body = name.encode() + b"\0" + text.encode() + b"\0"
            return frame("P", body + struct.pack(f"!h{len(types)}i", len(types), *types))
        case "bind", [portal, name, *rest]:
            return _bind(portal, name, [int(rest == ["binary"])])
        case "bind_formats", [portal, name, formats]:
            return _bind(portal, name, formats)
        case "bind_values", [portal, name, values]:
            return _bind(portal, name, [0], [value.encode() for value in values])
        case "describe", [what, name]:
            return describe(what, name)
        case "execute", [portal, *rest]:
            return execute(portal, *rest)
        case "close", [what, name]:
            return frame("C", (what + name).encode() + b"\0")
        case "flush", []:
            return FLUSH
    raise ValueError(f"no such message: {kind} {arguments}")


def _bind(portal: str, name: str, formats: list[int], values: list[bytes] | None = None) -> bytes:
    values = values or []
    body = f"{portal}\0{name}\0".encode() + struct.pack("!hh", 0, len(values))
    body += b"".join(struct.pack("!i", len(value)) + value for value in values)
    return frame("B", body + struct.pack(f"!h{len(formats)}h", len(formats), *formats))
