"""Whether a rule's method can be on the columns that the rule means."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.entities import MaskingRule, Resolution
from appliance.errors import Invalid
from appliance.masking.maskers import why_not
from appliance.masking.resolving import Columns
from appliance.masking.values import Method


def check_pairings(rule: MaskingRule, found: Iterable[Resolution], columns: Columns) -> None:
    """Raise Invalid for the first column whose type the method or value does not suit."""
    for one in found:
        here = columns.at((one.oid, one.attnum))
        if here is None or one.is_computed:  # what is computed is never shown by the method
            continue
        relation, column = here
        why = why_not(rule.method, column.type, rule.value, columns.catalog)
        if why:
            raise Invalid(
                "value" if rule.method is Method.FIXED else "method",
                f"does not suit {relation.name}.{column.name}: {why}",
            )
