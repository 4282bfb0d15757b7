"""Writes appliance/sql/data/shapes.json: what built-in functions give in FROM, how many rows.

Run it with ``python -m tests.sql.generate_shapes`` after an upgrade of the embedded package.
"""

from __future__ import annotations

import json
from pathlib import Path

import appliance.sql
from tests.harness.postgres import running_server

PATH = Path(appliance.sql.__file__).parent / "data" / "shapes.json"
QUERY = """
    SELECT p.proname, p.proretset,
      t.typtype = 'c' OR t.typname IN ('record', 'anyelement', 'anycompatible'),
      CASE WHEN p.proargmodes IS NULL OR NOT p.proargmodes && '{o,b,t}' THEN NULL ELSE
        ARRAY(SELECT p.proargnames[i] FROM generate_subscripts(p.proargmodes, 1) i
              WHERE p.proargmodes[i] = ANY ('{o,b,t}') ORDER BY i) END
    FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'p'"""


def shapes_of(major: int) -> dict[str, set[tuple[bool, bool, tuple[str, ...] | None]]]:
    """Return name -> (gives a set, its type says nothing of its columns, its columns)."""
    found: dict[str, set[tuple[bool, bool, tuple[str, ...] | None]]] = {}
    with running_server(major) as server, server.connect() as connection:
        for name, is_set, is_open, columns in connection.execute(QUERY).fetchall():
            names = None if columns is None else tuple(map(str, columns))
            found.setdefault(str(name), set()).add((bool(is_set), bool(is_open), names))
    return found


def build() -> dict[str, object]:
    """Return ``sets`` (may give many rows), ``tables`` (columns), ``open`` (columns unknown)."""
    all_shapes = shapes_of(16)
    for name, shapes in shapes_of(18).items():
        all_shapes.setdefault(name, set()).update(shapes)
    sets, tables, unknown = [], {}, []
    for name, shapes in sorted(all_shapes.items()):
        if any(is_set for is_set, _, _ in shapes):
            sets.append(name)
        columns = {names for _, _, names in shapes}
        first = next(iter(columns))
        if len(columns) == 1 and first is not None:
            tables[name] = list(first)
        elif any(is_open or names is not None for _, is_open, names in shapes):
            unknown.append(name)
    return {"sets": sets, "tables": tables, "open": unknown}


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1) + "\n")
