"""Grants: who may open sessions on which target as which upstream role. Their order decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.entities import Grant, Identity, IdentityKind, who_matches
from appliance.errors import Conflict, Invalid, NotFound
from appliance.hours import parse_hours
from appliance.policy.builtin import BUILTIN_RULES
from appliance.store import names
from appliance.store.actors import Actor
from appliance.store.changes import Change, change, difference
from appliance.store.database import Store
from appliance.store.models import (
    GrantRow,
    GroupRow,
    IdentityRow,
    MembershipRow,
    RoleRow,
    TargetRow,
)
from appliance.store.pages import Page, contains, paginate

MAX_SESSION_S = 30 * 86400


@dataclass(frozen=True, slots=True)
class GrantSpec:
    """What a form or the file says about a grant. ``expires_at`` is exclusive."""

    who: str
    target: str
    role: str
    databases: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    application_names: tuple[str, ...] = ()
    hours: str = ""
    expires_at: datetime | None = None
    max_session_s: int = 12 * 3600
    fastpath: bool = False
    replication: bool = False
    allow_builtin: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant with its history."""

    grant: Grant
    position: int
    created_by: str
    created_at: datetime
    request_id: int | None = None  # of a time-boxed one: the access request it was given for


def create(
    store: Store, by: Actor, now: datetime, spec: GrantSpec, *, position: int | None = None
) -> int:
    """Add a grant, by default as the last, and return its id. Raises: Invalid."""
    values = checked(spec)
    with change(store, by, now) as doing:
        values["target_id"] = _target(spec).id
        check_who("who", spec.who)
        row = GrantRow.create(
            position=_last() + 1 if position is None else position,
            created_by=by.name,
            created_at=now,
            **values,
        )
        doing.decides("grant.create", f"g-{row.id}", **_told(spec))
        return int(row.id)


def update(
    store: Store,
    by: Actor,
    now: datetime,
    grant_id: int,
    spec: GrantSpec,
    *,
    position: int | None = None,
) -> tuple[str, ...]:
    """Make a grant be as ``spec`` says; return the names of what changed.

    Raises: NotFound; Invalid; Conflict for a time-boxed one, which is what an approver agreed to.
    """
    values = checked(spec)
    with change(store, by, now) as doing:
        row = _row(grant_id)
        if row.is_time_boxed:
            raise Conflict(
                f"g-{grant_id} was given for a time by request {row.request_id}",
                "remove it, or let them ask again",
            )
        values["target_id"] = _target(spec).id
        check_who("who", spec.who)
        if position is not None:
            values["position"] = position
        changed = difference(row, values)
        if not changed:
            return ()
        GrantRow.update(**changed).where(GrantRow.id == grant_id).execute()
        told = tuple(sorted(f.removesuffix("_id").removesuffix("_at") for f in changed))
        doing.decides("grant.change", f"g-{grant_id}", changed=told, **_told(spec))
        return told


def give_time_boxed(
    doing: Change, identity: str, target_id: int, role: str, ends_at: datetime, *, request_id: int
) -> int:
    """Add the grant of an approved access request, as the last; return its id.

    It holds for the target's own database, and a session of it may last as long as it does. The
    caller writes the audit event.
    """
    row = GrantRow.create(
        position=_last() + 1,
        who=f"identity:{identity}",
        target=target_id,
        role=role,
        expires_at=ends_at,
        max_session_s=MAX_SESSION_S,
        is_time_boxed=True,
        request_id=request_id,
        created_by=doing.by.name,
        created_at=doing.now,
    )
    return int(row.id)


def delete(store: Store, by: Actor, now: datetime, grant_id: int) -> None:
    """Remove a grant: the live sessions that stand on it alone end."""
    with change(store, by, now) as doing:
        row = _row(grant_id)
        GrantRow.delete().where(GrantRow.id == grant_id).execute()
        doing.decides("grant.delete", f"g-{grant_id}", who=row.who, role=row.role)


def reorder(store: Store, by: Actor, now: datetime, ids: tuple[int, ...]) -> bool:
    """Put the grants into this order; those not named follow in their present order."""
    with change(store, by, now) as doing:
        present = [r.id for r in GrantRow.select(GrantRow.id).order_by(*_order())]
        unknown = set(ids) - set(present)
        if unknown:
            raise NotFound(f"no grant g-{min(unknown)}")
        wanted = [*dict.fromkeys(ids), *(i for i in present if i not in set(ids))]
        if wanted == present:
            return False
        for position, grant_id in enumerate(wanted):
            GrantRow.update(position=position).where(GrantRow.id == grant_id).execute()
        doing.decides("grant.reorder", "grants", order=wanted)
        return True


def get(store: Store, grant_id: int) -> GrantRecord:
    """Return one grant. Raises: NotFound."""
    with store.reading():
        return _record(_row(grant_id))


