"""Exchanges of the gateway's own on the target connection: one query, one row, swallowed."""

from __future__ import annotations

import struct

_NAME = b"gw:own\0"
_LENGTH = struct.Struct("!i")


def exchange(sql: str, *, synced: bool) -> bytes:
    """Return the messages that run ``sql`` beside what the client does.

    Named statement and portal, so that the client's unnamed ones stay; closed at once. Ends in a
    Sync only where the client is synced: else that would end its implicit transaction, and a Flush
    brings the answers as well.
    """
    return b"".join(
        (
            _message(b"P", _NAME + sql.encode() + b"\0\0\0"),
            _message(b"B", _NAME + _NAME + b"\0\0\0\0\0\0"),
            _message(b"E", _NAME + b"\0\0\0\0"),
            _message(b"C", b"P" + _NAME),
            _message(b"C", b"S" + _NAME),
            _message(b"S" if synced else b"H", b""),
        )
    )


def first_column(data_row: bytes) -> bytes | None:
    """Return the first value of a DataRow's body."""
    (count,) = struct.unpack_from("!h", data_row)
    if count < 1:
        return None
    (length,) = _LENGTH.unpack_from(data_row, 2)
    return None if length < 0 else data_row[6 : 6 + length]


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + _LENGTH.pack(len(body) + 4) + body
