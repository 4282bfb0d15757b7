"""A Bind's parameters as a record keeps them, also of a Bind that is too large to hold whole."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from appliance.recording.parameters import BinaryValue, Parameter
from proxy.wire.framing import Buffer

_COUNT = struct.Struct("!H")
_LENGTH = struct.Struct("!i")


def bind_parameters(
    body: Buffer, offset: int, limit: int, types: Sequence[int] = (), codec: str = "utf-8"
) -> tuple[Parameter, ...]:
    """Return the parameters: text as str, binary with the type given for it (0 = unknown).

    ``offset`` is where ``frontend.bind_names`` ended. ``body`` may be only the beginning of a
    large Bind. All values together are kept to ``limit`` bytes; where they, or the beginning, end
    early, the last text says in words what is missing: a record never looks complete when it is
    not. ``codec`` is the session's; what does not decode is written as ``\\xNN``.
    Never raises: a Bind that contradicts itself is the target's to refuse.
    """
    data = bytes(body)
    try:
        (formats_count,) = _COUNT.unpack_from(data, offset)
        formats = struct.unpack_from(f"!{formats_count}h", data, offset + 2)
        offset += 2 + 2 * formats_count
        (count,) = _COUNT.unpack_from(data, offset)
    except struct.error:
        return ("(parameters not recorded: there are too many)",)
    offset += _COUNT.size
    end = len(data)
    found: list[Parameter] = []
    for index in range(count):
        if offset + 4 > end:
            found.append(_missing(count - index))
            break
        (size,) = _LENGTH.unpack_from(data, offset)
        offset += 4
        if size == -1:
            found.append(None)
            continue
        if size < 0 or limit <= 0 < size:
            found.append(_missing(count - index))
            break
        kept = data[offset : offset + min(size, limit)]
        limit -= len(kept)
        offset += size
        is_cut = len(kept) < size
        if formats and _is_binary(formats, index):
            found.append(BinaryValue(kept, types[index] if index < len(types) else 0))
        else:
            text = kept.decode(codec, "backslashreplace")
            found.append(f"{text}… (cut: {size} bytes)" if is_cut else text)
        if is_cut:
            left = count - index - 1
            found.append(f"(the last value has {size} bytes; {left} more parameters not recorded)")
            break
    return tuple(found)


def _is_binary(formats: Sequence[int], index: int) -> bool:
    """One format is for all parameters; more are for one each."""
    position = 0 if len(formats) == 1 else index
    return position < len(formats) and formats[position] == 1


def _missing(count: int) -> str:
    return f"({count} more parameters not recorded: too large)"