def find(
    store: Store,
    text: str = "",
    *,
    who: str = "",
    target: str = "",
    sort: str = "position",
    page: int = 1,
    size: int = 50,
) -> Page[GrantRecord]:
    """Return grants whose subject, target or role holds ``text``, and as filtered."""
    with store.reading():
        query = GrantRow.select(GrantRow, TargetRow).join(TargetRow)
        if text:
            query = query.where(
                contains(GrantRow.who, text)
                | contains(GrantRow.role, text)
                | contains(TargetRow.name, text)
            )
        if who:
            query = query.where(GrantRow.who == who)
        if target:
            query = query.where(TargetRow.name == target)
        columns = {
            "position": GrantRow.position,
            "who": GrantRow.who,
            "target": TargetRow.name,
            "role": GrantRow.role,
        }
        return paginate(
            query, _record, sort=sort, columns=columns, tie=GrantRow.id, page=page, size=size
        )


def time_boxed(store: Store) -> tuple[GrantRecord, ...]:
    """Return every time-boxed grant, also those that have ended."""
    with store.reading():
        query = GrantRow.select(GrantRow, TargetRow).join(TargetRow).where(GrantRow.is_time_boxed)
        return tuple(_record(row) for row in query.order_by(GrantRow.id))


def of_identity(all_grants: tuple[Grant, ...], identity: Identity) -> tuple[Grant, ...]:
    """Return the grants that name an identity, itself or through a group or its kind."""
    return tuple(grant for grant in all_grants if who_matches(grant.who, identity))


def words_of(identity: Any) -> list[str]:
    """Return every ``who`` word that names this row's identity; for callers inside a scope."""
    groups = (
        GroupRow.select(GroupRow.name)
        .join(MembershipRow)
        .where(MembershipRow.identity == identity.id)
    )
    by_group = [f"group:{row.name}" for row in groups]
    return ["*", f"identity:{identity.name}", f"kind:{identity.kind}", *by_group]


def read_all() -> tuple[Grant, ...]:
    """Return every grant in order; for callers inside a store scope."""
    query = GrantRow.select(GrantRow, TargetRow).join(TargetRow).order_by(*_order())
    return tuple(_grant(row) for row in query)


def checked(spec: GrantSpec) -> dict[str, Any]:
    """Return the spec as column values, the target aside. Raises: Invalid."""
    if spec.hours:
        parse_hours(spec.hours)
    if not 60 <= spec.max_session_s <= MAX_SESSION_S:
        raise Invalid("max_session", f"expected 1m to 30d, got {spec.max_session_s}s")
    known = tuple(rule.name for rule in BUILTIN_RULES)
    for name in sorted(spec.allow_builtin):
        names.choice("allow_builtin", name, known)
    for index, database in enumerate(spec.databases):
        names.database_name(f"databases[{index}]", database)
    return {
        "who": spec.who,
        "role": names.database_name("role", spec.role),
        "databases": list(spec.databases),
        "sources": list(names.networks("sources", spec.sources)),
        "application_names": list(names.globs("application_names", spec.application_names)),
        "hours": spec.hours,
        "expires_at": spec.expires_at,
        "max_session_s": spec.max_session_s,
        "fastpath": spec.fastpath,
        "replication": spec.replication,
        "allow_builtin": sorted(spec.allow_builtin),
    }


def check_who(field: str, who: str) -> None:
    """Raise Invalid unless ``who`` is a word of the contract that names somebody known."""
    kind, _, name = who.partition(":")
    if who == "*":
        return
    if kind == "identity" and name:
        known = IdentityRow.get_or_none(IdentityRow.name == name) is not None
    elif kind == "group" and name:
        known = GroupRow.get_or_none(GroupRow.name == name) is not None
    elif kind == "kind" and name:
        names.choice(field, name, tuple(k.value for k in IdentityKind))
        known = True
    else:
        raise Invalid(
            field, f"expected *, identity:NAME, group:NAME or kind:KIND, got {who[:60]!r}"
        )
    if not known:
        raise Invalid(field, f"no {kind} is called {name}")


def _target(spec: GrantSpec) -> Any:
    row = TargetRow.get_or_none(TargetRow.name == spec.target)
    if row is None:
        raise Invalid("target", f"no target is called {spec.target}")
    role = (RoleRow.target == row.id) & (RoleRow.name == spec.role)
    if not RoleRow.select().where(role).exists():
        raise Invalid(
            "role", f"target {spec.target} has no upstream role {spec.role}", "add it there first"
        )
    return row


def _row(grant_id: int) -> Any:
    row = GrantRow.get_or_none(GrantRow.id == grant_id)
    if row is None:
        raise NotFound(f"no grant g-{grant_id}")
    return row


def _last() -> int:
    row = GrantRow.select(GrantRow.position).order_by(GrantRow.position.desc()).first()
    return row.position if row else -1


def _order() -> tuple[Any, Any]:
    return GrantRow.position, GrantRow.id


def _told(spec: GrantSpec) -> dict[str, Any]:
    return {"who": spec.who, "target": spec.target, "role": spec.role}


def _record(row: Any) -> GrantRecord:
    return GrantRecord(_grant(row), row.position, row.created_by, row.created_at, row.request_id)


def _grant(row: Any) -> Grant:
    return Grant(
        id=row.id,
        who=row.who,
        target=row.target.name,
        role=row.role,
        databases=tuple(row.databases),
        sources=tuple(row.sources),
        application_names=tuple(row.application_names),
        hours=row.hours,
        expires_at=row.expires_at,
        max_session_s=row.max_session_s,
        fastpath=row.fastpath,
        replication=row.replication,
        allow_builtin=frozenset(row.allow_builtin),
        is_time_boxed=row.is_time_boxed,
    )
