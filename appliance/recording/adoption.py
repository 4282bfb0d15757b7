"""Close the journals of writers that died: cut the torn tail, end their sessions, sign."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import orjson
import structlog

from appliance.clock import Clock
from appliance.recording.journal import Journal
from appliance.recording.journal_files import LOCK_NAME, SPARE_PREFIX, lock_journal, unavailable
from appliance.recording.reading import BrokenChain, JournalReader, Place, segment_numbers
from appliance.recording.records import (
    Kind,
    State,
    TornRecord,
    describe_position,
    place_of,
    segment_name,
)
from appliance.recording.signing import Signer
from appliance.store import recordings
from appliance.store.database import Store

DIED = "worker ended unexpectedly"
_SEGMENT_BYTES = 1 << 20

_log = structlog.get_logger("indexer")


def is_abandoned(path: Path) -> bool:
    """Return whether nobody writes this journal."""
    if not (path / LOCK_NAME).exists():
        return True
    lock_fd = lock_journal(path)
    if lock_fd is None:
        return False
    os.close(lock_fd)
    return True


def adopt(
    path: Path,
    state: recordings.JournalState | None,
    store: Store,
    clock: Clock,
    signer: Signer,
) -> bool:
    """Close one journal, all of whose whole records are in the store, if its writer is dead.

    Returns False while the writer lives or there is more to take in first. Raises ``BrokenChain``
    when it was touched: then it stays as it is; ``JournalUnavailable`` when the disk is full.
    """
    try:
        lock_fd = lock_journal(path)
    except OSError as error:
        raise unavailable(path, error) from error
    if lock_fd is None:
        return False
    place = Place(state.position, state.chain) if state else Place()
    owned = True
    try:
        if _has_more(path, place):
            return False
        if state is None:
            # Not even its first record is whole: it has promised nothing.
            _log.warning("a journal without a whole record", journal=path.name)
        cut = _cut_tail(path, place)
        for spare in path.glob(f"{SPARE_PREFIX}*"):
            spare.unlink()
        owned = False  # from here on the journal closes the lock
        journal = Journal(
            path,
            lock_fd,
            clock,
            signer,
            segment=place_of(place.position)[0],
            previous=place.chain,
            segment_bytes=_SEGMENT_BYTES,
        )
    except OSError as error:
        raise unavailable(path, error) from error
    finally:
        if owned:
            os.close(lock_fd)
    try:
        _write_end(journal, cut, store, first=state is None)
    finally:
        journal.close()
    _log.info("closed a dead writer's journal", journal=path.name, cut_bytes=cut.get("bytes", 0))
    return True


def _has_more(path: Path, place: Place) -> bool:
    with JournalReader(path, place) as reader, suppress(TornRecord):
        return next(reader.records(), None) is not None
    return False


def _cut_tail(path: Path, place: Place) -> dict[str, object]:
    """Cut everything after ``place``; return what was cut, {} when nothing was there.

    What is cut stays beside the segments, as evidence.
    """
    segment, offset = place_of(place.position)
    numbers = segment_numbers(path)
    if segment and segment not in numbers:
        raise BrokenChain(path.name, place.position, "the segment file is missing")
    tail = b""
    for number in numbers:
        if number < segment:
            continue
        keep = offset if number == segment else 0
        file = path / segment_name(number)
        data = file.read_bytes()
        if len(data) < keep:
            raise BrokenChain(path.name, place.position, "the segment file is too short")
        tail += data[keep:].rstrip(b"\0")
        if number == segment:
            os.truncate(file, keep)
        else:
            file.unlink()
    if not tail:
        return {}
    (path / f"{segment:06d}-{offset}.torn").write_bytes(tail)
    return {
        "at": describe_position(place.position),
        "bytes": len(tail),
        "sha256": sha256(tail).hexdigest(),
    }


def _write_end(journal: Journal, cut: dict[str, object], store: Store, *, first: bool) -> None:
    if first:
        journal.write_first("unknown", {"adopted": True})
    journal.event("journal adopted", reason=DIED, cut=cut or None)
    with store.reading():
        sessions = recordings.open_sessions(store, journal.name)
        held = recordings.held_statements(store, journal.name)
    now = journal.now()
    for session, seq in held:
        body = {"session": session, "seq": seq, "at": now, "state": State.WITHDRAWN}
        journal.append(Kind.OUTCOME, orjson.dumps(body))
    for session in sessions:
        body = {
            "session": session, "at": now, "reason": DIED, "bytes_in": 0, "bytes_out": 0,
        }  # fmt: skip
        journal.append(Kind.END, orjson.dumps(body))
