"""Exchanges of the gateway's own on the target connection: one query, one row, swallowed."""

from __future__ import annotations

import secrets
import struct

from proxy.wire.framing import frame

_LENGTH = struct.Struct("!i")


def exchange(sql: str, *, synced: bool) -> bytes:
    """Return the messages that run ``sql`` beside what the client does.

    Named statement and portal, so that the client's unnamed ones stay; closed at once. The name is
    a new one each time: no client can take it before, and so fail its own batch. Ends in a
    Sync only where the client is synced: else that would end its implicit transaction, and a Flush
    brings the answers as well.
    """
    name = b"gw:" + secrets.token_hex(6).encode() + b"\0"
    return b"".join(
        (
            frame(ord("P"), name + sql.encode() + b"\0\0\0"),
            frame(ord("B"), name + name + b"\0\0\0\0\0\0"),
            frame(ord("E"), name + b"\0\0\0\0"),
            frame(ord("C"), b"P" + name),
            frame(ord("C"), b"S" + name),
            frame(ord("S" if synced else "H"), b""),
        )
    )


def first_column(data_row: bytes) -> bytes | None:
    """Return the first value of a DataRow's body."""
    (count,) = struct.unpack_from("!h", data_row)
    if count < 1:
        return None
    (length,) = _LENGTH.unpack_from(data_row, 2)
    return None if length < 0 else data_row[6 : 6 + length]
