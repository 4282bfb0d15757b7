"""The questions that are put to a target about its catalog and about a session's state.

They may run inside a client's own session, whose search_path can hold look-alikes of anything: so
every relation, function, type and operator is written with pg_catalog in front. They work on
PostgreSQL 12 to 18, need no rights but CONNECT, and change nothing.
"""

from __future__ import annotations

from appliance.sql.catalog_masking import MASKING
from appliance.sql.catalog_pins import FIRST_USER_OID, PINS, qualified

MAX_TREE = 262_144  # characters of a view's tree, whose text is read too
MAX_BODY = 16384  # characters of a function's body that is read; what is larger is unknown


# A tree of a rule or of a body as the server keeps it names what it uses by OID, so nothing
# depends on a search_path and system objects are named as well (pg_depend leaves them out).
def _numbers(tree: str, fields: str) -> str:
    return (
        f"(SELECT pg_catalog.json_agg(DISTINCT m.m[1]::pg_catalog.int8)"  # noqa: S608 - made of constants and marks
        f" FROM pg_catalog.regexp_matches({tree}, ':({fields}) ([0-9]+)', 'g') AS r(p),"
        f" LATERAL (SELECT ARRAY[r.p[2]]) AS m(m) WHERE m.m[1] <> '0')"
    )


def _functions(tree: str) -> str:
    return f"""(SELECT pg_catalog.json_agg(DISTINCT
        pg_catalog.concat(n.nspname, '.', p.proname))
      FROM pg_catalog.regexp_matches({tree},
        ':(funcid|aggfnoid|winfnoid|opfuncid) ([0-9]+)', 'g') AS r(p)
      JOIN pg_catalog.pg_proc p ON p.oid = r.p[2]::pg_catalog.oid
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE p.oid >= {FIRST_USER_OID}::pg_catalog.oid OR p.provolatile <> 'i')"""  # noqa: S608 - made of constants and marks


def _mark(text: str) -> str:
    """Return the hash of a definition. Not md5(), which a server in FIPS mode does not have."""
    encoding = "pg_catalog.getdatabaseencoding()"  # of itself into itself: nothing is converted
    return f"""pg_catalog.substr(pg_catalog.encode(pg_catalog.sha256(
      pg_catalog.convert_to({text}, {encoding})), 'hex'), 1, 32)"""


_COMMANDS = "commandType"

