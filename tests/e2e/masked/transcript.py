"""What a client was sent during one attack, and what may be read out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.e2e.raw import Message
from tests.harness.canaries import Canaries, Finding

_SHORT = 6  # bytes of a value that is a part of one when it stands with others


@dataclass(frozen=True)
class Transcript:
    """The bytes of one or more connections; each begins at a message's start."""

    received: bytes

    def finding(self, canaries: Canaries, also: tuple[str, ...] = ()) -> str:
        """Return what was seen that must not be, "" when nothing was."""
        seen = self.without_login
        for extra in also:
            if extra.encode().lower() in seen.lower():
                return f"{extra} as such"
        found: Finding | None = canaries.find(seen)
        found = found or canaries.find_code(error["C"] for error in self.complaints if "C" in error)
        found = found or canaries.find_count(self.row_counts)
        if found is None:
            for pieces in self._pieced():
                found = found or canaries.find(pieces)
        return "" if found is None else str(found)

    @cached_property
    def messages(self) -> list[Message]:
        found, at, data = [], 0, self.received
        while at + 5 <= len(data):
            end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            found.append(Message(chr(data[at]), data[at + 5 : end]))
            at = end
        return found

    @property
    def without_login(self) -> bytes:
        """Return all bytes but those of Authentication and BackendKeyData, which are by chance."""
        return b"".join(
            message.kind.encode() + message.body
            for message in self.messages
            if message.kind not in "RK"
        )

    @property
    def complaints(self) -> list[dict[str, str]]:
        """Return the fields of each error and notice."""
        return [fields(message.body) for message in self.messages if message.kind in "EN"]

    @property
    def errors(self) -> list[dict[str, str]]:
        return [fields(message.body) for message in self.messages if message.kind == "E"]

    @property
    def refusals(self) -> list[dict[str, str]]:
        """Return the errors that are the gateway's own."""
        return [error for error in self.errors if "gatepost" in error.get("M", "")]

    @property
    def row_counts(self) -> list[int]:
        counts, count = [], 0
        for message in self.messages:
            if message.kind in "Dd":
                count += 1
            elif count:
                counts.append(count)
                count = 0
        return [*counts, count]

    @cached_property
    def rows(self) -> list[list[bytes | None]]:
        return [cells(message.body) for message in self.messages if message.kind == "D"]

    def _pieced(self) -> Iterator[bytes]:
        """Yield short values put together: by column, by row, numbers as characters."""
        width = max((len(row) for row in self.rows), default=0)
        for index in range(width):
            column = [row[index] or b"" for row in self.rows if index < len(row)]
            short = [value for value in column if len(value) <= _SHORT]
            yield b"".join(short)
            yield b"".join(_character(value) for value in short)
        yield b"\0".join(b"".join(value or b"" for value in row) for row in self.rows)
        yield b"".join(error.get("M", "")[-1:].encode() for error in self.complaints)


def cells(body: bytes) -> list[bytes | None]:
    """Return the values of a DataRow."""
    found: list[bytes | None] = []
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        size = int.from_bytes(body[at : at + 4], "big", signed=True)
        found.append(None if size < 0 else body[at + 4 : at + 4 + size])
        at += 4 + max(size, 0)
    return found


def fields(body: bytes) -> dict[str, str]:
    """Return the fields of an error or notice, whatever bytes are in them."""
    parts = (part for part in body.split(b"\0") if part)
    return {chr(part[0]): part[1:].decode("utf-8", "replace") for part in parts}


def _character(value: bytes) -> bytes:
    number = int(value) if value.isdigit() else int.from_bytes(value, "big")
    return bytes([number]) if 32 <= number < 127 else b""
