"""What masking asks of a catalog beyond what policy does: casts, bodies, policies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.sql.catalog_rows import grouped

# Where the columns of a relation of the system's count one by one.
_WATCHED = """pg_stat_activity pg_prepared_statements pg_cursors pg_backend_memory_contexts
    pg_largeobject pg_attribute pg_settings pg_stats pg_stats_ext pg_stats_ext_exprs
    pg_statistic pg_statistic_ext_data"""
_NAMES = ",".join(f"'{name}'" for name in _WATCHED.split())
_TYPE = """CASE WHEN tn.nspname = 'pg_catalog' THEN t.typname::pg_catalog.text
    ELSE pg_catalog.concat(tn.nspname, '.', t.typname) END"""

MASKING = f"""pg_catalog.json_build_object(
    'policies', (SELECT pg_catalog.json_agg(DISTINCT s.polrelid::pg_catalog.int8)
      FROM pg_catalog.pg_policy s),
    'coercions', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
        {_TYPE}, t.typname, n.nspname, p.proname))
      FROM pg_catalog.pg_cast x
      JOIN pg_catalog.pg_type t ON t.oid = x.castsource OR t.oid = x.casttarget
      JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
      JOIN pg_catalog.pg_proc p ON p.oid = x.castfunc
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_catalog.pg_language l ON l.oid = p.prolang
      WHERE x.castfunc >= {{first}}::pg_catalog.oid
        AND (t.oid >= {{first}}::pg_catalog.oid OR ({{first}}::pg_catalog.oid > x.castsource
          AND {{first}}::pg_catalog.oid > x.casttarget))
        AND l.lanname <> ALL (ARRAY['c','internal']::pg_catalog.name[])),
    'system', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.oid::pg_catalog.int8,
        (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname)
            ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)))
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'pg_catalog'
        AND c.relname = ANY (ARRAY[{_NAMES}]::pg_catalog.name[])),
    'bodies', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.oid::pg_catalog.int8,
        pg_catalog.pg_get_functiondef(p.oid)))
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
      WHERE l.lanname = 'sql' AND p.oid >= {{first}}::pg_catalog.oid
        AND p.prokind = 'f'::pg_catalog."char" AND {{limit}} > pg_catalog.length(p.prosrc)))"""  # noqa: S608 - made of constants and marks


class MaskingParts:
    """What a catalog says for masking, as its JSON has it; nothing of it in an older one."""

    def __init__(self, value: dict[str, Any]) -> None:
        def rows(key: str) -> Iterable[Any]:
            return value.get(key) or ()

        self.policies = frozenset(rows("policies"))
        coercions = [(full, bare, f"{s}.{name}") for full, bare, s, name in rows("coercions")]
        pairs = {(key, called) for full, bare, called in coercions for key in (full, bare)}
        self.coercions = grouped(sorted(pairs))
        self.system = {
            oid: tuple((number, str(name)) for number, name in columns or ())
            for oid, columns in rows("system")
        }
        self.bodies = {oid: str(text) for oid, text in rows("bodies") if text}
