"""What happens in one session, as records of a journal: before it runs, and how it ended."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import orjson

from appliance.clock import Clock
from appliance.entities import Durability
from appliance.errors import JournalUnavailable
from appliance.policy.verdict import Verdict
from appliance.recording.journal import Journal
from appliance.recording.masked import MaskedColumn, to_json
from appliance.recording.parameters import (
    BinaryValue,
    CutValue,
    Parameter,
    RecordedParameter,
    recorded,
)
from appliance.recording.records import TEXT_PART_CHARS, Kind, State
from appliance.recording.texts import PreparedText, prepare

__all__ = [
    "BinaryValue", "CutValue", "Decision", "Parameter", "PreparedText", "SessionRecorder",
    "SessionStart", "State", "new_session_id", "prepare",
]  # fmt: skip

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_MAX_SAME = 1024


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Who opened a session, from where, to what: the session's first record.

    ``source`` is the client's real address, ``peer`` that of a proxy in between ("" = none).
    """

    session: str  # new_session_id()
    identity: str
    identity_kind: str
    credential: int | None
    target: str
    database: str
    role: str
    source: str
    source_port: int | None = None
    identity_id: int | None = None
    target_id: int | None = None
    application_name: str = ""
    client: str = ""  # driver or client, as far as it can be told
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", "" = plain
    way: str = "scram"
    peer: str = ""
    grant: int | None = None
    reason: str = ""
    policy_version: int = 0
    durability: Durability = Durability.WRITTEN
    parameters: Mapping[str, str] = field(default_factory=dict)
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a human (or a pre-approval) decided about a held statement."""

    approval: int
    approver: str
    outcome: str  # "approved" | "denied" | "timeout" | "withdrawn" | "cancelled"
    via: str  # "browser" | "shell (OS user)" | "pre-approval"
    reason: str = ""


class SessionRecorder:
    """Record one session. ``position`` is the place after its last record.

    ``statement`` and the start raise ``JournalUnavailable``: then it must not run. ``outcome`` and
    ``end`` tell what has happened, so they never raise: they wait in memory for the disk.
    """

    def __init__(self, journal: Journal, start: SessionStart) -> None:
        self.session = start.session
        self._journal = journal
        self._clock = journal.clock
        self._durability = start.durability
        self._seq = 0
        self._session = encode({"s": start.session})[6:-2]
        self._same: dict[tuple[str, int, State, Durability], tuple[Verdict, str, bytes]] = {}
        body = {
            "session": start.session, "at": journal.now(), "identity": start.identity,
            "identity_id": start.identity_id, "identity_kind": start.identity_kind,
            "credential": start.credential, "target": start.target, "target_id": start.target_id,
            "database": start.database, "role": start.role, "source": start.source,
            "source_port": start.source_port, "peer": start.peer,
            "application_name": start.application_name, "client": start.client, "tls": start.tls,
            "way": start.way, "grant": start.grant, "reason": start.reason,
            "policy_version": start.policy_version, "durability": start.durability,
            "parameters": dict(start.parameters), "demo": start.demo,
        }  # fmt: skip
        self.position = journal.append(Kind.START, encode(body))
        journal.sessions.add(start.session)

    def statement(
        self,
        text: str | PreparedText,
        parameters: Sequence[Parameter],
        verdict: Verdict,
        state: State,
        *,
        fingerprint: str = "",
        durability: Durability | None = None,
        request_hash: str = "",
        approval: int | None = None,
    ) -> int:
        """Record a statement before it runs; return its number in the session (from 1).

        ``text``: over 50 KB pass ``prepare(text)``, made off the loop. Safe from any thread.
        Raises ``JournalUnavailable``.
        """
        journal = self._journal
        prepared = journal.texts.prepared(text) if isinstance(text, str) else text
        seq = self._seq + 1
        at = int(self._clock.timestamp() * 1e6)
        # The hot path: all but number and time is the same for the same statement.
        body = b'{"session":"%b","seq":%d,"at":%d%b' % (
            self._session, seq, at,
            self._same_part(
                prepared.sha, verdict, state, fingerprint, durability or self._durability
            ),
        )  # fmt: skip
        if parameters or request_hash or approval is not None:
            body += self._rare_part(
                recorded(parameters, secret=prepared.secret), request_hash, approval
            )
        is_new = journal.texts.is_new(prepared.sha, journal.segment)
        if is_new and len(prepared.text) > TEXT_PART_CHARS:
            # First: a statement without its text must not run.
            self._write_parts(prepared, fingerprint)
            is_new = False
        elif is_new:
            body += b',"text":' + orjson.dumps(prepared.text)
        before = journal.segment
        self.position = journal.append(Kind.STATEMENT, body + b"}")
        self._seq = seq
        if is_new:
            journal.texts.written(prepared.sha, journal.segment)
        elif journal.segment != before:
            # The record went into a segment that does not have the text yet.
            self._write_parts(prepared, fingerprint)
        return seq

    def outcome(
        self,
        seq: int,
        state: State,
        tag: str = "",
        rows: int | None = None,
        duration_ms: float = 0.0,
        sqlstate: str = "",
        bytes_out: int = 0,
        masked: Sequence[MaskedColumn] = (),
        *,
        decision: Decision | None = None,
    ) -> None:
        """Record how a statement ended. ``masked``: see ``masked.py``."""
        body: dict[str, object] = {
            "session": self.session, "seq": seq, "at": int(self._clock.timestamp() * 1e6),
            "state": state, "tag": tag, "rows": rows, "duration_ms": round(duration_ms, 3),
            "sqlstate": sqlstate, "bytes_out": bytes_out,
        }  # fmt: skip
        if masked:
            body["masked"] = to_json(masked)
        if decision is not None:
            body["decision"] = decision
        self._late(Kind.OUTCOME, body)

    def sent(self, seq: int, decision: Decision) -> None:
        """Record, before it runs, that a held statement was released.

        Raises ``JournalUnavailable``: then it must not run.
        """
        body = {
            "session": self.session, "seq": seq, "at": self._journal.now(),
            "state": State.SENT, "decision": decision,
        }  # fmt: skip
        self.position = self._journal.append(Kind.OUTCOME, encode(body))

    def end(self, reason: str, bytes_in: int = 0, bytes_out: int = 0) -> None:
        """Record the session's end and sign the journal's head."""
        body = {
            "session": self.session, "at": self._journal.now(), "reason": reason,
            "bytes_in": bytes_in, "bytes_out": bytes_out,
        }  # fmt: skip
        self._journal.sessions.discard(self.session)
        if self._late(Kind.END, body):
            try:
                self._journal.sign_head()
            except JournalUnavailable:
                return  # the next head covers it
            self.position = self._journal.position

    def _late(self, kind: Kind, body: dict[str, object]) -> bool:
        position = self._journal.append_late(kind, encode(body))
        if position is None:
            return False
        self.position = position
        return True

    def _same_part(
        self, sha: str, verdict: Verdict, state: State, fingerprint: str, durability: Durability
    ) -> bytes:
        """Return the JSON of what the next run of the same statement will have in common."""
        key = (sha, id(verdict), state, durability)
        kept = self._same.get(key)
        if kept is not None and kept[0] is verdict and kept[1] == fingerprint:
            return kept[2]
        body: dict[str, object] = {"sha": sha, "state": state, "verdict": verdict_body(verdict)}
        if fingerprint:
            body["fingerprint"] = fingerprint
        if durability is not Durability.WRITTEN:
            body["durability"] = durability
        made = b"," + encode(body)[1:-1]
        if len(self._same) >= _MAX_SAME:
            self._same.clear()
        self._same[key] = (verdict, fingerprint, made)
        return made

    def _rare_part(
        self, parameters: list[RecordedParameter], request_hash: str, approval: int | None
    ) -> bytes:
        body: dict[str, object] = {}
        if parameters:
            body["parameters"] = parameters
        if request_hash:
            body["request_hash"] = request_hash
        if approval is not None:
            body["approval"] = approval
        return b"," + encode(body)[1:-1]

    def _write_parts(self, prepared: PreparedText, fingerprint: str) -> None:
        text, part = prepared.text, TEXT_PART_CHARS
        parts = max(1, -(-len(text) // part))
        for index in range(parts):
            body = {
                "sha": prepared.sha, "part": index, "parts": parts, "fingerprint": fingerprint,
                "text": text[index * part : (index + 1) * part],
            }  # fmt: skip
            self._journal.append(Kind.TEXT, encode(body))
        self._journal.texts.written(prepared.sha, self._journal.segment)


def verdict_body(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as records hold it; ``effects`` pairs each class with its object."""
    return {
        "action": verdict.action,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "effects": [[made.effect.cls, made.effect.object] for made in verdict.decisions],
    }


def encode(body: dict[str, object]) -> bytes:
    """Return a record's body; text that is no Unicode is escaped, never an error."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return orjson.dumps(_clean(body))


def new_session_id(clock: Clock) -> str:
    """Return a short id that sorts by time: 7 characters of seconds, 9 of chance."""
    stamp = (int(clock.timestamp()) & ((1 << 35) - 1)) << 45 | secrets.randbits(45)
    return "".join(_ALPHABET[stamp >> shift & 31] for shift in range(75, -1, -5))


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if isinstance(value, Decision):
        return _clean(asdict(value))
    return value
