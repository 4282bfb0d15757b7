"""What masking is said in: rules as methods on columns, and the plan of one statement's result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.sql.copy_options import CopyOptions
from appliance.sql.dependencies import Dependency

__all__ = [
    "ColumnMask",
    "CopyOptions",
    "Dependency",
    "MaskPlan",
    "Method",
    "OutputPlan",
]


class Method(StrEnum):
    """How a value is replaced; the contract says what each gives for which type."""

    NULL = "null"
    REDACT = "redact"
    PARTIAL = "partial"
    HASH = "hash"
    EMAIL = "email"
    ZERO_DATE = "zero-date"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class ColumnMask:
    """What happens to one column for one identity: the first rule it is not exempt from.

    ``column``: "public.customers.card_number" as the rule's own resolution found it.
    ``is_strict``: any use of it but plain projection refuses the statement.
    """

    rule: str
    method: Method
    column: str
    value: str | None = None  # of FIXED
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One output column of a result.

    ``masks``: of every masked column that it shows or is computed from; () = it passes.
    ``is_plain``: it is just that column, so its mask's method applies; else the whole output is
    replaced. ``origin``: (table OID, attribute number) that the target's RowDescription must
    give, (0, 0) for what is computed; None = any, decided by what comes. ``through``: the views,
    queries and code by which masked values came, as a few words for people.
    """

    name: str
    masks: tuple[ColumnMask, ...] = ()
    is_plain: bool = False
    origin: tuple[int, int] | None = None
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """What a statement's answers may show to one identity.

    ``refusal``: "" or why it cannot run for this identity, with ``hint`` saying how to write it so
    that it does. ``outputs``: None = not known one by one: every output is replaced whole.
    ``scrubs_errors``: something masked is in reach, so errors and notices lose their values.
    ``depends``: what the plan was made from; ``standing`` asks whether it still is so.
    ``must_check``: computed outputs, writes, views or functions are in reach: what the target says
    about its result would not show that they have changed. ``copy``: of COPY … TO STDOUT.
    """

    outputs: tuple[OutputPlan, ...] | None = ()
    refusal: str = ""
    hint: str = ""
    rule: str = ""  # that the refusal names
    scrubs_errors: bool = False
    depends: tuple[Dependency, ...] = ()
    must_check: bool = False
    copy: CopyOptions | None = None

    @property
    def is_untouched(self) -> bool:
        """Return whether the answers pass as they come."""
        return (
            not self.refusal
            and not self.scrubs_errors
            and self.outputs is not None
            and not any(output.masks for output in self.outputs)
        )
