"""What happens to the rows of one result: pass as they are, or be rewritten by a plan."""

from __future__ import annotations

from typing import Protocol

Buffer = bytes | bytearray | memoryview


class ResultPlan(Protocol):
    """Rewrites the messages of one result. Decided at RowDescription or CopyOutResponse.

    ``masked`` names the output columns that are rewritten: they go into the record.
    """

    masked: tuple[str, ...]

    def description(self, message: Buffer) -> Buffer:
        """Return the RowDescription or CopyOutResponse that the client gets."""
        ...

    def row(self, message: Buffer) -> Buffer:
        """Return the DataRow or CopyData message that the client gets."""
        ...
