"""What happens to the rows of one result: pass as they are, or be rewritten by a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from appliance.errors import ProtocolError
from appliance.recording.masked import MaskedColumn

if TYPE_CHECKING:
    from proxy.inflight import InFlight

Buffer = bytes | bytearray | memoryview

LARGEST_ROW: Final = 64 << 20  # bytes of one message of rows that is rewritten: it is held whole


class RowTooLargeError(ProtocolError):
    """A row that a plan would rewrite is larger than what a session may hold."""

    def __init__(self, size: int) -> None:
        super().__init__("gateway", f"a row of {size} bytes is too large to be masked")
        self.size = size


class ResultPlan(Protocol):
    """Rewrites the messages of one result. Decided at RowDescription or CopyOutResponse.

    ``masked``: the output columns that are rewritten; they go into the record.
    """

    @property
    def masked(self) -> tuple[MaskedColumn, ...]: ...

    def description(self, message: Buffer) -> Buffer:
        """Return the RowDescription or CopyOutResponse that the client gets."""
        ...

    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]:
        """Return what the client gets for the DataRow or CopyData frames from ``pos`` on.

        All complete ones that follow one another, and the position behind them: ``pos`` itself
        when the first is not there as a whole. What is behind ``size`` is not looked at.
        """
        ...

    def end(self) -> bytes:
        """Return what is left for the client before CopyDone or CommandComplete."""
        ...


class ResultPlanner(Protocol):
    """Makes the plan of a result when the target describes it; None = pass it as it is."""

    def plan(self, item: InFlight, message: bytes) -> ResultPlan | None:
        """Return what is to be done with the rows that a RowDescription or CopyOut announces."""
        ...
