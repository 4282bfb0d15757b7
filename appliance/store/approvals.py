"""Approval requests: asked once, decided once. Whoever swaps the state from waiting has decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from appliance.approvals import eligible
from appliance.approvals.requests import (
    Request,
    RequestKind,
    RequestState,
    Settlement,
    StatementAsk,
)
from appliance.errors import Conflict, Invalid, NotAllowed
from appliance.store import (
    access_requests,
    approval_room,
    names,
    notices,
    pre_approvals,
    profiles,
    snapshots,
    workers,
)
from appliance.store.actors import Actor, system_actor, via_of
from appliance.store.approval_models import ApprovalRow
from appliance.store.approval_rows import (
    find,
    get,
    question_of,
    request_of,
    row_of,
    settlement_of,
    swap,
    waiting_for,
)
from appliance.store.changes import Change, change, noting
from appliance.store.database import Store
from appliance.store.workers import Worker

__all__ = [
    "after_restore",
    "ask",
    "decide",
    "find",
    "get",
    "outcomes",
    "reap",
    "settle",
    "silent",
    "waiting_for",
]

_WAITING = RequestState.WAITING
_BY_HAND = (RequestState.APPROVED, RequestState.DENIED)
_GATEWAY = "gateway"
# A worker ends what it holds by itself; the scheduler does it for one that no longer can.
_OVERDUE = timedelta(seconds=30)
_WORKER_GONE = "the gateway's process has gone"
_TIME_OVER = "nobody decided in time"
_RESTORED = "the store was restored from a backup"


def ask(store: Store, now: datetime, ask: StatementAsk) -> Settlement:
    """Ask humans about a statement; return the request as it stands then.

    APPROVED: an approved second try of this very deed, or a pre-approval, which is used up by
    this; whoever gave it is still among ``ask.eligible``. DENIED: of a second try, the no to this
    deed still counts (for ``retry_s``). WAITING: with its number; a second try that waits already
    keeps the number that it has. Raises: NoRoom.
    """
    # only "is there one already?" needs that nobody else asks meanwhile
    opened = noting if ask.retry_s is None else change
    with opened(store, Actor(ask.identity, "system", ask.source), now) as doing:
        return (
            _approved_retry(doing, ask)
            or _pre_approved(doing, ask)
            or (ask.retry_s is not None and _same_retry(doing, ask))
            or _waiting(doing, ask)
        )


def settle(
    store: Store,
    now: datetime,
    request_id: int,
    state: RequestState,
    by: str = "",
    reason: str = "",
) -> Settlement:
    """End a request that nobody decided; return what won, whoever it was. Raises: NotFound."""
    if state is _WAITING or state in _BY_HAND:
        raise ValueError(f"settle() does not make a request {state}")
    if state is RequestState.TIMEOUT:
        reason = reason or _TIME_OVER
    with noting(store, Actor(by or _GATEWAY, "system"), now) as doing:
        _end(doing, request_id, state, by, reason)
        return settlement_of(row_of(request_id))


def outcomes(store: Store, ids: Iterable[int]) -> dict[int, Settlement]:
    """Return how each of these requests stands; an unknown number is left out. One query."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    row = ApprovalRow
    columns = (row.id, row.state, row.decided_by, row.decided_via)
    with store.reading():
        query = row.select(*columns, row.decision_reason, row.decided_at).where(row.id << wanted)
        return {found.id: settlement_of(found) for found in query}


def decide(
    store: Store, by: Actor, now: datetime, request_id: int, *, approve: bool, reason: str = ""
) -> Request:
    """Say yes or no as ``by.name``, once; what the yes does happens in the same transaction.

    Raises: NotFound; Conflict when it was decided or its time is over; NotAllowed with the
    sentence for this person; Invalid("reason") for a no without one.
    """
    reason = names.one_line("reason", reason)
    state = RequestState.APPROVED if approve else RequestState.DENIED
    with change(store, by, now) as doing:
        row = row_of(request_id)
        _check_open(row, now)
        request = request_of(row)
        why_not = eligible.why_not(snapshots.load(store, now), question_of(request), by.name, now)
        if why_not:
            raise NotAllowed(f"request {request_id}: {why_not}")
        if not approve and not reason:
            raise Invalid("reason", "say why not: who asked is shown it")
        values: dict[str, Any] = {}
        if approve and request.kind is RequestKind.RETRY:
            values["retry_until"] = now + timedelta(seconds=row.retry_s or 0)
        if not swap(request_id, state, now, by.name, via_of(by), reason, **values):
            _check_open(row_of(request_id), now)
            raise Conflict(f"request {request_id} was decided by somebody else")
        doing.note(
            f"approval.{'approve' if approve else 'deny'}",
            _subject(request_id),
            **_told(row),
            reason=reason,
            by=via_of(by),
        )
        if approve:
            _act(doing, row)
        notices.settled(store, now, request_id)
        return request_of(row_of(request_id))


