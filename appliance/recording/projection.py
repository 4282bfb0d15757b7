"""What the records of a journal come to as rows of the store (pure).

The indexer writes what ``Projection`` says; ``verify`` compares the store with it. So the two
cannot disagree about what a record means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from appliance.recording.entries import (
    Begun,
    EventEntry,
    HeadEntry,
    SessionEntry,
    SessionTotals,
    StatementEntry,
    TextEntry,
)
from appliance.recording.records import Kind, Record, State

TEXT_LIMIT_PARTS = 4  # the store keeps that many parts of a very long text, the journal all
FINAL_STATES = frozenset({State.DONE, State.FAILED, State.REFUSED, State.WITHDRAWN})
Decoded = tuple[Record, dict[str, Any]]

SUSPENDED = "SUSPENDED"  # the tag while a portal is read in pieces: more may follow
_REFUSED = "42501"  # what the client of a statement got that the verdict did not let run
_TAGS_WITH_ROWS_OUT = (SUSPENDED, "SELECT", "FETCH", "COPY", "SHOW", "EXPLAIN")


class Projection:
    """Fold the records of one journal. Feed ``add``; then take the rows and ``clear`` them.

    ``known`` holds statements that earlier records began, loaded by the caller.
    """

    def __init__(self, journal: str) -> None:
        self.journal = journal
        self.identity_ids: dict[str, int | None] = {}  # by open session
        self.clear()

    def clear(self) -> None:
        """Forget the rows, keep what later records need."""
        self.begun: Begun | None = None
        self.closed_at: int | None = None
        self.head: HeadEntry | None = None
        self.records = 0
        self.sessions: dict[str, SessionEntry] = {}
        self.totals: dict[str, SessionTotals] = {}
        self.statements: dict[tuple[str, int], StatementEntry] = {}
        self.known: dict[tuple[str, int], StatementEntry] = {}
        self.texts: list[TextEntry] = []
        self.events: list[EventEntry] = []
        self.audit_ids: dict[int, int] = {}  # audit_event id -> position
        self.last_use: dict[str, int] = {}  # by session

    def add(self, decoded: Decoded) -> None:
        """Fold one record in. Raises KeyError, TypeError or ValueError for a body of no sense."""
        record, body = decoded
        self.records += 1
        step = _STEPS.get(record.kind)
        if step is not None:
            step(self, record, body)

    def _start(self, record: Record, body: dict[str, Any]) -> None:
        session = body["session"]
        self.identity_ids[session] = body["identity_id"]
        self.last_use[session] = body["at"]
        self.sessions[session] = SessionEntry(
            id=session,
            identity=_clean(body["identity"]),
            identity_id=body["identity_id"],
            identity_kind=body["identity_kind"],
            credential_id=body["credential"],
            grant_id=body["grant"],
            way=body["way"],
            target=_clean(body["target"]),
            target_id=body["target_id"],
            database=_clean(body["database"]),
            role=_clean(body["role"]),
            reason=_clean(body["reason"]),
            source=body["source"],
            source_port=body["source_port"],
            peer=body["peer"],
            application_name=_clean(body["application_name"]),
            client=_clean(body["client"]),
            tls=body["tls"],
            parameters=_json(body["parameters"]) or "{}",
            policy_version=body["policy_version"],
            durability=body["durability"],
            started_at=body["at"],
            journal=self.journal,
            position=record.position,
            demo=body["demo"],
        )

    def _statement(self, record: Record, body: dict[str, Any]) -> None:
        session, verdict, state = body["session"], body["verdict"], body["state"]
        if "text" in body:
            self._text(body["sha"], body["text"], body.get("fingerprint", ""), 0)
        self.statements[session, body["seq"]] = StatementEntry(
            session_id=session,
            seq=body["seq"],
            at=body["at"],
            identity_id=self.identity_ids.get(session),
            text_id=body["sha"],
            parameters=_json(body.get("parameters")),
            verdict=verdict["action"],
            rule=_clean(verdict["rule"]),
            reason=_clean(verdict["reason"]),
            effects=_json(verdict["effects"]),
            state=state,
            tag="",
            rows=None,
            duration_ms=None,
            sqlstate=_REFUSED if state == State.REFUSED and verdict["action"] != "allow" else "",
            bytes_out=0,
            masked=None,
            decision=None,
            approval_id=body.get("approval"),
            request_hash=body.get("request_hash", ""),
            durability=body.get("durability", "written"),
            journal=self.journal,
            position=record.position,
            outcome_position=None,
            fingerprint=_clean(body.get("fingerprint", "")),
        )
        self.last_use[session] = body["at"]
        self._change(
            session,
            statements=1,
            refused=int(state == State.REFUSED),
            held=int(state == State.HELD),
        )

    def _outcome(self, record: Record, body: dict[str, Any]) -> None:
        key = body["session"], body["seq"]
        where = self.statements if key in self.statements else self.known
        before = where.get(key)
        if before is None or is_settled(before):
            return  # the first final outcome counts
        if before.state in FINAL_STATES and before.tag == "" and body["state"] != before.state:
            return  # refused from the start
        state, rows, decision = body["state"], body.get("rows"), body.get("decision")
        tag = _clean(body.get("tag", ""))
        where[key] = before._replace(
            state=state,
            tag=tag,
            rows=rows,
            duration_ms=body.get("duration_ms"),
            sqlstate=body.get("sqlstate", ""),
            bytes_out=body.get("bytes_out", 0),
            masked=_json(body.get("masked")),
            decision=_json(decision) if decision else before.decision,
            approval_id=decision["approval"] if decision else before.approval_id,
            outcome_position=record.position,
        )
        self.last_use[key[0]] = body["at"]
        self._change(
            key[0],
            refused=int(state == State.REFUSED and before.state != State.REFUSED),
            failed=int(state == State.FAILED),
            rows_out=_rows_out(tag, rows) - _rows_out(before.tag, before.rows),
            bytes_out=body.get("bytes_out", 0) - before.bytes_out,
        )

    def _end(self, record: Record, body: dict[str, Any]) -> None:
        self._change(
            body["session"],
            bytes_in=body["bytes_in"],
            ended_at=body["at"],
            end_reason=_clean(body["reason"]),
        )
        self.last_use[body["session"]] = body["at"]
        self.identity_ids.pop(body["session"], None)

    def _part(self, record: Record, body: dict[str, Any]) -> None:
        self._text(body["sha"], body["text"], body.get("fingerprint", ""), body["part"])

    def _head(self, record: Record, body: dict[str, Any]) -> None:
        self.head = HeadEntry(*(body[name] for name in HeadEntry._fields))

    def _begun(self, record: Record, body: dict[str, Any]) -> None:
        self.begun = begun_of((record, body))

    def _closed(self, record: Record, body: dict[str, Any]) -> None:
        self.closed_at = body["at"]

    def _text(self, sha: str, text: str, fingerprint: str, part: int) -> None:
        if part < TEXT_LIMIT_PARTS:
            self.texts.append(TextEntry(sha, _clean(text), fingerprint, part))

    def _login(self, record: Record, body: dict[str, Any]) -> None:
        detail = {name: body[name] for name in body if name not in ("at", "user", "source")}
        self.events.append(
            EventEntry(
                kind="login refused",
                at=body["at"],
                actor=_clean(body["user"]),
                subject=_clean(body["target"]),
                source=body["source"],
                session_id="",
                detail=_json(detail) or "{}",
                journal=self.journal,
                position=record.position,
            )
        )

    def _event(self, record: Record, body: dict[str, Any]) -> None:
        own = ("event", "at", "actor", "subject", "source", "session")
        detail = {name: value for name, value in body.items() if name not in own}
        if body["event"] == "audit" and "audit_id" in body:
            self.audit_ids[body["audit_id"]] = record.position
        self.events.append(
            EventEntry(
                kind=body["event"],
                at=body["at"],
                actor=_clean(body.get("actor", "")),
                subject=_clean(body.get("subject", "")),
                source=body.get("source", ""),
                session_id=body.get("session", ""),
                detail=_json(detail) or "{}",
                journal=self.journal,
                position=record.position,
            )
        )

    def _change(self, session: str, **deltas: Any) -> None:
        before = self.totals.get(session) or SessionTotals()
        self.totals[session] = add_totals(before, SessionTotals(**deltas))


def add_totals(before: SessionTotals, more: SessionTotals) -> SessionTotals:
    """Return both together; the first end counts."""
    end = before if before.ended_at is not None else more
    return SessionTotals(
        before.statements + more.statements,
        before.refused + more.refused,
        before.held + more.held,
        before.failed + more.failed,
        before.rows_out + more.rows_out,
        before.bytes_in + more.bytes_in,
        before.bytes_out + more.bytes_out,
        end.ended_at,
        end.end_reason,
    )


def is_settled(entry: StatementEntry) -> bool:
    """Return whether no later record can change a statement's row."""
    return (
        entry.state in FINAL_STATES
        and entry.outcome_position is not None
        and entry.tag != SUSPENDED
    )


