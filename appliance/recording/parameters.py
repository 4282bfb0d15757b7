"""Bind parameters as records hold them: readable, bounded, and not at all where secret (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_PARAMETER_BYTES = 64 << 10  # of one statement, all together


@dataclass(frozen=True, slots=True)
class BinaryValue:
    """A parameter in binary format, with the type the client or the server gave it (0: unknown)."""

    data: bytes
    oid: int


@dataclass(frozen=True, slots=True)
class CutValue:
    """The beginning of a parameter of which the caller itself kept no more; ``length``: bytes."""

    value: str | BinaryValue
    length: int


Parameter = str | bytes | BinaryValue | CutValue | None  # bytes: text format as it came
RecordedParameter = str | dict[str, object] | None


def recorded(parameters: Sequence[Parameter], *, secret: bool = False) -> list[RecordedParameter]:
    """Return the list that a record holds.

    A text is a text, NULL is null, a binary value ``{"hex", "oid"}``. Beyond 64 KiB a value is cut
    and carries its ``length`` in bytes: ``{"text", "length"}`` or ``{"hex", "oid", "length"}``.
    ``secret``: every value becomes ``{"redacted": true}``.
    """
    if secret:
        return [None if value is None else {"redacted": True} for value in parameters]
    room = MAX_PARAMETER_BYTES
    found: list[RecordedParameter] = []
    for value in parameters:
        if isinstance(value, CutValue):
            found.append(_cut(value))
            room = 0
        elif isinstance(value, BinaryValue):
            found.append(_binary(value, room))
            room -= len(value.data)
        elif value is None:
            found.append(None)
        else:
            text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
            found.append(text if len(text) * 4 <= room else _text(text, room))
            room -= len(text)
        room = max(room, 0)
    return found


def _cut(cut: CutValue) -> dict[str, object]:
    if isinstance(cut.value, BinaryValue):
        return _binary(cut.value, MAX_PARAMETER_BYTES) | {"length": cut.length}
    return {"text": cut.value[:MAX_PARAMETER_BYTES], "length": cut.length}


def _binary(value: BinaryValue, room: int) -> dict[str, object]:
    made: dict[str, object] = {"hex": value.data[:room].hex(), "oid": value.oid}
    return made if len(value.data) <= room else made | {"length": len(value.data)}


def _text(text: str, room: int) -> RecordedParameter:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= room:
        return text
    return {"text": data[:room].decode("utf-8", "ignore"), "length": len(data)}
