"""Asks a session whether what a decision rests on still stands, and judges the answer.

The question is ASCII, whatever the session's encodings and settings, names nothing that a
search_path or a temporary object could shadow, and finds every row by an index. Its names are in
hexadecimal digits, so nothing in it is quoted; its answer has no names, only pins in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import orjson

from appliance.sql.catalog_pins import (
    CASTS_PIN,
    function_pin,
    operator_pin,
    qualified,
    relation_pin,
    type_pin,
)
from appliance.sql.dependencies import Dependency, Kind, in_order, path_pin

_NAMED = {
    Kind.NAME: """(SELECT CASE WHEN c.relnamespace = pg_catalog.pg_my_temp_schema() THEN 'temp'
       ELSE c.oid::pg_catalog.text END FROM pg_catalog.pg_class c
       WHERE c.oid = pg_catalog.to_regclass(n.n)::pg_catalog.oid)""",
    Kind.FUNCTION: function_pin("n.n::pg_catalog.name"),
    Kind.OPERATOR: operator_pin("n.n::pg_catalog.name"),
    Kind.TYPE: type_pin("n.n::pg_catalog.name"),
    Kind.RELATION: f"""(SELECT {relation_pin("c")} FROM pg_catalog.pg_class c
       WHERE c.oid = n.n::pg_catalog.oid)""",  # noqa: S608 - made of constants and marks
}


def question(depends: Iterable[Dependency]) -> str:
    """Return the SQL that gives one row with one text; ``stands`` reads it."""
    wanted = set(depends)
    parts = ["0"]
    for kind in Kind:
        entries = in_order(wanted, kind)
        if not entries:
            continue
        if kind is Kind.PATH:
            value = "pg_catalog.to_json(pg_catalog.current_schemas(true))"
        elif kind is Kind.CASTS:
            value = CASTS_PIN
        else:
            names = orjson.dumps([entry.name for entry in entries]).hex()
            value = f"""(SELECT pg_catalog.json_agg({_NAMED[kind]} ORDER BY n.at)
              FROM ROWS FROM (pg_catalog.json_array_elements_text(pg_catalog.convert_from(
                pg_catalog.decode('{names}', 'hex'), 'UTF8')::pg_catalog.json))
                WITH ORDINALITY AS n(n, at))"""  # noqa: S608 - made of constants and marks
        parts.append(f"'{kind.value}', {value}")
    return qualified(
        f"SELECT pg_catalog.json_build_object({', '.join(parts[1:])})::pg_catalog.text"
    )


def stands(answer: bytes | None, depends: Collection[Dependency]) -> bool:
    """Return whether everything is as it was when the statement was decided.

    ``answer``: the value of the question's one row; None = there was no row, or NULL.
    """
    try:
        found = orjson.loads(answer or b"")
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    wanted = set(depends)
    return all(_given(found.get(kind.value), kind, wanted) for kind in Kind)


def _given(value: object, kind: Kind, wanted: set[Dependency]) -> bool:
    entries = in_order(wanted, kind)
    if not entries:
        return True
    if kind is Kind.CASTS:
        return all((value or "") == entry.expected for entry in entries)
    if not isinstance(value, list):
        return False
    if kind is Kind.PATH:
        path = path_pin(str(schema) for schema in value)
        return all(path == entry.expected for entry in entries)
    return [part or "" for part in value] == [entry.expected for entry in entries]
