"""Who may open a session on what, and whether it may go on: pure, over one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from appliance.entities import (
    Credential,
    Grant,
    Identity,
    IdentityStatus,
    Snapshot,
    Target,
    UpstreamRole,
)
from appliance.identity.grants import admitting, standing_obstacle
from appliance.identity.login_request import LoginRequest, Refused, parse_startup
from appliance.identity.reachable import no_target, reachable_hint

__all__ = [
    "Admission",
    "LoginRequest",
    "Refused",
    "Way",
    "admit",
    "authentication_failed",
    "choose_way",
    "parse_startup",
    "recheck",
    "renew",
]


@dataclass(frozen=True, slots=True)
class Way:
    """How the client shall prove who it is. ``kind`` "scram": against any of ``credentials``.

    No credentials: the same exchange over a mock verifier, which no password passes.
    """

    kind: str
    credentials: tuple[Credential, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """A session that may be: everything of the snapshot that opened it.

    ``granted_roles``: all upstream roles that this identity may use here and now, of the
    time-boxed ones only the session's own: another one's end would not end this session.
    ``ends_at``: when it ends by itself; ``renew`` may move it.
    """

    identity: Identity
    credential: Credential
    target: Target
    database: str
    role: UpstreamRole
    grant: Grant
    granted_roles: frozenset[str]
    ends_at: datetime
    request: LoginRequest
    admitted_at: datetime

    def upstream_startup(self) -> dict[str, str]:
        """Return all parameters of the start-up packet for the target."""
        return {
            "user": self.role.name,
            "database": self.database,
            **dict(self.request.upstream_parameters),
        }


def choose_way(snapshot: Snapshot, request: LoginRequest, now: datetime) -> Way | Refused:
    """Choose how this client logs in. A way that is not set up is refused for every name alike."""
    if request.way not in ("", "password"):
        return Refused(
            "28000",
            f"gatepost: signing in by {request.way} is not set up here",
            "leave gatepost.auth out, and log in with a password",
            f"way {request.way} is not set up",
        )
    identity = snapshot.identities.get(request.user)
    if identity is None or not identity.is_active(now):
        return Way("scram")
    return Way("scram", tuple(c for c in identity.credentials if _opens(c, now)))


def authentication_failed(snapshot: Snapshot, request: LoginRequest, now: datetime) -> Refused:
    """Return the one message for every failed proof, with the fault for the record."""
    return Refused(
        "28P01",
        f'gatepost: password authentication failed for user "{request.user}"',
        "Check the password; an admin of Gatepost sees why it was refused.",
        _fault(snapshot.identities.get(request.user), now),
    )


def admit(
    snapshot: Snapshot, request: LoginRequest, credential_id: int, now: datetime
) -> Admission | Refused:
    """Decide, after a credential was proved, whether and as what its owner gets in."""
    identity = snapshot.identities.get(request.user)
    credential = _credential(identity, credential_id)
    if identity is None or credential is None:
        return authentication_failed(snapshot, request, now)
    if not identity.is_active(now) or not _opens(credential, now):
        return authentication_failed(snapshot, request, now)
    target = snapshot.targets.get(request.target)
    if target is None:
        return no_target(snapshot, identity, request, now)
    grants, nearest = admitting(snapshot, identity, target, request, now)
    if not grants:
        if nearest.message:
            return _refused(nearest.message, nearest.hint)
        return _no_grant(snapshot, identity, target, request, now)
    every = admitting(snapshot, identity, target, replace(request, role=""), now)[0]
    return _admission(identity, credential, target, grants[0], every, request, now)


def renew(snapshot: Snapshot, admission: Admission, now: datetime) -> Admission | Refused:
    """Judge a live session by a newer snapshot.

    Return it with what that snapshot has of it, the new end included; or why it must end (57P01).
    """
    identity = snapshot.identities.get(admission.identity.name)
    if identity is None or identity.id != admission.identity.id:
        return _ended("the identity is gone")
    if not identity.is_active(now):
        return _ended(_inactive(identity, now))
    credential = _credential(identity, admission.credential.id)
    if credential is None or credential.revoked_at is not None:
        return _ended(f"credential {admission.credential.label} was revoked")
    if credential.ends_at is not None and credential.ends_at <= now:
        return _ended(f"credential {credential.label} was rotated")
    target = snapshot.targets.get(admission.target.name)
    if target is None or _address(target) != _address(admission.target):
        return _ended(f"target {admission.target.name} was changed or removed")
    request = replace(admission.request, role="", target=target.name, database=admission.database)
    standing = [
        grant
        for grant in snapshot.grants
        if standing_obstacle(grant, identity, target, request, now) is None
    ]
    named = admission.request.role
    same = [
        grant
        for grant in standing
        if grant.role == admission.role.name and (not grant.is_time_boxed or grant.role == named)
    ]
    if not same:
        return _ended(f"your access on {target.name} as {admission.role.name} has ended")
    grant = next((grant for grant in same if grant.id == admission.grant.id), same[0])
    renewed = _admission(
        identity, credential, target, grant, standing, admission.request, admission.admitted_at
    )
    renewed = replace(renewed, database=admission.database)
    if renewed.ends_at <= now:
        return _ended("it has reached the end of its time")
    return renewed


def recheck(snapshot: Snapshot, admission: Admission, now: datetime) -> Refused | None:
    """Return why a live session must end, or None: it may go on."""
    outcome = renew(snapshot, admission, now)
    return outcome if isinstance(outcome, Refused) else None


def _admission(
    identity: Identity,
    credential: Credential,
    target: Target,
    grant: Grant,
    grants: list[Grant],
    request: LoginRequest,
    admitted_at: datetime,
) -> Admission:
    role = target.role(grant.role)
    if role is None:  # a grant on a role that the target lacks opens nothing
        raise AssertionError(grant.role)
    ends = [admitted_at + timedelta(seconds=grant.max_session_s)]
    limits = (grant.expires_at, identity.expires_at, credential.ends_at)
    ends += [end for end in limits if end is not None]
    return Admission(
        identity=identity,
        credential=credential,
        target=target,
        database=request.database or target.database,
        role=role,
        grant=grant,
        granted_roles=frozenset(one.role for one in grants if not one.is_time_boxed) | {role.name},
        ends_at=min(ends),
        request=request,
        admitted_at=admitted_at,
    )


def _opens(credential: Credential, now: datetime) -> bool:
    return credential.kind == "password" and credential.is_live(now)


def _credential(identity: Identity | None, credential_id: int) -> Credential | None:
    credentials = identity.credentials if identity else ()
    return next((c for c in credentials if c.id == credential_id), None)


def _address(target: Target) -> tuple[int, str, int]:
    return (target.id, target.host, target.port)


def _no_grant(
    snapshot: Snapshot, identity: Identity, target: Target, request: LoginRequest, now: datetime
) -> Refused:
    """Refuse where no grant names this identity, target and role.

    Someone with nothing on this target is told what a target that does not exist tells.
    """
    anything = replace(request, role="")
    if not request.role or not any(
        standing_obstacle(grant, identity, target, anything, now) is None
        for grant in snapshot.grants
    ):
        return no_target(snapshot, identity, request, now)
    return _refused(
        f"no grant for role {request.role} on {target.name}",
        reachable_hint(snapshot, identity, now),
    )


def _fault(identity: Identity | None, now: datetime) -> str:
    if identity is None:
        return "unknown identity"
    if not identity.is_active(now):
        return _inactive(identity, now)
    passwords = [c for c in identity.credentials if c.kind == "password"]
    if not passwords:
        return "no live password credential"
    if not any(_opens(c, now) for c in passwords):
        newest = max(passwords, key=lambda c: c.created_at)
        word = "revoked" if newest.revoked_at else "expired"
        return f"credential {newest.label} is {word}"
    return "wrong password"


def _inactive(identity: Identity, now: datetime) -> str:
    if identity.status is not IdentityStatus.ACTIVE:
        return f"identity {identity.name} is {identity.status}"
    return f"identity {identity.name} has expired"


def _refused(message: str, hint: str) -> Refused:
    return Refused("28000", f"gatepost: {message}", hint, message)


def _ended(reason: str) -> Refused:
    return Refused(
        "57P01",
        f"gatepost: session ended: {reason}",
        "Connect again if you still have access; else ask an admin of Gatepost.",
        reason,
    )
