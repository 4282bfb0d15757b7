"""The indexer's own journal: chains the audit events that changes left in the store."""

from __future__ import annotations

from pathlib import Path

import orjson

from appliance.clock import Clock
from appliance.recording.journal import Journal
from appliance.recording.signing import Signer
from appliance.store import recordings
from appliance.store.database import Store

WRITER = "indexer"
_BATCH = 500
_SEGMENT_BYTES = 1 << 20


class AuditChain:
    """Drain the outbox exactly once: claim in the store, append, and let indexing mark it.

    An event that was claimed but not appended when the process died is released when its journal
    is closed and all of it is taken in; one that was appended is marked by taking it in.
    """

    def __init__(self, store: Store, directory: Path, clock: Clock, signer: Signer) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._signer = signer
        self._journal: Journal | None = None
        self._appended: set[int] = set()  # not yet marked by taking them in
        self._closed = False

    @property
    def journal_name(self) -> str:
        """Return the own journal's name, "" while there is none."""
        return self._journal.name if self._journal else ""

    def drain(self) -> int:
        """Chain what is waiting; return how many events."""
        if self._closed:
            return 0
        journal = self._journal or self._begin()
        claim = f"claim:{journal.name}"
        with self._store.transaction():
            recordings.claim_audit(self._store, claim, _BATCH)
            events = recordings.claimed_audit(self._store, claim)
        self._appended &= {event[0] for event in events}
        fresh = [event for event in events if event[0] not in self._appended]
        for number, at, actor, via, source, action, subject, detail in fresh:
            journal.event(
                "audit",
                audit_id=number, changed_at=at, actor=actor, via=via, source=source,
                action=action, subject=subject, detail=orjson.loads(detail or "{}"),
            )  # fmt: skip
            self._appended.add(number)
        return len(fresh)

    def vouch(self, journal: str, position: int, chain: bytes) -> None:
        """Note up to where a closed journal was taken in. Raises ``JournalUnavailable``."""
        if not self._closed:
            own = self._journal or self._begin()
            own.event("journal taken in", journal=journal, position=position, head=chain.hex())

    def close(self) -> None:
        """Close the own journal."""
        self._closed = True
        if self._journal:
            self._journal.close()

    def _begin(self) -> Journal:
        with self._store.reading():
            states = recordings.journal_states(self._store)
        before = [state for state in states if state.writer == WRITER]
        previous = None
        if before:
            last = before[-1]
            previous = {
                "journal": last.name, "position": last.position, "head": last.chain.hex(),
            }  # fmt: skip
        self._journal = Journal.create(
            self._directory,
            WRITER,
            self._clock,
            self._signer,
            segment_bytes=_SEGMENT_BYTES,
            previous=previous,
        )
        return self._journal
