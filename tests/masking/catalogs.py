"""Small catalogs by hand, in the form that CATALOG_SQL answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from appliance.sql.catalog import Catalog


def catalog(tables: Mapping[str, tuple[int, Sequence[str]]], **more: Any) -> Catalog:
    """Return a catalog of tables "schema.name": (OID, columns of type text); None = dropped."""
    relations = []
    for name, (oid, columns) in tables.items():
        schema, _, table = name.partition(".")
        kind = "v" if table.startswith("v_") else "r"
        listed = [
            [number, column, "text"] for number, column in enumerate(columns, 1) if column != "-"
        ]
        relations.append([oid, schema, table, kind, 0, listed])
    return Catalog.from_json(orjson.dumps({"relations": relations, **more}))
