"""Segment files: preallocated, so that a full disk shows when one is made, not when one is used.

``MappedSegment`` writes through a shared mapping (no system call, nothing lets go of the GIL, and
what was written is in the page cache). Where preallocation does not reserve the blocks that a
later write will use (copy-on-write and network file systems), a full disk would be a SIGBUS there:
such places get ``WrittenSegment``, which does one pwrite per record.
"""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Protocol

_BLOCKS_STAY = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "f2fs"})


class Segment(Protocol):
    """A segment file as its one writer sees it."""

    path: Path
    size: int

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``; the first four bytes last. Raises OSError."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the medium. Raises OSError."""
        ...

    def finish(self, end: int) -> None:
        """Cut the file to ``end`` bytes, sync it and let go of it. Raises OSError."""
        ...


class MappedSegment:
    """A segment written through a shared mapping."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path, self.size, self._fd = path, size, fd
        self._map = mmap.mmap(fd, size)

    def write(self, offset: int, data: bytes) -> None:
        # A reader that sees the length sees the record; a writer killed in between left none.
        view = self._map
        view[offset + 4 : offset + len(data)] = data[4:]
        view[offset : offset + 4] = data[:4]

    def sync(self) -> None:
        _fdatasync(self._fd)

    def finish(self, end: int) -> None:
        self._map.close()
        _finish(self._fd, end)


class WrittenSegment:
    """A segment written by pwrite."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path, self.size, self._fd = path, size, fd

    def write(self, offset: int, data: bytes) -> None:
        done = os.pwrite(self._fd, data, offset)
        while done < len(data):  # a full disk may take a part: the next call says why
            done += os.pwrite(self._fd, data[done:], offset + done)

    def sync(self) -> None:
        _fdatasync(self._fd)

    def finish(self, end: int) -> None:
        _finish(self._fd, end)


def make_segment(path: Path, size: int, *, mapped: bool) -> Segment:
    """Create a segment file of ``size`` zero bytes, all blocks reserved.

    Raises OSError, leaving no file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _reserve(fd, size)
        return MappedSegment(path, fd, size) if mapped else WrittenSegment(path, fd, size)
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise


def can_map(directory: Path) -> bool:
    """Return whether blocks reserved in ``directory`` stay reserved, so that mapping is safe."""
    return sys.platform == "linux" and _filesystem(directory) in _BLOCKS_STAY


def sync_directory(directory: Path) -> None:
    """Make new names in ``directory`` survive a power loss."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _filesystem(directory: Path) -> str:
    """Return the type of the file system, "" when it cannot be known."""
    wanted = os.stat(directory).st_dev
    number = f"{os.major(wanted)}:{os.minor(wanted)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        head, _, tail = line.partition(" - ")
        if head.split()[2] == number:
            return tail.split()[0]
    return ""


def _reserve(fd: int, size: int) -> None:
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, size)
        return
    block = bytes(1 << 16)  # macOS has no posix_fallocate
    for offset in range(0, size, len(block)):
        os.pwrite(fd, block[: size - offset], offset)


def _fdatasync(fd: int) -> None:
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def _finish(fd: int, end: int) -> None:
    try:
        os.ftruncate(fd, end)
        os.fsync(fd)
    finally:
        os.close(fd)
