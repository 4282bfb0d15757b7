"""Decide what the history holds: somebody looks at it, thinks, and says yes or no."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from appliance.clock import OffsetClock
from appliance.errors import Unreachable
from appliance.store import access_requests, approvals
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor
from appliance.store.database import Store

_SOON_S = 15.0
_BROWSER = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an approver said, and how long it took them."""

    by: str
    approve: bool
    reason: str
    after_s: float


class Deciders:
    """The approvers of the history, at their browsers."""

    def __init__(self, store: Store, clock: OffsetClock) -> None:
        self._store = store
        self._clock = clock

    def decide(self, identity: str, decision: Decision) -> int:
        """Wait for what this identity has held, decide it, return its number.

        Raises: Unreachable: nothing was held in time.
        """
        number = self.waiting(identity)
        # At once after the clock: who looks at it in between would find the time long over.
        self._clock.shift_to(self._clock.now() + timedelta(seconds=decision.after_s))
        approvals.decide(
            self._store,
            Actor(decision.by, "browser", _BROWSER),
            self._clock.now(),
            number,
            approve=decision.approve,
            reason=decision.reason,
        )
        return number

    def ask_for_access(self, identity: str, target: str, role: str, reason: str) -> int:
        """Ask for a role for two hours, and leave it waiting."""
        return access_requests.ask(
            self._store,
            Actor(identity, "browser", _BROWSER),
            self._clock.now(),
            AccessAsk(identity, target, role, 2 * 3600, reason),
        )

    def waiting(self, identity: str) -> int:
        """Return the number of what this identity waits for. Raises: Unreachable."""
        deadline = time.monotonic() + _SOON_S
        while time.monotonic() < deadline:
            found = approvals.find(self._store, state="waiting", identity=identity).items
            if found:
                return found[0].id
            time.sleep(0.02)
        raise Unreachable(f"nothing of {identity} was held", "see the log of the demo's gateway")
