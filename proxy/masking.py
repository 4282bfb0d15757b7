"""What one session's answers may show: the plan of each result, by the rules of the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy import copy_masking
from proxy.masked_results import dialect_of, rows_plan
from proxy.wire import codes

if TYPE_CHECKING:
    from proxy.inflight import InFlight
    from proxy.results import ResultPlan
    from proxy.session import Session


class Masking:
    """Makes the plans of a session's results. ``key``: of masked hashes."""

    __slots__ = ("_key", "_session")

    def __init__(self, session: Session, key: bytes) -> None:
        self._session = session
        self._key = key

    def plan(self, item: InFlight, message: bytes) -> ResultPlan | None:
        """Return what happens to the rows of a result that is announced; None = they pass."""
        judge = self._session.judge
        item.is_planned = True
        if judge.masking is None:
            return None
        if message[0] == codes.COPY_OUT_RESPONSE:
            decision = item.decision
            if decision is not None and not decision.is_single:
                return None  # a script with a COPY that reaches what is masked has been refused
            return copy_masking.plan(judge, item, message, self._key, dialect_of(self._session))
        return rows_plan(judge, item.decision, message, self._key, dialect_of(self._session))
