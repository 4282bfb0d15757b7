"""What a server sends once a session runs: one value per message, with PostgreSQL's names.

The messages of the login are in authentication.py, errors and notices in notices.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from appliance.errors import ProtocolError
from proxy.wire import codes
from proxy.wire.authentication import (
    Authentication,
    BackendKeyData,
    NegotiateProtocolVersion,
    parse_authentication,
    parse_backend_key_data,
    parse_negotiate_protocol_version,
)
from proxy.wire.framing import Buffer, frame
from proxy.wire.frontend import CopyData, CopyDone, Value, formats, values
from proxy.wire.notices import (
    ErrorResponse,
    NoticeResponse,
    error_response,
    notice_response,
    parse_error_response,
    parse_notice_response,
    rewrite_error,
)
from proxy.wire.reader import Reader

__all__ = [
    "BackendKeyData",
    "CopyData",
    "CopyDone",
    "ErrorResponse",
    "NoticeResponse",
    "error_response",
    "notice_response",
    "rewrite_error",
]

_PEER = "upstream"
# Tags whose last word counts rows; INSERT has an OID of old before it.
_COUNTING = frozenset(
    (b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"MERGE", b"FETCH", b"MOVE", b"COPY")
)


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    kind: ClassVar[int] = codes.PARAMETER_STATUS
    name: bytes
    value: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.name + b"\0" + self.value + b"\0")


def parse_parameter_status(body: Buffer) -> ParameterStatus:
    reader = Reader(body, _PEER, "ParameterStatus")
    message = ParameterStatus(reader.cstring(), reader.cstring())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """``status``: ``codes.IDLE``, ``IN_TRANSACTION`` or ``IN_FAILED_TRANSACTION``."""

    kind: ClassVar[int] = codes.READY_FOR_QUERY
    status: int

    def encode(self) -> bytes:
        return frame(self.kind, bytes((self.status,)))


def parse_ready_for_query(body: Buffer) -> ReadyForQuery:
    reader = Reader(body, _PEER, "ReadyForQuery")
    message = ReadyForQuery(reader.uint8())
    reader.done()
    if message.status not in (codes.IDLE, codes.IN_TRANSACTION, codes.IN_FAILED_TRANSACTION):
        raise reader.malformed("expected I, T or E")
    return message


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One column of a RowDescription. ``table_oid`` 0 = it comes from no table's column."""

    name: bytes
    table_oid: int
    column_attnum: int
    type_oid: int
    type_size: int
    type_modifier: int
    format: int = 0


_FIELD = struct.Struct("!IhIhih")


@dataclass(frozen=True, slots=True)
class RowDescription:
    kind: ClassVar[int] = codes.ROW_DESCRIPTION
    fields: tuple[FieldDescription, ...]

    def encode(self) -> bytes:
        parts = [struct.pack("!H", len(self.fields))]
        for field in self.fields:
            numbers = (field.table_oid, field.column_attnum, field.type_oid)
            sizes = (field.type_size, field.type_modifier, field.format)
            parts += [field.name, b"\0", _FIELD.pack(*numbers, *sizes)]
        return frame(self.kind, b"".join(parts))


def parse_row_description(body: Buffer) -> RowDescription:
    reader = Reader(body, _PEER, "RowDescription")
    fields = tuple(
        FieldDescription(reader.cstring(), *_FIELD.unpack(reader.take(_FIELD.size)))
        for _ in range(reader.uint16())
    )
    reader.done()
    return RowDescription(fields)


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    kind: ClassVar[int] = codes.PARAMETER_DESCRIPTION
    parameter_types: tuple[int, ...]

    def encode(self) -> bytes:
        oids = self.parameter_types
        return frame(self.kind, struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def parse_parameter_description(body: Buffer) -> ParameterDescription:
    reader = Reader(body, _PEER, "ParameterDescription")
    message = ParameterDescription(tuple(reader.uint32() for _ in range(reader.uint16())))
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class DataRow:
    kind: ClassVar[int] = codes.DATA_ROW
    columns: tuple[Value, ...]

    def encode(self) -> bytes:
        return frame(self.kind, struct.pack("!H", len(self.columns)) + values(self.columns))


def parse_data_row(body: Buffer) -> DataRow:
    reader = Reader(body, _PEER, "DataRow")
    message = DataRow(tuple(reader.value() for _ in range(reader.uint16())))
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class CommandComplete:
    kind: ClassVar[int] = codes.COMMAND_COMPLETE
    tag: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.tag + b"\0")


def parse_command_complete(body: Buffer) -> CommandComplete:
    reader = Reader(body, _PEER, "CommandComplete")
    message = CommandComplete(reader.cstring())
    reader.done()
    return message


def command_tag(body: Buffer) -> tuple[str, int | None]:
    """Return a CommandComplete's tag, and the rows it counts: None where it counts none."""
    tag = bytes(body).rstrip(b"\0")
    words = tag.split(b" ")
    rows = None
    if len(words) > 1 and words[0] in _COUNTING and words[-1].isdigit():
        rows = int(words[-1])
    return tag.decode("utf-8", "replace"), rows


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    kind: ClassVar[int] = codes.NOTIFICATION_RESPONSE
    process_id: int
    channel: bytes
    payload: bytes

    def encode(self) -> bytes:
        strings = self.channel + b"\0" + self.payload + b"\0"
        return frame(self.kind, struct.pack("!I", self.process_id) + strings)


