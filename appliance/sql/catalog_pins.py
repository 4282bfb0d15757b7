"""SQL that says in a short text what an object is right now; the text changes when it does.

The same fragments stand in CATALOG_SQL and in the standing question, so what they answer can be
compared. Every catalog row that counts is named by its xmin: whatever replaces it has another
one. Rows that statistics, VACUUM, TRUNCATE or an index would touch are not looked at.
"""

from __future__ import annotations

import re

FIRST_USER_OID = 16384
# Operators that the texts use, between spaces.
_OPERATOR = re.compile(r" (=|<>|>=|>|~|!~|->>|->) ")


def qualified(text: str) -> str:
    """Return SQL in one line whose operators nobody can replace."""
    return _OPERATOR.sub(r" OPERATOR(pg_catalog.\1) ", " ".join(text.split()))


def _rows(table: str, column: str, oid: str, more: str = "") -> str:
    return f"""(SELECT pg_catalog.string_agg(r.xmin::pg_catalog.text, '+'::pg_catalog.text
       ORDER BY r.xmin::pg_catalog.text COLLATE pg_catalog."C")
     FROM pg_catalog.{table} r WHERE r.{column} = {oid}{more})"""  # noqa: S608 - made of constants and marks


def relation_pin(c: str) -> str:
    """Return SQL for the pin of the row ``c`` of pg_class."""
    oid = f"{c}.oid"
    return f"""pg_catalog.concat_ws('/'::pg_catalog.text, {c}.relkind,
     {c}.relnamespace, (SELECT x.xmin FROM pg_catalog.pg_namespace x
       WHERE x.oid = {c}.relnamespace),
     pg_catalog.encode(pg_catalog.convert_to({c}.relname::pg_catalog.text,
       pg_catalog.getdatabaseencoding()), 'hex'::pg_catalog.text),
     {c}.relrowsecurity, {c}.relforcerowsecurity, {c}.relnatts,
     'a', (SELECT pg_catalog.string_agg(DISTINCT x.xmin::pg_catalog.text, '+'::pg_catalog.text)
       FROM pg_catalog.pg_attribute x WHERE x.attrelid = {oid}),
     'r', {_rows("pg_rewrite", "ev_class", oid)},
     'd', {_rows("pg_attrdef", "adrelid", oid)},
     'p', {_rows("pg_policy", "polrelid", oid)},
     't', {_rows("pg_trigger", "tgrelid", oid, " AND NOT r.tgisinternal")},
     'k', {_rows("pg_constraint", "conrelid", oid, ''' AND r.contype = 'c'::pg_catalog."char"''')},
     'i', {_rows("pg_index", "indrelid", oid, " AND r.indexprs IS NOT NULL")},
     'h', {_rows("pg_inherits", "inhparent", oid)})"""  # noqa: S608 - made of constants and marks


_PLAIN_TYPES = " AND x.typelem = 0::pg_catalog.oid AND x.typtype <> 'c'::pg_catalog.\"char\""


def _of_name(table: str, name: str, value: str, row: str = "x.xmin", more: str = "") -> str:
    return f"""(SELECT pg_catalog.string_agg(pg_catalog.concat(x.oid, ':', {row}),
       '+'::pg_catalog.text ORDER BY x.oid)
     FROM pg_catalog.{table} x WHERE x.{name} = {value}
       AND x.oid >= {FIRST_USER_OID}::pg_catalog.oid{more})"""  # noqa: S608 - made of constants and marks


def function_pin(name: str) -> str:
    """Return SQL for the pin of all users' functions of a name (an expression of type name)."""
    return _of_name("pg_proc", "proname", name)


def operator_pin(name: str) -> str:
    """Return SQL for the pin of all users' operators of a name."""
    return _of_name("pg_operator", "oprname", name)


def type_pin(name: str) -> str:
    """Return SQL for the pin of all users' types of a name, with the checks of domains."""
    checks = _rows("pg_constraint", "contypid", "x.oid")
    return _of_name("pg_type", "typname", name, f"x.xmin, ':', {checks}", _PLAIN_TYPES)


CASTS_PIN = f"""(SELECT pg_catalog.string_agg(pg_catalog.concat(x.oid, ':', x.xmin),
     '+'::pg_catalog.text ORDER BY x.oid)
   FROM pg_catalog.pg_cast x WHERE x.oid >= {FIRST_USER_OID}::pg_catalog.oid)"""  # noqa: S608 - made of constants and marks


def _by_name(table: str, name: str, pin: str, more: str = "") -> str:
    return f"""(SELECT pg_catalog.json_object_agg(n.n, {pin}) FROM
       (SELECT DISTINCT x.{name} AS n FROM pg_catalog.{table} x
        WHERE x.oid >= {FIRST_USER_OID}::pg_catalog.oid{more}) n)"""  # noqa: S608 - made of constants and marks


# What CATALOG_SQL adds for all of a database's objects.
PINS = f"""pg_catalog.json_build_object(
    'relation', (SELECT pg_catalog.json_object_agg(c.oid, {relation_pin("c")})
      FROM pg_catalog.pg_class c WHERE c.oid >= {FIRST_USER_OID}::pg_catalog.oid
        AND c.relkind = ANY (ARRAY['r','p','v','m','f']::pg_catalog."char"[])),
    'function', {_by_name("pg_proc", "proname", function_pin("n.n"))},
    'operator', {_by_name("pg_operator", "oprname", operator_pin("n.n"))},
    'type', {_by_name("pg_type", "typname", type_pin("n.n"), _PLAIN_TYPES)},
    'casts', {CASTS_PIN})"""  # noqa: S608 - made of constants and marks
