"""The tables of masking: rules, and the columns that they were resolved to, for good."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import peewee

from appliance.entities import MaskingRule, MaskMode
from appliance.masking.values import Method
from appliance.store.fields import JsonField, UtcField
from appliance.store.models import StoreModel, TargetRow


class MaskingRuleRow(StoreModel):
    """``document``: columns, method, value, mode, exempt, enabled as one JSON object."""

    position = peewee.IntegerField()
    name = peewee.TextField(unique=True)
    target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
    document = JsonField()
    created_by = peewee.TextField()
    created_at = UtcField()
    changed_at = UtcField()

    class Meta:
        table_name = "masking_rule"


class ResolutionRow(StoreModel):
    """A column that a pattern of a rule once meant, under the name that it had then.

    ``is_computed``: the rule means another column, from which this one is generated or filled.
    """

    rule = peewee.ForeignKeyField(MaskingRuleRow, on_delete="CASCADE")
    pattern = peewee.TextField()
    database = peewee.TextField()
    oid = peewee.BigIntegerField()
    attnum = peewee.IntegerField()
    schema = peewee.TextField()
    relation = peewee.TextField()
    column = peewee.TextField()
    is_computed = peewee.BooleanField(default=False)
    added_at = UtcField()

    class Meta:
        table_name = "masking_resolution"
        indexes = (
            (
                (
                    "rule",
                    "database",
                    "oid",
                    "attnum",
                    "pattern",
                    "schema",
                    "relation",
                    "column",
                ),
                True,
            ),
        )


def rule_of(row: Any) -> MaskingRule:
    """Return the rule that a row (with its target's) holds."""
    return MaskingRule(
        id=row.id,
        name=row.name,
        target=row.target.name,
        columns=tuple(row.document["columns"]),
        method=Method(row.document["method"]),
        value=row.document.get("value"),
        mode=MaskMode(row.document["mode"]),
        exempt=tuple(row.document["exempt"]),
        enabled=row.document["enabled"],
    )


MASKING_MODELS = (MaskingRuleRow, ResolutionRow)
