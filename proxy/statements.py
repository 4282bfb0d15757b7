"""Prepared statements and portals as the gateway knows them."""

from __future__ import annotations

from appliance.masking.mask_set import MaskSet
from appliance.policy.engine import Policy
from proxy.decision import Decision
from proxy.holds import Hold


class Prepared:
    """A prepared statement: its text and what was decided about it."""

    __slots__ = ("decision", "described", "is_recorded", "is_sql", "oids", "raw")

    def __init__(
        self,
        raw: bytes,
        decision: Decision,
        oids: tuple[int, ...] = (),
        *,
        is_sql: bool = False,
    ) -> None:
        self.raw = raw
        self.decision = decision
        self.is_sql = is_sql  # made by PREPARE; ``raw`` is the text with the PREPARE in it
        self.is_recorded = is_sql  # the record has the text already
        self.oids = oids  # the parameter types that the client gave
        self.described: tuple[int, ...] = ()  # those that the target found, where it was asked

    @property
    def types(self) -> tuple[int, ...]:
        """Return the parameters' types as far as they are known: for people to read values by."""
        return self.described or self.oids


class Portal:
    """A bound statement: recorded once, at Bind, since planning can already run code."""

    __slots__ = (
        "checked_at",
        "decision",
        "is_done",
        "is_looked_at",
        "known_rows",
        "masks",
        "policy",
        "prepared",
        "released",
        "released_rule",
        "row_key",
        "row_limit",
        "rows",
        "seq",
    )

    def __init__(self, prepared: Prepared, seq: int, policy: Policy | None = None) -> None:
        self.prepared = prepared
        self.decision = prepared.decision  # a later Bind may find another
        self.policy = policy  # by which it was decided
        self.seq = seq
        self.released_rule = ""  # the rule whose hold an approval ended
        self.released: Hold | None = None  # that hold
        self.checked_at = 0.0  # on the monotonic clock: it meant what was approved
        self.is_looked_at = False  # ... and is being looked at again
        self.row_limit: int | None = None  # more rows than these are taken back
        self.row_key = b""  # under which their number is remembered
        self.known_rows: int | None = None  # by which it was decided; None = nobody asked
        self.masks: MaskSet | None = None  # by which its answers were planned
        self.rows = 0  # handed out so far by partial Executes
        self.is_done = False  # its outcome is known
