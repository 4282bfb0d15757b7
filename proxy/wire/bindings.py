"""A Bind's parameters as a record keeps them, also of a Bind that is too large to hold whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance.errors import ProtocolError
from appliance.recording.parameters import BinaryValue, Parameter
from proxy.wire.framing import Buffer
from proxy.wire.reader import Reader


def bind_parameters(
    body: Buffer, offset: int, limit: int, types: Sequence[int] = (), codec: str = "utf-8"
) -> tuple[Parameter, ...]:
    """Return the parameters: text as str, binary with the type given for it (0 = unknown).

    ``offset`` is where ``frontend.bind_names`` ended. ``body`` may be only the beginning of a
    large Bind. All values together are kept to ``limit`` bytes; where they, or the beginning, end
    early, the last text says in words what is missing: a record never looks complete when it is
    not. ``codec`` is the session's; what does not decode is written as ``\\xNN``.

    Raises:
        ProtocolError: formats and parameters do not fit together.
    """
    reader = Reader(body, "client", "Bind", offset)
    found: list[Parameter] = []
    for value in _values(reader, limit, codec):
        if isinstance(value, BinaryValue) and len(found) < len(types):
            value = BinaryValue(value.data, types[len(found)])
        found.append(value)
    return tuple(found)


def _values(reader: Reader, limit: int, codec: str) -> Iterator[Parameter]:
    try:
        format_codes = [reader.int16() for _ in range(reader.uint16())]
        count = reader.uint16()
    except ProtocolError:
        yield "(parameters not recorded: there are too many)"
        return
    if len(format_codes) > 1 and len(format_codes) != count:
        raise reader.malformed(f"{len(format_codes)} parameter formats, {count} parameters")
    for index in range(count):
        size = reader.int32() if reader.left >= 4 else None
        if size is None or limit <= 0 < size:
            yield f"({count - index} more parameters not recorded: too large)"
            return
        if size < -1:
            raise reader.malformed("a length below -1")
        if size == -1:
            yield None
            continue
        kept = reader.take(min(size, limit, reader.left))
        limit -= len(kept)
        cut = len(kept) < size
        if bool(format_codes) and format_codes[index % len(format_codes)] == 1:
            yield BinaryValue(kept, 0)
        else:
            note = f"… (cut: {size} bytes)" if cut else ""
            yield kept.decode(codec, "backslashreplace") + note
        if cut:
            left = count - index - 1
            yield f"(the last value has {size} bytes; {left} more parameters not recorded)"
            return
