"""Frames the client's messages, each to its handler: the frontend half of the state table."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from appliance.errors import ProtocolError
from proxy import extended, simple
from proxy.commands import Wait, Yield
from proxy.deciding import FORWARD, WAIT

if TYPE_CHECKING:
    from proxy.session import Session

_HEADER = struct.Struct("!i")


def scan(session: Session, view: memoryview) -> int:  # noqa: C901 - one loop, on the hot path
    """Handle the whole messages in ``view``; returns how many bytes were used.

    What passes unchanged is forwarded in runs, as the bytes that came.
    """
    size = len(view)
    pos = start = 0
    out = session.to_upstream
    session.tail_needs = 5
    turns = _TURNS
    if session.pass_from_client:
        pos = min(size, session.pass_from_client)
        session.pass_from_client -= pos
        if session.pass_from_client_dropped:
            start = pos
    while size - pos >= 5:
        kind = view[pos]
        length = _HEADER.unpack_from(view, pos + 1)[0]
        end = pos + 1 + length
        handler = TABLE.get(kind)
        if handler is None:
            raise ProtocolError("client", f"invalid frontend message type {kind}")
        if length < 4 or length > session.message_limit:
            raise ProtocolError("client", f"invalid message length {length} for type {chr(kind)}")
        if session.skipping and kind not in _NEVER_SKIPPED:
            if start < pos:
                out.append(view[start:pos])
            start = pos = min(end, size)
            if end > size:
                session.pass_from_client = end - size
                session.pass_from_client_dropped = True
            continue
        if end > size and kind != _COPY_DATA:
            needs = min(length + 1, extended.LARGE) if kind == _BIND else length + 1
            if size - pos < needs:
                session.tail_needs = needs
                break
        if kind in _MAY_WAIT:
            if start < pos:
                out.append(view[start:pos])  # what a wait puts in goes behind what came before it
                start = pos
            turns -= 1
            if turns < 0:  # others have waited long enough for this session
                session.wait = Wait.TASK
                session.commands.append(Yield())
                break
        result = handler(session, view, pos, min(end, size))
        if result is WAIT:
            break
        if result is not FORWARD:
            if start < pos:
                out.append(view[start:pos])
            if result:
                out.append(result)
            start = min(end, size)
        pos = min(end, size)
        if end > size:  # the rest of a large message passes, or is dropped with its head
            session.pass_from_client = end - size
            session.pass_from_client_dropped = result is not FORWARD
            break
    if start < pos:
        out.append(view[start:pos])
    return pos


_COPY_DATA, _BIND = ord("d"), ord("B")
_TURNS = 96  # messages that are judged in one go: a few ms
_MAY_WAIT = frozenset(b"QPBECF")
_NEVER_SKIPPED = frozenset(b"SX")

# What is not in it ends the session.
TABLE: Final = {
    ord("Q"): simple.query,
    ord("P"): extended.parse,
    ord("B"): extended.bind,
    ord("E"): extended.execute,
    ord("D"): extended.describe,
    ord("C"): extended.close,
    ord("S"): extended.sync,
    ord("H"): extended.flush,
    ord("d"): simple.copy_data,
    ord("c"): simple.copy_end,
    ord("f"): simple.copy_end,
    ord("F"): simple.function_call,
    ord("X"): simple.terminate,
    ord("p"): simple.password,
}
