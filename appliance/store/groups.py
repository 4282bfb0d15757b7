"""Groups: named sets of identities; ``claim`` lets an identity provider's group fill one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.errors import Conflict, NotFound
from appliance.store import masking_rules, names, rules
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import GrantRow, GroupRow, IdentityRow, MembershipRow
from appliance.store.pages import Page, contains, paginate


@dataclass(frozen=True, slots=True)
class GroupRecord:
    id: int
    name: str
    claim: str | None
    members: tuple[str, ...]
    created_by: str
    created_at: datetime


def create(
    store: Store, by: Actor, now: datetime, *, name: str, claim: str | None = None
) -> GroupRecord:
    """Add an empty group. Raises: Invalid, Conflict if the name is taken."""
    names.plain_name("name", name)
    claim = _claim(claim)
    with change(store, by, now) as doing:
        if GroupRow.get_or_none(GroupRow.name == name):
            raise Conflict(f"there is already a group called {name}")
        row = GroupRow.create(name=name, claim=claim, created_by=by.name, created_at=now)
        doing.decides("group.create", name, claim=claim)
        return _record(row)


def change_claim(store: Store, by: Actor, now: datetime, name: str, claim: str | None) -> bool:
    """Set which of the identity provider's groups fills this one; return whether it changed."""
    claim = _claim(claim)
    with change(store, by, now) as doing:
        row = _row(name)
        if row.claim == claim:
            return False
        GroupRow.update(claim=claim).where(GroupRow.id == row.id).execute()
        doing.decides("group.change", name, claim=claim, before=row.claim)
        return True


def add(store: Store, by: Actor, now: datetime, group: str, identity: str) -> bool:
    """Make an identity a member; return whether it was none before."""
    with change(store, by, now) as doing:
        row, member = _row(group), _member(identity)
        if _membership(row, member).exists():
            return False
        MembershipRow.insert(group=row.id, identity=member.id).execute()
        doing.decides("group.add", group, member=identity)
        return True


def remove(store: Store, by: Actor, now: datetime, group: str, identity: str) -> bool:
    """End a membership; return whether there was one."""
    with change(store, by, now) as doing:
        row, member = _row(group), _member(identity)
        condition = (MembershipRow.group == row.id) & (MembershipRow.identity == member.id)
        if not MembershipRow.delete().where(condition).execute():
            return False
        doing.decides("group.remove", group, member=identity)
        return True


def delete(store: Store, by: Actor, now: datetime, name: str) -> None:
    """Remove a group. Raises: Conflict while a grant names it."""
    with change(store, by, now) as doing:
        row = _row(name)
        if GrantRow.select().where(GrantRow.who == f"group:{name}").exists():
            raise Conflict(f"a grant names group:{name}", "remove the grant first")
        if rules.names_group(name):
            raise Conflict(f"a policy rule names group:{name}", "change the rule first")
        if masking_rules.names_group(name):
            raise Conflict(f"a masking rule exempts group:{name}", "change the rule first")
        GroupRow.delete().where(GroupRow.id == row.id).execute()
        doing.decides("group.delete", name)


def get(store: Store, name: str) -> GroupRecord:
    """Return a group with its members. Raises: NotFound."""
    with store.reading():
        return _record(_row(name))


def find(
    store: Store, text: str = "", *, sort: str = "name", page: int = 1, size: int = 50
) -> Page[GroupRecord]:
    """Return the groups whose name or claim holds ``text``."""
    with store.reading():
        query = GroupRow.select()
        if text:
            query = query.where(contains(GroupRow.name, text) | contains(GroupRow.claim, text))
        columns = {"name": GroupRow.name, "created_at": GroupRow.created_at}
        found = paginate(
            query,
            lambda row: row,
            sort=sort,
            columns=columns,
            tie=GroupRow.id,
            page=page,
            size=size,
        )
        members = _members([row.id for row in found.items])
        items = tuple(_made(row, members.get(row.id, ())) for row in found.items)
        return Page(items, found.total, page, size)


def _claim(claim: str | None) -> str | None:
    return names.one_line("claim", claim, most=200) or None if claim else None


def _row(name: str) -> Any:
    row = GroupRow.get_or_none(GroupRow.name == name)
    if row is None:
        raise NotFound(f"no group is called {name}")
    return row


def _member(name: str) -> Any:
    row = IdentityRow.get_or_none(IdentityRow.name == name)
    if row is None:
        raise NotFound(f"no identity is called {name}")
    return row


def _membership(group: Any, identity: Any) -> Any:
    return MembershipRow.select().where(
        (MembershipRow.group == group.id) & (MembershipRow.identity == identity.id)
    )


def _members(ids: list[int]) -> dict[int, tuple[str, ...]]:
    query = (
        MembershipRow.select(MembershipRow.group, IdentityRow.name)
        .join(IdentityRow)
        .where(MembershipRow.group.in_(ids))
        .order_by(IdentityRow.name)
    )
    found: dict[int, tuple[str, ...]] = {}
    for group_id, name in query.tuples():
        found[group_id] = (*found.get(group_id, ()), name)
    return found


def _record(row: Any) -> GroupRecord:
    return _made(row, _members([row.id]).get(row.id, ()))


def _made(row: Any, members: tuple[str, ...]) -> GroupRecord:
    return GroupRecord(row.id, row.name, row.claim, members, row.created_by, row.created_at)
