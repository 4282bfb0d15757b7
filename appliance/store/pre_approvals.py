"""Pre-approvals: a yes given before it is asked for, for N times or until a date."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from appliance.approvals import eligible
from appliance.approvals.requests import RequestKind
from appliance.errors import Conflict, Invalid, NotAllowed, NotFound
from appliance.store import names, snapshots
from appliance.store.actors import Actor, via_of
from appliance.store.approval_models import PreApprovalRow
from appliance.store.changes import Change, change
from appliance.store.database import Store
from appliance.store.models import TargetRow
from appliance.store.pages import Page, contains, paginate

MAX_USES = 10_000
MAX_LIFE = timedelta(days=366)
_FINGERPRINT = re.compile("[0-9a-f]{16,64}")


@dataclass(frozen=True, slots=True)
class PreApprovalSpec:
    """``uses`` None = as often as it is asked, ``until`` None = without an end; not both.

    ``until`` is exclusive.
    """

    identity: str
    target: str
    fingerprint: str
    uses: int | None
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class PreApproval:
    id: int
    identity: str
    target: str
    fingerprint: str
    uses: int | None
    uses_left: int | None
    until: datetime | None
    reason: str
    created_by: str
    created_via: str
    created_at: datetime
    used_at: datetime | None  # the last time
    revoked_at: datetime | None
    revoked_by: str
    revoked_reason: str

    @property
    def label(self) -> str:
        """Return the short name that people see: p-4."""
        return f"p-{self.id}"

    def state(self, now: datetime) -> str:
        """Return live, revoked, used up or expired."""
        if self.revoked_at is not None:
            return "revoked"
        if self.uses_left == 0:
            return "used up"
        return "expired" if self.until is not None and self.until <= now else "live"


def create(store: Store, by: Actor, now: datetime, spec: PreApprovalSpec) -> int:
    """Approve a fingerprint for an identity beforehand, as ``by.name``; return its id.

    It passes a held statement only while ``by`` is among those who could approve that statement.
    Raises: Invalid; NotAllowed unless ``by`` could approve what this identity does.
    """
    reason = names.one_line("reason", spec.reason)
    if not reason:
        raise Invalid("reason", "say why: it stays as evidence")
    fingerprint = _checked_fingerprint(spec.fingerprint)
    _check_bounds(spec, now)
    with change(store, by, now) as doing:
        snapshot = snapshots.load(store, now)
        if spec.identity not in snapshot.identities:
            raise Invalid("identity", f"no identity is called {spec.identity}")
        if spec.target not in snapshot.targets:
            raise Invalid("target", f"no target is called {spec.target}")
        may = _may(snapshot, spec.identity, by.name, now)
        if may:
            raise NotAllowed(may)
        row = PreApprovalRow.create(
            identity=spec.identity,
            target=spec.target,
            fingerprint=fingerprint,
            uses=spec.uses,
            uses_left=spec.uses,
            until=spec.until,
            reason=reason,
            created_by=by.name,
            created_via=via_of(by),
            created_at=now,
        )
        doing.note(
            "pre_approval.create",
            f"p-{row.id}",
            identity=spec.identity,
            target=spec.target,
            fingerprint=fingerprint,
            uses=spec.uses,
            until=spec.until.isoformat() if spec.until else None,
            reason=reason,
        )
        return int(row.id)


def revoke(store: Store, by: Actor, now: datetime, pre_approval_id: int, reason: str = "") -> None:
    """End a pre-approval now. Raises: NotFound; Conflict when it was revoked before."""
    reason = names.one_line("reason", reason)
    with change(store, by, now) as doing:
        row = _row(pre_approval_id)
        if row.revoked_at is not None:
            raise Conflict(f"p-{row.id} was revoked by {row.revoked_by} already")
        _revoke(doing, row, reason)


def revoke_all(doing: Change, reason: str) -> None:
    """End every pre-approval that still counts."""
    for row in PreApprovalRow.select().where(_is_live(doing.now)).order_by(PreApprovalRow.id):
        _revoke(doing, row, reason)


def get(store: Store, pre_approval_id: int) -> PreApproval:
    """Return one pre-approval. Raises: NotFound."""
    with store.reading():
        return _value(_row(pre_approval_id))


def find(
    store: Store,
    text: str = "",
    *,
    identity: str = "",
    target: str = "",
    live_at: datetime | None = None,
    sort: str = "-at",
    page: int = 1,
    size: int = 50,
) -> Page[PreApproval]:
    """Return pre-approvals; ``live_at``: only those that still count at that moment."""
    row = PreApprovalRow
    with store.reading():
        query = row.select()
        if text:
            query = query.where(
                contains(row.identity, text)
                | contains(row.target, text)
                | contains(row.fingerprint, text)
                | contains(row.reason, text)
                | contains(row.created_by, text)
            )
        if identity:
            query = query.where(row.identity == identity)
        if target:
            query = query.where(row.target == target)
        if live_at is not None:
            query = query.where(_is_live(live_at))
        columns = {
            "at": row.created_at,
            "identity": row.identity,
            "target": row.target,
            "until": row.until,
        }
        return paginate(query, _value, sort=sort, columns=columns, tie=row.id, page=page, size=size)


def use(
    doing: Change,
    identity: str,
    target: str,
    database: str,
    fingerprint: str,
    eligible_now: tuple[str, ...],
) -> PreApproval | None:
    """Take one use of a live pre-approval that one of ``eligible_now`` gave; None: there is none.

    It is of the target's own database: another one may have tables of the same names.
    The count falls in the same statement that sees it above zero, so N uses pass N times.
    """
    row = PreApprovalRow
    here = (row.identity == identity) & (row.target == target) & (row.fingerprint == fingerprint)
    if not fingerprint or not _is_own(target, database):
        return None
    # those that end are used first: what was given without an end stays for later
    query = (
        row.select()
        .where(here & _is_live(doing.now))
        .order_by(row.until.is_null(), row.until, row.id)
    )
    for found in query:
        if found.created_by not in eligible_now:
            continue
        left = None if found.uses is None else row.uses_left - 1
        taken = row.update(uses_left=left, used_at=doing.now).where(
            (row.id == found.id) & _is_live(doing.now)
        )
        if taken.execute():
            return _value(found)
    return None


def _is_own(target: str, database: str) -> bool:
    here = (TargetRow.name == target) & (TargetRow.database == database)
    return bool(TargetRow.select().where(here).exists())


def parse_label(text: str) -> int:
    """Return the number of ``p-4``. Raises: Invalid."""
    number = text.removeprefix("p-")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise Invalid("pre-approval", f"expected one such as p-4, got {text[:40]!r}")
    return int(number)


def _is_live(now: datetime) -> Any:
    row = PreApprovalRow
    return (
        row.revoked_at.is_null()
        & (row.uses_left.is_null() | (row.uses_left > 0))
        & (row.until.is_null() | (row.until > now))
    )


def _may(snapshot: Any, identity: str, name: str, now: datetime) -> str:
    """Return why this person could not approve anything of that identity, by any rule there is."""
    words = dict.fromkeys([eligible.BY_ROLE, *(r.approvers for r in snapshot.rules if r.approvers)])
    owner_may = any(rule.owner_may_approve for rule in snapshot.rules)
    first = ""
    for word in words:
        question = eligible.Question(identity, RequestKind.STATEMENT, None, (word,), owner_may)
        why_not = eligible.why_not(snapshot, question, name, now)
        if not why_not:
            return ""
        first = first or why_not
    return first


def _revoke(doing: Change, row: Any, reason: str) -> None:
    PreApprovalRow.update(
        revoked_at=doing.now, revoked_by=doing.by.name, revoked_reason=reason
    ).where(PreApprovalRow.id == row.id).execute()
    doing.note(
        "pre_approval.revoke",
        f"p-{row.id}",
        identity=row.identity,
        fingerprint=row.fingerprint,
        reason=reason,
    )


def _checked_fingerprint(text: str) -> str:
    text = text.strip().lower()
    if not _FINGERPRINT.fullmatch(text):
        raise Invalid(
            "fingerprint",
            f"expected 16 hex digits, got {text[:40]!r}",
            "a request, and each recorded statement, shows its own",
        )
    return text


def _check_bounds(spec: PreApprovalSpec, now: datetime) -> None:
    if spec.uses is None and spec.until is None:
        raise Invalid("uses", "say how often, or until when: without both it would count for ever")
    if spec.uses is not None and not 1 <= spec.uses <= MAX_USES:
        raise Invalid("uses", f"expected 1 to {MAX_USES} times, got {spec.uses}")
    if spec.until is not None and spec.until <= now:
        raise Invalid("until", "expected a moment that is still to come")
    if spec.until is not None and spec.until > now + MAX_LIFE:
        raise Invalid("until", "expected at most a year from now")


def _row(pre_approval_id: int) -> Any:
    row = PreApprovalRow.get_or_none(PreApprovalRow.id == pre_approval_id)
    if row is None:
        raise NotFound(
            f"no pre-approval p-{pre_approval_id}", "see: gatepost approval pre-approvals"
        )
    return row


def _value(row: Any) -> PreApproval:
    return PreApproval(
        id=row.id,
        identity=row.identity,
        target=row.target,
        fingerprint=row.fingerprint,
        uses=row.uses,
        uses_left=row.uses_left,
        until=row.until,
        reason=row.reason,
        created_by=row.created_by,
        created_via=row.created_via,
        created_at=row.created_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        revoked_reason=row.revoked_reason,
    )