def decode(record: Record) -> Decoded:
    """Return a record with its body read. Raises ValueError."""
    return record, orjson.loads(record.body)


def begun_of(first: Decoded) -> Begun:
    """Return what a journal's first record says. Raises KeyError when it is another one."""
    body = first[1]
    return Begun(body["writer"], body["at"], body["appliance"], body["key"])


def outcomes_to_load(batch: Iterable[Decoded]) -> set[tuple[str, int]]:
    """Return the statements that outcomes of this batch belong to but which begin earlier."""
    begun: set[tuple[str, int]] = set()
    wanted: set[tuple[str, int]] = set()
    for record, body in batch:
        if record.kind == Kind.STATEMENT:
            begun.add((body["session"], body["seq"]))
        elif record.kind == Kind.OUTCOME:
            wanted.add((body["session"], body["seq"]))
    return wanted - begun


_STEPS: dict[int, Callable[[Projection, Record, dict[str, Any]], None]] = {
    Kind.STATEMENT: Projection._statement,
    Kind.OUTCOME: Projection._outcome,
    Kind.START: Projection._start,
    Kind.END: Projection._end,
    Kind.TEXT: Projection._part,
    Kind.LOGIN: Projection._login,
    Kind.EVENT: Projection._event,
    Kind.HEAD: Projection._head,
    Kind.JOURNAL: Projection._begun,
    Kind.CLOSE: Projection._closed,
}


def _rows_out(tag: str, rows: int | None) -> int:
    """Return how many rows went to the client, as far as the tag tells."""
    return rows if rows and tag.startswith(_TAGS_WITH_ROWS_OUT) else 0


def _json(value: object) -> str | None:
    """Return the text that the store's JSON columns hold."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _clean(text: str) -> str:
    """Return a text that PostgreSQL can store."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
