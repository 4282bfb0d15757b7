"""What the approvals page hears while it is open: which requests wait that its viewer may see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from appliance.approvals.requests import Request
from appliance.entities import Snapshot
from appliance.errors import StoreUnavailable
from appliance.store import approval_lists, sign_ins, snapshots
from web.approval_cards import Eyes
from web.services import Services
from web.viewer import STATEMENT_READERS

_POLL_S = 1.0
_HEARTBEAT_POLLS = 15
_STREAM_POLLS = 600  # then the browser opens it anew
MOST = 25  # cards in the queue


@dataclass(slots=True)
class Stream:
    """One open page. It touches no request: only the sign-in's token, looked up at each poll."""

    services: Services
    token: str
    _snapshot: Snapshot | None = field(default=None, init=False)

    def events(self) -> Iterator[str]:
        """Yield what waits, at once and at each change, until the sign-in or the appliance ends."""
        before = ""
        yield "retry: 2000\n\n"
        for poll in range(_STREAM_POLLS):
            if poll:
                time.sleep(_POLL_S)  # gevent's: only this stream waits
            try:
                state = self._state() if self.services.is_serving() else None
            except StoreUnavailable:
                return
            if state is None:
                return
            if state != before:
                before = state
                yield f"event: requests\ndata: {state}\n\n"
            elif poll % _HEARTBEAT_POLLS == 0:
                yield ": still here\n\n"

    def _state(self) -> str | None:
        """Return the numbers that wait, the newest first, and how many are this viewer's to decide.

        None: the sign-in has ended.
        """
        now = self.services.clock.now()
        found = sign_ins.get(self.services.store, now, self.token)
        if found is None:
            return None
        requests = approval_lists.waiting(self.services.store, now)
        if not requests:
            return orjson.dumps({"waiting": [], "mine": 0}).decode()
        sees_all = bool(found.permission_roles & STATEMENT_READERS)
        eyes = Eyes(found.identity, sees_all, self._rights(now), now)
        return orjson.dumps(summary(eyes, requests)).decode()

    def _rights(self, now: datetime) -> Snapshot:
        """Return what decides, loaded again only when it changed."""
        store = self.services.store
        if self._snapshot is None or self._snapshot.version != snapshots.version(store):
            self._snapshot = snapshots.load(store, now)
        return self._snapshot


def summary(eyes: Eyes, requests: list[Request]) -> dict[str, object]:
    """Return the numbers a viewer may see, and how many of them they may decide."""
    return {
        "waiting": [request.id for request in requests if eyes.see(request)][:MOST],
        "mine": sum(not eyes.why_not(request) for request in requests),
    }
