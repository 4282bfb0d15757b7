"""Compare the store's rows with the records they were made from, for ``audit verify``."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson

from appliance.recording.entries import Begun, EventEntry, SessionTotals, StatementEntry
from appliance.recording.projection import TEXT_LIMIT_PARTS, Projection, is_settled
from appliance.recording.records import Kind, Record, describe_position
from appliance.store import record_checks, recordings
from appliance.store.database import Store
from appliance.store.record_checks import AuditEntry, JournalEntry
from appliance.store.recordings import JournalState

_BATCH = 2_000
_MAX_SAID = 10  # problems of one journal's rows

Found = tuple[str, str]  # where, what


class TextCheck:
    """Collect the texts that journals hold, then compare all that the store has."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}  # id -> fingerprint
        self._other_marks: dict[str, set[str]] = {}  # made by another version of the parser
        self._stored_as: dict[str, Any] = {}  # id -> hash of what the store keeps, where it differs

    def feed(self, record: Record, body: dict[str, Any]) -> None:
        """Take notice of a record's text."""
        if "text" not in body:
            return
        sha, text, part = body["sha"], body["text"], body.get("part", 0)
        mark = body.get("fingerprint", "")
        known = self._known.get(sha, "")
        if mark and known and mark != known:
            self._other_marks.setdefault(sha, set()).add(mark)
        self._known[sha] = known or mark
        if record.kind == Kind.TEXT or "\0" in text:
            parts, digest = self._stored_as.get(sha) or (0, sha256())
            if part == parts < TEXT_LIMIT_PARTS:
                digest.update(text.replace("\0", "\ufffd").encode())
                self._stored_as[sha] = (parts + 1, digest)

    def compare(self, store: Store, *, complete: bool) -> list[Found]:
        """Return what is wrong with the stored texts; ``complete``: every journal was read."""
        found: list[Found] = []
        left = set(self._known)
        for row in record_checks.texts(store):
            left.discard(row.id)
            differs = self._stored_as.get(row.id)
            expected = differs[1].hexdigest() if differs else row.id
            if row.id not in self._known:
                if complete:
                    found.append((f"statement_text {row.id[:16]}", "was never recorded"))
            elif sha256(row.text.encode()).hexdigest() != expected:
                found.append((f"statement_text {row.id[:16]}", "is not the text that was recorded"))
            elif complete and not self._is_mark(row.id, row.fingerprint):
                found.append((f"statement_text {row.id[:16]}", "has another fingerprint"))
            if len(found) >= _MAX_SAID:
                return found
        found += [(f"statement_text {sha[:16]}", "is gone") for sha in sorted(left)[:_MAX_SAID]]
        return found

    def _is_mark(self, sha: str, fingerprint: str) -> bool:
        return fingerprint == self._known[sha] or fingerprint in self._other_marks.get(sha, ())


