"""The binary form of a journal: segment headers, records and the hash chain (pure).

A segment file is a header block of ``HEADER_BYTES`` and then records, one after the other::

    header  = magic(8) crc32(4) segment(4) previous chain hash(32) journal name(utf-8, zero padded)
    record  = length(4) crc32(4) kind(1) chain hash(32) body(length)

All integers are little endian. ``chain = sha256(chain before + kind + body)``; the chain of a
segment begins with ``sha256(previous chain + header)``, that of a journal with 32 zero bytes.
``crc32`` covers chain hash and body, so a reader can tell a torn record without the chain.
A length of zero means that nothing was written there yet.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha256

FORMAT = 1
MAGIC = b"GPSEG\x00\x00\x01"
HEADER_BYTES = 512
RECORD_HEAD = struct.Struct("<IIB32s")
RECORD_BYTES = RECORD_HEAD.size  # 41, before the body
GENESIS = bytes(32)
MAX_BODY = 8 << 20  # larger texts are written in parts
TEXT_PART_CHARS = 256 << 10  # longer texts go into records of their own, in parts of this
POSITION_SHIFT = 32  # position = segment number << 32 | offset in the segment

KIND_BYTES = tuple(bytes((number,)) for number in range(256))

_HEADER = struct.Struct("<8sII32s")


class Kind(IntEnum):
    """What a record says. Numbers are for ever."""

    JOURNAL = 1  # the first of every journal: who writes it, with which key
    START = 2
    STATEMENT = 3
    OUTCOME = 4
    END = 5
    TEXT = 6  # (a part of) a statement's text
    LOGIN = 7  # a login that was refused
    EVENT = 8  # admin changes, decisions, and what happened to journals themselves
    HEAD = 9  # an Ed25519 signature over everything before it
    CLOSE = 10  # the last of a journal


class State(StrEnum):
    """What became of a statement. ``sent`` claims no run: its outcome is unknown."""

    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    HELD = "held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Header:
    """What the first block of a segment says."""

    journal: str
    segment: int
    previous: bytes  # the chain hash at the end of the segment before


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read: ``position`` is where it begins, ``end`` where the next one does."""

    position: int
    end: int
    kind: int
    chain: bytes
    body: bytes


class TornRecord(Exception):
    """The bytes at ``offset`` are no whole record: torn, not finished yet, or touched."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.why = why


def position_of(segment: int, offset: int) -> int:
    """Return the one number that orders all places of a journal."""
    return segment << POSITION_SHIFT | offset


def place_of(position: int) -> tuple[int, int]:
    """Return (segment, offset) of a position."""
    return position >> POSITION_SHIFT, position & ((1 << POSITION_SHIFT) - 1)


def describe_position(position: int) -> str:
    """Return a position as people read it: ``000002.seg byte 4711``."""
    segment, offset = place_of(position)
    return f"{segment_name(segment)} byte {offset}"


def segment_name(segment: int) -> str:
    """Return the file name of a segment."""
    return f"{segment:06d}.seg"


def pack_header(header: Header) -> bytes:
    """Return the header block. The journal's name takes at most 400 bytes."""
    name = header.journal.encode()
    if len(name) > 400:
        raise ValueError("a journal's name takes at most 400 bytes")
    rest = struct.pack("<I32s", header.segment, header.previous) + name
    rest = rest.ljust(HEADER_BYTES - 12, b"\0")
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def unpack_header(block: bytes) -> Header | None:
    """Return what a header block says; None when the segment is not begun.

    The first four bytes are written last, so they tell. Raises ``TornRecord`` for a damaged one.
    """
    if not any(block[:4]):
        return None
    if len(block) < HEADER_BYTES or block[:8] != MAGIC:
        raise TornRecord(0, "the segment header is damaged")
    _, crc, segment, previous = _HEADER.unpack_from(block)
    if zlib.crc32(block[12:HEADER_BYTES]) != crc:
        raise TornRecord(0, "the segment header does not match its checksum")
    name = block[_HEADER.size : HEADER_BYTES].rstrip(b"\0")
    return Header(name.decode("utf-8", "replace"), segment, previous)


def first_chain(previous: bytes, header_block: bytes) -> bytes:
    """Return the chain hash with which a segment begins."""
    return sha256(previous + header_block[:HEADER_BYTES]).digest()


def next_chain(chain: bytes, kind: int, body: bytes) -> bytes:
    """Return the chain hash of a record that follows ``chain``."""
    return sha256(chain + KIND_BYTES[kind] + body).digest()


def unpack_record(data: bytes, offset: int, base: int) -> Record | None:
    """Return the record at ``offset`` of ``data``; None where nothing was written.

    ``base`` is the position of ``data``'s first byte. The chain is not checked here. Raises
    ``TornRecord`` for what is no whole record.
    """
    if len(data) - offset < 4:
        if any(data[offset:]):
            raise TornRecord(offset, "the file ends inside a record")
        return None
    length = int.from_bytes(data[offset : offset + 4], "little")
    if length == 0:
        return None
    end = offset + RECORD_BYTES + length
    if length > MAX_BODY or end > len(data):
        raise TornRecord(offset, "the file ends inside a record")
    _, crc, kind, chain = RECORD_HEAD.unpack_from(data, offset)
    if zlib.crc32(data[offset + 9 : end]) != crc:
        raise TornRecord(offset, "a record does not match its checksum")
    body = data[offset + RECORD_BYTES : end]
    return Record(base + offset, base + end, kind, chain, body)


def head_message(journal: str, position: int, chain: bytes) -> bytes:
    """Return the bytes that a signed head signs."""
    return b"gatepost journal head\n" + journal.encode() + b"\n%d\n" % position + chain
