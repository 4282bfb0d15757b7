"""The only place that reads the wall clock, so that tests and the demo can move it."""

from __future__ import annotations

import mmap
import os
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tell the time: aware UTC."""

    def now(self) -> datetime:
        """Return the present moment as an aware UTC datetime."""
        ...

    def timestamp(self) -> float:
        """Return the present moment as seconds since the epoch (cheap: for the hot path)."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def timestamp(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def timestamp(self) -> float:
        return self._at.timestamp()

    def advance(self, by: timedelta) -> None:
        self._at += by

    def set(self, at: datetime) -> None:
        self._at = at


class OffsetClock:
    """The machine's clock shifted by an offset that several processes share through a file.

    The file holds one little-endian double: seconds to add. The demo uses it to live through
    weeks of history in seconds; ``GATEPOST_CLOCK_FILE`` names it.
    """

    _FORMAT = struct.Struct("<d")

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size < self._FORMAT.size:
                os.pwrite(fd, self._FORMAT.pack(0.0), 0)
            self._map = mmap.mmap(fd, self._FORMAT.size)
        finally:
            os.close(fd)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def timestamp(self) -> float:
        offset: float = self._FORMAT.unpack_from(self._map)[0]
        return time.time() + offset

    def shift_to(self, at: datetime) -> None:
        """Make every process that shares the file read ``at`` as now."""
        self._FORMAT.pack_into(self._map, 0, at.timestamp() - time.time())

    def reset(self) -> None:
        """Return to the machine's own time."""
        self._FORMAT.pack_into(self._map, 0, 0.0)


def clock_from_environment(environ: dict[str, str] | None = None) -> Clock:
    """Return the clock this process lives by: the system's, or the shared shifted one."""
    path = (os.environ if environ is None else environ).get("GATEPOST_CLOCK_FILE")
    return OffsetClock(Path(path)) if path else SystemClock()
