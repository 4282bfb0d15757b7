"""Approval requests as the pages list them: what waits, and what was decided, for whoever looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import peewee

from appliance.approvals.eligible import BY_ROLE
from appliance.approvals.requests import Request, RequestState
from appliance.entities import Identity, PermissionRole
from appliance.store.approval_models import ApprovalRow
from appliance.store.approval_rows import request_of
from appliance.store.database import Store
from appliance.store.models import IdentityRow
from appliance.store.pages import Page, contains, paginate

MOST_WAITING = 500
SORTS = ("decided", "at", "identity", "target", "state")
_VALUES = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a list is narrowed; "" and None mean any.

    ``seen_by``: only what concerns this person: theirs, decided by them, or theirs to decide.
    """

    text: str = ""
    state: str = ""
    kind: str = ""
    identity: str = ""
    target: str = ""
    since: datetime | None = None
    seen_by: Identity | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """What filters of the list can offer."""

    identities: tuple[str, ...]
    targets: tuple[str, ...]


def waiting(store: Store, now: datetime) -> list[Request]:
    """Return everything that waits for a decision and can still get one, the newest first."""
    row = ApprovalRow
    with store.reading():
        query = row.select().where((row.state == RequestState.WAITING) & (row.expires_at > now))
        return [request_of(found) for found in query.order_by(row.id.desc()).limit(MOST_WAITING)]


def of_identity(store: Store, name: str, limit: int) -> list[Request]:
    """Return what somebody asked for, what waits first, then the newest first."""
    row = ApprovalRow
    is_waiting = peewee.Case(row.state, ((RequestState.WAITING.value, 0),), 1)
    with store.reading():
        query = row.select().where(row.identity == name)
        return [request_of(r) for r in query.order_by(is_waiting, row.id.desc()).limit(limit)]


def example(store: Store, identity: str, fingerprint: str) -> Request | None:
    """Return the latest request about a fingerprint of an identity; None where there was none."""
    row = ApprovalRow
    with store.reading():
        query = row.select().where((row.identity == identity) & (row.fingerprint == fingerprint))
        found = query.order_by(row.id.desc()).first()
        return request_of(found) if found else None


def decided(
    store: Store, wanted: Wanted, *, sort: str = "-decided", page: int = 1, size: int = 50
) -> Page[Request]:
    """Return a page of the requests that have ended, however they did."""
    row = ApprovalRow
    query = row.select().where(row.state != RequestState.WAITING)
    if wanted.text:
        query = query.where(_holds(wanted))
    for column, value in (
        (row.state, wanted.state),
        (row.kind, wanted.kind),
        (row.identity, wanted.identity),
        (row.target, wanted.target),
    ):
        if value:
            query = query.where(column == value)
    if wanted.since is not None:
        query = query.where(row.decided_at >= wanted.since)
    if wanted.seen_by is not None:
        query = query.where(_concerns(wanted.seen_by))
    columns = {
        "decided": row.decided_at,
        "at": row.created_at,
        "identity": row.identity,
        "target": row.target,
        "state": row.state,
    }
    with store.reading():
        return paginate(
            query, request_of, sort=sort, columns=columns, tie=row.id, page=page, size=size
        )


def values(store: Store, seen_by: Identity | None) -> Values:
    """Return the identities and targets that requests name."""
    row = ApprovalRow
    with store.reading():
        found = []
        for column in (row.identity, row.target):
            query = row.select(column).distinct()
            if seen_by is not None:
                query = query.where(_concerns(seen_by))
            found.append(tuple(v for (v,) in query.order_by(column).limit(_VALUES).tuples() if v))
        return Values(*found)


def _holds(wanted: Wanted) -> Any:
    """Return the condition "it holds the text"; a statement's own only for who may read it."""
    row, text = ApprovalRow, wanted.text
    condition = contains(row.text, text)
    if wanted.seen_by is not None:
        condition &= _own(wanted.seen_by) | _was_eligible(wanted.seen_by)
    for column in (
        row.identity,
        row.target,
        row.reason,
        row.rule,
        row.decided_by,
        row.decision_reason,
    ):
        condition |= contains(column, text)
    number = text.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) <= 9:
        condition |= row.id == int(number)
    return condition


def _concerns(person: Identity) -> Any:
    """Return the condition "it is theirs, was decided by them, or was theirs to decide"."""
    row = ApprovalRow
    words = [f"identity:{person.name}", *(f"group:{group}" for group in sorted(person.groups))]
    if PermissionRole.APPROVER in person.permission_roles:
        words.append(BY_ROLE)
    lists = [orjson.dumps([word]).decode() for word in words]
    approvers = peewee.fn.COALESCE(row.approvers, "")  # as text: a field would encode once more
    return (
        _own(person)
        | _was_eligible(person)
        | (row.decided_by == person.name)
        | approvers.in_(lists)
    )


def _own(person: Identity) -> Any:
    row, machines = ApprovalRow, IdentityRow.alias()
    owned = machines.select(machines.name).where(
        (machines.owner == person.id) | (machines.backup_owner == person.id)
    )
    return (row.identity == person.name) | row.identity.in_(owned)


def _was_eligible(person: Identity) -> Any:
    return contains(ApprovalRow.eligible, orjson.dumps(person.name).decode())