def reap(store: Store, now: datetime, *, silent_before: Collection[int] | None = None) -> int:
    """End what nobody else will: requests whose process or time has gone; return how many.

    A worker that is only silent may come back (the store was away for all): of its requests
    those end that were in ``silent(store, …)`` some time ago. None: all of them.
    """
    ended = 0
    seen = {worker.name: worker for worker in workers.known(store)}
    for found in _waiting_rows(store):
        state, reason = _fate(found, seen.get(found.worker), now, silent_before)
        if state is not None:
            with noting(store, system_actor("scheduler"), now) as doing:
                ended += _end(doing, found.id, state, "", reason)
    return ended


def silent(store: Store, now: datetime) -> frozenset[int]:
    """Return the waiting requests whose worker has not been heard of for a while."""
    live = {worker.name for worker in workers.live(store, now)}
    return frozenset(row.id for row in _waiting_rows(store) if row.worker not in live)


def after_restore(doing: Change) -> None:
    """End what a restored store cannot know the end of: what waits, and every yes not used yet.

    Since the backup a statement may have been withdrawn, a yes used up or taken back.
    """
    row = ApprovalRow
    statements = (RequestKind.STATEMENT.value, RequestKind.RETRY.value)
    for found in row.select().where((row.state == _WAITING) & row.kind.in_(statements)):
        _end(doing, found.id, RequestState.WITHDRAWN, "", _RESTORED)
    row.update(retry_until=doing.now).where(
        row.used_at.is_null() & (row.retry_until > doing.now)
    ).execute()
    pre_approvals.revoke_all(doing, _RESTORED)


def _waiting_rows(store: Store) -> list[Any]:
    row = ApprovalRow
    with store.reading():
        columns = (row.id, row.kind, row.worker, row.created_at, row.expires_at)
        return list(row.select(*columns).where(row.state == _WAITING).order_by(row.id))


def _fate(
    row: Any, worker: Worker | None, now: datetime, silent_before: Collection[int] | None
) -> tuple[RequestState | None, str]:
    if row.kind != RequestKind.STATEMENT:
        over = row.expires_at <= now
        return (RequestState.TIMEOUT, _TIME_OVER) if over else (None, "")
    if worker is None or worker.started_at > row.created_at:  # gone, or another has its name
        return RequestState.WITHDRAWN, _WORKER_GONE
    is_silent = worker.seen_at <= now - workers.ALIVE
    if is_silent and (silent_before is None or row.id in silent_before):
        return RequestState.WITHDRAWN, _WORKER_GONE
    if row.expires_at + _OVERDUE <= now:
        return RequestState.TIMEOUT, _TIME_OVER
    return None, ""


def _approved_retry(doing: Change, ask: StatementAsk) -> Settlement | None:
    row = ApprovalRow
    usable = (
        (row.deed_hash == ask.deed.deed_hash)
        & (row.state == RequestState.APPROVED)
        & (row.kind == RequestKind.RETRY)
        & row.used_at.is_null()
        & (row.retry_until > doing.now)
    )
    for found in row.select().where(usable).order_by(row.id):
        if found.decided_by not in ask.eligible:  # lost the right since, or the rule changed
            continue
        if row.update(used_at=doing.now).where(usable & (row.id == found.id)).execute():
            doing.note("approval.use", _subject(found.id), **_told(found), session=ask.session_id)
            return Settlement(
                found.id,
                RequestState.APPROVED,
                found.decided_by,
                "retry",
                found.decision_reason,
                found.decided_at,
            )
    return None


def _pre_approved(doing: Change, ask: StatementAsk) -> Settlement | None:
    where = ask.target, ask.database
    used = pre_approvals.use(doing, ask.identity, *where, ask.fingerprint, ask.eligible)
    if used is None:
        return None
    row = _insert(
        doing,
        ask,
        state=RequestState.APPROVED,
        used_at=doing.now,
        decided_at=doing.now,
        decided_by=used.created_by,
        decided_via="pre-approval",
        decision_reason=used.reason,
        detail=_detail(ask) | {"pre_approval": used.id},
    )
    doing.note("approval.pre_approved", _subject(row.id), **_told(row), pre_approval=f"p-{used.id}")
    return settlement_of(row)


