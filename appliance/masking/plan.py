"""What a statement's answers may show to one identity, from its lineage and the identity's masks.

Pure. Whatever is not understood is masked whole or refused, never passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Protocol

from appliance.masking.values import ColumnMask, MaskPlan, Method, OutputPlan
from appliance.sql.taint import ColumnId, Lineage, Taint

NO_RULE = "builtin:masking"  # what is named where no masking rule is to blame


class Masks(Protocol):
    """What one identity's rules say about a database's columns."""

    @property
    def is_empty(self) -> bool:
        """Return whether no column has a mask."""
        ...

    def column(self, oid: int, attnum: int) -> ColumnMask | None:
        """Return the mask of one column."""
        ...

    def relation(self, oid: int) -> Mapping[str, ColumnMask]:
        """Return the masks of a relation's columns by name."""
        ...


def plan(lineage: Lineage, masks: Masks, safe_functions: Iterable[str] = ()) -> MaskPlan:
    """Return the plan of one statement for the identity whose masks are given."""
    if masks.is_empty:
        return MaskPlan(())
    return _Planner(lineage, masks, tuple(safe_functions)).plan()


class _Planner:
    def __init__(self, lineage: Lineage, masks: Masks, safe: tuple[str, ...]) -> None:
        self._lineage = lineage
        self._masks = masks
        self._safe = safe

    def plan(self) -> MaskPlan:
        lineage = self._lineage
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        opaque = self._unsafe(lineage.opaque)
        scrubs = bool(self._of(lineage.reached) or opaque or lineage.unknown)
        if lineage.outputs is None:
            return self._standing(MaskPlan(None if scrubs else (), scrubs_errors=scrubs))
        outputs = tuple(self._output(name, value) for name, value in lineage.outputs)
        return self._standing(MaskPlan(outputs, scrubs_errors=scrubs))

    def _standing(self, made: MaskPlan) -> MaskPlan:
        lineage = self._lineage
        computed = any(output.origin in (None, (0, 0)) for output in made.outputs or ())
        return replace(
            made,
            depends=tuple(sorted(lineage.depends)),
            must_check=lineage.is_bound or (computed and bool(lineage.relations)),
            copy=lineage.copy,
        )

    def _refusal(self) -> MaskPlan | None:  # noqa: C901 - a list of cases
        lineage = self._lineage
        if lineage.forbidden:
            return _refused(
                f"{lineage.forbidden} is not open to you on this target: its effect on masked "
                "columns cannot be known",
                "Ask an admin to exempt you from the masking rules, or write it as a query.",
            )
        if lineage.inspects:
            what = sorted(lineage.inspects)[0]
            return _refused(
                f"{what} may show values of masked columns",
                "Leave it out, or name only the columns of it that hold no values.",
            )
        for oid in sorted(lineage.names):
            for mask in self._masks.relation(oid).values():
                return _refused(
                    f"the definition names a relation with a masked column, {mask.column}",
                    "Ask somebody who is exempt from the rule to make this change.",
                    mask,
                )
        for mask in self._of(lineage.used):
            if mask.is_strict:
                return _refused(
                    f"{mask.column} may only be shown as it is, not compared or computed with",
                    f"Select {mask.column} by itself, and leave it out of conditions.",
                    mask,
                )
        for write in lineage.writes:
            if write.target is not None and self._masks.column(*write.target) is not None:
                continue
            for mask in self._of(write.value.columns):
                return _refused(
                    f"{write.what} would pass on {mask.column}, which is masked for you",
                    f"Leave {mask.column} out of what it stores or sends.",
                    mask,
                )
            for name in sorted(self._unsafe(write.value.opaque)):
                return _refused(
                    f"{write.what} would pass on what {name} gives, which may be masked values",
                    "Leave it out, or ask an admin to list it under safe_functions.",
                )
        return None

    def _output(self, name: str, value: Taint) -> OutputPlan:
        masks = self._of(value.sources)
        opaque = self._unsafe(value.opaque)
        if not masks and not opaque:
            return OutputPlan(name, origin=value.origin)
        own = {self._masks.column(*at) for at in (value.plain, value.origin) if at and at[0]}
        plain = not opaque and value.plain is not None and len(masks) == 1 and masks[0] in own
        if opaque:
            masks += (ColumnMask(NO_RULE, Method.NULL, sorted(opaque)[0]),)
        return OutputPlan(name, masks, plain, value.origin)

    def _of(self, columns: Iterable[ColumnId]) -> tuple[ColumnMask, ...]:
        found: dict[ColumnMask, None] = {}
        for column in sorted(columns):
            mask = self._masks.column(*column)
            if mask is not None:
                found[mask] = None
        return tuple(found)

    def _unsafe(self, opaque: Iterable[str]) -> frozenset[str]:
        return frozenset(
            name for name in opaque if not any(fnmatchcase(name, pattern) for pattern in self._safe)
        )


def _refused(refusal: str, hint: str, mask: ColumnMask | None = None) -> MaskPlan:
    return MaskPlan(None, refusal, hint, rule="" if mask is None else mask.rule, scrubs_errors=True)
