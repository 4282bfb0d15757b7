"""Take journals into the store, exactly once, and chain what the store's own changes were."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

import structlog

from appliance.clock import Clock
from appliance.errors import JournalUnavailable, StoreUnavailable
from appliance.recording.adoption import adopt, is_abandoned
from appliance.recording.audit_chain import AuditChain
from appliance.recording.entries import SessionUse, StatementEntry
from appliance.recording.fingerprint_days import uses
from appliance.recording.journal_files import LOCK_NAME, NEW_PREFIX, lock_journal
from appliance.recording.projection import Projection, begun_of, decode, outcomes_to_load
from appliance.recording.reading import BrokenChain, JournalReader, Place, journals_in
from appliance.recording.records import Record, TornRecord, describe_position
from appliance.recording.signing import Signer
from appliance.store import fingerprint_days, profile_requests, recordings
from appliance.store.database import Store

BATCH = 4_000
_TORN_S = 5.0  # how long bytes that are no record may be one that is being written

_log = structlog.get_logger("indexer")


class _Moved(Exception):
    """Another process took the same records in."""


class Indexer:
    """Call ``step`` again and again. Only one in a data directory does good work at a time.

    ``signer`` None: only take in (a reader that catches up); nothing is adopted or chained.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        clock: Clock,
        signer: Signer | None = None,
        *,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._signer = signer
        self._batch = batch
        self._readers: dict[str, JournalReader] = {}
        self._projections: dict[str, Projection] = {}
        self._uses: dict[str, SessionUse] = {}
        self._closed: set[str] = set()  # their last record was taken in
        self._finished: set[str] = set()
        self._damaged: dict[str, int] = {}  # where it was last said
        self._torn: dict[tuple[str, int], float] = {}  # since when, monotonic
        self._audit = AuditChain(store, directory, clock, signer) if signer else None

    def step(self) -> int:
        """Take in what there is, one batch a journal at most; return how many records.

        Raises ``StoreUnavailable``: nothing is lost, call again later.
        """
        taken = 0
        for path in journals_in(self._directory):
            if path.name not in self._finished:
                taken += self._take(path)
        if self._audit is not None:
            if not taken:
                taken += self._adopt_abandoned()
            try:
                taken += self._audit.drain()
            except JournalUnavailable as error:
                self._say_damaged("indexer", 0, str(error))  # events wait in the store
        return taken

    def close(self) -> None:
        """Take in what is left, close the own journal, let go of the files."""
        try:
            while self.step():
                pass
            if self._audit is not None:
                self._audit.close()
                while self.step():
                    pass
        except StoreUnavailable:
            _log.warning("the store is away: the rest is taken in at the next start")
        if self._audit is not None:
            self._audit.close()
        for reader in self._readers.values():
            reader.close()

    def _take(self, path: Path) -> int:
        name = path.name
        reader = self._readers.get(name) or self._begin(path)
        before, chain = reader.place.position, reader.place.chain
        try:
            records = list(islice(reader.records(), self._batch))
        except (TornRecord, BrokenChain) as damage:
            # Take what is whole: the damage is met again, alone, by the next step.
            records = self._before_damage(reader, Place(before, chain), damage)
        if not records:
            if name in self._closed and is_abandoned(path) and self._is_read(reader):
                self._finished.add(name)
                self._forget(name)
            return 0
        try:
            reader.sync()
            self._write(name, records, before)
        except BaseException:
            self._forget(name)  # where to go on is in the store
            raise
        return len(records)

    def _write(self, name: str, records: list[Record], before: int) -> None:
        made = self._projections[name]
        made.clear()
        try:
            batch = [decode(record) for record in records]
            wanted = outcomes_to_load(batch)
            last = records[-1]
            with self._store.transaction():
                if not before:
                    recordings.register(self._store, name, begun_of(batch[0]))
                if not recordings.advance(self._store, name, before, last.end, last.chain):
                    raise _Moved
                if wanted:
                    made.known = recordings.statements_by_key(self._store, wanted)
                known = dict(made.known)
                self._load_sessions(made, {body.get("session", "") for _, body in batch})
                for decoded in batch:
                    made.add(decoded)
                made.known = {
                    key: entry for key, entry in made.known.items()
                    if entry.outcome_position is not None
                    and entry.outcome_position >= records[0].position
                }  # fmt: skip
                self._note_sessions(made)
                profile_requests.take_in(
                    self._store, self._clock.now(), made.statements.values(), self._uses, made.texts
                )
                recordings.write(self._store, made)
                self._note_use(made, known)
                if made.closed_at is not None:
                    recordings.release_audit(self._store, f"claim:{name}")
            if made.closed_at is not None:
                self._closed.add(name)
                self._vouch(name, last)
        except _Moved:
            self._forget(name)
        except (KeyError, TypeError, ValueError) as error:
            self._say_damaged(name, records[0].position, f"a record of no sense: {error!r}")
            self._finished.add(name)

    def _vouch(self, name: str, last: Record) -> None:
        """Chain how a journal ended: who removes all of it contradicts another one."""
        if self._audit is None or name == self._audit.journal_name:
            return
        try:
            self._audit.vouch(name, last.end, last.chain)
        except JournalUnavailable as error:
            self._say_damaged("indexer", 0, str(error))

    def _load_sessions(self, made: Projection, sessions: set[str]) -> None:
        missing = [s for s in sessions if s and s not in self._uses]
        for use in recordings.session_uses(self._store, missing):
            self._uses[use.session] = use
        for session in sessions:
            if session in self._uses:
                made.identity_ids.setdefault(session, self._uses[session].identity_id)

    def _note_sessions(self, made: Projection) -> None:
        for session in made.sessions.values():
            self._uses[session.id] = SessionUse(
                session.id, session.identity_id, session.credential_id, session.source,
                session.identity, session.identity_kind, session.target, session.database,
                session.role,
            )  # fmt: skip

    def _note_use(self, made: Projection, before: dict[tuple[str, int], StatementEntry]) -> None:
        recordings.note_use(
            self._store,
            [(self._uses[s], at) for s, at in made.last_use.items() if s in self._uses],
        )
        changed = [(before[key], entry) for key, entry in made.known.items()]
        fingerprint_days.add(self._store, uses(made.statements.values(), changed, self._uses))
        for session_id, total in made.totals.items():
            if total.ended_at is not None:
                self._uses.pop(session_id, None)

    def _begin(self, path: Path) -> JournalReader:
        with self._store.reading():
            state = recordings.journal_state(self._store, path.name)
        place = Place(state.position, state.chain) if state and state.position else Place()
        if state and state.closed:
            self._closed.add(path.name)
        reader = JournalReader(path, place)
        self._readers[path.name] = reader
        self._projections[path.name] = Projection(path.name)
        return reader

    def _forget(self, name: str) -> None:
        reader = self._readers.pop(name, None)
        if reader is not None:
            reader.close()
        self._projections.pop(name, None)
        self._uses.clear()

    def _before_damage(
        self, reader: JournalReader, start: Place, damage: TornRecord | BrokenChain
    ) -> list[Record]:
        """Read again from ``start`` up to the damage."""
        reader.place = start
        records: list[Record] = []
        with suppress(TornRecord, BrokenChain):
            for record in islice(reader.records(), self._batch):
                records.append(record)
        if not records and isinstance(damage, BrokenChain):
            self._say_damaged(reader.name, damage.position, damage.why)
        elif not records and not is_abandoned(reader.path):
            first_seen = self._torn.setdefault((reader.name, start.position), time.monotonic())
            if time.monotonic() - first_seen > _TORN_S:
                self._say_damaged(reader.name, start.position, str(damage))
        return records

    def _adopt_abandoned(self) -> int:
        """Close the journals whose writers have died; return how many were."""
        assert self._signer is not None and self._audit is not None  # noqa: S101 - step() looked
        count = 0
        for path in journals_in(self._directory):
            name = path.name
            if name in self._finished or name == self._audit.journal_name:
                continue
            if name in self._closed:
                continue
            with self._store.reading():
                state = recordings.journal_state(self._store, name)
            try:
                if adopt(path, state, self._store, self._clock, self._signer):
                    self._forget(name)  # its reader may be in a segment that was cut away
                    count += 1
            except BrokenChain as broken:
                self._say_damaged(name, broken.position, broken.why)
            except JournalUnavailable as error:
                _log.warning("cannot close a dead writer's journal", journal=name, why=str(error))
        self._remove_unfinished()
        return count

    def _is_read(self, reader: JournalReader) -> bool:
        with suppress(TornRecord, BrokenChain):
            return next(reader.records(), None) is None
        return True  # what comes after a journal's close is for `audit verify` to tell

    def _remove_unfinished(self) -> None:
        """Remove directories of writers that died before their journal had begun."""
        for path in self._directory.glob(f"{NEW_PREFIX}*/{LOCK_NAME}"):
            lock_fd = lock_journal(path.parent)
            if lock_fd is not None:
                shutil.rmtree(path.parent, ignore_errors=True)
                os.close(lock_fd)

    def _say_damaged(self, name: str, position: int, why: str) -> None:
        if self._damaged.get(name) != position:
            self._damaged[name] = position
            _log.error(
                "a journal is not as it should be; run: gatepost audit verify",
                journal=name, at=describe_position(position), why=why,
            )  # fmt: skip
