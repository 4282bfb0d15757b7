"""The thread that makes a journal survive a power loss: group commit, off every event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from appliance.errors import JournalUnavailable
from appliance.recording.segments import Segment, sync_directory

DurableCallback = Callable[[JournalUnavailable | None], None]

_log = structlog.get_logger("journal")


class Syncable(Protocol):
    """What the thread needs of a journal."""

    path: Path

    def sync_point(self) -> tuple[Segment, int, str]: ...
    def sync_failed(self, error: OSError) -> int: ...
    def prepare_next(self) -> None: ...


class SyncThread:
    """Sync within ``linger_s`` of a write, at once when somebody waits for it.

    ``is_due`` is true between a write and the sync that takes it; the writer calls ``wake`` when
    it finds it false, so most writes cost one attribute.
    """

    def __init__(self, journal: Syncable, linger_s: float) -> None:
        self._journal = journal
        self._linger_s = linger_s
        self.is_due = False
        self.durable = 0
        self._stopping = False
        self._lost: list[tuple[int, int]] = []  # (after, up to): the medium refused these
        self._retired: list[tuple[Segment, int]] = []
        self._waiters: list[tuple[int, DurableCallback]] = []
        self._lock = threading.Lock()  # for the three lists
        self._signal = _Signal()  # there is something to sync
        self._hurry = _Signal()  # somebody waits: no lingering
        self._known_names: Path | None = None
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Sync what is left, then end the thread."""
        self._stopping = True
        self._hurry.set()
        self._signal.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Say that there is something to sync."""
        self.is_due = True
        self._signal.set()

    def retire(self, segment: Segment, end: int) -> None:
        """Take over a full segment: cut, sync and close it."""
        with self._lock:
            self._retired.append((segment, end))

    def add_waiter(self, position: int, callback: DurableCallback) -> None:
        """Call ``callback`` when all before ``position`` is durable, or cannot be."""
        with self._lock:
            self._waiters.append((position, callback))
        self._hurry.set()
        self.wake()

    def _run(self) -> None:
        while not self._stopping:
            self._signal.wait()
            if not self._waiters and not self._stopping:
                self._hurry.wait(self._linger_s)
            self.is_due = False  # before looking: what comes after wakes again
            self._round()
        self._round()

    def _round(self) -> None:
        segment, position, suspect = self._journal.sync_point()
        with self._lock:
            retired, self._retired = self._retired, []
        problem: OSError | None = OSError(suspect) if suspect else None
        for full, end in retired:
            problem = self._attempt(lambda full=full, end=end: full.finish(end)) or problem  # type: ignore[misc]  # bound by defaults
        if problem is None:
            problem = self._attempt(segment.sync)
        if problem is None and self._known_names != segment.path:
            problem = self._attempt(lambda: sync_directory(self._journal.path))
            self._known_names = segment.path
        if problem is None:
            self.durable = position
        elif not suspect:
            _log.error("journal sync failed", journal=self._journal.path.name, error=str(problem))
            end = self._journal.sync_failed(problem)
            with self._lock:
                self._lost.append((self.durable, end))
        self._answer(position)
        self._journal.prepare_next()

    def _attempt(self, step: Callable[[], None]) -> OSError | None:
        try:
            step()
        except OSError as error:
            return error
        return None

    def _answer(self, position: int) -> None:
        with self._lock:
            ready = [waiter for waiter in self._waiters if waiter[0] <= position]
            self._waiters = [waiter for waiter in self._waiters if waiter[0] > position]
        for wanted, callback in ready:
            lost = any(after < wanted <= end for after, end in self._lost)
            error = JournalUnavailable(
                "the journal's disk did not take the record",
                "look at the kernel's log for errors of the disk",
            )
            try:
                callback(error if lost else None)
            except Exception:  # the thread has to outlive its callers' mistakes
                _log.exception("a journal callback failed")


class _Signal:
    """A flag that one thread waits for; setting it costs less than threading.Event's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        with suppress(RuntimeError):  # set already
            self._lock.release()

    def wait(self, timeout_s: float = -1) -> None:
        self._lock.acquire(timeout=timeout_s)
