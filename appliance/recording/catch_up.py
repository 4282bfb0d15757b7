"""Let readers see what was journaled before they asked."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.clock import Clock
from appliance.recording.indexer import Indexer
from appliance.recording.reading import BrokenChain, JournalReader, Place, journals_in
from appliance.recording.records import TornRecord
from appliance.store import recordings
from appliance.store.database import Store

_LOCK_NAME = ".indexer-lock"
_ASK_S = 0.05


@dataclass(frozen=True, slots=True)
class Behind:
    """How many records of this machine's journals the store does not have yet."""

    records: int

    def __bool__(self) -> bool:
        return self.records > 0

    def __str__(self) -> str:
        what = "record was" if self.records == 1 else "records were"
        return f"{self.records} {what} not indexed yet; is gatepost serve running?"


@contextmanager
def indexing_alone(directory: Path, wait: Callable[[float], bool] | None) -> Iterator[bool]:
    """Hold the lock of the one that indexes this directory; yield whether it is held.

    ``wait(seconds)`` returns whether to give up waiting for it; None: do not wait at all.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        held = _lock(fd)
        while not held and wait is not None and not wait(_ASK_S * 4):
            held = _lock(fd)
        yield held
    finally:
        os.close(fd)


def catch_up(store: Store, directory: Path, clock: Clock, timeout_s: float = 5.0) -> Behind:
    """Return once the store has all that was journaled here before the call.

    While ``serve`` runs its indexer does it; else this process takes the journals in itself. After
    ``timeout_s`` the return value says what is missing.
    """
    if not directory.is_dir():
        return Behind(0)
    wanted = present_ends(store, directory)
    deadline = time.monotonic() + timeout_s
    while True:
        missing = _missing(store, wanted)
        if not missing or time.monotonic() >= deadline:
            return Behind(missing)
        with indexing_alone(directory, None) as is_alone:
            if is_alone:
                indexer = Indexer(store, directory, clock)
                while indexer.step():
                    pass
                indexer.close()
                return Behind(_missing(store, wanted))
        time.sleep(_ASK_S)


def present_ends(store: Store, directory: Path) -> dict[str, tuple[int, int]]:
    """Return each journal's (end now, records that the store lacks), where it lacks some."""
    with store.reading():
        states = {state.name: state for state in recordings.journal_states(store)}
    ends: dict[str, tuple[int, int]] = {}
    for path in journals_in(directory):
        state = states.get(path.name)
        place = Place(state.position, state.chain) if state else Place()
        count = 0
        with JournalReader(path, place) as reader, suppress(TornRecord, BrokenChain):
            for _ in reader.records():
                count += 1
        if count:
            ends[path.name] = (reader.place.position, count)
    return ends


def _missing(store: Store, wanted: dict[str, tuple[int, int]]) -> int:
    with store.reading():
        have = {state.name: state.position for state in recordings.journal_states(store)}
    return sum(count for name, (end, count) in wanted.items() if have.get(name, 0) < end)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
