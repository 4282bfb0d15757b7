"""Who asked takes it back in the browser: the request of any kind ends, whatever waits for it."""

from __future__ import annotations

from datetime import datetime

from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.errors import Conflict, NotAllowed
from appliance.store import access_requests, approval_rows, notices
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store


def withdraw(store: Store, by: Actor, now: datetime, request_id: int) -> Request:
    """Cancel one's own waiting request; a held statement gets its error at once.

    Raises: NotFound; NotAllowed for somebody else's; Conflict when it had ended before.
    """
    found = approval_rows.get(store, request_id)
    if found.identity != by.name:
        raise NotAllowed(f"only {found.identity}, who asked, can take request {request_id} back")
    if found.kind is RequestKind.ACCESS:
        return access_requests.cancel(store, by, now, request_id)
    with change(store, by, now) as doing:
        if not approval_rows.swap(request_id, RequestState.CANCELLED, now, by.name, by.via):
            now_is = approval_rows.get(store, request_id).state.value
            raise Conflict(f"request {request_id} is {now_is} already", "nothing was changed")
        doing.note(
            "approval.cancelled",
            f"request {request_id}",
            kind=found.kind.value,
            identity=found.identity,
            target=found.target,
        )
        notices.settled(store, now, request_id)
        return approval_rows.get(store, request_id)
