"""Local accounts for the browser, and the one-time links by which the first one is made."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from appliance.entities import IdentityKind, IdentityStatus, PermissionRole
from appliance.errors import Conflict, Invalid, NotFound
from appliance.identity.passwords import hash_password, password_holds
from appliance.store import identities, names
from appliance.store.actors import Actor
from appliance.store.changes import Change, change
from appliance.store.database import Store
from appliance.store.models import AccountRow, IdentityRow, SetupLinkRow, SignInRow

LINK_LIFE = timedelta(hours=1)
_SETUP = "first admin"
# Checked where there is no account, so that an unknown name takes the same time.
_NOBODY = (
    "$argon2id$v=19$m=65536,t=3,p=4$WMUGVEU1+1uhyYREFLMFvw$"
    "9irjhPihfv1+lWiiAjoHG2ByPi+GoyCHrnxeQvi5BwA"
)


@dataclass(frozen=True, slots=True)
class Account:
    """A local sign-in; the password stays inside."""

    identity: str
    permission_roles: frozenset[PermissionRole]
    created_at: datetime
    changed_at: datetime


def has_admin(store: Store, now: datetime) -> bool:
    """Return whether somebody can administer the page with a local account."""
    with store.reading():
        return any(_is_working_admin(row, now) for row in _joined())


def setup_link(store: Store, by: Actor, now: datetime) -> str:
    """Return a fresh one-time token (valid 1 h); links made before stop working."""
    token = secrets.token_urlsafe(32)
    with change(store, by, now) as doing:
        SetupLinkRow.delete().where(
            (SetupLinkRow.purpose == _SETUP) & SetupLinkRow.used_at.is_null()
        ).execute()
        SetupLinkRow.insert(
            token_hash=_hashed(token),
            purpose=_SETUP,
            created_by=by.name,
            created_at=now,
            expires_at=now + LINK_LIFE,
        ).execute()
        doing.note("setup_link.create", _SETUP)
    return token


def is_open_link(store: Store, now: datetime, token: str) -> bool:
    """Return whether a token still makes the first admin; looking does not use it up."""
    with store.reading():
        return _open_link(token, now) is not None and not any(
            _is_working_admin(row, now) for row in _joined()
        )


def use_link(
    store: Store, by: Actor, now: datetime, token: str, name: str, password: str
) -> Account:
    """Make the first admin. Raises: Invalid; Conflict if the link is used, old or not needed."""
    stored = hash_password(password)
    with change(store, by, now) as doing:
        link = _open_link(token, now)
        if link is None:
            raise Conflict(
                "this link was used or is more than an hour old",
                "restart gatepost serve for a new one, or run gatepost admin create",
            )
        if any(_is_working_admin(row, now) for row in _joined()):
            raise Conflict("there is an admin already", "sign in, or run gatepost admin create")
        SetupLinkRow.update(used_at=now).where(SetupLinkRow.id == link.id).execute()
        return _create(doing, name, stored, frozenset({PermissionRole.ADMIN}))


def create(
    store: Store,
    by: Actor,
    now: datetime,
    name: str,
    password: str,
    *,
    permission_roles: frozenset[PermissionRole] = frozenset({PermissionRole.ADMIN}),
) -> Account:
    """Give a human identity (made if need be) a local sign-in and these permission roles.

    Roles that it had stay. Raises: Invalid, Conflict if it has a sign-in already.
    """
    stored = hash_password(password)
    with change(store, by, now) as doing:
        return _create(doing, name, stored, permission_roles)


def reset(store: Store, by: Actor, now: datetime, name: str, password: str) -> None:
    """Set a new password and end every browser session of the account. Raises: NotFound."""
    stored = hash_password(password)
    with change(store, by, now) as doing:
        row = _account(name)
        if row is None:
            raise NotFound(f"{name} has no local sign-in", "run gatepost admin create")
        AccountRow.update(password_hash=stored, changed_at=now).where(
            AccountRow.id == row.id
        ).execute()
        SignInRow.delete().where(SignInRow.identity == row.identity_id).execute()
        doing.note("account.reset", name)


def check(store: Store, now: datetime, name: str, password: str) -> Account | None:
    """Return the account if the password is right and its identity may sign in, else None.

    Slow on purpose, and as slow for names that do not exist.
    """
    row = None
    with suppress(Invalid), store.reading():  # a name that no store can hold is nobody's
        row = _account(name)
    if not password_holds(row.password_hash if row else _NOBODY, password) or row is None:
        return None
    return _made(row) if _may_sign_in(row.identity, now) else None


def get(store: Store, name: str) -> Account | None:
    """Return an identity's local account, None if it has none."""
    with store.reading():
        row = _account(name)
        return _made(row) if row else None


def all_accounts(store: Store) -> tuple[Account, ...]:
    """Return every local account, by name."""
    with store.reading():
        return tuple(_made(row) for row in _joined().order_by(IdentityRow.name))


def _create(
    doing: Change, name: str, stored: str, permission_roles: frozenset[PermissionRole]
) -> Account:
    names.identity_name("name", name)
    row = IdentityRow.get_or_none(IdentityRow.name == name)
    if row is None:
        spec = identities.IdentitySpec(name, IdentityKind.HUMAN)
        identities.create(doing.store, doing.by, doing.now, spec, permission_roles=permission_roles)
        row = IdentityRow.get(IdentityRow.name == name)
    elif row.kind != IdentityKind.HUMAN:
        raise Invalid("name", f"{name} is of kind {row.kind}: only people sign in to the page")
    elif _account(name) is not None:
        raise Conflict(f"{name} has a local sign-in already", "run gatepost admin reset")
    else:
        roles = frozenset(map(PermissionRole, row.permission_roles)) | permission_roles
        identities.set_permission_roles(doing.store, doing.by, doing.now, name, roles)
    AccountRow.insert(
        identity=row.id, password_hash=stored, created_at=doing.now, changed_at=doing.now
    ).execute()
    doing.note("account.create", name, permission_roles=sorted(permission_roles))
    return _made(_account(name))


def _joined() -> Any:
    return AccountRow.select(AccountRow, IdentityRow).join(IdentityRow)


def _account(name: str) -> Any:
    return _joined().where(IdentityRow.name == name).first()


def _made(row: Any) -> Account:
    roles = frozenset(map(PermissionRole, row.identity.permission_roles))
    return Account(row.identity.name, roles, row.created_at, row.changed_at)


def _is_working_admin(row: Any, now: datetime) -> bool:
    is_admin = PermissionRole.ADMIN in row.identity.permission_roles
    return is_admin and _may_sign_in(row.identity, now)


def _may_sign_in(identity: Any, now: datetime) -> bool:
    return identity.status == IdentityStatus.ACTIVE and (
        identity.expires_at is None or now < identity.expires_at
    )


def _open_link(token: str, now: datetime) -> Any:
    row = SetupLinkRow.get_or_none(SetupLinkRow.token_hash == _hashed(token))
    return row if row and row.used_at is None and now < row.expires_at else None


def _hashed(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
