"""Requests to extend a statement profile: asked when the indexer takes in what it refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from appliance.approvals.requests import RequestKind, RequestState
from appliance.entities import IdentityKind, IdentityStatus, ProfileMode
from appliance.recording.entries import SessionUse, StatementEntry, TextEntry
from appliance.recording.records import State
from appliance.store import approval_rows, notices
from appliance.store.actors import system_actor, via_of
from appliance.store.approval_models import ApprovalRow
from appliance.store.changes import Change, change
from appliance.store.database import Store
from appliance.store.fields import from_micros
from appliance.store.models import IdentityRow, TargetRow
from appliance.store.profile_models import ProfileEntryRow
from appliance.store.record_models import TextRow

PROFILE_RULE = "profile"
LASTS = timedelta(days=7)
ASKED_AGAIN_AFTER = timedelta(hours=24)  # a no
MOST_WAITING = 20  # of one identity: whoever has its secret must not bury its owner in requests


@dataclass(frozen=True, slots=True)
class ProfileAsk:
    """A statement that a profile refused. ``text``: as it is recorded."""

    fingerprint: str
    text: str
    effects: tuple[tuple[str, str], ...]
    seq: int
    why: str
    at: datetime


def refused(statements: Iterable[StatementEntry]) -> list[StatementEntry]:
    """Return those that a profile refused, the first of each session and fingerprint."""
    found: dict[tuple[str, str], StatementEntry] = {}
    for entry in statements:
        if entry.rule == PROFILE_RULE and entry.state == State.REFUSED and entry.fingerprint:
            found.setdefault((entry.session_id, entry.fingerprint), entry)
    return list(found.values())


def take_in(
    store: Store,
    now: datetime,
    entries: Iterable[StatementEntry],
    sessions: Mapping[str, SessionUse],
    texts: Iterable[TextEntry],
) -> int:
    """Ask about what a batch brings; return how many requests that made.

    In the indexer's transaction, so that each refusal asks once, and before it writes rows of
    identities: it waits for the lock that changes have, and those write such rows too.
    """
    found = [entry for entry in refused(entries) if entry.session_id in sessions]
    if not found:
        return 0
    read = {text.id: text.text for text in texts if text.part == 0}
    made = 0
    for entry in found:
        ask = ProfileAsk(
            fingerprint=entry.fingerprint or "",
            text=read.get(entry.text_id) or _stored(entry.text_id),
            effects=tuple((cls, name) for cls, name in orjson.loads(entry.effects or "[]")),
            why=entry.reason,
            seq=entry.seq,
            at=from_micros(entry.at),
        )
        made += ask_profile(store, now, sessions[entry.session_id], ask) is not None
    return made


def ask_profile(store: Store, now: datetime, session: SessionUse, ask: ProfileAsk) -> int | None:
    """Ask the owner to sign one more fingerprint; return the request's number.

    None where there is nothing to ask: it is signed already, a request waits, the owner said no
    within a day, the profile is not enforced any more, or too many wait.
    """
    with change(store, system_actor("indexer"), now) as doing:
        identity = IdentityRow.get_or_none(IdentityRow.name == session.identity)
        if identity is None or not _wanted(doing, identity, ask):
            return None
        target = TargetRow.get_or_none(TargetRow.name == session.target)
        row = ApprovalRow.create(
            kind=RequestKind.PROFILE.value,
            state=RequestState.WAITING.value,
            identity=identity.name,
            identity_kind=identity.kind,
            owner=identity.owner.name if identity.owner else None,
            credential_id=session.credential_id,
            target=session.target,
            environment=target.environment if target else "",
            database=session.database,
            role=session.role,
            source=session.source,
            text=ask.text,
            effects=[list(effect) for effect in ask.effects],
            fingerprint=ask.fingerprint,
            rule=PROFILE_RULE,
            why=ask.why,
            eligible=sorted(
                person.name
                for person in (identity.owner, identity.backup_owner)
                if person is not None and person.status == IdentityStatus.ACTIVE.value
            ),
            session_id=session.session,
            seqs=[ask.seq],
            created_at=now,
            expires_at=now + LASTS,
        )
        doing.note(
            "approval.ask",
            f"request {row.id}",
            kind=row.kind,
            identity=row.identity,
            target=row.target,
            role=row.role,
            rule=row.rule,
            fingerprint=row.fingerprint,
            session=row.session_id,
        )
        notices.requested(store, now, row.id)
        return int(row.id)


def signed(doing: Change, identity: str, fingerprints: Iterable[str]) -> int:
    """Answer the requests for what its owner signed by another way; return how many waited."""
    row, ended = ApprovalRow, 0
    for fingerprint in fingerprints:
        mine = _of(identity) & _open(doing.now) & (row.fingerprint == fingerprint)
        for waits in row.select(row.id).where(mine):
            if approval_rows.swap(
                waits.id,
                RequestState.APPROVED,
                doing.now,
                doing.by.name,
                via_of(doing.by),
                "signed with the profile",
            ):
                doing.note("approval.approve", f"request {waits.id}", identity=identity)
                notices.settled(doing.store, doing.now, waits.id)
                ended += 1
    return ended


def waiting(store: Store, identity: str, now: datetime) -> tuple[tuple[int, str], ...]:
    """Return (number, fingerprint) of the requests that wait for one identity, oldest first."""
    with store.reading():
        query = ApprovalRow.select(ApprovalRow.id, ApprovalRow.fingerprint)
        query = query.where(_of(identity) & _open(now)).order_by(ApprovalRow.id)
        return tuple((row.id, row.fingerprint) for row in query)


def _wanted(doing: Change, identity: Any, ask: ProfileAsk) -> bool:
    now, row = doing.now, ApprovalRow
    if identity.kind == IdentityKind.HUMAN or identity.profile != ProfileMode.ENFORCE.value:
        return False
    if ask.at <= now - LASTS:  # taken in after a long time away
        return False
    if ProfileEntryRow.get_or_none(
        (ProfileEntryRow.identity == identity.id) & (ProfileEntryRow.fingerprint == ask.fingerprint)
    ):
        return False
    mine = _of(identity.name)
    denied = (row.state == RequestState.DENIED.value) & (row.decided_at > now - ASKED_AGAIN_AFTER)
    same = mine & (row.fingerprint == ask.fingerprint)
    if row.select(row.id).where(same & (_open(now) | denied)).exists():
        return False
    return bool(row.select(row.id).where(mine & _open(now)).count() < MOST_WAITING)


def _of(identity: str) -> Any:
    return (ApprovalRow.identity == identity) & (ApprovalRow.kind == RequestKind.PROFILE.value)


def _open(now: datetime) -> Any:
    return (ApprovalRow.state == RequestState.WAITING.value) & (ApprovalRow.expires_at > now)


def _stored(text_id: str) -> str:
    row = TextRow.get_or_none(TextRow.id == text_id)
    return row.text if row else ""
