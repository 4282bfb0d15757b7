"""What was sent to the target and is not answered yet, in order: each answer finds its question."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import IntEnum

from proxy.decision import Decision
from proxy.holds import Hold
from proxy.refusal import Refusal
from proxy.results import ResultPlan
from proxy.statements import Portal, Prepared


class Kind(IntEnum):
    """What kind of message waits for its answer."""

    QUERY = 0
    PARSE = 1
    BIND = 2
    DESCRIBE = 3
    EXECUTE = 4
    CLOSE = 5
    SYNC = 6
    COPY_END = 7  # CopyDone / CopyFail: no answer of its own, but it ends what Sync cannot
    FUNCTION = 8


class InFlight:
    """One message on its way.

    ``own``: the gateway's own; its answers never reach the client.
    ``records``: the journal's numbers of the statements in it, in order; ``at``: the present one.
    ``undo``: restores the statement map when the server skips the message.
    ``on_done``: called when it is answered or skipped. ``on_description``: with the RowDescription
    that an own Describe brought, before ``on_done``. ``sqlstate``: how an own exchange failed.
    ``described``: the RowDescription of what a COPY shows.
    """

    # Class attributes as defaults: most messages set one or two of them, on the hot path.
    records: tuple[int, ...] = ()
    at = 0
    row: bytes | None = None  # the first DataRow of an own exchange
    bytes_out = 0
    sqlstate = ""
    described: bytes | None = None
    max_rows = 0
    is_planned = False  # it is known what happens to its rows; in a masked session none pass before
    is_noted = False  # its outcome is journaled: a refusal of what was held
    scrubs = False  # its errors and notices lose their values whatever its decision says
    released_rule = ""  # the rule whose hold an approval ended: it may run
    released: Hold | None = None  # that hold
    refusal: Refusal | None = None
    portal: Portal | None = None
    prepared: Prepared | None = None
    decision: Decision | None = None
    plan: ResultPlan | None = None
    undo: Callable[[], None] | None = None
    on_done: Callable[[], None] | None = None
    ahead_of: InFlight | None = None  # of an own message: the client's that fails with it
    on_description: Callable[[bytes], None] | None = None

    def __init__(self, kind: Kind, *, own: bool = False, started: float = 0.0) -> None:
        self.kind = kind
        self.own = own
        self.started = started


class Queue:
    """The messages in flight, oldest first."""

    __slots__ = ("_items", "copy_in")

    def __init__(self) -> None:
        self._items: deque[InFlight] = deque()
        self.copy_in = False  # the target reads CopyData and ignores Sync

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)

    def __iter__(self) -> Iterator[InFlight]:
        return iter(self._items)

    @property
    def head(self) -> InFlight | None:
        """Return the message that the next answer belongs to."""
        return self._items[0] if self._items else None

    def push(self, item: InFlight) -> None:
        """Append a message that was handed over; the target ignores a Sync in copy-in mode."""
        if self.copy_in:
            if item.kind is Kind.SYNC:
                return
            if item.kind is Kind.COPY_END:
                self.copy_in = False
        if item.kind is Kind.COPY_END and not self._items:
            return  # outside of a copy the target ignores it
        self._items.append(item)

    def pop(self) -> InFlight:
        """Remove the head: it is answered. The end of a copy behind it has no answer of its own."""
        items = self._items
        head = items.popleft()
        while items and items[0].kind is Kind.COPY_END:
            items.popleft()
        return head

    def begin_copy_in(self) -> None:
        """Forget the Syncs that the target ignores: those sent before the copy's end."""
        kept: deque[InFlight] = deque()
        head = self._items.popleft()
        ended = False
        for item in self._items:
            if item.kind is Kind.COPY_END:
                ended = True
            if ended or item.kind is not Kind.SYNC:
                kept.append(item)
        kept.appendleft(head)
        self._items = kept
        self.copy_in = not ended

    def skip_to_sync(self) -> list[InFlight]:
        """Remove what the target skips after an error: all up to the next Sync (kept).

        Returns what was skipped, newest first, so that their undo's run in reverse.
        """
        skipped: list[InFlight] = []
        while self._items and self._items[0].kind is not Kind.SYNC:
            skipped.append(self._items.popleft())
        skipped.reverse()
        return skipped

    def drain(self) -> list[InFlight]:
        """Remove and return everything, oldest first: the target is gone."""
        items = list(self._items)
        self._items.clear()
        return items
