"""Recorded sessions for pages to show, written as the indexer writes them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from appliance.recording.fingerprint_days import DAY_MICROS, DayKey, DayUse
from appliance.store import fingerprint_days
from appliance.store.database import Store
from appliance.store.fields import to_micros
from appliance.store.record_models import SessionRow, StatementRow, TextRow

_JOURNAL = "test-proxy-1"


@dataclass(frozen=True, slots=True)
class Ran:
    """One statement. ``verdict``: allow, hold or block."""

    text: str
    verdict: str = "allow"
    state: str = "done"
    rule: str = "default"
    tag: str = "SELECT 1"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One session of somebody; ``length`` None = it still runs."""

    identity: str
    started_at: datetime
    statements: tuple[Ran, ...] = ()
    length: timedelta | None = None
    kind: str = "human"
    target: str = "shop"
    role: str = "app_ro"
    source: str = "10.2.0.7"
    application_name: str = "psql"
    credential_id: int | None = None
    grant_id: int | None = None
    identity_id: int | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))


def record(store: Store, session: Recorded) -> str:
    """Write a session with its statements, a second apart, and return its id."""
    refused = sum(ran.verdict == "block" for ran in session.statements)
    with store.transaction():
        SessionRow.create(
            id=session.id,
            identity=session.identity,
            identity_id=session.identity_id,
            identity_kind=session.kind,
            credential_id=session.credential_id,
            grant_id=session.grant_id,
            target=session.target,
            database=session.target,
            role=session.role,
            source=session.source,
            application_name=session.application_name,
            started_at=session.started_at,
            ended_at=session.started_at + session.length if session.length else None,
            statements=len(session.statements),
            refused=refused,
            journal=_JOURNAL,
        )
        for seq, ran in enumerate(session.statements, 1):
            _statement(store, session, seq, ran)
    return session.id


def _statement(store: Store, session: Recorded, seq: int, ran: Ran) -> None:
    text_id = sha256(ran.text.encode()).hexdigest()
    TextRow.insert(id=text_id, text=ran.text).on_conflict_ignore().execute()
    StatementRow.insert(
        session_id=session.id,
        seq=seq,
        at=session.started_at + timedelta(seconds=seq),
        identity_id=session.identity_id,
        text_id=text_id,
        verdict=ran.verdict,
        state="refused" if ran.verdict == "block" else ran.state,
        rule=ran.rule,
        tag=ran.tag if ran.verdict == "allow" else "",
        duration_ms=1.2,
        journal=_JOURNAL,
        position=seq,
        fingerprint=text_id[:16],
    ).execute()
    at = to_micros(session.started_at + timedelta(seconds=seq))
    key = DayKey(
        session.identity,
        session.target,
        session.target,
        session.role,
        text_id[:16],
        at // DAY_MICROS,
    )
    refused = int(ran.verdict == "block")
    use = DayUse(1, refused, int(ran.state == "failed"), 0, at, at, text_id, None, session.id, seq)
    fingerprint_days.add(store, [(key, use)])
