"""Issue, rotate and revoke credentials: the one place where a machine's password is made."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from appliance.entities import IdentityStatus
from appliance.errors import Conflict, Invalid, NotFound
from appliance.identity.scram import DEFAULT_ITERATIONS, make_verifier, mock_salt, parse_verifier
from appliance.sealing import Sealer
from appliance.store import credentials as rows
from appliance.store import names
from appliance.store.actors import Actor
from appliance.store.changes import Change, change
from appliance.store.database import Store
from appliance.store.models import CredentialRow, IdentityRow

_SECRET_BYTES = 24  # 32 url-safe characters
_MIN_GIVEN = 8
_MAX_GIVEN = 1000
MAX_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new credential; ``secret`` is shown once and kept nowhere."""

    id: int
    identity: str
    expires_at: datetime | None
    secret: str = field(repr=False)

    @property
    def label(self) -> str:
        return f"c-{self.id}"


def issue(
    store: Store,
    by: Actor,
    now: datetime,
    sealer: Sealer,
    identity: str,
    *,
    expires_at: datetime | None = None,
    secret: str | None = None,
    secret_env: str | None = None,
) -> Issued:
    """Make a password credential; ``secret`` None makes one up.

    Raises: NotFound, Invalid, Conflict for an identity that is not active or has this secret.
    """
    _check(now, expires_at, secret)
    with change(store, by, now) as doing:
        row = _identity(identity)
        if row.status != IdentityStatus.ACTIVE:
            raise Conflict(f"{identity} is {row.status}", "resume it before it gets a credential")
        made = _make(doing, sealer, row, expires_at, secret, secret_env, None)
        doing.decides("credential.issue", made.label, identity=identity, expires=_iso(expires_at))
        return made


def expect(
    store: Store,
    by: Actor,
    now: datetime,
    identity: str,
    variable: str,
    *,
    expires_at: datetime | None = None,
) -> int:
    """Make a credential that waits for ``serve`` to have ``variable``; nobody can log in with it.

    Raises: NotFound, Invalid, Conflict for an identity that is not active.
    """
    _check(now, expires_at, None)
    with change(store, by, now) as doing:
        row = _identity(identity)
        if row.status != IdentityStatus.ACTIVE:
            raise Conflict(f"{identity} is {row.status}", "resume it before it gets a credential")
        made = CredentialRow.create(
            identity=row.id,
            kind=rows.PENDING,
            verifier="",
            secret_env=variable,
            created_by=by.name,
            created_at=now,
            expires_at=expires_at,
        )
        doing.note("credential.expect", f"c-{made.id}", identity=identity, variable=variable)
        return int(made.id)


def begin(
    store: Store, by: Actor, now: datetime, sealer: Sealer, credential_id: int, secret: str
) -> None:
    """Give a credential that waits the secret that was found; from then on it opens sessions.

    Raises: NotFound, Invalid, Conflict if it has ended, has begun, or another one has the secret.
    """
    _check(now, None, secret)
    with change(store, by, now) as doing:
        row = _live(credential_id, now)
        if row.kind != rows.PENDING:
            raise Conflict(f"c-{credential_id} has its secret already")
        verifier, print_ = _verifier(doing, sealer, row.identity, secret)
        CredentialRow.update(kind="password", verifier=verifier, secret_print=print_).where(
            CredentialRow.id == credential_id
        ).execute()
        doing.decides("credential.issue", f"c-{credential_id}", identity=row.identity.name)


def rotate(
    store: Store,
    by: Actor,
    now: datetime,
    sealer: Sealer,
    credential_id: int,
    *,
    overlap: timedelta = timedelta(0),
    expires_at: datetime | None = None,
    keep_life: bool = True,
    secret: str | None = None,
    secret_env: str | None = None,
) -> Issued:
    """Replace a live credential's secret; the old one and its sessions end after ``overlap``.

    Without ``expires_at`` the new one lives as long as the old one was to, or with ``keep_life``
    False for ever.
    """
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid("overlap", "expected 0 to 30d")
    _check(now, expires_at, secret)
    with change(store, by, now) as doing:
        old = _live(credential_id, now)
        if keep_life and expires_at is None and old.expires_at is not None:
            expires_at = now + (old.expires_at - old.created_at)
        row = old.identity
        made = _make(doing, sealer, row, expires_at, secret, secret_env, old)
        end = now + overlap
        if old.ends_at is None or end < old.ends_at:
            CredentialRow.update(ends_at=end).where(CredentialRow.id == old.id).execute()
        doing.decides(
            "credential.rotate",
            made.label,
            identity=row.name,
            old=f"c-{old.id}",
            old_ends=_iso(end),
            expires=_iso(expires_at),
        )
        return made