def _same_retry(doing: Change, ask: StatementAsk) -> Settlement | None:
    """Return the request of the same deed that waits, or whose no still counts."""
    row = ApprovalRow
    same = (row.deed_hash == ask.deed.deed_hash) & (row.kind == RequestKind.RETRY)
    for found in row.select().where(same & (row.state == _WAITING)).order_by(row.id):
        if found.expires_at > doing.now:
            return settlement_of(found)
        _end(doing, found.id, RequestState.TIMEOUT, "", _TIME_OVER)
    cut = doing.now - timedelta(seconds=ask.retry_s or 0)
    denied = same & (row.state == RequestState.DENIED) & (row.decided_at > cut)
    found = row.select().where(denied).order_by(row.id.desc()).first()
    return None if found is None else settlement_of(found)


def _waiting(doing: Change, ask: StatementAsk) -> Settlement:
    approval_room.check(ask.identity, doing.now)
    row = _insert(doing, ask, state=_WAITING, detail=_detail(ask))
    doing.note("approval.ask", _subject(row.id), **_told(row), session=ask.session_id)
    notices.requested(doing.store, doing.now, row.id)
    return settlement_of(row)


def _insert(doing: Change, ask: StatementAsk, **values: Any) -> Any:
    kind = RequestKind.STATEMENT if ask.retry_s is None else RequestKind.RETRY
    return ApprovalRow.create(
        kind=kind.value,
        identity=ask.identity,
        identity_kind=ask.identity_kind,
        owner=ask.owner,
        credential_id=ask.credential_id,
        target=ask.target,
        environment=ask.environment,
        database=ask.database,
        role=ask.role,
        source=ask.source,
        application_name=ask.application_name,
        reason=ask.reason,
        text=ask.text,
        parameters=list(ask.parameters),
        effects=[list(effect) for effect in ask.effects],
        fingerprint=ask.fingerprint,
        rule=ask.rule,
        why=ask.why,
        approvers=list(ask.approvers),
        owner_may_approve=ask.owner_may_approve,
        eligible=list(ask.eligible),
        session_id=ask.session_id,
        seqs=list(ask.seqs),
        worker=ask.worker,
        request_hash=ask.deed.request_hash,
        deed_hash=ask.deed.deed_hash,
        created_at=doing.now,
        expires_at=ask.expires_at,
        retry_s=ask.retry_s,
        **values,
    )


def _detail(ask: StatementAsk) -> dict[str, Any]:
    since = ask.transaction_since
    rare = {
        "acting_role": ask.acting_role,
        "backup_owner": ask.backup_owner,
        "prepared": list(ask.prepared),
        "hides_values": ask.hides_values,
    }
    return {name: value for name, value in rare.items() if value} | {
        "estimate": {"rows": ask.estimate.rows, "why": ask.estimate.why},
        "transaction_since": None if since is None else since.isoformat(),
    }


def _end(doing: Change, request_id: int, state: RequestState, by: str, reason: str) -> bool:
    """End a waiting request without a decision; return False when it had ended before."""
    if not swap(request_id, state, doing.now, by, _GATEWAY, reason):
        return False
    row = row_of(request_id)
    doing.note(f"approval.{state.value}", _subject(request_id), **_told(row), reason=reason)
    notices.settled(doing.store, doing.now, request_id)
    return True


def _act(doing: Change, row: Any) -> None:
    """Do what a yes means beyond its being said."""
    if row.kind == RequestKind.ACCESS:
        access_requests.begin(doing, row)
    elif row.kind == RequestKind.PROFILE:
        profiles.extend(doing, row.identity, row.fingerprint, doing.by, doing.now)


def _check_open(row: Any, now: datetime) -> None:
    if row.state != _WAITING:
        by = f" by {row.decided_by}" if row.decided_by else ""
        raise Conflict(f"request {row.id} is {row.state}{by} already", "nothing was changed")
    if row.expires_at <= now:
        raise Conflict(
            f"request {row.id} has expired: its time to decide ended at "
            f"{row.expires_at:%Y-%m-%d %H:%M:%S} UTC",
            "who asked has to try again",
        )


def _subject(request_id: int) -> str:
    return f"request {request_id}"


def _told(row: Any) -> dict[str, Any]:
    """Return what an audit event says about a request; never its text or parameters."""
    return {
        "kind": str(row.kind),
        "identity": row.identity,
        "target": row.target,
        "role": row.role,
        "rule": row.rule,
        "request_hash": row.request_hash,
    }
