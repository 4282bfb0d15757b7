"""What is to be done with a text, what that depends on, and what was decided already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from appliance.masking.mask_set import MaskRules
from appliance.masking.texts import MASKING, Masked, MaskSets, dirties, with_mask
from appliance.masking.values import MaskPlan
from appliance.policy.engine import Policy
from appliance.policy.slips import missing_name
from appliance.policy.verdict import Action, Verdict
from appliance.sql.catalog import Catalog
from appliance.sql.facts import EffectClass, Facts
from appliance.sql.taint import Lineage
from proxy.cache import Room, TwoGenerations
from proxy.encodings import codec_of
from proxy.refusal import Refusal

_CACHE_ENTRIES = 2048
_DURABLE_CLASSES = frozenset({EffectClass.DDL, EffectClass.DCL})


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
    mask: MaskPlan | None = None  # None: nothing masked for this identity is in reach
    lineage: Lineage | None = None  # from which it is found again by other rules
    declares: tuple[tuple[str, Lineage], ...] = ()  # the cursors that it makes

    @property
    def must_check(self) -> bool:
        """Return whether its answers alone do not show that it means what was decided."""
        mask = self.mask
        return mask is not None and (mask.must_check or mask.copy is not None)

    @property
    def is_far(self) -> bool:
        """Return whether nothing masked is in reach, whatever the literals are."""
        return self.mask is None or (self.lineage is None and self.mask.is_untouched)

    @property
    def is_single(self) -> bool:
        return len(self.facts.statements) <= 1


@dataclass(slots=True)
class CatalogBox:
    """One target database's catalog as this worker has it; replaced in place by its keeper."""

    catalog: Catalog | None = None
    generation: int = 0
    is_stale: bool = True
    is_lost: bool = False  # it could not be read again when it was to be
    masks: MaskSets = field(default_factory=MaskSets)


@dataclass(slots=True)
class Precedents:
    """One policy and what it decided: shared by all sessions that are alike under one snapshot."""

    policy: Policy
    depends_on_objects: bool
    make_policy: Callable[[], Policy]  # another one like it, for a thread of its own
    room: Room  # for all that is remembered
    masking: MaskRules | None = None  # None: no masking rule bites the identity here
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


def decision_of(facts: Facts, policy: Policy, masked: Masked) -> Decision:
    """Return what is to be done with a text that means this and may show that."""
    refused = _encoding_refusal(facts)
    if refused:
        facts = Facts(facts.statements, refusal=refused)
    verdict = with_mask(policy.decide(facts), masked.plan)
    statements = facts.statements
    ends = any(s.transaction in ("commit", "rollback", "rollback_to") for s in statements)
    is_dirtying = any(map(dirties, statements))
    classes = {effect.cls for s in statements for effect in s.effects}
    return Decision(
        facts,
        verdict,
        barrier=ends
        or is_dirtying
        or bool(masked.declares)
        or any(
            s.prepares is not None
            or s.copy == "in"  # the target takes for data whatever follows
            or (s.changes_state and s.transaction not in ("begin", "savepoint", "release"))
            for s in statements
        ),
        dirties=is_dirtying,
        ends_transaction=ends,
        has_ddl=EffectClass.DDL in classes or EffectClass.UNKNOWN in classes,
        durable=bool(classes & _DURABLE_CLASSES),
        parts=parts_of(facts, verdict),
        row_limits=policy.row_limits(facts),
        mask=masked.plan,
        lineage=masked.lineage,
        declares=masked.declares,
        slip=_slip(facts) if verdict.rule == MASKING else None,
    )


def _slip(facts: Facts) -> Refusal | None:
    """Return the target's own words where masking refuses what names nothing that there is."""
    slip = missing_name(facts, MASKING)
    return Refusal(slip.sqlstate, slip.message, slip.hint) if slip else None


def unreadable(codec: str) -> Decision:
    """Return the no to a text that is not in the session's encoding."""
    reason = f"the text is not valid in the session's client_encoding ({codec})"
    facts = Facts((), refusal=reason)
    return Decision(facts, Verdict(Action.BLOCK, "builtin:readable-text", reason))


def _encoding_refusal(facts: Facts) -> str:
    for statement in facts.statements:
        for name, value in ((c.name, c.value) for c in statement.settings):
            if name != "client_encoding" or value is None or value.upper() == "DEFAULT":
                continue
            if codec_of(value) is None:
                return f"client_encoding {value[:40]} cannot be read safely: use UTF8"
    return ""