def revoke(store: Store, by: Actor, now: datetime, credential_id: int, reason: str = "") -> bool:
    """End a credential and its sessions now; return False if it was revoked before."""
    reason = names.one_line("reason", reason)
    with change(store, by, now) as doing:
        row = _row(credential_id)
        if row.revoked_at is not None:
            return False
        CredentialRow.update(revoked_at=now, revoked_by=by.name, revoked_reason=reason).where(
            CredentialRow.id == credential_id
        ).execute()
        doing.decides(
            "credential.revoke", f"c-{credential_id}", identity=row.identity.name, reason=reason
        )
        return True


def set_expiry(
    store: Store, by: Actor, now: datetime, credential_id: int, expires_at: datetime | None
) -> bool:
    """Move the end of a live credential; return whether it changed."""
    with change(store, by, now) as doing:
        row = _live(credential_id, now)
        if row.expires_at == expires_at:
            return False
        CredentialRow.update(expires_at=expires_at).where(
            CredentialRow.id == credential_id
        ).execute()
        doing.decides(
            "credential.expiry",
            f"c-{credential_id}",
            identity=row.identity.name,
            expires=_iso(expires_at),
        )
        return True


def secret_print(sealer: Sealer, identity_id: int, secret: str) -> str:
    """Return the keyed print by which an unchanged secret is recognised."""
    return sealer.print_of(secret, f"identity:{identity_id}")


def parse_label(field_name: str, text: str) -> int:
    """Return the number of ``c-12``."""
    number = text.removeprefix("c-")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise Invalid(field_name, f"expected a credential such as c-12, got {text[:40]!r}")
    return int(number)


def _make(
    doing: Change,
    sealer: Sealer,
    identity: Any,
    expires_at: datetime | None,
    secret: str | None,
    secret_env: str | None,
    rotated_from: Any,
) -> Issued:
    chosen = secret if secret is not None else secrets.token_urlsafe(_SECRET_BYTES)
    verifier, print_ = _verifier(doing, sealer, identity, chosen)
    made = CredentialRow.create(
        identity=identity.id,
        verifier=verifier,
        secret_print=print_,
        secret_env=secret_env,
        created_by=doing.by.name,
        created_at=doing.now,
        expires_at=expires_at,
        rotated_from=rotated_from.id if rotated_from is not None else None,
    )
    return Issued(int(made.id), identity.name, expires_at, chosen)


def _verifier(doing: Change, sealer: Sealer, identity: Any, secret: str) -> tuple[str, str]:
    """Return the verifier and the keyed print of a secret that no live credential has."""
    live = rows.live_rows(identity.id, doing.now)
    print_ = secret_print(sealer, identity.id, secret)
    for row in live:
        if hmac.compare_digest(row.secret_print, print_):
            raise Conflict(
                f"c-{row.id} of {identity.name} has this very secret", "choose another one"
            )
    salt, iterations = _salt(sealer, identity.name, live)
    return make_verifier(secret, salt, iterations), print_


def _salt(sealer: Sealer, name: str, live: list[Any]) -> tuple[bytes, int]:
    """Return what the live credentials share, so that one exchange checks them all.

    The first one takes the salt that the name shows while it has none: a prober sees no change.
    """
    if live:
        verifier = parse_verifier(live[0].verifier)
        return verifier.salt, verifier.iterations
    return mock_salt(sealer.login_secret, name), DEFAULT_ITERATIONS


def _check(now: datetime, expires_at: datetime | None, secret: str | None) -> None:
    if expires_at is not None and expires_at <= now:
        raise Invalid("expires", "expected a moment that is still to come")
    if secret is not None and not (_MIN_GIVEN <= len(secret) <= _MAX_GIVEN and "\0" not in secret):
        raise Invalid("password", f"expected {_MIN_GIVEN} to {_MAX_GIVEN} characters without NUL")


def _identity(name: str) -> Any:
    row = IdentityRow.get_or_none(IdentityRow.name == name)
    if row is None:
        raise NotFound(f"no identity is called {name}")
    return row


def _row(credential_id: int) -> Any:
    row = CredentialRow.get_or_none(CredentialRow.id == credential_id)
    if row is None:
        raise NotFound(f"no credential c-{credential_id}")
    return row


def _live(credential_id: int, now: datetime) -> Any:
    row = _row(credential_id)
    if not rows.entity(row).is_live(now):
        raise Conflict(f"c-{credential_id} has ended already", "issue a new one instead")
    return row


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
