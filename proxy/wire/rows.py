"""Rewrite the rows of a result by a plan of columns, in plain Python.

The twin of a compiled module with the same interface; each is checked against the other.
Whatever does not fit the plan raises: a row is never passed on because it was not understood.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import ProtocolError
from proxy.wire import codes
from proxy.wire.framing import HEADER_BYTES, UPSTREAM, Buffer, frames

# Takes a value (None = NULL) and its format (0 text, 1 binary), returns what the client gets.
Replace = Callable[[bytes | None, int], bytes | None]

_LENGTH = struct.Struct("!i")
_COUNT = struct.Struct("!H")
_ROW_HEADER = struct.Struct("!BIH")


@dataclass(frozen=True, slots=True)
class RowPlan:
    """``columns``: one entry per output column, None = pass. ``formats``: 0 or 1 for each."""

    columns: tuple[Replace | None, ...]
    formats: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.columns) != len(self.formats):
            raise ValueError("expected one format per column")


def rewrite_rows(view: Buffer, plan: RowPlan) -> bytes:
    """Return the whole messages in ``view`` with every DataRow rewritten, the others as they are.

    Raises:
        ProtocolError: the view ends within a message, or a row does not fit the plan.
    """
    data = bytes(view)
    out: list[bytes] = []
    end = 0
    for kind, start, end in frames(data, 0, len(data), UPSTREAM):
        if kind == codes.DATA_ROW:
            _row(data, start, end, plan, out)
        else:
            out.append(data[start:end])
    if end != len(data):
        raise _error("a message is not all there")
    return b"".join(out)


def _row(data: bytes, start: int, end: int, plan: RowPlan, out: list[bytes]) -> None:
    """Append one row. What passes between two replaced columns is copied in one piece."""
    offset = start + HEADER_BYTES
    if end - offset < _COUNT.size or _COUNT.unpack_from(data, offset)[0] != len(plan.columns):
        raise _error(f"expected {len(plan.columns)} columns")
    offset += _COUNT.size
    parts: list[bytes] = []
    run = offset
    for replace, form in zip(plan.columns, plan.formats, strict=True):
        if end - offset < _LENGTH.size:
            raise _error("it ends within a column")
        length: int = _LENGTH.unpack_from(data, offset)[0]
        value_at = offset + _LENGTH.size
        after = value_at + max(length, 0)
        if length < -1 or after > end:
            raise _error("it ends within a column")
        if replace is not None:
            value = replace(None if length < 0 else data[value_at:after], form)
            parts.append(data[run:offset])
            parts.append(_NULL if value is None else _LENGTH.pack(len(value)) + value)
            run = after
        offset = after
    if offset != end:
        raise _error("it goes on after its last column")
    parts.append(data[run:end])
    size = _COUNT.size + sum(map(len, parts))
    if size + 4 > codes.LARGE_MESSAGE:
        raise _error("its replacement is larger than a message can be")
    out.append(_ROW_HEADER.pack(codes.DATA_ROW, size + 4, len(plan.columns)))
    out += parts


_NULL = b"\xff\xff\xff\xff"


def _error(why: str) -> ProtocolError:
    return ProtocolError("upstream", f"a row does not fit its result: {why}")
