"""Who may decide a request: humans who fit the rule's words, never those it would serve (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.approvals.requests import RequestKind
from appliance.entities import Identity, PermissionRole, Snapshot

BY_ROLE = "role:approver"  # the word where a rule names nobody


@dataclass(frozen=True, slots=True)
class Question:
    """What a request says about who may decide it.

    ``identity``: the requester. ``credential_id``: the one in use, None = not known, then whoever
    issued any of its credentials is kept out. ``approvers``: words "group:NAME", "identity:NAME",
    "role:approver"; who decides must fit all of them. ``owned_by``: who owned the machine when
    it asked: an admin could give it away, and then decide.
    """

    identity: str
    kind: RequestKind
    credential_id: int | None = None
    approvers: tuple[str, ...] = (BY_ROLE,)
    owner_may_approve: bool = False
    owned_by: frozenset[str] = frozenset()


def approvers(snapshot: Snapshot, question: Question, now: datetime) -> tuple[str, ...]:
    """Return the names of those who can decide now, sorted."""
    names = (name for name in snapshot.identities if not why_not(snapshot, question, name, now))
    return tuple(sorted(names))


def why_not(snapshot: Snapshot, question: Question, name: str, now: datetime) -> str:
    """Return "" if this person may decide, else the sentence that says why not."""
    person = snapshot.identities.get(name)
    if person is None:
        return f"no identity is called {name}"
    if not person.is_human:
        return f"{name} is of kind {person.kind}: only people approve"
    if not person.is_active(now):
        return f"{name} is not active"
    if name == question.identity:
        return f"{name} asked for it: somebody else must decide"
    requester = snapshot.identities.get(question.identity)
    if requester is None:
        return f"{question.identity}, who asked for it, is gone"
    if question.kind is RequestKind.PROFILE:
        return _not_owner(requester, name)
    if not requester.is_human:
        barred = _barred(requester, question, name)
        if barred:
            return barred
    return _misfit(question.approvers or (BY_ROLE,), person)


def _not_owner(requester: Identity, name: str) -> str:
    if name in _owners(requester):
        return ""
    return f"{name} does not own {requester.name}: its owner or backup owner signs its profile"


def _barred(requester: Identity, question: Question, name: str) -> str:
    """Say why somebody stands too near to a machine to approve what it does."""
    credential = _issued(requester, question.credential_id, name)
    if credential:
        return f"{name} issued credential {credential} of {requester.name}: somebody else decides"
    if name in _owners(requester) and not question.owner_may_approve:
        return f"{name} owns {requester.name}: somebody else must decide"
    if name in question.owned_by and not question.owner_may_approve:
        return f"{name} owned {requester.name} when it asked: somebody else must decide"
    return ""


def _issued(requester: Identity, credential_id: int | None, name: str) -> str:
    """Return the label of the credential that bars its issuer, "" where none does.

    The one in use, and those that were rotated away: who issued them may hold the line that put
    the new one in place. Not known which is in use: any of them.
    """
    known = any(one.id == credential_id for one in requester.credentials)
    for one in requester.credentials:
        counts = not known or one.id == credential_id or one.ends_at is not None
        if counts and one.created_by == name:
            return one.label
    return ""


def _owners(identity: Identity) -> frozenset[str | None]:
    return frozenset({identity.owner, identity.backup_owner}) - {None}


def _misfit(words: tuple[str, ...], person: Identity) -> str:
    for word in words:
        kind, _, name = word.partition(":")
        if word == BY_ROLE:
            if PermissionRole.APPROVER not in person.permission_roles:
                return f"{person.name} is no approver: that takes the permission role approver"
        elif kind == "group":
            if name not in person.groups:
                return f"{person.name} is not in the group {name}, which decides this"
        elif kind != "identity" or name != person.name:
            decides = name if kind == "identity" else "nobody"
            return f"{decides} decides this, not {person.name}"
    return ""
