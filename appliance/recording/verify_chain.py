"""Walk one journal for ``audit verify``: headers, chain, signatures, where it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from appliance.recording.adoption import is_abandoned
from appliance.recording.reading import (
    BrokenChain,
    JournalReader,
    Place,
    begin_after_retention,
    segment_numbers,
    tail_after,
)
from appliance.recording.records import (
    Kind,
    Record,
    TornRecord,
    describe_position,
    head_message,
    position_of,
)
from appliance.recording.retention import removed_head
from appliance.recording.signing import signature_holds
from appliance.store.recordings import JournalState

_SETTLE_S = 1.0  # how long a record that is just being written may look torn
_ASK_S = 0.02
_CHASE_S = 10.0  # how long the end of a busy journal is run after

Found = tuple[str, str]  # where, what


class Witness:
    """Heads that others vouch for: one kept by a human, those that journals hold of each other."""

    def __init__(self, head: bytes | None) -> None:
        self._head = head
        self.found_at = ""
        self.latest_head = ""
        self._latest_at = 0
        self._vouched: dict[str, dict[int, bytes]] = {}

    def vouch(self, body: dict[str, Any]) -> None:
        """Remember that a journal had this head at this position."""
        journal, position = str(body["journal"]), int(body["position"])
        self._vouched.setdefault(journal, {})[position] = bytes.fromhex(body["head"])

    def see(self, journal: str, record: Record) -> str:
        """Take notice of a chain hash; return what contradicts it, or ""."""
        if record.chain == self._head and not self.found_at:
            self.found_at = f"{journal} {describe_position(record.end)}"
        expected = self._vouched.get(journal, {}).pop(record.end, None)
        if expected is not None and expected != record.chain:
            return "another journal holds another head for this place"
        return ""

    def signed(self, at: int, head: str) -> None:
        """Take notice of a signed head."""
        if at >= self._latest_at:
            self._latest_at, self.latest_head = at, head

    def missing(self, journals: set[str], skip: set[str]) -> list[Found]:
        """Return the journals that are vouched for but not here."""
        return [
            (name, "another journal vouches for it, but its files are gone")
            for name in sorted(set(self._vouched) - journals - skip)
        ]

    def unseen(self, journal: str, first: int) -> bool:
        """Return whether a head was vouched for at a place from ``first`` on that was not met."""
        return any(place >= first for place in self._vouched.get(journal, {}))


class ChainWalk:
    """Read a journal from its first record to its end; give each indexed record to ``feed``."""

    def __init__(
        self,
        path: Path,
        state: JournalState | None,
        witness: Witness,
        public_key: bytes | None,
        feed: Callable[[Record, dict[str, Any]], None],
    ) -> None:
        self.path = path
        self.records = 0
        self.heads = 0
        self.unindexed = 0
        self.was_cut = False  # by retention
        self.notes: list[str] = []
        self._state = state
        self._witness = witness
        self._key = public_key
        self._feed = feed
        self._indexed_seen = state is None or state.position == 0
        self._closed_at: int | None = None
        self._after_close = 0
        self._chase_since = 0.0

    def run(self) -> Found | None:
        """Return the first thing that is wrong, None when the journal is as it was written."""
        try:
            return self._begin() or self._walk()
        except BrokenChain as broken:
            return self._at(broken.position), broken.why
        except OSError as error:
            return self.path.name, f"cannot be read: {error.strerror}"

    def _begin(self) -> Found | None:
        numbers = segment_numbers(self.path)
        if not numbers:
            return self._begin_after_the_end()
        missing = [n for n in range(numbers[0], numbers[-1]) if n not in numbers]
        if missing:
            return self._at(position_of(missing[0], 0)), "the segment is gone"
        try:
            self._place = begin_after_retention(self.path)
        except TornRecord as torn:
            return self._at(position_of(numbers[0], 0)), torn.why
        if numbers[0] > 1:
            self.was_cut = True
            left = removed_head(self.path)
            if (
                left is None
                or left.segment != numbers[0]
                or left.head != self._place.chain
                or not left.holds(self.path.name, self._key or left.key)
            ):
                return (
                    self._at(position_of(numbers[0], 0)),
                    "segments before it are gone and no signed head vouches for them",
                )
        return None

    def _begin_after_the_end(self) -> Found | None:
        """Begin where retention has removed every segment of a closed journal."""
        left, state = removed_head(self.path), self._state
        if left is None or state is None or not state.closed:
            return self.path.name, "its segments are gone"
        if left.head != state.chain or not left.holds(self.path.name, self._key or left.key):
            return self.path.name, "its segments are gone and no signed head vouches for them"
        self.was_cut = self._indexed_seen = True
        self._place = Place(position_of(left.segment, 0), left.head)
        return None

    def _walk(self) -> Found | None:
        first = self._place.position
        with JournalReader(self.path, self._place) as reader:
            deadline: float | None = None
            while True:
                torn: TornRecord | None = None
                count = self.records
                try:
                    for record in reader.records():
                        problem = self._look(record, reader.before)
                        if problem:
                            return self._at(record.position), problem
                        if self._is_chasing():
                            return None
                except TornRecord as error:
                    torn = error
                wrong = self._wrong_end(reader.place, torn)
                has_grown = self.records > count
                if not wrong or (deadline is not None and has_grown):
                    break  # what looked torn has become a record
                if is_abandoned(self.path) or time.monotonic() > (deadline or math.inf):
                    return self._at(reader.place.position), wrong
                # A writer that lives may be in the middle of a record: look again, a bit later.
                deadline = deadline or time.monotonic() + _SETTLE_S
                time.sleep(_ASK_S)
            end = reader.place.position
        if not self._indexed_seen:
            return self.path.name, "the store took in more than the journal has"
        if self._witness.unseen(self.path.name, first):
            return self._at(end), "another journal vouches for more than is here"
        return None

    def _is_chasing(self) -> bool:
        """Return whether the writer is so busy that its end may never be reached."""
        if self.unindexed % 1000 or not self.unindexed:
            return False
        self._chase_since = self._chase_since or time.monotonic()
        if time.monotonic() - self._chase_since < _CHASE_S or is_abandoned(self.path):
            return False
        self.notes.append(f"{self.path.name} is being written: its end was not waited for")
        return True

    def _look(self, record: Record, before: bytes) -> str:
        """Return what is wrong with a record, "" when nothing is."""
        body = orjson.loads(record.body)
        self.records += 1
        problem = self._witness.see(self.path.name, record)
        if problem:
            return problem
        problem = self._by_kind(record, body, before)
        if problem:
            return problem
        state = self._state
        if state is not None and record.end <= state.position:
            self._feed(record, body)
            if record.end == state.position:
                self._indexed_seen = record.chain == state.chain
                return "" if self._indexed_seen else "the store holds another chain hash for it"
        else:
            self.unindexed += 1
        return ""

    def _by_kind(self, record: Record, body: dict[str, Any], before: bytes) -> str:
        if self._closed_at is not None:
            self._after_close += 1
            if record.kind != Kind.HEAD or self._after_close > 1:
                return "a record after the journal's close"
        if record.kind == Kind.JOURNAL:
            return self._first(body)
        if self.records == 1 and not self.was_cut:
            return "the journal's first record is missing"
        if record.kind == Kind.CLOSE:
            self._closed_at = body["at"]
        elif record.kind == Kind.EVENT and body["event"] == "journal taken in":
            self._witness.vouch(body)
        elif record.kind == Kind.HEAD:
            return self._head(record, body, before)
        return ""

    def _first(self, body: dict[str, Any]) -> str:
        if self.records > 1 or body["journal"] != self.path.name:
            return "it says that it begins another journal"
        if self._key and bytes.fromhex(body["key"]) != self._key:
            return "the journal was written with another signing key"
        if body.get("previous"):
            self._witness.vouch(body["previous"])
        return ""

    def _head(self, record: Record, body: dict[str, Any], before: bytes) -> str:
        self.heads += 1
        if (body["head"], body["position"]) != (before.hex(), record.position):
            return "the signed head is another than the chain's"
        key = self._key or bytes.fromhex(body["key"])
        message = head_message(self.path.name, record.position, before)
        if not signature_holds(key, bytes.fromhex(body["signature"]), message):
            return "the signature of the head does not hold"
        self._witness.signed(body["at"], body["head"])
        return ""

    def _wrong_end(self, place: Place, torn: TornRecord | None) -> str:
        """Return what is wrong with where the journal ends, "" when nothing is."""
        if torn is not None:
            return f"{torn.why} (touched, or its writer was killed and serve has not run since)"
        if tail_after(self.path, place):
            return "bytes that are no record follow"
        return ""

    def _at(self, position: int) -> str:
        return f"{self.path.name} {describe_position(position)}"
