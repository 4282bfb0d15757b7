"""What a statement's answers may show to one identity, from its lineage and the identity's masks.

Pure. Whatever is not understood is masked whole or refused, never passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Protocol

from appliance.masking.values import ColumnMask, MaskPlan, Method, OutputPlan
from appliance.sql.taint import ColumnId, Lineage, Taint, Write

NO_RULE = "builtin:masking"  # what is named where no masking rule is to blame
# Methods that show nothing of a value, so it does not matter which value it is.
_SHOWING_NOTHING = frozenset({Method.NULL, Method.REDACT, Method.FIXED, Method.ZERO_DATE})


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
    """Return the plan of one statement for the identity whose masks are given.

    ``safe_functions``: globs over "schema.name": code that shows nothing but what it is given.
    """
    if masks.is_empty:
        return MaskPlan(())
    return _Planner(lineage, masks, tuple(safe_functions)).plan()


class _Planner:
    def __init__(self, lineage: Lineage, masks: Masks, safe: tuple[str, ...]) -> None:
        self._lineage = lineage
        self._masks = masks
        self._safe = safe
        self._echoes = self._compared()

    def plan(self) -> MaskPlan:
        lineage = self._lineage
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        opaque = self._unsafe(lineage.opaque)
        scrubs = bool(self._of(lineage.reached) or opaque or lineage.unknown or lineage.speaks)
        if lineage.outputs is None:
            return self._standing(MaskPlan(None if scrubs else (), scrubs_errors=scrubs))
        outputs = tuple(self._output(name, value) for name, value in lineage.outputs)
        return self._standing(MaskPlan(outputs, scrubs_errors=scrubs))

    def _standing(self, made: MaskPlan) -> MaskPlan:
        lineage = self._lineage
        return replace(
            made,
            depends=tuple(sorted(lineage.depends)),
            must_check=lineage.is_bound,
            copy=lineage.copy,
        )

    # -- what cannot run ------------------------------------------------------------------------

    def _refusal(self) -> MaskPlan | None:
        for find in (self._closed, self._misused, self._passed_on):
            found = find()
            if found is not None:
                return found
        return None

    def _closed(self) -> MaskPlan | None:
        """Refuse what may never run for somebody who has a mask on this target."""
        lineage = self._lineage
        if lineage.forbidden:
            return _refused(
                f"{lineage.forbidden} is not open to you on this target: its effect on masked "
                "columns cannot be known",
                "Write it as a query, or ask an admin to exempt you from the masking rules.",
            )
        if lineage.unknown and lineage.changes:
            return _refused(
                f"it may pass on masked columns: {lineage.unknown}",
                "Name every table and column that it reads, in one statement by itself, and "
                "PREPARE in this session what it executes.",
            )
        for what in sorted(lineage.inspects):
            return _refused(
                f"{what} may show values of masked columns",
                f"Leave {what} out, or ask somebody who is exempt from the masking rules.",
            )
        for oid in sorted(lineage.names):
            for mask in self._masks.relation(oid).values():
                return _refused(
                    f"the definition names a relation with a masked column, {mask.column}",
                    f'Ask somebody who is exempt from the rule "{mask.rule}" to make this change.',
                    mask,
                )
        if lineage.defines:
            for name in sorted(self._unsafe(lineage.opaque)):
                return _refused(
                    f"the definition would run {name}, which may read masked columns",
                    "Leave it out, or ask an admin to list it under safe_functions.",
                )
        return None

    def _misused(self) -> MaskPlan | None:
        """Refuse uses of masked columns that would tell their values."""
        lineage = self._lineage
        for mask in self._of(lineage.used):
            if mask.is_strict:
                return _refused(
                    f"{mask.column} may only be selected by itself",
                    f"Leave {mask.column} out of conditions, expressions, ORDER BY and whole rows.",
                    mask,
                )
        for mask in self._of(lineage.sizes):
            return _refused(
                f"the number of rows would tell values of {mask.column}, which is masked for you",
                f"Leave {mask.column} out of LIMIT, OFFSET and functions that give rows; select "
                "the column itself.",
                mask,
            )
        for link in sorted(lineage.links, key=lambda link: sorted(link.columns)):
            if not self._is_mixed(link.columns):
                continue
            for mask in self._of(link.columns):
                if link.is_equality and not lineage.changes:
                    continue
                if link.is_equality:
                    return _refused(
                        f"which rows it changes would tell values of {mask.column}, which is "
                        "masked for you",
                        f"Compare {mask.column} with a constant, a parameter or a masked column.",
                        mask,
                    )
                return _refused(
                    f"comparing other rows with {mask.column} would tell its values, which are "
                    "masked for you",
                    f"Compare {mask.column} with a constant or a parameter, or use =.",
                    mask,
                )
        return None

    def _passed_on(self) -> MaskPlan | None:
        """Refuse to store or send what is masked, but for a column with the same mask."""
        for write in self._lineage.writes:
            masks = self._of(write.value.columns) + self._echoed(write.value)
            for mask in masks:
                if not self._is_kept(write, mask):
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

    def _is_kept(self, write: Write, mask: ColumnMask) -> bool:
        """Return whether a value stays as hidden where it is stored as it is where it was."""
        target = None if write.target is None else self._masks.column(*write.target)
        if target is None or (target.rule, target.value) != (mask.rule, mask.value):
            return False
        plain = write.value.plain is not None and not write.value.tested
        return target.method is mask.method and (plain or mask.method in _SHOWING_NOTHING)

    # -- what is shown --------------------------------------------------------------------------

    def _output(self, name: str, value: Taint) -> OutputPlan:
        masks = self._of(value.sources)
        echoed = self._echoed(value)
        opaque = self._unsafe(value.opaque)
        if not masks and not opaque and not echoed:
            return OutputPlan(name, origin=value.origin)
        own = {self._mask(at) for at in (value.plain, value.origin) if at and at[0]}
        plain = not opaque and value.plain is not None and len(masks) == 1 and masks[0] in own
        masks = tuple(dict.fromkeys(masks + echoed))
        plain = plain and len(masks) == 1
        if opaque:
            masks += (ColumnMask(NO_RULE, Method.NULL, sorted(opaque)[0]),)
        return OutputPlan(name, masks, plain, value.origin, value.through)

    def _mask(self, column: ColumnId) -> ColumnMask | None:
        watched = self._lineage.watched.get(column)
        if watched is not None:
            return ColumnMask(NO_RULE, Method.NULL, watched)
        return self._masks.column(*column)

    def _of(self, columns: Iterable[ColumnId]) -> tuple[ColumnMask, ...]:
        found: dict[ColumnMask, None] = {}
        for column in sorted(columns):
            mask = self._mask(column)
            if mask is not None:
                found[mask] = None
        return tuple(found)

    def _unsafe(self, opaque: Iterable[str]) -> frozenset[str]:
        return frozenset(
            name for name in opaque if not any(fnmatchcase(name, pattern) for pattern in self._safe)
        )

    # -- comparisons across rows ----------------------------------------------------------------

    def _is_mixed(self, columns: Iterable[ColumnId]) -> bool:
        return any(self._mask(column) is None for column in columns)

    def _compared(self) -> Mapping[int, tuple[ColumnMask, ...]]:
        """Return relations whose rows were picked by being equal to masked values.

        A row that is found by a masked value tells it, whatever column of it is shown.
        """
        found: dict[int, tuple[ColumnMask, ...]] = {}
        for link in self._lineage.links:
            masks = self._of(link.columns)
            if masks:
                for oid in {oid for oid, at in link.columns if self._mask((oid, at)) is None}:
                    found[oid] = found.get(oid, ()) + masks
        return found

    def _echoed(self, value: Taint) -> tuple[ColumnMask, ...]:
        if not self._echoes or value.is_told:
            return ()
        found = [m for oid, _ in value.columns for m in self._echoes.get(oid, ())]
        return tuple(dict.fromkeys(found))


def _refused(refusal: str, hint: str, mask: ColumnMask | None = None) -> MaskPlan:
    rule = NO_RULE if mask is None else mask.rule
    return MaskPlan(None, refusal, hint, rule=rule, scrubs_errors=True)
