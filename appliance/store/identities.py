"""Identities: every human and non-human that may log in, with owner and purpose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee

from appliance.entities import IdentityKind, IdentityStatus, PermissionRole
from appliance.errors import Conflict, Invalid, NotFound
from appliance.store import names
from appliance.store.actors import Actor
from appliance.store.changes import change, difference
from appliance.store.database import Store
from appliance.store.identity_lists import (
    IdentityRecord,
    all_names,
    find,
    get,
    get_by_id,
)
from appliance.store.models import AccountRow, CredentialRow, IdentityRow, SignInRow

__all__ = [
    "KINDS",
    "STATUSES",
    "IdentityRecord",
    "IdentitySpec",
    "all_names",
    "checked",
    "create",
    "find",
    "get",
    "get_by_id",
    "retire",
    "set_permission_roles",
    "set_status",
    "update",
    "used",
]

KINDS = tuple(kind.value for kind in IdentityKind)
STATUSES = tuple(status.value for status in IdentityStatus)


@dataclass(frozen=True, slots=True)
class IdentitySpec:
    """What a form or the file says about an identity. ``expires_at`` is exclusive."""

    name: str
    kind: str
    owner: str | None = None
    backup_owner: str | None = None
    purpose: str = ""
    environment: str = ""
    expires_at: datetime | None = None
    application_names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def create(
    store: Store,
    by: Actor,
    now: datetime,
    spec: IdentitySpec,
    *,
    permission_roles: frozenset[PermissionRole] = frozenset(),
    demo: bool = False,
) -> int:
    """Add an identity and return its id.

    Raises: Invalid; Conflict if the name is taken, also in other letter case: two names that look
    alike are a trap for approvers.
    """
    values = checked(spec)
    with change(store, by, now) as doing:
        taken = IdentityRow.get_or_none(_lower_name() == spec.name.lower())
        if taken is not None:
            raise Conflict(f"there is already an identity called {taken.name}")
        values |= _owners(spec, None)
        row = IdentityRow.create(
            created_by=by.name,
            created_at=now,
            demo=demo,
            permission_roles=sorted(permission_roles),
            **values,
        )
        doing.decides("identity.create", spec.name, kind=spec.kind, owner=spec.owner)
        return int(row.id)


def update(
    store: Store, by: Actor, now: datetime, name: str, spec: IdentitySpec
) -> tuple[str, ...]:
    """Make the identity called ``name`` be as ``spec`` says; return the names of what changed.

    Its name cannot change: grants, rules and the record name it. Raises: Invalid, NotFound.
    """
    if spec.name != name:
        raise Invalid("name", "an identity's name cannot change: the record names it")
    values = checked(spec)
    with change(store, by, now) as doing:
        row = _row(name)
        if (row.kind == IdentityKind.HUMAN) is not (spec.kind == IdentityKind.HUMAN):
            raise Invalid(
                "kind",
                f"{name} is of kind {row.kind}: a person cannot become a machine, or a machine one",
                "create another identity",
            )
        changed = difference(row, values | _owners(spec, row))
        if not changed:
            return ()
        IdentityRow.update(**changed).where(IdentityRow.id == row.id).execute()
        told = tuple(field.removesuffix("_id").removesuffix("_at") for field in changed)
        doing.decides("identity.change", name, changed=told)
        return told


def set_status(
    store: Store, by: Actor, now: datetime, name: str, status: IdentityStatus, reason: str = ""
) -> bool:
    """Suspend, resume, disable or retire; return whether it changed.

    Whatever is not active ends its live sessions and browser sign-ins.
    """
    reason = names.one_line("reason", reason)
    with change(store, by, now) as doing:
        row = _row(name)
        if row.status == status.value:
            return False
        if status is not IdentityStatus.ACTIVE:
            _keep_an_admin(row, now)
            SignInRow.delete().where(SignInRow.identity == row.id).execute()
        IdentityRow.update(status=status.value).where(IdentityRow.id == row.id).execute()
        doing.decides("identity.status", name, status=status.value, reason=reason)
        return True


def retire(store: Store, by: Actor, now: datetime, name: str, reason: str = "") -> bool:
    """End an identity for good: its credentials are revoked, its history stays."""
    with change(store, by, now) as doing:
        row = _row(name)
        if not set_status(store, by, now, name, IdentityStatus.RETIRED, reason):
            return False
        ended = (
            CredentialRow.update(revoked_at=now, revoked_by=by.name, revoked_reason="retired")
            .where((CredentialRow.identity == row.id) & CredentialRow.revoked_at.is_null())
            .execute()
        )
        doing.note("identity.retire", name, credentials_revoked=ended)
        return True


def set_permission_roles(
    store: Store, by: Actor, now: datetime, name: str, roles: frozenset[PermissionRole]
) -> bool:
    """Set what a human may do in the UI; return whether it changed.

    Raises: Conflict when no admin with a local sign-in would be left.
    """
    with change(store, by, now) as doing:
        row = _row(name)
        wanted = sorted(role.value for role in roles)
        if row.kind != IdentityKind.HUMAN and wanted:
            raise Invalid("permission_roles", "only people sign in to the page")
        if row.permission_roles == wanted:
            return False
        if PermissionRole.ADMIN not in roles:
            _keep_an_admin(row, now)
        IdentityRow.update(permission_roles=wanted).where(IdentityRow.id == row.id).execute()
        doing.decides(
            "identity.permission_roles", name, roles=wanted, before=list(row.permission_roles)
        )
        return True


def used(store: Store, name: str, credential_id: int | None, at: datetime, source: str) -> None:
    """Note a login: first and last use of the identity and its credential. Decides nothing."""
    with store.transaction():
        for model, key, value in (
            (IdentityRow, IdentityRow.name, name),
            (CredentialRow, CredentialRow.id, credential_id),
        ):
            later = model.last_used_at.is_null() | (model.last_used_at < at)
            values: dict[str, Any] = {"last_used_at": at}
            if model is CredentialRow:
                values["last_used_from"] = source
            model.update(**values).where((key == value) & later).execute()
            earlier = model.first_used_at.is_null() | (model.first_used_at > at)
            model.update(first_used_at=at).where((key == value) & earlier).execute()


def checked(spec: IdentitySpec) -> dict[str, Any]:
    """Return the spec as column values, owners aside. Raises: Invalid."""
    kind = names.choice("kind", spec.kind, KINDS)
    name = names.identity_name("name", spec.name)
    return {
        "name": name,
        "kind": kind,
        "purpose": names.one_line("purpose", spec.purpose),
        "environment": names.one_line("environment", spec.environment, most=63),
        "expires_at": spec.expires_at,
        "application_names": list(names.globs("application_names", spec.application_names)),
        "sources": list(names.networks("sources", spec.sources)),
    }


def _lower_name() -> Any:
    return peewee.fn.LOWER(IdentityRow.name)


def _owners(spec: IdentitySpec, row: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in ("owner", "backup_owner"):
        name = getattr(spec, field)
        owner = IdentityRow.get_or_none(IdentityRow.name == name) if name else None
        if name and owner is None:
            raise Invalid(field, f"no identity is called {name}")
        if owner is not None and owner.kind != IdentityKind.HUMAN:
            raise Invalid(field, f"{name} is no human: somebody has to answer for it")
        if owner is not None and row is not None and owner.id == row.id:
            raise Invalid(field, "nobody owns themselves")
        found[f"{field}_id"] = owner.id if owner else None
    if found["owner_id"] and found["owner_id"] == found["backup_owner_id"]:
        raise Invalid("backup_owner", "expected somebody else than the owner")
    return found


def _row(name: str) -> Any:
    row = IdentityRow.get_or_none(IdentityRow.name == name)
    if row is None:
        raise NotFound(f"no identity is called {name}")
    return row


def _keep_an_admin(row: Any, now: datetime) -> None:
    """Refuse to take the last way in: somebody must still be able to administer the page."""
    if PermissionRole.ADMIN not in row.permission_roles:
        return
    others = (
        IdentityRow.select(IdentityRow.permission_roles, IdentityRow.expires_at)
        .join(AccountRow, on=(AccountRow.identity == IdentityRow.id))
        .where((IdentityRow.id != row.id) & (IdentityRow.status == IdentityStatus.ACTIVE.value))
    )
    if not any(
        PermissionRole.ADMIN in other.permission_roles
        and (other.expires_at is None or now < other.expires_at)
        for other in others
    ):
        raise Conflict(
            f"{row.name} is the last admin with a sign-in",
            "run gatepost admin create for another one first",
        )
