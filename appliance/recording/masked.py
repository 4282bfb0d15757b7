"""Masked columns as records hold them: which outputs were replaced, by which rule (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MaskedColumn:
    """One output that was masked, or a masked column that a statement only looked at.

    ``output``: the result's column, "" where none shows it: a condition, a sort, a group.
    ``columns``: what it shows or is computed from ("public.customers.card_number").
    """

    output: str
    columns: tuple[str, ...]
    rule: str
    method: str = ""

    @property
    def is_shown(self) -> bool:
        """Return whether it is a column of the result."""
        return bool(self.output)

    @property
    def words(self) -> str:
        """Return what a person reads of it: "card: rule cards, partial"."""
        what = self.output or ", ".join(self.columns)
        how = ", ".join(
            part for part in (f"rule {self.rule}" * bool(self.rule), self.method) if part
        )
        return f"{what}: {how}" if how else what


def to_json(found: Sequence[MaskedColumn]) -> list[dict[str, object]]:
    """Return what a record holds."""
    return [
        {
            "output": column.output, "columns": list(column.columns), "rule": column.rule,
            "method": column.method,
        }
        for column in found
    ]  # fmt: skip


def from_json(found: Iterable[object] | None) -> tuple[MaskedColumn, ...]:
    """Return what a record holds, as values."""
    return tuple(_column(entry) for entry in found or ())


def _column(entry: object) -> MaskedColumn:
    if not isinstance(entry, dict):  # of a version that kept the output's name alone
        return MaskedColumn(str(entry), (), "")
    return MaskedColumn(
        str(entry.get("output") or ""),
        tuple(str(column) for column in entry.get("columns") or ()),
        str(entry.get("rule") or ""),
        str(entry.get("method") or ""),
    )
