"""Rows of the record tables as values: what a projection makes and the store's queries take."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple


class SessionEntry(NamedTuple):
    """A row of ``session``, columns in this order; moments in microseconds."""

    id: str
    identity: str
    identity_id: int | None
    identity_kind: str
    credential_id: int | None
    grant_id: int | None
    way: str
    target: str
    target_id: int | None
    database: str
    role: str
    reason: str
    source: str
    source_port: int | None
    peer: str
    application_name: str
    client: str
    tls: str
    parameters: str
    policy_version: int
    durability: str
    started_at: int
    journal: str
    position: int
    demo: bool


class SessionTotals(NamedTuple):
    """What a session's later records change in its row (deltas, and its end)."""

    statements: int = 0
    refused: int = 0
    held: int = 0
    failed: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ended_at: int | None = None
    end_reason: str = ""


class StatementEntry(NamedTuple):
    """A row of ``statement``, columns in this order; JSON columns as texts."""

    session_id: str
    seq: int
    at: int
    identity_id: int | None
    text_id: str
    parameters: str | None
    verdict: str
    rule: str
    reason: str
    effects: str | None
    state: str
    tag: str
    rows: int | None
    duration_ms: float | None
    sqlstate: str
    bytes_out: int
    masked: str | None
    decision: str | None
    approval_id: int | None
    request_hash: str
    durability: str
    journal: str
    position: int
    outcome_position: int | None
    fingerprint: str | None


class SessionUse(NamedTuple):
    """Whose use a session is, and of what."""

    session: str
    identity_id: int | None
    credential_id: int | None
    source: str
    identity: str
    identity_kind: str
    target: str
    database: str
    role: str


class TextEntry(NamedTuple):
    """A (part of a) row of ``statement_text``; ``part`` 0 begins it."""

    id: str
    text: str
    fingerprint: str
    part: int


class EventEntry(NamedTuple):
    """A row of ``record_event``, columns in this order."""

    kind: str
    at: int
    actor: str
    subject: str
    source: str
    session_id: str
    detail: str
    journal: str
    position: int


class HeadEntry(NamedTuple):
    """A signed head as the store keeps the latest of each journal."""

    at: int
    position: int
    head: str
    signature: str
    key: str


class Begun(NamedTuple):
    """A journal's first record."""

    writer: str
    at: int
    appliance: str
    key: str

    @property
    def key_id(self) -> str:
        return sha256(bytes.fromhex(self.key)).hexdigest()[:16]
