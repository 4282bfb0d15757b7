"""Retention: what is older than a moment leaves the journals, then the store; the rest verifies.

Journals go by whole segments, so that the chain of what is left holds: a segment goes when all of
it is older and no session that lives, or ended since, began in it. The store's rows follow the
segments; what is interrupted is finished by the next run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import orjson

from appliance.recording.adoption import is_abandoned
from appliance.recording.journal_files import removing_alone
from appliance.recording.reading import BrokenChain, JournalReader, Place, segment_numbers
from appliance.recording.records import (
    HEADER_BYTES,
    TornRecord,
    first_chain,
    place_of,
    position_of,
    segment_name,
    unpack_header,
)
from appliance.recording.retention import (
    finish_removal,
    remove_all,
    remove_segments,
    removed_head,
)
from appliance.recording.signing import Signer
from appliance.store import purging, recordings
from appliance.store.actors import Actor
from appliance.store.changes import noting
from appliance.store.database import Store
from appliance.store.purging import Counts
from appliance.store.recordings import JournalState


@dataclass(slots=True)
class Purged:
    """What went, or would go. ``kept``: journals that are not as they should be, and why."""

    cutoff: datetime
    segments: int = 0
    rows: Counts = field(default_factory=Counts)
    kept: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.segments and self.rows == Counts()


def preview(store: Store, directory: Path, cutoff: datetime) -> Purged:
    """Say what ``purge`` would remove, and remove nothing."""
    found = Purged(cutoff)
    for path, state in _journals(store, directory):
        with _noted(found, path):
            cut = _cut(store, path, state, cutoff)
            found.segments += sum(number < cut for number in segment_numbers(path))
            found.rows += purging.count(store, path.name, position_of(cut, 0))
    found.rows += purging.count_aged(store, cutoff)
    return found


def purge(
    store: Store, directory: Path, by: Actor, now: datetime, cutoff: datetime, signer: Signer
) -> Purged:
    """Remove what is older than ``cutoff``; all of it was taken in before. Leaves an audit event.

    Raises ``StoreUnavailable``, OSError: the next run does the rest.
    """
    done = Purged(cutoff)
    if directory.is_dir():
        with removing_alone(directory):
            for path, state in _journals(store, directory):
                with _noted(done, path):
                    done.segments += finish_removal(path)
                    cut = _cut(store, path, state, cutoff)
                    done.segments += _remove(path, state, cut, signer)
                    done.rows += purging.remove(store, path.name, position_of(cut, 0))
    done.rows += purging.remove_aged(store, cutoff)
    if not done.is_empty:
        with noting(store, by, now) as doing:
            doing.note(
                "record.purge",
                f"before {cutoff:%Y-%m-%d %H:%M}Z",
                segments=done.segments,
                sessions=done.rows.sessions,
                statements=done.rows.statements,
                texts=done.rows.texts,
                events=done.rows.events,
                changes=done.rows.changes,
                fingerprint_days=done.rows.fingerprint_days,
                approvals=done.rows.approvals,
            )
    return done


def _journals(store: Store, directory: Path) -> list[tuple[Path, JournalState]]:
    """Return the journals that are here and known."""
    with store.reading():
        states = recordings.journal_states(store)
    here = ((directory / state.name, state) for state in states if state.position)
    return [(path, state) for path, state in here if path.is_dir()]


@contextmanager
def _noted(purged: Purged, path: Path) -> Iterator[None]:
    """Leave a journal alone that was touched: it is evidence."""
    try:
        yield
    except (BrokenChain, TornRecord, FileNotFoundError) as error:
        purged.kept.append(f"{path.name}: {error}")


def _cut(store: Store, path: Path, state: JournalState, cutoff: datetime) -> int:
    """Return the number of the first segment that stays."""
    left, numbers = removed_head(path), segment_numbers(path)
    if not numbers:
        return left.segment if left else 0
    first = max(left.segment if left else 0, numbers[0])
    last = place_of(state.position)[0]
    micros = int(cutoff.timestamp() * 1e6)
    cut = first
    for number in numbers:
        if not first < number <= last:
            continue
        begun = _begun(path, number)
        if begun is None or begun >= micros:
            break
        cut = number
    closed = purging.closed_at(store, path.name)
    if closed is not None and closed < micros and last == numbers[-1] and is_abandoned(path):
        cut = last + 1
    held = purging.held_from(store, path.name, cutoff)
    return cut if held is None else max(first, min(cut, place_of(held)[0]))


def _remove(path: Path, state: JournalState, cut: int, signer: Signer) -> int:
    numbers = segment_numbers(path)
    if not numbers or cut <= numbers[0]:
        return 0
    if cut <= numbers[-1]:
        return remove_segments(path, cut, signer)
    place = _place(path, numbers[-1])
    with closing(JournalReader(path, place)) as reader:
        for _ in reader.records():
            pass
        if (reader.place.position, reader.place.chain) != (state.position, state.chain):
            raise BrokenChain(path.name, reader.place.position, "it ends otherwise than was read")
    return remove_all(path, state.chain, signer)


def _begun(path: Path, number: int) -> int | None:
    """Return the first moment of a segment, in microseconds; all before it is older."""
    with closing(JournalReader(path, _place(path, number))) as reader:
        for record in reader.records():
            at = orjson.loads(record.body).get("at")
            if at is not None:
                return int(at)
    return None


def _place(path: Path, number: int) -> Place:
    """Return the place before a segment's first record."""
    with (path / segment_name(number)).open("rb") as file:
        block = file.read(HEADER_BYTES)
    header = unpack_header(block)
    if header is None:
        return Place(position_of(number, HEADER_BYTES))
    return Place(position_of(number, HEADER_BYTES), first_chain(header.previous, block))
