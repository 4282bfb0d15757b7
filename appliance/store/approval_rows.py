"""Approval requests as rows, values and lists."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from appliance.approvals import eligible
from appliance.approvals.requests import Request, RequestKind, RequestState, Settlement
from appliance.errors import NotFound
from appliance.store import snapshots
from appliance.store.approval_models import ApprovalRow
from appliance.store.database import Store
from appliance.store.pages import Page, contains, paginate

_MANY = 1_000  # that wait at one moment: no page or person takes in more


def get(store: Store, request_id: int) -> Request:
    """Return one request. Raises: NotFound."""
    with store.reading():
        return request_of(row_of(request_id))


def find(
    store: Store,
    text: str = "",
    *,
    state: str = "",
    kind: str = "",
    identity: str = "",
    target: str = "",
    rule: str = "",
    session_id: str = "",
    decided_by: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    sort: str = "-at",
    page: int = 1,
    size: int = 50,
) -> Page[Request]:
    """Return requests whose text, requester, reason or rule holds ``text``, and as filtered."""
    row = ApprovalRow
    filters = (
        (row.state, state),
        (row.kind, kind),
        (row.identity, identity),
        (row.target, target),
        (row.rule, rule),
        (row.session_id, session_id),
        (row.decided_by, decided_by),
    )
    with store.reading():
        query = row.select()
        if text:
            columns = (row.text, row.identity, row.reason, row.rule, row.target)
            condition = contains(columns[0], text)
            for column in columns[1:]:
                condition |= contains(column, text)
            if text.isascii() and text.isdigit() and len(text) <= 9:
                condition |= row.id == int(text)
            query = query.where(condition)
        for column, value in filters:
            if value:
                query = query.where(column == value)
        if since is not None:
            query = query.where(row.created_at >= since)
        if until is not None:
            query = query.where(row.created_at < until)
        sorts = {
            "at": row.created_at,
            "id": row.id,
            "expires": row.expires_at,
            "decided": row.decided_at,
            "identity": row.identity,
            "target": row.target,
            "state": row.state,
            "kind": row.kind,
        }
        return paginate(
            query, request_of, sort=sort, columns=sorts, tie=row.id, page=page, size=size
        )


def waiting_for(store: Store, name: str, now: datetime) -> list[Request]:
    """Return what waits for a decision that this person can take now, the oldest first."""
    with store.reading():
        is_open = (ApprovalRow.state == RequestState.WAITING) & (ApprovalRow.expires_at > now)
        query = ApprovalRow.select().where(is_open).order_by(ApprovalRow.id).limit(_MANY)
        requests = [request_of(row) for row in query]
    if not requests:
        return []
    snapshot = snapshots.load(store, now)
    return [
        request
        for request in requests
        if not eligible.why_not(snapshot, question_of(request), name, now)
    ]


def question_of(request: Request) -> eligible.Question:
    """Return what decides who may decide a request."""
    owners = (request.owner, request.detail.get("backup_owner"))
    return eligible.Question(
        identity=request.identity,
        kind=request.kind,
        credential_id=request.credential_id,
        approvers=request.approvers,
        owner_may_approve=request.owner_may_approve,
        owned_by=frozenset(str(name) for name in owners if name),
    )


def row_of(request_id: int) -> Any:
    """Return the row of a request; for callers inside a store scope. Raises: NotFound."""
    row = ApprovalRow.get_or_none(ApprovalRow.id == request_id)
    if row is None:
        raise NotFound(f"no request has the number {request_id}", "see: gatepost approval list")
    return row


def swap(
    request_id: int,
    state: RequestState,
    now: datetime,
    by: str,
    via: str,
    reason: str = "",
    **values: Any,
) -> bool:
    """Be the one who ends a request: the compare-and-swap that everybody goes through.

    False: it had ended before, and nothing was changed. ``values``: further columns to set.
    """
    still_open = (ApprovalRow.id == request_id) & (ApprovalRow.state == RequestState.WAITING.value)
    update = ApprovalRow.update(
        state=state.value,
        decided_at=now,
        decided_by=by,
        decided_via=via,
        decision_reason=reason,
        **values,
    )
    return bool(update.where(still_open).execute())


def settlement_of(row: Any) -> Settlement:
    """Return how the request of a row ended, or that it waits."""
    return Settlement(
        id=row.id,
        state=RequestState(row.state),
        by=row.decided_by,
        via=row.decided_via,
        reason=row.decision_reason,
        at=row.decided_at,
    )


def request_of(row: Any) -> Request:
    """Return a row as the value that pages and listings show."""
    return Request(
        id=row.id,
        kind=RequestKind(row.kind),
        state=RequestState(row.state),
        identity=row.identity,
        identity_kind=row.identity_kind,
        target=row.target,
        role=row.role,
        text=row.text,
        created_at=row.created_at,
        expires_at=row.expires_at,
        session_id=row.session_id,
        seqs=tuple(row.seqs),
        database=row.database,
        environment=row.environment,
        owner=row.owner,
        credential_id=row.credential_id,
        source=row.source,
        application_name=row.application_name,
        reason=row.reason,
        parameters=tuple(row.parameters),
        effects=tuple((cls, obj) for cls, obj in row.effects),
        fingerprint=row.fingerprint,
        rule=row.rule,
        why=row.why,
        approvers=tuple(row.approvers),
        owner_may_approve=row.owner_may_approve,
        eligible=tuple(row.eligible),
        worker=row.worker,
        request_hash=row.request_hash,
        deed_hash=row.deed_hash,
        retry_s=row.retry_s,
        retry_until=row.retry_until,
        used_at=row.used_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        decided_via=row.decided_via,
        decision_reason=row.decision_reason,
        detail=dict(row.detail),
    )
