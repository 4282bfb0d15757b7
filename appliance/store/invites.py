"""One-time links by which a person who has an identity chooses the password of their sign-in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from appliance.entities import IdentityKind, IdentityStatus, PermissionRole
from appliance.errors import Conflict, GatepostError, Invalid, NotFound
from appliance.store import accounts
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import AccountRow, IdentityRow, SetupLinkRow

LIFE = timedelta(days=3)
_PURPOSE = "invite:"


@dataclass(frozen=True, slots=True)
class Invite:
    """An open link; ``resets`` says that the person has a sign-in, whose password it replaces."""

    identity: str
    expires_at: datetime
    created_by: str
    resets: bool


def create(
    store: Store, by: Actor, now: datetime, name: str, roles: frozenset[PermissionRole]
) -> str:
    """Return the token of a fresh link for a person (made if need be) who gets these roles.

    Links made before for the same person stop working. The roles are given when it is used.
    Raises: Invalid for a machine or a suspended identity.
    """
    with change(store, by, now) as doing:
        row = IdentityRow.get_or_none(IdentityRow.name == name)
        if row is None:
            raise NotFound(f"no identity is called {name}", "create it first")
        if row.kind != IdentityKind.HUMAN:
            raise Invalid("name", f"{name} is of kind {row.kind}: only people sign in to the page")
        if row.status != IdentityStatus.ACTIVE:
            raise Invalid("name", f"{name} is {row.status}: make it active first")
        purpose = f"{_PURPOSE}{name}"
        SetupLinkRow.delete().where(
            SetupLinkRow.purpose.startswith(f"{purpose} ") & SetupLinkRow.used_at.is_null()
        ).execute()
        token = secrets.token_urlsafe(32)
        words = ",".join(sorted(role.value for role in roles))
        SetupLinkRow.insert(
            token_hash=_hashed(token),
            purpose=f"{purpose} {words}",
            created_by=by.name,
            created_at=now,
            expires_at=now + LIFE,
        ).execute()
        doing.note("invite.create", name, permission_roles=sorted(roles))
    return token


def find(store: Store, now: datetime, token: str) -> Invite | None:
    """Return what a token still opens; looking does not use it up."""
    with store.reading():
        row = _open(token, now)
        if row is None:
            return None
        name = _name(row)
        has_account = AccountRow.select().join(IdentityRow).where(IdentityRow.name == name).exists()
        return Invite(name, row.expires_at, row.created_by, has_account)


def use(store: Store, by: Actor, now: datetime, token: str, password: str) -> str:
    """Set the password, give the roles, and return the identity's name.

    Raises: Invalid for a poor password; Conflict if the link is used or too old.
    """
    with store.transaction():
        row = _open(token, now)
        if row is None:
            raise Conflict("this link was used, replaced or is too old", "ask an admin for another")
        name, roles = _name(row), _roles(row)
        _set_used(row.id, now)
    # The hash takes half a second: not inside a transaction that others wait for.
    try:
        if accounts.get(store, name) is None:
            inviter = Actor(row.created_by, by.via, by.source)
            accounts.create(store, inviter, now, name, password, permission_roles=roles)
        else:
            accounts.reset(store, Actor(name, by.via, by.source), now, name, password)
    except GatepostError:
        with store.transaction():
            _set_used(row.id, None)
        raise
    return name


def _set_used(link_id: int, at: datetime | None) -> None:
    SetupLinkRow.update(used_at=at).where(SetupLinkRow.id == link_id).execute()


def _open(token: str, now: datetime) -> Any:
    row = SetupLinkRow.get_or_none(SetupLinkRow.token_hash == _hashed(token))
    if row is None or row.used_at is not None or now >= row.expires_at:
        return None
    return row if row.purpose.startswith(_PURPOSE) else None


def _name(row: Any) -> str:
    return str(row.purpose).removeprefix(_PURPOSE).split(" ")[0]


def _roles(row: Any) -> frozenset[PermissionRole]:
    words = str(row.purpose).partition(" ")[2]
    return frozenset(PermissionRole(word) for word in words.split(",") if word)


def _hashed(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
