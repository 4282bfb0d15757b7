"""Find the frames of typed messages in a buffer without looking into them.

A frame is one type byte, four bytes of length (which count themselves, not the type), the body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.errors import ProtocolError
from proxy.wire import codes

Buffer = bytes | bytearray | memoryview

HEADER_BYTES = 5
_HEADER = struct.Struct("!BI")

_CLIENT_LARGE = (
    codes.QUERY,
    codes.PARSE,
    codes.BIND,
    codes.FUNCTION_CALL,
    codes.COPY_DATA,
)
_CLIENT_SMALL = (
    codes.CLOSE,
    codes.DESCRIBE,
    codes.EXECUTE,
    codes.FLUSH,
    codes.SYNC,
    codes.TERMINATE,
    codes.COPY_DONE,
    codes.COPY_FAIL,
)
_UPSTREAM = (
    codes.AUTHENTICATION,
    codes.BACKEND_KEY_DATA,
    codes.BIND_COMPLETE,
    codes.CLOSE_COMPLETE,
    codes.COMMAND_COMPLETE,
    codes.COPY_BOTH_RESPONSE,
    codes.COPY_DATA,
    codes.COPY_DONE,
    codes.COPY_IN_RESPONSE,
    codes.COPY_OUT_RESPONSE,
    codes.DATA_ROW,
    codes.EMPTY_QUERY_RESPONSE,
    codes.ERROR_RESPONSE,
    codes.FUNCTION_CALL_RESPONSE,
    codes.NEGOTIATE_PROTOCOL_VERSION,
    codes.NO_DATA,
    codes.NOTICE_RESPONSE,
    codes.NOTIFICATION_RESPONSE,
    codes.PARAMETER_DESCRIPTION,
    codes.PARAMETER_STATUS,
    codes.PARSE_COMPLETE,
    codes.PORTAL_SUSPENDED,
    codes.READY_FOR_QUERY,
    codes.ROW_DESCRIPTION,
)


@dataclass(frozen=True, slots=True)
class FrameRules:
    """What frames a peer may send: ``longest[type]`` bounds the length field, 0 = no such type."""

    peer: str
    longest: tuple[int, ...]


def client_rules(message_bytes: int = codes.LARGE_MESSAGE) -> FrameRules:
    """Return the rules for a logged-in client: PostgreSQL's own types and limits, or tighter.

    ``message_bytes`` bounds the types that carry statements, parameters and COPY data.
    """
    large = min(message_bytes, codes.LARGE_MESSAGE)
    sizes = dict.fromkeys(_CLIENT_LARGE, large) | dict.fromkeys(_CLIENT_SMALL, codes.SMALL_MESSAGE)
    return _rules("client", sizes)


def login_rules() -> FrameRules:
    """Return the rules for a client that is logging in: nothing but answers to what was asked."""
    return _rules("client", {codes.PASSWORD: codes.MAX_AUTH_TOKEN})


def upstream_rules(message_bytes: int = codes.LARGE_MESSAGE) -> FrameRules:
    """Return the rules for a target."""
    return _rules("upstream", dict.fromkeys(_UPSTREAM, message_bytes))


def _rules(peer: str, sizes: dict[int, int]) -> FrameRules:
    return FrameRules(peer, tuple(sizes.get(kind, 0) for kind in range(256)))


def stop_table(kinds: bytes | tuple[int, ...]) -> bytes:
    """Return the table that ``jump`` takes: byte ``n`` is 1 where type ``n`` is to be looked at."""
    table = bytearray(256)
    for kind in kinds:
        table[kind] = 1
    return bytes(table)


def header(view: Buffer, offset: int, rules: FrameRules) -> tuple[int, int]:
    """Return type and end offset of the frame at ``offset``; its five header bytes are there.

    The end may lie beyond the buffer: the rest of the body is yet to come.

    Raises:
        ProtocolError: the peer may not send such a type, or such a length.
    """
    kind, length = _HEADER.unpack_from(view, offset)
    if not 4 <= length <= rules.longest[kind]:
        raise bad_header(kind, length, rules)
    return kind, offset + 1 + length


def frames(view: Buffer, start: int, end: int, rules: FrameRules) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and end of each whole frame; stop at the first that is not all there."""
    while end - start >= HEADER_BYTES:
        kind, after = header(view, start, rules)
        if after > end:
            return
        yield kind, start, after
        start = after


def jump(view: Buffer, offset: int, end: int, stops: bytes, rules: FrameRules) -> int:
    """Pass over the frames that nobody needs to look at.

    Returns the offset of the first frame whose type is in ``stops``, or of a header that is not
    all there, or - beyond ``end`` - where the last frame will end: so many bytes of it still pass.
    """
    unpack, longest, last = _HEADER.unpack_from, rules.longest, end - HEADER_BYTES
    while offset <= last:
        kind, length = unpack(view, offset)
        if not 4 <= length <= longest[kind]:
            raise bad_header(kind, length, rules)
        if stops[kind]:
            return offset
        offset += 1 + length
    return offset


def frame(kind: int, body: bytes) -> bytes:
    """Return one message as it goes over the wire."""
    return _HEADER.pack(kind, len(body) + 4) + body


def bad_header(kind: int, length: int, rules: FrameRules) -> ProtocolError:
    """Return the error for a header that ``rules`` do not allow."""
    if not rules.longest[kind]:
        return ProtocolError(rules.peer, f"unexpected message type {kind:#04x}")
    return ProtocolError(
        rules.peer,
        f"message type {kind:#04x} of length {length}, expected 4 to {rules.longest[kind]}",
    )


UPSTREAM: Final = upstream_rules()


class MessageBuffer:
    """Cut a byte stream into whole messages: for handshakes, where messages are few and small."""

    def __init__(self, rules: FrameRules) -> None:
        self._rules = rules
        self._data = bytearray()

    def feed(self, data: Buffer) -> None:
        """Append what was received."""
        self._data += data

    def next(self) -> tuple[int, bytes] | None:
        """Return type and body of the next message, None until it is all there.

        Raises:
            ProtocolError: as soon as a header is there that the rules do not allow.
        """
        if len(self._data) < HEADER_BYTES:
            return None
        kind, end = header(self._data, 0, self._rules)
        if len(self._data) < end:
            return None
        body = bytes(self._data[HEADER_BYTES:end])
        del self._data[:end]
        return kind, body

    @property
    def rest(self) -> bytes:
        """Return what came after the last message that was taken."""
        return bytes(self._data)
