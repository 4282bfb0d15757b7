"""Which outputs of a statement are masked for whom, by which rule, through which lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.entities import Identity, Snapshot, Target
from appliance.masking.mask_set import MaskRules, MaskSet
from appliance.masking.plan import NO_RULE
from appliance.masking.texts import Masked, TextMasks
from appliance.masking.values import ColumnMask, MaskPlan, Method, OutputPlan
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Facts, NameContext

EVERY_OUTPUT = "*"  # stands for all outputs where they are not known one by one
_MOST_STEPS = 6


@dataclass(frozen=True, slots=True)
class ExplainedOutput:
    """One masked output. ``method``: what replaces it; ``how``: its lineage in words."""

    output: str
    columns: tuple[str, ...]
    rule: str
    method: str
    how: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What masking does to a statement. ``plan`` None: nothing masked is in its reach."""

    plan: MaskPlan | None = None
    outputs: tuple[ExplainedOutput, ...] = ()


def masks_of(
    snapshot: Snapshot,
    identity: Identity,
    target: Target,
    database: str,
    sql: str,
    facts: Facts,
    catalog: Catalog | None,
    names: NameContext,
) -> Explained:
    """Return what the proxy would do to the answers of ``sql`` as the first text of a session."""
    rules = MaskRules.of(snapshot, identity, target, database)
    if rules is None:
        return Explained()
    masks = None if catalog is None else MaskSet.of(rules, catalog)
    masked = TextMasks().of(sql, facts, rules, masks, catalog, names)
    if masked.plan is None or masked.plan.refusal or masks is None or catalog is None:
        return Explained(masked.plan)
    methods = {rule.name: rule.method for rule in rules.rules}
    return Explained(masked.plan, tuple(_outputs(masked, masked.plan, masks, methods)))


def method_of(masks: tuple[ColumnMask, ...], *, is_plain: bool) -> Method:
    """Return what replaces an output: its rule's method only where it is just that column."""
    method = masks[0].method
    return method if is_plain or method is Method.NULL else Method.REDACT


def _outputs(
    masked: Masked,
    plan: MaskPlan,
    masks: MaskSet,
    methods: Mapping[str, Method],
) -> Iterable[ExplainedOutput]:
    if plan.outputs is None:
        yield _every(masked, masks)
        return
    for output in plan.outputs:
        if output.masks:
            yield _output(output, methods)


def _output(output: OutputPlan, methods: Mapping[str, Method]) -> ExplainedOutput:
    columns = tuple(dict.fromkeys(mask.column for mask in output.masks))
    known = [mask for mask in output.masks if mask.rule != NO_RULE]
    code = tuple(mask.column for mask in output.masks if mask.rule == NO_RULE)
    method = method_of(output.masks, is_plain=output.is_plain)
    through = _through(output.through)
    said = _and(tuple(dict.fromkeys(mask.column for mask in known))) if known else ""
    rules = _and(tuple(dict.fromkeys(mask.rule for mask in known))) if known else ""
    if output.is_plain and method is not methods.get(rules):  # a column that code fills
        how = f"{said}{through}, which is computed from what {rules} masks, replaced whole"
    elif output.is_plain:
        how = f"{said}{through}, masked by {rules} ({method})"
    elif not code:
        how = f"computed from {said}{through}, replaced whole by {rules}"
    else:
        how = (
            f"holds what {_and(code)} gives, which may be masked values: replaced whole "
            "unless an admin lists it under safe_functions"
        )
        how = f"computed from {said}{through}, and {how}" if said else how
    return ExplainedOutput(output.name, columns, output.masks[0].rule, method.value, how)


def _every(masked: Masked, masks: MaskSet) -> ExplainedOutput:
    """Return what is said where the outputs are not known one by one."""
    lineage = masked.lineage
    reached = sorted(lineage.reached) if lineage is not None else []
    found = [mask for place in reached if (mask := masks.column(*place)) is not None]
    why = lineage.unknown if lineage is not None and lineage.unknown else "what it shows"
    known = "" if lineage is not None and lineage.unknown else " is not known column by column"
    return ExplainedOutput(
        EVERY_OUTPUT,
        tuple(dict.fromkeys(mask.column for mask in found)),
        found[0].rule if found else NO_RULE,
        Method.REDACT.value,
        f"{why}{known}, so every output is replaced whole",
    )


def _through(steps: tuple[str, ...]) -> str:
    """Return the views, queries and functions between a column and the output, in their order."""
    shown = steps if len(steps) <= _MOST_STEPS else (*steps[: _MOST_STEPS - 1], "more")
    return f" through {_and(shown)}" if shown else ""


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
