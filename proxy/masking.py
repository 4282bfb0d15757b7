"""What one session's answers may show: the plan of each result, by the rules of the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.masking.maskers import Dialect
from proxy import copy_masking
from proxy.encodings import codec_of
from proxy.masked_results import rows_plan
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
        if judge.masking is None:
            return None
        if message[0] == codes.COPY_OUT_RESPONSE:
            return copy_masking.plan(judge, item, message, self._key, self._dialect())
        return rows_plan(judge, item.decision, message, self._key, self._dialect())

    def _dialect(self) -> Dialect:
        """Return how the target writes values in this session."""
        said = self._session.parameters
        return Dialect(
            codec_of(said.get("client_encoding", "UTF8")),
            said.get("TimeZone", "UTC"),
            said.get("DateStyle", "ISO, MDY"),
        )
