"""The journal that one process appends to: what append() returned from survives its kill -9.

One process writes one journal: a directory with a flock'ed ``lock`` file and numbered segment
files. A thread of its own syncs them in groups, makes the next segment before it is needed and
cuts finished ones, so that ``append`` pays for neither. Use from several threads is safe; a forked
child has no journal.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import weakref
import zlib
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from appliance.clock import Clock
from appliance.errors import JournalUnavailable
from appliance.recording.journal_files import (
    NEW_PREFIX,
    SPARE_PREFIX,
    appliance_id,
    lock_journal,
    unavailable,
)
from appliance.recording.records import (
    FORMAT,
    GENESIS,
    HEADER_BYTES,
    KIND_BYTES,
    MAX_BODY,
    RECORD_BYTES,
    RECORD_HEAD,
    Header,
    Kind,
    first_chain,
    head_message,
    pack_header,
    position_of,
    segment_name,
)
from appliance.recording.segments import Segment, can_map, make_segment, sync_directory
from appliance.recording.signing import Signer
from appliance.recording.syncing import DurableCallback, SyncThread
from appliance.recording.texts import TextBook

DEFAULT_SEGMENT_BYTES = 16 << 20
_HEAD_BYTES = 1024  # more than a signed head's record takes
MAX_LATE = 10_000  # outcomes and ends kept in memory while the disk is full

_crc32 = zlib.crc32
_pack = RECORD_HEAD.pack


class Journal:
    """Append records; see ``create`` and ``reopen``. ``position`` is the end of the last one."""

    def __init__(
        self,
        path: Path,
        lock_fd: int,
        clock: Clock,
        signer: Signer,
        *,
        segment: int,
        previous: bytes,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        linger_s: float = 0.05,
        mapped: bool | None = None,
    ) -> None:
        """Continue after ``segment`` (the last one there is; 0: none), whose chain ends so."""
        self.path = path
        self.name = path.name.removeprefix(NEW_PREFIX)
        self.clock = clock
        self.segment = segment  # the number of the one being written
        self.position = position_of(segment, 0)
        self.texts = TextBook()
        self.sessions: set[str] = set()  # that have begun and not ended
        self._signer = signer
        self._lock_fd = lock_fd
        self._segment_bytes = segment_bytes
        self._mapped = can_map(path) if mapped is None else mapped
        self._chain = previous
        self._file: Segment | None = None
        self._offset = self._limit = self._base = 0
        self._spare: Segment | None = None
        self._late: list[tuple[Kind, bytes]] = []
        self._is_full = False  # no further segment could be made
        self._closed = ""  # why no more is taken
        self._suspect = ""  # the medium refused a sync: nothing more into that segment
        self._lock = threading.Lock()
        self._sync = SyncThread(self, linger_s)
        try:
            self._next_segment(0)
        except BaseException:
            os.close(lock_fd)
            raise
        self._sync.start()
        _forget_in_children(self)

    @classmethod
    def create(
        cls,
        directory: Path,
        writer: str,
        clock: Clock,
        signer: Signer,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        linger_s: float = 0.05,
        mapped: bool | None = None,
        **about: Any,
    ) -> Journal:
        """Begin a journal under ``directory``. ``about`` goes into its first record.

        It gets its name by a rename once it is locked and begun, so that nobody adopts it early.
        Raises ``JournalUnavailable``.
        """
        name = f"{writer}-{clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        path = directory / f"{NEW_PREFIX}{name}"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
            lock_fd = lock_journal(path)
            if lock_fd is None:
                raise OSError("another process took the new journal for a dead one's")
            journal = cls(
                path,
                lock_fd,
                clock,
                signer,
                segment=0,
                previous=GENESIS,
                segment_bytes=segment_bytes,
                linger_s=linger_s,
                mapped=mapped,
            )
            journal.write_first(writer, about)
            path.rename(directory / name)
            journal.path = directory / name
            sync_directory(directory)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise unavailable(directory, error) from error
        return journal

    def append(self, kind: Kind, body: bytes) -> int:
        """Add one record; return the position after it. Raises ``JournalUnavailable``.

        ``body`` is JSON of at most 8 MiB. Once the disk is full, what is left of the segment is
        kept for outcomes and ends.
        """
        with self._lock:
            if self._is_full:  # what is left is for what has happened already
                self._make_room(len(body))
            if self._late:
                self._write_late()
            return self._append(kind, body)

    def append_late(self, kind: Kind, body: bytes) -> int | None:
        """Add one record now, or when the disk takes it again; never raises.

        For what has happened already: outcomes and ends. Returns None when it has to wait.
        """
        with self._lock:
            try:
                if self._late:
                    self._write_late()
                return self._append(kind, body)
            except JournalUnavailable:
                if len(self._late) < MAX_LATE:
                    self._late.append((kind, body))
                return None

    def event(self, event: str, **body: Any) -> int:
        """Record something that is no statement: an admin's change, a decision."""
        fields = {"event": event, "at": self.now(), **body}
        return self.append(Kind.EVENT, orjson.dumps(fields, default=str))

    def login(
        self, user: str, target: str, source: str, *, reason: str, sqlstate: str, **more: Any
    ) -> int:
        """Record a login that was refused; ``reason`` is what the client is not told."""
        fields = {
            "at": self.now(), "user": user, "target": target, "source": source,
            "reason": reason, "sqlstate": sqlstate, **more,
        }  # fmt: skip
        return self.append(Kind.LOGIN, orjson.dumps(fields, default=str))

    def sign_head(self) -> bytes:
        """Sign everything so far, as a record; return the chain hash that was signed."""
        with self._lock:
            return self._sign_head()

    def when_durable(self, position: int, callback: DurableCallback) -> None:
        """Call back, from the sync thread, once all before ``position`` survives a power loss.

        The callback gets None, or ``JournalUnavailable`` when the medium refused.
        """
        self._sync.add_waiter(position, callback)

    @property
    def durable_position(self) -> int:
        """Return up to where everything survives a power loss."""
        return self._sync.durable

    @property
    def public_key(self) -> bytes:
        """Return the key that signed heads are checked with."""
        return self._signer.public_key

    def now(self) -> int:
        """Return microseconds since the epoch, as every record has it."""
        return int(self.clock.timestamp() * 1e6)

    def close(self) -> None:
        """End the journal: a last record, a signed head, all synced. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            try:
                if self._late:
                    self._write_late()
                for session in sorted(self.sessions):
                    body = {"session": session, "at": self.now(), "reason": "worker ended"}
                    self._append(Kind.END, orjson.dumps(body | {"bytes_in": 0, "bytes_out": 0}))
                self._append(Kind.CLOSE, orjson.dumps({"at": self.now()}))
                self._sign_head()
            except JournalUnavailable:
                pass  # the indexer adopts it and closes it when there is space
            self._closed = "the journal is closed"
            self._limit = 0
        self._sync.stop()
        with self._lock:
            if self._file:
                self._file.finish(self._offset)
            if self._spare:
                self._spare.finish(0)
                self._spare.path.unlink(missing_ok=True)
        os.close(self._lock_fd)

    def sync_point(self) -> tuple[Segment, int, str]:
        """Return (file, position, why it is not to be trusted): for the sync thread."""
        with self._lock:
            assert self._file is not None  # noqa: S101 - there is one from the start
            return self._file, self.position, self._suspect

    def sync_failed(self, error: OSError) -> int:
        """Take nothing more into the present segment; return where it ends."""
        with self._lock:
            self._suspect, self._limit = error.strerror or str(error), 0
            return self.position

    def prepare_next(self) -> None:
        """Make the next segment before it is needed: from the sync thread."""
        with self._lock:
            number = 0 if self._spare or self._closed else self.segment + 1
        if not number:
            return
        # Under a name of its own: the writer may make the same number itself meanwhile.
        draft = self.path / f"{SPARE_PREFIX}{secrets.token_hex(4)}"
        try:
            spare = make_segment(draft, self._segment_bytes, mapped=self._mapped)
        except OSError:
            return  # a full disk is the writer's to report, when it comes to it
        with self._lock, suppress(OSError):
            if self.segment + 1 == number and not self._spare and not self._closed:
                spare.path = self.path / segment_name(number)
                draft.rename(spare.path)
                self._spare = spare
                return
        spare.finish(0)
        draft.unlink(missing_ok=True)

    def _append(self, kind: Kind, body: bytes) -> int:
        start = self._offset
        end = start + RECORD_BYTES + len(body)
        if end > self._limit:
            self._make_room(len(body))
            start = self._offset
            end = start + RECORD_BYTES + len(body)
        chain = sha256(self._chain + KIND_BYTES[kind] + body).digest()  # as next_chain()
        try:
            self._file.write(  # type: ignore[union-attr]  # there is one while there is room
                start, _pack(len(body), _crc32(body, _crc32(chain)), kind, chain) + body
            )
        except OSError as error:
            self._suspect, self._limit = str(error), 0
            raise unavailable(self.path, error) from error
        self._chain = chain
        self._offset = end
        self.position = position = self._base + end
        if not self._sync.is_due:
            self._sync.wake()
        return position

    def _make_room(self, body_bytes: int) -> None:
        if self._closed:
            raise JournalUnavailable(self._closed)
        if body_bytes > MAX_BODY:
            raise JournalUnavailable("the record is larger than a journal takes")
        suspect = self._suspect
        try:
            self._next_segment(body_bytes)
        except OSError as error:
            self._is_full = True
            raise unavailable(self.path, error) from error
        self._is_full = False
        if suspect:
            body = {"event": "journal sync failed", "at": self.now(), "error": suspect}
            self._append(Kind.EVENT, orjson.dumps(body | {"segment": self.segment - 1}))

    def _next_segment(self, body_bytes: int) -> None:
        """Go on in the next segment file. Raises OSError; nothing has changed then."""
        number = self.segment + 1
        needed = HEADER_BYTES + RECORD_BYTES + body_bytes
        spare, self._spare = self._spare, None
        if spare and spare.size < needed:
            spare.finish(0)
            spare.path.unlink()
            spare = None
        if spare is None:
            path = self.path / segment_name(number)
            size = max(needed, self._segment_bytes)
            spare = make_segment(path, size, mapped=self._mapped)
        block = pack_header(Header(self.name, number, self._chain))
        try:
            spare.write(0, block)
            if self._suspect:
                spare.sync()  # the medium must prove itself before anything is promised again
        except OSError:
            spare.finish(0)
            spare.path.unlink(missing_ok=True)
            raise
        if self._file:
            self._sync.retire(self._file, self._offset)
        self._file, self.segment, self._suspect = spare, number, ""
        self._offset, self._limit = HEADER_BYTES, spare.size
        self._base = position_of(number, 0)
        self._chain = first_chain(self._chain, block)
        self.position = position_of(number, HEADER_BYTES)
        self._sync.wake()

    def _write_late(self) -> None:
        late, self._late = self._late, []
        for index, (kind, body) in enumerate(late):
            try:
                self._append(kind, body)
            except JournalUnavailable:
                self._late = late[index:]
                raise

    def _sign_head(self) -> bytes:
        if self._offset + _HEAD_BYTES > self._limit:
            self._make_room(_HEAD_BYTES)  # before: the head signed must be the one it follows
        chain, position = self._chain, self.position
        signature = self._signer.sign(head_message(self.name, position, chain))
        body = {
            "at": self.now(), "position": position, "head": chain.hex(),
            "signature": signature.hex(), "key": self._signer.public_key.hex(),
        }  # fmt: skip
        self._append(Kind.HEAD, orjson.dumps(body))
        return chain

    def write_first(self, writer: str, about: dict[str, Any]) -> None:
        """Write the record with which every journal begins."""
        body = {
            "journal": self.name, "writer": writer, "at": self.now(), "format": FORMAT,
            "pid": os.getpid(), "host": os.uname().nodename, "key": self.public_key.hex(),
            "appliance": appliance_id(self.path.parent), **about,
        }  # fmt: skip
        self.append(Kind.JOURNAL, orjson.dumps(body))


def _forget_in_children(journal: Journal) -> None:
    """Make the journal useless in forked children: two writers would break the chain."""
    reference = weakref.ref(journal)

    def forget() -> None:
        child = reference()
        if child is not None:
            child._closed = "this journal belongs to the parent process"
            child._limit = 0
            child._lock = threading.Lock()
            os.close(child._lock_fd)  # else the parent would not seem dead while the child lives

    os.register_at_fork(after_in_child=forget)