def parse_notification_response(body: Buffer) -> NotificationResponse:
    reader = Reader(body, _PEER, "NotificationResponse")
    message = NotificationResponse(reader.uint32(), reader.cstring(), reader.cstring())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class CopyResponse:
    """``kind`` tells CopyIn-, CopyOut- and CopyBothResponse apart; ``format`` 0 text, 1 binary."""

    kind: int
    format: int
    column_formats: tuple[int, ...]

    def encode(self) -> bytes:
        return frame(self.kind, struct.pack("!b", self.format) + formats(self.column_formats))


def _parse_copy_response(kind: int, body: Buffer) -> CopyResponse:
    reader = Reader(body, _PEER, "CopyResponse")
    overall = reader.uint8()
    columns = tuple(reader.int16() for _ in range(reader.uint16()))
    reader.done()
    if overall > 1:
        raise reader.malformed("expected format 0 or 1")
    return CopyResponse(kind, overall, columns)


def parse_copy_in_response(body: Buffer) -> CopyResponse:
    return _parse_copy_response(codes.COPY_IN_RESPONSE, body)


def parse_copy_out_response(body: Buffer) -> CopyResponse:
    return _parse_copy_response(codes.COPY_OUT_RESPONSE, body)


def parse_copy_both_response(body: Buffer) -> CopyResponse:
    return _parse_copy_response(codes.COPY_BOTH_RESPONSE, body)


def parse_copy_data(body: Buffer) -> CopyData:
    return CopyData(bytes(body))


def parse_copy_done(body: Buffer) -> CopyDone:
    Reader(body, _PEER, "CopyDone").done()
    return CopyDone()


@dataclass(frozen=True, slots=True)
class FunctionCallResponse:
    kind: ClassVar[int] = codes.FUNCTION_CALL_RESPONSE
    result: Value

    def encode(self) -> bytes:
        return frame(self.kind, values((self.result,)))


def parse_function_call_response(body: Buffer) -> FunctionCallResponse:
    reader = Reader(body, _PEER, "FunctionCallResponse")
    message = FunctionCallResponse(reader.value())
    reader.done()
    return message


@dataclass(frozen=True, slots=True)
class Bare:
    """A message without a body: ParseComplete, BindComplete, NoData …, told by ``kind``."""

    kind: int

    def encode(self) -> bytes:
        return frame(self.kind, b"")


PARSE_COMPLETE = Bare(codes.PARSE_COMPLETE)
BIND_COMPLETE = Bare(codes.BIND_COMPLETE)
CLOSE_COMPLETE = Bare(codes.CLOSE_COMPLETE)
EMPTY_QUERY_RESPONSE = Bare(codes.EMPTY_QUERY_RESPONSE)
NO_DATA = Bare(codes.NO_DATA)
PORTAL_SUSPENDED = Bare(codes.PORTAL_SUSPENDED)

_BARE: Mapping[int, Bare] = MappingProxyType(
    {
        message.kind: message
        for message in (
            PARSE_COMPLETE,
            BIND_COMPLETE,
            CLOSE_COMPLETE,
            EMPTY_QUERY_RESPONSE,
            NO_DATA,
            PORTAL_SUSPENDED,
        )
    }
)

BackendMessage = (
    Authentication
    | BackendKeyData
    | Bare
    | CommandComplete
    | CopyData
    | CopyDone
    | CopyResponse
    | DataRow
    | ErrorResponse
    | FunctionCallResponse
    | NegotiateProtocolVersion
    | NoticeResponse
    | NotificationResponse
    | ParameterDescription
    | ParameterStatus
    | ReadyForQuery
    | RowDescription
)

_PARSERS: Mapping[int, Callable[[Buffer], BackendMessage]] = MappingProxyType(
    {
        codes.AUTHENTICATION: parse_authentication,
        codes.BACKEND_KEY_DATA: parse_backend_key_data,
        codes.COMMAND_COMPLETE: parse_command_complete,
        codes.COPY_BOTH_RESPONSE: parse_copy_both_response,
        codes.COPY_DATA: parse_copy_data,
        codes.COPY_DONE: parse_copy_done,
        codes.COPY_IN_RESPONSE: parse_copy_in_response,
        codes.COPY_OUT_RESPONSE: parse_copy_out_response,
        codes.DATA_ROW: parse_data_row,
        codes.ERROR_RESPONSE: parse_error_response,
        codes.FUNCTION_CALL_RESPONSE: parse_function_call_response,
        codes.NEGOTIATE_PROTOCOL_VERSION: parse_negotiate_protocol_version,
        codes.NOTICE_RESPONSE: parse_notice_response,
        codes.NOTIFICATION_RESPONSE: parse_notification_response,
        codes.PARAMETER_DESCRIPTION: parse_parameter_description,
        codes.PARAMETER_STATUS: parse_parameter_status,
        codes.READY_FOR_QUERY: parse_ready_for_query,
        codes.ROW_DESCRIPTION: parse_row_description,
    }
)


def parse(kind: int, body: Buffer) -> BackendMessage:
    """Return the message of any type.

    Raises:
        ProtocolError: no such type, or a body that does not fit it.
    """
    bare = _BARE.get(kind)
    if bare is not None:
        Reader(body, _PEER, f"{chr(kind)!r}").done()
        return bare
    parser = _PARSERS.get(kind)
    if parser is None:
        raise ProtocolError(_PEER, f"unexpected message type {kind:#04x}")
    return parser(body)
