"""How much may wait at once: nobody buries the others' requests under their own."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from appliance.approvals.requests import RequestKind, RequestState
from appliance.errors import Conflict
from appliance.store.approval_models import ApprovalRow

MOST: Final = 20  # statements of one identity that wait; fewer than a page shows
_STATEMENTS = (RequestKind.STATEMENT.value, RequestKind.RETRY.value)


class NoRoom(Conflict):
    """So much of one identity waits that no more is taken."""


def check(identity: str, now: datetime) -> None:
    """Look whether one more may wait; inside a store scope. Raises: NoRoom."""
    row = ApprovalRow
    waits = (row.state == RequestState.WAITING) & (row.expires_at > now)
    own = (row.identity == identity) & row.kind.in_(_STATEMENTS)
    if row.select().where(waits & own).count() >= MOST:
        raise NoRoom(
            f"{MOST} requests of {identity} wait already",
            "have some of them decided, or take them back, then try again",
        )
