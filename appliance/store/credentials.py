"""Credentials as rows: what ``appliance.identity.credentials`` makes and ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import peewee

from appliance.entities import Credential
from appliance.errors import NotFound
from appliance.store.database import Store
from appliance.store.models import CredentialRow, IdentityRow
from appliance.store.pages import Page, contains, paginate

PENDING = "pending"  # the kind of one whose secret ``serve`` has yet to find in its environment


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """A credential as lists show it: no verifier, no secret."""

    id: int
    identity: str
    kind: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    ends_at: datetime | None
    rotated_from: int | None
    revoked_at: datetime | None
    revoked_by: str
    revoked_reason: str
    secret_env: str | None
    first_used_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str

    @property
    def label(self) -> str:
        return f"c-{self.id}"

    def state(self, now: datetime) -> str:
        """Return live, ending (rotated, still in its overlap), ended, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        if self.ends_at is not None:
            return "ending" if self.ends_at > now else "ended"
        return PENDING if self.kind == PENDING else "live"


def get(store: Store, credential_id: int) -> CredentialRecord:
    """Return one credential. Raises: NotFound."""
    with store.reading():
        row = _query().where(CredentialRow.id == credential_id).first()
        if row is None:
            raise NotFound(f"no credential c-{credential_id}")
        return record(row)


def find(
    store: Store,
    text: str = "",
    *,
    now: datetime,
    identity: str = "",
    live: bool | None = None,
    sort: str = "-created_at",
    page: int = 1,
    size: int = 50,
) -> Page[CredentialRecord]:
    """Return credentials by their identity's name; ``live`` None = also those that ended."""
    with store.reading():
        query = _query()
        if text:
            query = query.where(contains(IdentityRow.name, text))
        if identity:
            query = query.where(IdentityRow.name == identity)
        if live is not None:
            query = query.where(is_live(now) if live else ~is_live(now))
        columns = {
            "created_at": CredentialRow.created_at,
            "identity": IdentityRow.name,
            "expires_at": peewee.fn.COALESCE(CredentialRow.expires_at, 1 << 62),
            "last_used_at": peewee.fn.COALESCE(CredentialRow.last_used_at, 0),
        }
        return paginate(
            query, record, sort=sort, columns=columns, tie=CredentialRow.id, page=page, size=size
        )


@dataclass(frozen=True, slots=True)
class CredentialState:
    """A record with the keyed print of its secret: for ``apply``, to see what changed."""

    record: CredentialRecord
    secret_print: str = field(repr=False)


def of_identity(store: Store, identity: str) -> tuple[int, tuple[CredentialState, ...]]:
    """Return an identity's id and all its credentials, oldest first. Raises: NotFound."""
    with store.reading():
        owner = IdentityRow.get_or_none(IdentityRow.name == identity)
        if owner is None:
            raise NotFound(f"no identity is called {identity}")
        query = _query().where(CredentialRow.identity == owner.id).order_by(CredentialRow.id)
        found = tuple(CredentialState(record(row), row.secret_print) for row in query)
        return int(owner.id), found


def set_secret_env(store: Store, credential_id: int, variable: str | None) -> bool:
    """Note which variable holds the secret; decides nothing. Return whether it changed."""
    with store.transaction():
        here = CredentialRow.id == credential_id
        row = CredentialRow.get(here)
        if row.secret_env == variable:
            return False
        CredentialRow.update(secret_env=variable).where(here).execute()
        return True


def is_live(now: datetime) -> Any:
    """Return the condition "opens sessions at ``now``"."""
    row = CredentialRow
    return (
        row.revoked_at.is_null()
        & (row.expires_at.is_null() | (row.expires_at > now))
        & (row.ends_at.is_null() | (row.ends_at > now))
    )


def pending(store: Store, now: datetime) -> tuple[CredentialRecord, ...]:
    """Return those whose secret is still to be found."""
    with store.reading():
        query = _query().where((CredentialRow.kind == PENDING) & is_live(now))
        return tuple(record(row) for row in query.order_by(CredentialRow.id))


def live_rows(identity_id: int, now: datetime) -> list[Any]:
    """Return the live rows of an identity, oldest first; for callers inside a store scope.

    Pending ones have no verifier yet and are not among them.
    """
    here = (CredentialRow.identity == identity_id) & (CredentialRow.kind != PENDING)
    query = CredentialRow.select().where(here & is_live(now))
    return list(query.order_by(CredentialRow.id))


def entity(row: Any) -> Credential:
    """Return a row as the value that login decides by."""
    return Credential(
        id=row.id,
        kind=row.kind,
        verifier=row.verifier,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        ends_at=row.ends_at,
        revoked_at=row.revoked_at,
    )


def record(row: Any) -> CredentialRecord:
    """Return a row (joined with its identity) as lists show it."""
    return CredentialRecord(
        id=row.id,
        identity=row.identity.name,
        kind=row.kind,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ends_at=row.ends_at,
        rotated_from=row.rotated_from_id,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        revoked_reason=row.revoked_reason,
        secret_env=row.secret_env,
        first_used_at=row.first_used_at,
        last_used_at=row.last_used_at,
        last_used_from=row.last_used_from,
    )


def _query() -> Any:
    return CredentialRow.select(CredentialRow, IdentityRow).join(IdentityRow)
