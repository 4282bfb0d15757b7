"""Access requests: a person asks for a role on a target for a time; an approver's yes begins it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from appliance.approvals.eligible import Question, approvers
from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.entities import IdentityKind, IdentityStatus
from appliance.errors import Conflict, Invalid, NotAllowed
from appliance.identity.spans import show_span
from appliance.store import approval_rows, grants, names, notices, snapshots
from appliance.store.actors import Actor, system_actor, via_of
from appliance.store.approval_models import ApprovalRow
from appliance.store.changes import Change, change
from appliance.store.database import Store
from appliance.store.models import GrantRow, IdentityRow, RoleRow, TargetRow

SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(days=30)
WAITS = timedelta(days=1)  # how long a request waits for a decision
KEPT = timedelta(days=7)  # a grant after its end


@dataclass(frozen=True, slots=True)
class AccessAsk:
    identity: str
    target: str
    role: str
    duration_s: int
    reason: str


def ask(store: Store, by: Actor, now: datetime, ask: AccessAsk) -> int:
    """Ask for a role on a target for a time that starts with the yes; return the request's id.

    Raises: Invalid; Conflict when the same is asked for already, or nobody could say yes;
    NotAllowed for machines, and for who is not active.
    """
    reason = names.one_line("reason", ask.reason)
    if not reason:
        raise Invalid("reason", "say what for: who approves is shown it")
    duration = timedelta(seconds=ask.duration_s)
    if not SHORTEST <= duration <= LONGEST:
        raise Invalid("duration", "expected 5m to 30d")
    with change(store, by, now) as doing:
        identity = _requester(ask.identity, now)
        target = TargetRow.get_or_none(TargetRow.name == ask.target)
        if target is None:
            raise Invalid("target", f"no target is called {ask.target}")
        _check_role(target, ask.role)
        if identity.environment and identity.environment != target.environment:
            raise NotAllowed(
                f"{ask.identity} is for {identity.environment}: a role on {ask.target} would "
                "not let it in",
                "use an identity of the target's environment",
            )
        same = _same(ask, now).first()
        if same is not None:
            raise Conflict(
                f"request {same.id} asks for {ask.role} on {ask.target} already",
                "wait for its decision, or cancel it",
            )
        question = Question(ask.identity, RequestKind.ACCESS)
        can = approvers(snapshots.load(store, now), question, now)
        if not can:
            raise Conflict(
                "nobody could approve it: there is no other approver",
                "ask an admin of Gatepost to make somebody one",
            )
        row = ApprovalRow.create(
            kind=RequestKind.ACCESS.value,
            state=RequestState.WAITING.value,
            identity=ask.identity,
            identity_kind=identity.kind,
            target=ask.target,
            environment=target.environment,
            role=ask.role,
            source=by.source if by.via == "browser" else "",
            reason=reason,
            text=f"{ask.role} on {ask.target} for {show_span(duration)}",
            approvers=list(question.approvers),
            eligible=list(can),
            created_at=now,
            expires_at=now + WAITS,
            detail={"duration_s": ask.duration_s},
        )
        doing.note("access.ask", f"request {row.id}", **_told(row), reason=reason)
        notices.requested(store, now, row.id)
        return int(row.id)


def cancel(store: Store, by: Actor, now: datetime, request_id: int) -> Request:
    """Take a request back, as the one who asked. Raises: NotFound, NotAllowed, Conflict."""
    with change(store, by, now) as doing:
        row = approval_rows.row_of(request_id)
        if row.kind != RequestKind.ACCESS or row.identity != by.name:
            raise NotAllowed(f"request {request_id} is not {by.name}'s request for access")
        if not approval_rows.swap(request_id, RequestState.CANCELLED, now, by.name, via_of(by)):
            raise Conflict(f"request {request_id} is {row.state} already", "nothing was changed")
        doing.note("access.cancel", f"request {request_id}", **_told(row))
        notices.settled(store, now, request_id)
        return approval_rows.get(store, request_id)


def begin(doing: Change, row: Any) -> None:
    """Give the time-boxed grant that a request asked for, in the transaction of the yes.

    Raises: Conflict, NotAllowed: the request cannot be met any more, and stays undecided.
    """
    identity = _requester(row.identity, doing.now)
    target = TargetRow.get_or_none(TargetRow.name == row.target)
    if target is None:
        raise Conflict(f"target {row.target} is gone", "deny the request")
    _check_role(target, row.role)
    ends_at = doing.now + timedelta(seconds=int(row.detail["duration_s"]))
    grant_id = grants.give_time_boxed(
        doing, identity.name, target.id, row.role, ends_at, request_id=row.id
    )
    ApprovalRow.update(detail={**row.detail, "grant": grant_id}).where(
        ApprovalRow.id == row.id
    ).execute()
    doing.decides(
        "grant.create",
        f"g-{grant_id}",
        who=f"identity:{identity.name}",
        target=row.target,
        role=row.role,
        ends=ends_at.isoformat(),
        request=row.id,
    )


def remove_ended(store: Store, now: datetime) -> int:
    """Remove the time-boxed grants that ended a while ago; return how many. Requests stay.

    For a while who had one is told that it has ended, instead of that there is none.
    """
    over = GrantRow.is_time_boxed & (GrantRow.expires_at < now - KEPT)
    with store.reading():
        if not GrantRow.select().where(over).exists():
            return 0
    with change(store, system_actor("scheduler"), now) as doing:
        gone = list(GrantRow.select().where(over).order_by(GrantRow.id))
        GrantRow.delete().where(GrantRow.id.in_([row.id for row in gone])).execute()
        for row in gone:
            doing.decides(
                "grant.delete", f"g-{row.id}", who=row.who, role=row.role, request=row.request_id
            )
        return len(gone)


def roles_for(store: Store, identity: str) -> list[tuple[str, str]]:
    """Return the (target, role) pairs that this person can ask for: those without a standing grant.

    A role is left out that the person has already by a grant that is not time-boxed.
    """
    with store.reading(consistent=True):
        person = IdentityRow.get_or_none(IdentityRow.name == identity)
        if person is None or person.kind != IdentityKind.HUMAN:
            return []
        words = grants.words_of(person)
        standing = GrantRow.expires_at.is_null() & ~GrantRow.is_time_boxed
        has = {
            (row.target_id, row.role)
            for row in GrantRow.select().where(GrantRow.who.in_(words) & standing)
        }
        query = (
            RoleRow.select(RoleRow, TargetRow)
            .join(TargetRow)
            .order_by(TargetRow.position, TargetRow.name, RoleRow.position, RoleRow.id)
        )
        return [
            (row.target.name, row.name)
            for row in query
            if (row.target_id, row.name) not in has
            and person.environment in ("", row.target.environment)
        ]


def _requester(name: str, now: datetime) -> Any:
    row = IdentityRow.get_or_none(IdentityRow.name == name)
    if row is None:
        raise Invalid("identity", f"no identity is called {name}")
    if row.kind != IdentityKind.HUMAN:
        raise NotAllowed(
            f"{name} is of kind {row.kind}: only people ask for access for a time",
            "an admin can give a machine a grant with an end",
        )
    if row.status != IdentityStatus.ACTIVE or (row.expires_at and row.expires_at <= now):
        raise NotAllowed(f"{name} is not active")
    return row


def _check_role(target: Any, role: str) -> None:
    here = (RoleRow.target == target.id) & (RoleRow.name == role)
    if not RoleRow.select().where(here).exists():
        known = RoleRow.select().where(RoleRow.target == target.id).order_by(RoleRow.position)
        listed = ", ".join(row.name for row in known) or "none"
        raise Invalid(
            "role", f"target {target.name} has no upstream role {role}", f"it has: {listed}"
        )


def _same(ask: AccessAsk, now: datetime) -> Any:
    row = ApprovalRow
    return row.select().where(
        (row.kind == RequestKind.ACCESS)
        & (row.state == RequestState.WAITING)
        & (row.expires_at > now)
        & (row.identity == ask.identity)
        & (row.target == ask.target)
        & (row.role == ask.role)
    )


def _told(row: Any) -> dict[str, Any]:
    return {
        "identity": row.identity,
        "target": row.target,
        "role": row.role,
        "duration_s": row.detail["duration_s"],
    }