class RowCheck:
    """Feed it a journal's indexed records; it compares rows as soon as they cannot change."""

    def __init__(
        self, store: Store, journal: str, state: JournalState | None, texts: TextCheck
    ) -> None:
        self._store = store
        self._journal = journal
        self._state = state
        self._texts = texts
        self._made = Projection(journal)
        self._found: list[tuple[int, str, str]] = []
        self._sessions: set[str] = set()
        self._audits: list[tuple[int, dict[str, Any]]] = []
        self._audit_count = 0
        self._fed = 0
        self._position = 0
        self._events_upto = 0

    @property
    def begun(self) -> Begun | None:
        """Return the journal's first record, when the store has it."""
        return self._made.begun

    def feed(self, record: Record, body: dict[str, Any]) -> None:
        """Take one record that the store has taken in."""
        if not self._fed and record.kind != Kind.JOURNAL:  # retention removed what was before
            self._events_upto = record.position - 1
        self._made.add((record, body))
        self._texts.feed(record, body)
        if record.kind == Kind.START:
            self._sessions.add(body["session"])
        elif record.kind == Kind.EVENT and body["event"] == "audit":
            self._audits.append((record.position, body))
        self._fed += 1
        self._position = record.position
        if self._fed % _BATCH == 0:
            self._flush(everything=False)

    def finish(self, was_cut: bool) -> list[Found]:
        """Return what is wrong; ``was_cut``: the journal's beginning was removed by retention."""
        if self._state is None or (was_cut and not self._fed):
            return []
        self._flush(everything=True)
        later = record_checks.events(self._store, self._journal, self._position, 2**63 - 1)
        self._say_extra_events(later)
        if not was_cut:
            added = record_checks.session_ids(self._store, self._journal) - self._sessions
            for session in sorted(added)[:_MAX_SAID]:
                self._say(0, f"session {session}", "was never recorded")
            if record_checks.audit_count(self._store, self._journal) != self._audit_count:
                self._say(0, "audit_event", f"more say they are in {self._journal} than are")
            self._compare_journal()
        return [(where, what) for _, where, what in sorted(self._found)[:_MAX_SAID]]

    def _flush(self, *, everything: bool) -> None:
        made = self._made
        ended = {
            session
            for session, total in made.totals.items()
            if everything or total.ended_at is not None
        }
        self._compare_statements(
            {
                key: entry
                for key, entry in made.statements.items()
                if key[0] in ended or is_settled(entry)
            }
        )
        if everything:
            ended |= set(made.sessions)
        self._compare_sessions(ended)
        self._compare_events()
        self._compare_audits()
        self._made.texts.clear()

    def _compare_statements(self, entries: dict[tuple[str, int], StatementEntry]) -> None:
        rows = recordings.statements_by_key(self._store, entries)
        for key, entry in entries.items():
            row = rows.get(key)
            where = f"statement {key[0]} #{key[1]} ({self._at(entry.position)})"
            if row is None:
                self._say(entry.position, where, "is gone from the store")
            elif row != entry:
                if row.fingerprint is None:  # taken in by a version that kept it with texts only
                    row = row._replace(fingerprint=entry.fingerprint)
                if key[0] not in self._sessions:  # its start was removed by retention
                    row = row._replace(identity_id=entry.identity_id)
                self._say_difference(entry.position, where, entry, row)
            del self._made.statements[key]

    def _compare_sessions(self, ids: set[str]) -> None:
        known = {session for session in ids if session in self._made.sessions}
        rows = record_checks.sessions(self._store, known)
        counts = record_checks.statement_counts(self._store, known)
        for session in known:
            entry = self._made.sessions.pop(session)
            totals = self._made.totals.get(session) or SessionTotals()
            where = f"session {session} ({self._at(entry.position)})"
            row = rows.get(session)
            if row is None:
                self._say(entry.position, where, "is gone from the store")
                continue
            self._say_difference(entry.position, where, entry, row[0])
            self._say_difference(entry.position, where, totals, row[1])
            if counts.get(session, 0) != totals.statements:
                self._say(
                    entry.position,
                    where,
                    f"{totals.statements} statements were recorded,"
                    f" the store has {counts.get(session, 0)}",
                )
        for session in ids:
            self._made.totals.pop(session, None)
            self._made.last_use.pop(session, None)

    def _compare_events(self) -> None:
        expected = {entry.position: entry for entry in self._made.events}
        rows = record_checks.events(self._store, self._journal, self._events_upto, self._position)
        extra: list[EventEntry] = []
        for row in rows:
            entry = expected.pop(row.position, None)
            if entry is None:
                extra.append(row)
            else:
                self._say_difference(row.position, f"event {self._at(row.position)}", entry, row)
        for position in expected:
            self._say(position, f"event {self._at(position)}", "is gone from the store")
        self._say_extra_events(extra)
        self._events_upto = self._position
        self._made.events.clear()

    def _compare_audits(self) -> None:
        rows = record_checks.audit_entries(self._store, [b["audit_id"] for _, b in self._audits])
        for position, body in self._audits:
            entry = AuditEntry(
                body["audit_id"], body["changed_at"], body["actor"], body["via"], body["source"],
                body["action"], body["subject"],
                orjson.dumps(body["detail"], option=orjson.OPT_SORT_KEYS).decode(),
                f"{self._journal}:{position}",
            )  # fmt: skip
            where = f"audit_event {entry.id} ({self._at(position)})"
            row = rows.get(entry.id)
            if row is None:
                self._say(position, where, "is gone from the store")
            else:
                self._say_difference(position, where, entry, row)
        self._audit_count += len(self._audits)
        self._audits.clear()
        self._made.audit_ids.clear()

    def _compare_journal(self) -> None:
        begun, head = self._made.begun, self._made.head
        row = record_checks.journal_entry(self._store, self._journal)
        if begun is None or row is None:
            return
        entry = JournalEntry(
            begun.writer,
            begun.appliance,
            begun.at,
            self._made.closed_at,
            self._fed,
            orjson.dumps(head._asdict()).decode() if head else "",
            head.at if head else None,
        )
        self._say_difference(0, f"journal {self._journal}", entry, row)

    def _say_difference(
        self, position: int, where: str, entry: tuple[Any, ...], row: tuple[Any, ...]
    ) -> None:
        names = [
            name
            for name, expected, actual in zip(entry._fields, entry, row, strict=True)  # type: ignore[attr-defined]  # a named tuple
            if expected != actual
        ]
        if names:
            self._say(position, where, f"the store's row differs in {', '.join(names)}")

    def _say_extra_events(self, rows: list[EventEntry]) -> None:
        for row in rows[:_MAX_SAID]:
            where = f"event {self._at(row.position)}"
            self._say(row.position, where, "is in the store but was never recorded")

    def _say(self, position: int, where: str, what: str) -> None:
        if len(self._found) < _MAX_SAID * 10:
            self._found.append((position, where, what))

    def _at(self, position: int) -> str:
        return f"{self._journal} {describe_position(position)}"
