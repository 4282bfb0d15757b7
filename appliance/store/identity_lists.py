"""The identity catalog for reading: one identity with all it has, and pages of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee

from appliance.entities import IdentityKind, IdentityStatus, PermissionRole
from appliance.errors import NotFound
from appliance.store.database import Store
from appliance.store.models import (
    AccountRow,
    CredentialRow,
    GroupRow,
    IdentityRow,
    MembershipRow,
)
from appliance.store.pages import Page, contains, paginate


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """An identity as lists and its page show it. ``live_credentials`` counts at ``now``."""

    id: int
    name: str
    kind: IdentityKind
    status: IdentityStatus
    owner: str | None
    backup_owner: str | None
    purpose: str
    environment: str
    expires_at: datetime | None
    application_names: tuple[str, ...]
    sources: tuple[str, ...]
    groups: tuple[str, ...]
    permission_roles: frozenset[PermissionRole]
    live_credentials: int
    has_account: bool
    demo: bool
    created_by: str
    created_at: datetime
    first_used_at: datetime | None
    last_used_at: datetime | None


def get(store: Store, name: str, *, now: datetime) -> IdentityRecord:
    """Return one identity. Raises: NotFound."""
    with store.reading():
        row = IdentityRow.get_or_none(IdentityRow.name == name)
        if row is None:
            raise NotFound(f"no identity is called {name}")
        return _records([row], now)[0]


def get_by_id(store: Store, identity_id: int, *, now: datetime) -> IdentityRecord:
    """Return one identity by its id. Raises: NotFound."""
    with store.reading():
        row = IdentityRow.get_or_none(IdentityRow.id == identity_id)
        if row is None:
            raise NotFound(f"no identity has the id {identity_id}")
        return _records([row], now)[0]


def find(
    store: Store,
    text: str = "",
    *,
    now: datetime,
    kind: str = "",
    status: str = "",
    group: str = "",
    owner: str = "",
    sort: str = "name",
    page: int = 1,
    size: int = 50,
) -> Page[IdentityRecord]:
    """Return identities whose name, purpose or environment holds ``text``, and as filtered."""
    with store.reading():
        row = IdentityRow
        query = row.select()
        if text:
            query = query.where(
                contains(row.name, text)
                | contains(row.purpose, text)
                | contains(row.environment, text)
            )
        if kind:
            query = query.where(row.kind == kind)
        if status:
            query = query.where(row.status == status)
        if group:
            members = (
                MembershipRow.select(MembershipRow.identity)
                .join(GroupRow)
                .where(GroupRow.name == group)
            )
            query = query.where(row.id.in_(members))
        if owner:
            owners = row.alias()
            ids = owners.select(owners.id).where(owners.name == owner)
            query = query.where(row.owner.in_(ids) | row.backup_owner.in_(ids))
        nobodys = (
            row.owner.is_null()
            & (row.kind != IdentityKind.HUMAN.value)
            & (row.status != IdentityStatus.RETIRED.value)
        )
        columns = {
            "attention": peewee.Case(None, ((nobodys, 0),), 1),  # machines without an owner first
            "name": row.name,
            "kind": row.kind,
            "status": row.status,
            "created_at": row.created_at,
            "last_used_at": peewee.fn.COALESCE(row.last_used_at, 0),
            "expires_at": peewee.fn.COALESCE(row.expires_at, 1 << 62),
        }
        found = paginate(
            query, lambda r: r, sort=sort, columns=columns, tie=row.name, page=page, size=size
        )
        return Page(_records(list(found.items), now), found.total, page, size)


def all_names(store: Store) -> tuple[str, ...]:
    """Return the names of all identities, for choices and completion."""
    with store.reading():
        query = IdentityRow.select(IdentityRow.name).order_by(IdentityRow.name)
        return tuple(name for (name,) in query.tuples())


def _records(rows: list[Any], now: datetime) -> tuple[IdentityRecord, ...]:
    ids = [row.id for row in rows]
    owner_ids = {i for row in rows for i in (row.owner_id, row.backup_owner_id) if i}
    owners = dict(
        IdentityRow.select(IdentityRow.id, IdentityRow.name)
        .where(IdentityRow.id.in_(owner_ids))
        .tuples()
    )
    groups: dict[int, list[str]] = {}
    for identity_id, group in (
        MembershipRow.select(MembershipRow.identity, GroupRow.name)
        .join(GroupRow)
        .where(MembershipRow.identity.in_(ids))
        .order_by(GroupRow.name)
        .tuples()
    ):
        groups.setdefault(identity_id, []).append(group)
    accounts = {i for (i,) in AccountRow.select(AccountRow.identity).tuples()}
    live = _live_counts(ids, now)
    return tuple(
        IdentityRecord(
            id=row.id,
            name=row.name,
            kind=IdentityKind(row.kind),
            status=IdentityStatus(row.status),
            owner=owners.get(row.owner_id),
            backup_owner=owners.get(row.backup_owner_id),
            purpose=row.purpose,
            environment=row.environment,
            expires_at=row.expires_at,
            application_names=tuple(row.application_names),
            sources=tuple(row.sources),
            groups=tuple(groups.get(row.id, ())),
            permission_roles=frozenset(map(PermissionRole, row.permission_roles)),
            live_credentials=live.get(row.id, 0),
            has_account=row.id in accounts,
            demo=row.demo,
            created_by=row.created_by,
            created_at=row.created_at,
            first_used_at=row.first_used_at,
            last_used_at=row.last_used_at,
        )
        for row in rows
    )


def _attention() -> Any:
    """Rank what a reviewer should see first: machines nobody answers for, then what is off."""
    row = IdentityRow
    ownerless = row.owner.is_null() & (row.kind != IdentityKind.HUMAN.value)
    return peewee.Case(
        None,
        (
            (row.status == IdentityStatus.RETIRED.value, 3),
            (ownerless, 0),
            (row.status != IdentityStatus.ACTIVE.value, 1),
        ),
        2,
    )


def _live_counts(ids: list[int], now: datetime) -> dict[int, int]:
    row = CredentialRow
    query = (
        row.select(row.identity, peewee.fn.COUNT(row.id))
        .where(
            row.identity.in_(ids)
            & row.revoked_at.is_null()
            & (row.expires_at.is_null() | (row.expires_at > now))
            & (row.ends_at.is_null() | (row.ends_at > now))
        )
        .group_by(row.identity)
    )
    return dict(query.tuples())
