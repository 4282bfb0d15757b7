"""What is to be done with a text, what that depends on, and what was decided already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from appliance.policy.engine import Policy
from appliance.policy.verdict import Verdict
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Facts
from proxy.cache import Room, TwoGenerations
from proxy.refusal import Refusal

_CACHE_ENTRIES = 2048


class Need(Enum):
    """Why a text cannot be decided at once."""

    STATE = auto()  # ask the session itself for its search_path, role and temporary relations
    OVERLAY = auto()  # read the catalog through the session: it has DDL of its own not committed
    PARSE = auto()  # a large text: parse off the loop
    CATALOG = auto()  # the target's catalog has to be read again


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with one text.

    ``barrier``: nothing after it is forwarded until it has finished. ``dirties``: after it the
    meaning of names is uncertain. ``durable``: its record must be on disk before it runs.
    """

    facts: Facts
    verdict: Verdict
    barrier: bool = False
    dirties: bool = False
    ends_transaction: bool = False
    has_ddl: bool = False
    durable: bool = False
    parts: tuple[Verdict, ...] = ()  # of a script: each statement's, as it is recorded
    row_limits: tuple[int, ...] = ()  # above each of these numbers of rows other rules decide
    slip: Refusal | None = None  # what the target says about it: it would not run at all

    @property
    def is_single(self) -> bool:
        return len(self.facts.statements) <= 1


@dataclass(slots=True)
class CatalogBox:
    """One target database's catalog as this worker has it; replaced in place by its keeper."""

    catalog: Catalog | None = None
    generation: int = 0
    is_stale: bool = True


@dataclass(slots=True)
class Precedents:
    """One policy and what it decided: shared by all sessions that are alike under one snapshot."""

    policy: Policy
    depends_on_objects: bool
    make_policy: Callable[[], Policy]  # another one like it, for a thread of its own
    room: Room  # for all that is remembered
    caches: dict[object, TwoGenerations[bytes | str, Decision]] = field(default_factory=dict)

    def cache(self, key: object) -> TwoGenerations[bytes | str, Decision]:
        """Return the decisions that hold for one context of names."""
        found = self.caches.get(key)
        if found is None:
            if len(self.caches) > 64:
                self.caches.clear()
            found = self.caches[key] = TwoGenerations(_CACHE_ENTRIES, self.room)
        return found


def parts_of(facts: Facts, verdict: Verdict) -> tuple[Verdict, ...]:
    """Return a script's verdict once for each statement, with that statement's own effects.

    The verdict is one for all; what it says of all effects must not stand in every record.
    """
    if len(facts.statements) <= 1:
        return ()
    made = {id(decision.effect): decision for decision in verdict.decisions}
    return tuple(
        replace(verdict, decisions=tuple(made[id(e)] for e in s.effects if id(e) in made))
        for s in facts.statements
    )
