"""What of a masked identity's statements goes into the record and before approvers. Pure.

A literal that is compared with a masked column, or stored in one, is a value of it as likely as
not. Whose records show it should be no other way to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from appliance.masking.values import ColumnMask
from appliance.recording.hidden import hidden
from appliance.recording.masked import MaskedColumn
from appliance.recording.recorder import PreparedText
from appliance.sql.facts import EffectClass
from appliance.sql.taint import ColumnId

if TYPE_CHECKING:
    from appliance.masking.mask_set import MaskSet
    from proxy.decision import Decision
    from proxy.inflight import InFlight
    from proxy.judge import Judge

_WRITING: Final = frozenset({EffectClass.INSERT, EffectClass.UPDATE, EffectClass.MERGE})


def text_of(judge: Judge, raw: bytes, decision: Decision) -> str | PreparedText:
    """Return a text as it is recorded, without its literals where they may be masked values."""
    if not hides(judge, decision):
        return judge.text_of(raw)
    return hidden(raw.decode(judge.codec, "replace"))


def part_of(judge: Judge, text: str, decision: Decision) -> str | PreparedText:
    """Return one statement of a script as it is recorded."""
    return hidden(text) if hides(judge, decision) else text


def hides(judge: Judge, decision: Decision) -> bool:
    """Return whether a statement's literals and parameters may be masked values.

    So it is where nobody knows what they are compared with.
    """
    mask, found = decision.mask, decision.lineage
    if mask is None:
        return False
    masks = judge.masks
    if found is None or found.unknown or masks is None:
        return mask.scrubs_errors or bool(mask.refusal)
    return bool(_masks(masks, found.used)) or _stores(judge, masks, decision)


def _stores(judge: Judge, masks: MaskSet, decision: Decision) -> bool:
    """Return whether a statement writes to a masked column, be it a constant."""
    catalog = judge.catalog
    for effect in (one for s in decision.facts.statements for one in s.effects):
        if effect.cls not in _WRITING or effect.relation is None:
            continue
        name = effect.relation
        relation = catalog.relation(name.schema or "", name.name) if catalog is not None else None
        those = masks.relation(relation.oid) if relation is not None else {}
        if those and (effect.columns is None or not those.keys().isdisjoint(effect.columns)):
            return True
    return False


def masked(judge: Judge, item: InFlight) -> tuple[MaskedColumn, ...]:
    """Return the columns of a result that were masked, and those that were only looked at."""
    shown = item.plan.masked if item.plan is not None else ()
    decision = item.portal.decision if item.portal is not None else item.decision
    masks = judge.masks
    if decision is None or decision.lineage is None or masks is None:
        return shown
    looked_at = _masks(masks, decision.lineage.used)
    return shown + tuple(
        MaskedColumn("", (mask.column,), mask.rule, mask.method.value) for mask in looked_at
    )


def _masks(masks: MaskSet, columns: Iterable[ColumnId]) -> tuple[ColumnMask, ...]:
    found = (masks.column(*column) for column in sorted(columns))
    return tuple(dict.fromkeys(mask for mask in found if mask is not None))
