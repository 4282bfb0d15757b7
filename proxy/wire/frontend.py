"""What a client sends after its first packet: one value per message, with PostgreSQL's names.

Strings are bytes: their encoding is the session's, which nobody knows here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from appliance.errors import ProtocolError
from proxy.wire import codes
from proxy.wire.bindings import bind_parameters as bind_parameters
from proxy.wire.framing import Buffer, frame
from proxy.wire.reader import Reader

_PEER = "client"
_NAMES_BYTES = 256
Value = bytes | None


@dataclass(frozen=True, slots=True)
class Query:
    kind: ClassVar[int] = codes.QUERY
    query: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.query + b"\0")


def parse_query(body: Buffer) -> Query:
    reader = Reader(body, _PEER, "Query")
    message = Query(reader.cstring())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class Parse:
    kind: ClassVar[int] = codes.PARSE
    statement: bytes
    query: bytes
    parameter_types: tuple[int, ...] = ()

    def encode(self) -> bytes:
        oids = self.parameter_types
        types = struct.pack(f"!H{len(oids)}I", len(oids), *oids)
        return frame(self.kind, self.statement + b"\0" + self.query + b"\0" + types)


def parse_parse(body: Buffer) -> Parse:
    reader = Reader(body, _PEER, "Parse")
    statement, query = reader.cstring(), reader.cstring()
    types = tuple(reader.uint32() for _ in range(reader.uint16()))
    reader.done()
    return Parse(statement, query, types)


@dataclass(frozen=True, slots=True)
class Bind:
    """``*_formats``: 0 text, 1 binary; none = all text, one = for all, else one each."""

    kind: ClassVar[int] = codes.BIND
    portal: bytes
    statement: bytes
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[Value, ...] = ()
    result_formats: tuple[int, ...] = ()

    def encode(self) -> bytes:
        parts = [self.portal, b"\0", self.statement, b"\0", formats(self.parameter_formats)]
        parts += [struct.pack("!H", len(self.parameters)), values(self.parameters)]
        parts.append(formats(self.result_formats))
        return frame(self.kind, b"".join(parts))


def parse_bind(body: Buffer) -> Bind:
    reader = Reader(body, _PEER, "Bind")
    portal, statement = reader.cstring(), reader.cstring()
    parameter_formats = tuple(reader.int16() for _ in range(reader.uint16()))
    parameters = tuple(reader.value() for _ in range(reader.uint16()))
    result_formats = tuple(reader.int16() for _ in range(reader.uint16()))
    reader.done()
    return Bind(portal, statement, parameter_formats, parameters, result_formats)


def bind_names(body: Buffer) -> tuple[bytes, bytes, int]:
    """Return a Bind's portal and statement names, and the offset where its parameters begin.

    Looks at the beginning only: the body may be a huge one, or not all there yet.
    """
    head = bytes(body[:_NAMES_BYTES])
    reader = Reader(head if head.count(b"\0") > 1 else body, _PEER, "Bind")
    return reader.cstring(), reader.cstring(), reader.offset


@dataclass(frozen=True, slots=True)
class Describe:
    """``of``: ``codes.STATEMENT`` or ``codes.PORTAL``."""

    kind: ClassVar[int] = codes.DESCRIBE
    of: int
    name: bytes

    def encode(self) -> bytes:
        return frame(self.kind, bytes((self.of,)) + self.name + b"\0")


@dataclass(frozen=True, slots=True)
class Close:
    """``of``: ``codes.STATEMENT`` or ``codes.PORTAL``."""

    kind: ClassVar[int] = codes.CLOSE
    of: int
    name: bytes

    def encode(self) -> bytes:
        return frame(self.kind, bytes((self.of,)) + self.name + b"\0")


def parse_describe(body: Buffer) -> Describe:
    return Describe(*_named(body, "Describe"))


def parse_close(body: Buffer) -> Close:
    return Close(*_named(body, "Close"))


def _named(body: Buffer, message: str) -> tuple[int, bytes]:
    reader = Reader(body, _PEER, message)
    of, name = reader.uint8(), reader.cstring()
    reader.done()
    if of not in (codes.STATEMENT, codes.PORTAL):
        raise reader.malformed("expected S or P")
    return of, name


@dataclass(frozen=True, slots=True)
class Execute:
    """``max_rows``: 0 = all."""

    kind: ClassVar[int] = codes.EXECUTE
    portal: bytes
    max_rows: int = 0

    def encode(self) -> bytes:
        return frame(self.kind, self.portal + b"\0" + struct.pack("!i", self.max_rows))


def parse_execute(body: Buffer) -> Execute:
    reader = Reader(body, _PEER, "Execute")
    message = Execute(reader.cstring(), reader.int32())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class FunctionCall:
    kind: ClassVar[int] = codes.FUNCTION_CALL
    function: int
    argument_formats: tuple[int, ...] = ()
    arguments: tuple[Value, ...] = ()
    result_format: int = 0

    def encode(self) -> bytes:
        parts = [struct.pack("!I", self.function), formats(self.argument_formats)]
        parts += [struct.pack("!H", len(self.arguments)), values(self.arguments)]
        parts.append(struct.pack("!h", self.result_format))
        return frame(self.kind, b"".join(parts))


def parse_function_call(body: Buffer) -> FunctionCall:
    reader = Reader(body, _PEER, "FunctionCall")
    function = reader.uint32()
    argument_formats = tuple(reader.int16() for _ in range(reader.uint16()))
    arguments = tuple(reader.value() for _ in range(reader.uint16()))
    message = FunctionCall(function, argument_formats, arguments, reader.int16())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class CopyData:
    kind: ClassVar[int] = codes.COPY_DATA
    data: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.data)


def parse_copy_data(body: Buffer) -> CopyData:
    return CopyData(bytes(body))


@dataclass(frozen=True, slots=True)
class CopyFail:
    kind: ClassVar[int] = codes.COPY_FAIL
    message: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.message + b"\0")


def parse_copy_fail(body: Buffer) -> CopyFail:
    reader = Reader(body, _PEER, "CopyFail")
    message = CopyFail(reader.cstring())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class CopyDone:
    kind: ClassVar[int] = codes.COPY_DONE

    def encode(self) -> bytes:
        return frame(self.kind, b"")


@dataclass(frozen=True, slots=True)
class Flush:
    kind: ClassVar[int] = codes.FLUSH

    def encode(self) -> bytes:
        return frame(self.kind, b"")


@dataclass(frozen=True, slots=True)
class Sync:
    kind: ClassVar[int] = codes.SYNC

    def encode(self) -> bytes:
        return frame(self.kind, b"")


@dataclass(frozen=True, slots=True)
class Terminate:
    kind: ClassVar[int] = codes.TERMINATE

    def encode(self) -> bytes:
        return frame(self.kind, b"")


def parse_copy_done(body: Buffer) -> CopyDone:
    Reader(body, _PEER, "CopyDone").done()
    return CopyDone()


def parse_flush(body: Buffer) -> Flush:
    Reader(body, _PEER, "Flush").done()
    return Flush()


def parse_sync(body: Buffer) -> Sync:
    Reader(body, _PEER, "Sync").done()
    return Sync()


def parse_terminate(body: Buffer) -> Terminate:
    Reader(body, _PEER, "Terminate").done()
    return Terminate()


FrontendMessage = (
    Query
    | Parse
    | Bind
    | Describe
    | Close
    | Execute
    | FunctionCall
    | CopyData
    | CopyDone
    | CopyFail
    | Flush
    | Sync
    | Terminate
)

_PARSERS: Mapping[int, Callable[[Buffer], FrontendMessage]] = MappingProxyType(
    {
        codes.QUERY: parse_query,
        codes.PARSE: parse_parse,
        codes.BIND: parse_bind,
        codes.DESCRIBE: parse_describe,
        codes.CLOSE: parse_close,
        codes.EXECUTE: parse_execute,
        codes.FUNCTION_CALL: parse_function_call,
        codes.COPY_DATA: parse_copy_data,
        codes.COPY_DONE: parse_copy_done,
        codes.COPY_FAIL: parse_copy_fail,
        codes.FLUSH: parse_flush,
        codes.SYNC: parse_sync,
        codes.TERMINATE: parse_terminate,
    }
)


def parse(kind: int, body: Buffer) -> FrontendMessage:
    """Return the message of any type but ``p``, whose meaning depends on what was asked.

    Raises:
        ProtocolError: no such type, or a body that does not fit it.
    """
    parser = _PARSERS.get(kind)
    if parser is None:
        raise ProtocolError(_PEER, f"unexpected message type {kind:#04x}")
    return parser(body)


def formats(format_codes: tuple[int, ...]) -> bytes:
    """Return a count and that many format codes."""
    return struct.pack(f"!H{len(format_codes)}h", len(format_codes), *format_codes)


def values(items: tuple[Value, ...]) -> bytes:
    """Return values, each with its length before it."""
    return b"".join(
        b"\xff\xff\xff\xff" if item is None else struct.pack("!i", len(item)) + item
        for item in items
    )
