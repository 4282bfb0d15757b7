"""Browser sessions: a token in a cookie, its hash here. (A client's connection is a session.)"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from appliance.entities import IdentityStatus, PermissionRole
from appliance.errors import NotFound
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import IdentityRow, SignInRow

LIFE = timedelta(hours=12)
IDLE = timedelta(hours=2)
_SEEN_EVERY = timedelta(minutes=1)  # one write a minute, not one per request


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who is signed in; ``csrf`` is the secret that forms of this sign-in carry."""

    id: int
    identity: str
    identity_id: int
    permission_roles: frozenset[PermissionRole]
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
    csrf: str = field(repr=False)


def open_one(
    store: Store, by: Actor, now: datetime, identity: str, *, address: str, user_agent: str
) -> str:
    """Sign somebody in and return the token for the cookie. Raises: NotFound."""
    token = secrets.token_urlsafe(32)
    with change(store, by, now) as doing:
        row = IdentityRow.get_or_none(IdentityRow.name == identity)
        if row is None:
            raise NotFound(f"no identity is called {identity}")
        SignInRow.delete().where(SignInRow.expires_at <= now).execute()
        SignInRow.insert(
            token_hash=_hashed(token),
            identity=row.id,
            csrf=secrets.token_urlsafe(32),
            created_at=now,
            seen_at=now,
            expires_at=now + LIFE,
            address=address,
            user_agent=user_agent[:200],
        ).execute()
        doing.note("sign_in", identity, address=address)
    return token


def get(store: Store, now: datetime, token: str) -> SignIn | None:
    """Return the sign-in of a cookie's token; None when it ended, or its identity may not."""
    with store.reading():
        query = SignInRow.select(SignInRow, IdentityRow).join(IdentityRow)
        row = query.where(SignInRow.token_hash == _hashed(token)).first()
    if row is None or now >= row.expires_at or now >= row.seen_at + IDLE:
        return None
    identity = row.identity
    if identity.status != IdentityStatus.ACTIVE or (
        identity.expires_at is not None and identity.expires_at <= now
    ):
        return None
    if now - row.seen_at >= _SEEN_EVERY:
        with store.transaction():
            SignInRow.update(seen_at=now).where(SignInRow.id == row.id).execute()
    return _made(row)


def close(store: Store, by: Actor, now: datetime, token: str) -> None:
    """Sign out."""
    with change(store, by, now) as doing:
        if SignInRow.delete().where(SignInRow.token_hash == _hashed(token)).execute():
            doing.note("sign_out", by.name)


def of_identity(store: Store, now: datetime, identity: str) -> tuple[SignIn, ...]:
    """Return where somebody is signed in, newest first."""
    with store.reading():
        query = (
            SignInRow.select(SignInRow, IdentityRow)
            .join(IdentityRow)
            .where((IdentityRow.name == identity) & (SignInRow.expires_at > now))
            .order_by(SignInRow.id.desc())
        )
        return tuple(_made(row) for row in query)


def close_others(store: Store, by: Actor, now: datetime, identity: str, keep: int | None) -> int:
    """End every other sign-in of somebody; return how many."""
    with change(store, by, now) as doing:
        ids = IdentityRow.select(IdentityRow.id).where(IdentityRow.name == identity)
        condition = SignInRow.identity.in_(ids)
        if keep is not None:
            condition &= SignInRow.id != keep
        ended = int(SignInRow.delete().where(condition).execute())
        if ended:
            doing.note("sign_out.others", identity, ended=ended)
        return ended


def _made(row: Any) -> SignIn:
    return SignIn(
        id=row.id,
        identity=row.identity.name,
        identity_id=row.identity_id,
        permission_roles=frozenset(map(PermissionRole, row.identity.permission_roles)),
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        address=row.address,
        user_agent=row.user_agent,
        csrf=row.csrf,
    )


def _hashed(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