CATALOG_SQL = qualified(f"""
SELECT pg_catalog.json_build_object(
  'pins', {PINS},
  'masking', {MASKING.format(first=FIRST_USER_OID, limit=MAX_BODY)},
  'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
  'encoding', pg_catalog.getdatabaseencoding(),
  'database', pg_catalog.current_database(),
  'role', CURRENT_USER,
  'schemas', (SELECT pg_catalog.json_agg(n.nspname) FROM pg_catalog.pg_namespace n
     WHERE n.nspname !~ '^pg_(toast_)?temp_'),
  'relations', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
       c.oid::pg_catalog.int8, n.nspname, c.relname, c.relkind,
       COALESCE(i.indrelid, t.oid, 0)::pg_catalog.int8,
       CASE WHEN c.oid >= {FIRST_USER_OID}::pg_catalog.oid
             AND c.relkind = ANY (ARRAY['r','p','v','m','f','c']::pg_catalog."char"[])
       THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname,
               CASE WHEN tn.nspname = 'pg_catalog' THEN ty.typname::pg_catalog.text
               ELSE pg_catalog.concat(tn.nspname, '.', ty.typname) END)
               ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
          JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid
          JOIN pg_catalog.pg_namespace tn ON tn.oid = ty.typnamespace
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END))
     FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     LEFT JOIN pg_catalog.pg_class t ON t.reltoastrelid = c.oid AND c.relkind = 't'
     WHERE n.nspname !~ '^pg_(toast_)?temp_'
       AND (c.oid >= {FIRST_USER_OID}::pg_catalog.oid
         OR c.relkind = ANY (ARRAY['r','v']::pg_catalog."char"[]))),
  'inherits', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
       h.inhrelid::pg_catalog.int8, h.inhparent::pg_catalog.int8))
     FROM pg_catalog.pg_inherits h
     JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
     WHERE c.relkind = ANY (ARRAY['r','p','f']::pg_catalog."char"[])),
  'references', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
       k.conrelid::pg_catalog.int8, k.confrelid::pg_catalog.int8, k.confdeltype))
     FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'),
  'rules', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
       r.ev_class::pg_catalog.int8, r.ev_type, r.is_instead,
       {_numbers("r.ev_action::pg_catalog.text", "relid")},
       {_functions("r.ev_action::pg_catalog.text")},
       CASE WHEN r.ev_type = '1' THEN NULL
       ELSE {_numbers("r.ev_action::pg_catalog.text", _COMMANDS)} END))
     FROM pg_catalog.pg_rewrite r),
  'views', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.ev_class::pg_catalog.int8,
       pg_catalog.pg_get_viewdef(r.ev_class)))
     FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
     WHERE r.ev_type = '1' AND r.ev_class >= {FIRST_USER_OID}::pg_catalog.oid
       AND c.relkind = ANY (ARRAY['v','m']::pg_catalog."char"[])
       AND {MAX_TREE} > pg_catalog.length(r.ev_action::pg_catalog.text)),
  'generated', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
       f.adrelid::pg_catalog.int8, f.adnum, d.refobjsubid))
     FROM pg_catalog.pg_attrdef f
     JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
       AND a.attgenerated <> ''::pg_catalog."char"
     JOIN pg_catalog.pg_depend d
       ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
       AND d.refobjid = f.adrelid AND d.refobjsubid > 0 AND d.refobjsubid <> f.adnum
       AND ((d.objid = f.oid
           AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid)
         OR (d.objid = f.adrelid AND d.objsubid = f.adnum
           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid))),
  'type_rows', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(t.oid::pg_catalog.int8,
       n.nspname, t.typname, t.typtype, t.typelem::pg_catalog.int8,
       t.typbasetype::pg_catalog.int8, t.typrelid::pg_catalog.int8,
       EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k
         WHERE k.contypid = t.oid AND k.contype = 'c'::pg_catalog."char"),
       (SELECT pg_catalog.json_agg(e.enumlabel) FROM pg_catalog.pg_enum e
         WHERE e.enumtypid = t.oid)))
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE t.oid >= {FIRST_USER_OID}::pg_catalog.oid AND n.nspname !~ '^pg_(toast|temp_)'),
  'functions', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
       n.nspname, p.proname, p.pronargs, l.lanname, p.provolatile,
       CASE WHEN l.lanname = 'sql' AND p.prosrc <> '' THEN p.prosrc END,
       {_numbers("pg_catalog.to_jsonb(p) ->> 'prosqlbody'", "relid")},
       CASE WHEN p.prokind = 'a'::pg_catalog."char" THEN
         (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.concat(fn.nspname, '.', f.proname))
          FROM pg_catalog.pg_aggregate g, LATERAL pg_catalog.unnest(ARRAY[
            g.aggtransfn::pg_catalog.oid, g.aggfinalfn::pg_catalog.oid,
            g.aggcombinefn::pg_catalog.oid, g.aggmtransfn::pg_catalog.oid,
            g.aggminvtransfn::pg_catalog.oid, g.aggmfinalfn::pg_catalog.oid]) AS u(u)
          JOIN pg_catalog.pg_proc f ON f.oid = u.u
          JOIN pg_catalog.pg_namespace fn ON fn.oid = f.pronamespace
          WHERE g.aggfnoid::pg_catalog.oid = p.oid)
       ELSE {_functions("pg_catalog.to_jsonb(p) ->> 'prosqlbody'")} END,
       {_numbers("pg_catalog.to_jsonb(p) ->> 'prosqlbody'", _COMMANDS)},
       (SELECT pg_catalog.substr(o.o, 13) FROM pg_catalog.unnest(p.proconfig) AS o(o)
         WHERE o.o ~ '^search_path='),
       p.oid::pg_catalog.int8,
       p.pronargs > 0::pg_catalog.int2 AND EXISTS (SELECT 1 FROM pg_catalog.pg_type a
         WHERE a.oid = p.proargtypes[0] AND (a.typtype = 'c' OR a.typtype = 'p'))))
     FROM pg_catalog.pg_proc p
     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE n.nspname !~ '^pg_temp_'
       AND (p.oid >= {FIRST_USER_OID}::pg_catalog.oid OR n.nspname = 'information_schema')),
  'bodies', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.oid::pg_catalog.int8,
       CASE WHEN pg_catalog.length(p.prosrc) > {MAX_BODY} THEN NULL ELSE p.prosrc END,
       p.proargnames))
     FROM pg_catalog.pg_proc p
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE l.lanname = 'plpgsql' AND p.oid >= {FIRST_USER_OID}::pg_catalog.oid),
  'operators', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
       n.nspname, o.oprname, fn.nspname, p.proname, l.lanname))
     FROM pg_catalog.pg_operator o
     JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
     JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode::pg_catalog.oid
     JOIN pg_catalog.pg_namespace fn ON fn.oid = p.pronamespace
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE o.oid >= {FIRST_USER_OID}::pg_catalog.oid),
  'types', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, t.typname,
       EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_depend d ON d.objid = k.oid
           AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
         WHERE k.contypid = t.oid)
       OR EXISTS (SELECT 1 FROM pg_catalog.pg_cast x
         WHERE x.castfunc >= {FIRST_USER_OID}::pg_catalog.oid AND x.casttarget = t.oid)))
     FROM pg_catalog.pg_type t
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE t.oid >= {FIRST_USER_OID}::pg_catalog.oid AND t.typelem = 0::pg_catalog.oid
       AND t.typtype <> 'c' AND n.nspname !~ '^pg_temp_'),
  'casts', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
       t.typname, n.nspname, p.proname))
     FROM (SELECT x.casttarget AS type, x.castfunc AS func FROM pg_catalog.pg_cast x
       UNION SELECT k.contypid, d.refobjid FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_depend d ON d.objid = k.oid
           AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
         WHERE k.contypid <> 0::pg_catalog.oid) f
     JOIN pg_catalog.pg_type t ON t.oid = f.type
     JOIN pg_catalog.pg_proc p ON p.oid = f.func
     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE f.func >= {FIRST_USER_OID}::pg_catalog.oid),
  'triggers', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
       g.tgrelid::pg_catalog.int8, n.nspname, p.proname, g.tgtype,
       pg_catalog.encode(g.tgargs, 'escape')) ORDER BY g.oid)
     FROM pg_catalog.pg_trigger g
     JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE NOT g.tgisinternal),
  'defaults', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
       f.adrelid::pg_catalog.int8, f.adnum, n.nspname, p.proname))
     FROM pg_catalog.pg_attrdef f
     JOIN pg_catalog.pg_depend d ON d.objid = f.oid
       AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
       AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
     JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace),
  'active', (SELECT pg_catalog.json_agg(DISTINCT a.oid::pg_catalog.int8) FROM (
       SELECT g.tgrelid AS oid FROM pg_catalog.pg_trigger g WHERE NOT g.tgisinternal
       UNION SELECT s.polrelid FROM pg_catalog.pg_policy s
       UNION SELECT f.adrelid FROM pg_catalog.pg_attrdef f
         JOIN pg_catalog.pg_depend d ON d.objid = f.oid
           AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
       UNION SELECT k.conrelid FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_depend d ON d.objid = k.oid
           AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
       UNION SELECT i.indrelid FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_depend d ON d.objid = i.indexrelid
           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
       UNION SELECT a.attrelid FROM pg_catalog.pg_attribute a
         JOIN pg_catalog.pg_constraint k ON k.contypid = a.atttypid
         WHERE a.attnum > 0 AND a.attrelid >= {FIRST_USER_OID}::pg_catalog.oid
           AND k.contypid >= {FIRST_USER_OID}::pg_catalog.oid
     ) a WHERE a.oid <> 0::pg_catalog.oid),
  'marks', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(m.oid::pg_catalog.int8, m.mark)
       ORDER BY m.oid, m.mark)
     FROM (SELECT p.oid, {
    _mark('''(pg_catalog.to_jsonb(p)
             OPERATOR(pg_catalog.-) 'proacl'::pg_catalog.text)::pg_catalog.text''')
} AS mark
           FROM pg_catalog.pg_proc p WHERE p.oid >= {FIRST_USER_OID}::pg_catalog.oid
       UNION ALL SELECT r.ev_class, {
    _mark('''pg_catalog.concat(r.rulename, r.ev_type,
             r.ev_enabled, r.is_instead, r.ev_qual, r.ev_action)''')
}
           FROM pg_catalog.pg_rewrite r WHERE r.ev_class >= {FIRST_USER_OID}::pg_catalog.oid
       UNION ALL SELECT g.tgrelid, {
    _mark('''pg_catalog.concat(g.tgname, g.tgtype, g.tgenabled, g.tgattr, g.tgargs, g.tgqual,
             pg_catalog.to_jsonb(t) OPERATOR(pg_catalog.-) 'proacl'::pg_catalog.text)''')
}
           FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc t ON t.oid = g.tgfoid
           WHERE NOT g.tgisinternal
       UNION ALL SELECT s.polrelid, {
    _mark('''pg_catalog.concat(s.polname, s.polcmd, s.polpermissive, s.polroles, s.polqual,
             s.polwithcheck)''')
}
           FROM pg_catalog.pg_policy s
       UNION ALL SELECT c.oid, {
    _mark('''pg_catalog.concat(c.relrowsecurity, c.relforcerowsecurity,
             (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname,
                a.atttypid, a.atttypmod, a.attgenerated) ORDER BY a.attnum)
              FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
             (SELECT pg_catalog.json_agg(pg_catalog.concat(d.adnum, d.adbin) ORDER BY d.adnum)
              FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid))''')
}
           FROM pg_catalog.pg_class c WHERE c.oid >= {FIRST_USER_OID}::pg_catalog.oid
             AND c.relkind = ANY (ARRAY['r','p','f']::pg_catalog."char"[])) m),
  'roles', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.rolname, r.rolsuper,
       r.rolcanlogin, pg_catalog.pg_has_role(CURRENT_USER, r.oid, 'MEMBER')))
     FROM pg_catalog.pg_roles r)
)::pg_catalog.text
""")  # noqa: S608 - made of constants and marks

STATE_SQL = qualified("""
SELECT pg_catalog.json_build_object(
  'path', pg_catalog.current_schemas(true),
  'search_path', pg_catalog.current_setting('search_path'),
  'current_user', CURRENT_USER,
  'session_user', SESSION_USER,
  'client_encoding', pg_catalog.current_setting('client_encoding'),
  'standard_conforming_strings', pg_catalog.current_setting('standard_conforming_strings'),
  'temp', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.relname, c.relkind,
       CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END))
     FROM pg_catalog.pg_class c
     WHERE c.relnamespace = pg_catalog.pg_my_temp_schema()
       AND c.relkind = ANY (ARRAY['r','p','v','m','S','f','c']::pg_catalog."char"[]))
)::pg_catalog.text
""")
