"""What happens to the rows of one result: pass as they are, or be rewritten by a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.decision import Decision

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


class ResultPlanner(Protocol):
    """Makes the plan of a result when the target describes it; None = pass it as it is.

    The description may come once, at Describe of a statement, and never again before later
    Executes: the plan is kept with the statement and the portal.
    """

    def plan(self, decision: Decision | None, description: Buffer) -> ResultPlan | None:
        """Return what is to be done with the rows that a RowDescription or CopyOut announces."""
        ...
