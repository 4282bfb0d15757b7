"""Read journals: every record in order, each checked against the chain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.recording.journal_files import NEW_PREFIX
from appliance.recording.records import (
    GENESIS,
    HEADER_BYTES,
    MAX_BODY,
    RECORD_BYTES,
    Header,
    Record,
    TornRecord,
    describe_position,
    first_chain,
    next_chain,
    place_of,
    position_of,
    segment_name,
    unpack_header,
    unpack_record,
)

_CHUNK = 1 << 20


class BrokenChain(Exception):
    """What is at ``position`` is not what was written there."""

    def __init__(self, journal: str, position: int, why: str) -> None:
        super().__init__(f"{journal} {describe_position(position)}: {why}")
        self.journal = journal
        self.position = position
        self.why = why


@dataclass(slots=True)
class Place:
    """Where a reader is: all before ``position`` was read, and its chain hash is ``chain``.

    Position 0 is before the first segment.
    """

    position: int = 0
    chain: bytes = GENESIS


class JournalReader:
    """Read one journal from a place on; ``place`` moves with every record that was yielded."""

    def __init__(self, path: Path, place: Place | None = None) -> None:
        self.path = path
        self.name = path.name
        self.place = place or Place()
        self.before = self.place.chain  # the chain hash that the record just yielded follows
        self._fd = -1
        self._open_segment = 0

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._open_segment = -1, 0

    def records(self) -> Iterator[Record]:
        """Yield what is there by now; call again for more.

        Raises ``BrokenChain``; ``TornRecord`` (with its offset in ``place``'s segment) for bytes
        that are no record: in a journal that is being written they may be one in a moment.
        """
        while True:
            yield from self._rest_of_segment()
            if not self._next_is_begun():
                return
            # The next segment was begun after the last record of this one: look once more.
            yield from self._rest_of_segment()
            self._go_on()

    def sync(self) -> None:
        """Make what was read survive a power loss: the store must never know more than the files.

        Segments before the present one were synced when they were finished.
        """
        if self._fd >= 0:
            os.fsync(self._fd)

    def _rest_of_segment(self) -> Iterator[Record]:
        segment, offset = place_of(self.place.position)
        if segment == 0 or not self._open(segment):
            return
        for record in _records(self._fd, segment, offset):
            if next_chain(self.place.chain, record.kind, record.body) != record.chain:
                raise BrokenChain(
                    self.name, record.position, "the record does not follow the one before it"
                )
            self.before = self.place.chain
            self.place = Place(record.end, record.chain)
            yield record

    def _next_is_begun(self) -> bool:
        return self._header(place_of(self.place.position)[0] + 1) is not None

    def _go_on(self) -> None:
        segment = place_of(self.place.position)[0] + 1
        found = self._header(segment)
        assert found is not None  # noqa: S101 - _next_is_begun said so
        header, block = found
        start = position_of(segment, 0)
        if (header.journal, header.segment) != (self.name, segment):
            raise BrokenChain(
                self.name, start, f"the segment says it is {header.journal} {header.segment}"
            )
        if header.previous != self.place.chain:
            raise BrokenChain(
                self.name, start, "the segment does not follow the last record before it"
            )
        self.place = Place(position_of(segment, HEADER_BYTES), first_chain(self.place.chain, block))

    def _header(self, segment: int) -> tuple[Header, bytes] | None:
        if not self._open(segment, keep=True):
            return None
        fd = os.open(self.path / segment_name(segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            block = os.pread(fd, HEADER_BYTES, 0)
        finally:
            os.close(fd)
        try:
            header = unpack_header(block)
        except TornRecord as torn:
            raise BrokenChain(self.name, position_of(segment, 0), torn.why) from None
        return (header, block) if header else None

    def _open(self, segment: int, *, keep: bool = False) -> bool:
        """Open a segment for reading; ``keep``: only say whether it is there."""
        path = self.path / segment_name(segment)
        if keep:
            return path.exists()
        if self._open_segment != segment:
            self.close()
            with suppress(FileNotFoundError):
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._open_segment = segment
        return self._open_segment == segment


def journals_in(directory: Path) -> list[Path]:
    """Return the journals of a data directory, oldest name first."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(
            path
            for path in directory.iterdir()
            if path.is_dir() and not path.name.startswith(NEW_PREFIX)
        )
    return []


def segment_numbers(path: Path) -> list[int]:
    """Return the numbers of a journal's segment files in order."""
    names = (entry.stem for entry in path.glob("*.seg"))
    return sorted(int(name) for name in names if name.isdigit())


def begin_after_retention(path: Path) -> Place:
    """Return the place before a journal's first segment that is still there.

    The header's own claim is taken for the chain before it: a signed head must vouch for it.
    """
    numbers = segment_numbers(path)
    if not numbers or numbers[0] == 1:
        return Place()
    header = unpack_header((path / segment_name(numbers[0])).read_bytes()[:HEADER_BYTES])
    previous = header.previous if header else GENESIS
    return Place(position_of(numbers[0] - 1, HEADER_BYTES), previous)


def tail_after(path: Path, place: Place) -> int:
    """Return how many bytes that are not zero lie after ``place``, next segments included."""
    segment, offset = place_of(place.position)
    count = 0
    for number in segment_numbers(path):
        if number >= segment:
            data = (path / segment_name(number)).read_bytes()[offset if number == segment else 0 :]
            count += len(data) - data.count(0)
    return count


def _records(fd: int, segment: int, offset: int) -> Iterator[Record]:
    base, at = offset, 0
    data = os.pread(fd, _CHUNK, base)
    while True:
        needed = _needed(data, at)
        if at + needed > len(data):  # the chunk ends here; the file may not
            base, at = base + at, 0
            data = os.pread(fd, max(_CHUNK, needed), base)
        try:
            record = unpack_record(data, at, position_of(segment, base))
        except TornRecord as torn:
            raise TornRecord(base + torn.offset, torn.why) from None
        if record is None:
            return
        at = record.end - position_of(segment, base)
        yield record


def _needed(data: bytes, at: int) -> int:
    """Return how many bytes the record at ``at`` takes, as far as can be told."""
    length = int.from_bytes(data[at : at + 4], "little")
    return RECORD_BYTES + (length if length <= MAX_BODY else 0)
