"""How many rows the target's planner expects a statement to touch, asked without running it.

Planning can run code: immutable functions are folded, also by EXPLAIN. So nothing is planned but
what is built in throughout, on a connection of the gateway's own, in a READ ONLY transaction that
is rolled back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import orjson
import psycopg
from psycopg import pq

from appliance.approvals.requests import Estimate
from appliance.entities import Target
from appliance.errors import GatepostError
from appliance.readiness import readable
from appliance.recording.parameters import BinaryValue, CutValue, Parameter
from appliance.sql.builtins import builtins
from appliance.sql.facts import Effect, EffectClass, Facts, Statement
from appliance.targets.connect import Connection, connected, said
from appliance.targets.reach import Reached, reach
from appliance.targets.steps import StepFailed

PLANNER_SAYS = "the target's planner says: "
_UNREACHED = "the target cannot be asked"
_STATEMENT_S = 2
_LOCK_MS = 100
_ANSWER_S = 4.0  # of the server, all in all: a network that swallows packets ends it
_AT_ONCE = 4
_WAIT_S = 2.0
_REACHED_S = 60.0
_TARGETS = 256
_EXPLAINED = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_CATALOG = "pg_catalog"

# Defaults, policies, checks, indexes, rules and views may call functions that nobody wrote into
# the statement. %s: the relations as text[]. Whatever is no plain table, view or partitioned table
# (a foreign one would be planned elsewhere), or carries code of a user's own, is returned; so is
# what has rules for writing: a statement that one of them makes of it is in no tag.
_OPAQUE_SQL = b"""
WITH RECURSIVE rels AS (
  SELECT c.oid FROM pg_catalog.pg_class c
  WHERE c.oid OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.regclass[]::pg_catalog.oid[])
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN rels r ON i.inhparent = r.oid
), parts AS (
  SELECT 'pg_catalog.pg_class'::regclass::oid AS classid, oid AS objid, oid AS rel FROM rels
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, indexrelid, indrelid FROM pg_catalog.pg_index
  UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, oid, adrelid FROM pg_catalog.pg_attrdef
  UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, oid, polrelid FROM pg_catalog.pg_policy
  UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid, conrelid FROM pg_catalog.pg_constraint
  UNION ALL SELECT 'pg_catalog.pg_rewrite'::regclass, oid, ev_class FROM pg_catalog.pg_rewrite
)
SELECT c.oid::pg_catalog.regclass::text FROM rels JOIN pg_catalog.pg_class c USING (oid)
WHERE c.relkind NOT IN ('r', 'p', 'v', 'm', 'S')
UNION ALL
SELECT w.ev_class::pg_catalog.regclass::text FROM pg_catalog.pg_rewrite w
WHERE w.ev_class IN (SELECT oid FROM rels) AND w.ev_type <> '1' AND w.ev_class >= 16384
UNION ALL
SELECT p.rel::regclass::text FROM parts p JOIN pg_catalog.pg_depend d USING (classid, objid)
WHERE p.rel IN (SELECT oid FROM rels) AND d.refobjid >= 16384
  AND (d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
    OR (p.classid = 'pg_catalog.pg_policy'::regclass
      AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.refobjid NOT IN (SELECT oid FROM rels)))
LIMIT 1
"""

# Rows of other tables that go, or change, with the deleted ones are in no tag. %s: as above.
_CARRIED_SQL = b"""
SELECT c.conrelid::pg_catalog.regclass::text FROM pg_catalog.pg_constraint c
WHERE c.contype = 'f' AND c.confdeltype IN ('c', 'n', 'd')
  AND c.confrelid::pg_catalog.regclass = ANY (%s::pg_catalog.regclass[])
LIMIT 1
"""

_SIZE_SQL = b"""
SELECT c.reltuples::pg_catalog.int8, pg_catalog.int8div(pg_catalog.pg_relation_size(c.oid),
  pg_catalog.current_setting('block_size')::pg_catalog.int8)
FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) %s::pg_catalog.regclass
"""
_GUESSED_PAGES = 10


class Estimator:
    """Asks no more than a few targets at once: whoever is late gets no estimate.

    Remembers for a while over which address and TLS a target was reached.
    """

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._reached: dict[Target, tuple[Reached, float]] = {}

    def ask(
        self,
        target: Target,
        database: str,
        role: str,
        secret: str,
        search_path: Sequence[str] | None,
        text: str,
        parameters: Sequence[Parameter],
        facts: Facts,
        types: Sequence[int] = (),
    ) -> Estimate:
        """Do as ``estimate`` does; blocking."""
        why = why_no_estimate(search_path, facts)
        if why:
            return Estimate(None, why)
        if not self._free.acquire(timeout=_WAIT_S):
            return Estimate(None, "too many estimates are being made")
        try:
            found = estimate(
                target,
                database,
                role,
                secret,
                search_path,
                text,
                parameters,
                facts,
                types,
                self._reach,
            )
            if found.why.startswith(_UNREACHED):
                self._reached.pop(target, None)
            return found
        finally:
            self._free.release()

    def _reach(self, target: Target) -> Reached:
        known = self._reached.get(target)
        now = time.monotonic()
        if known is not None and now - known[1] < _REACHED_S:
            return known[0]
        self._reached.pop(target, None)
        found = reach(target, [])
        if len(self._reached) >= _TARGETS:
            self._reached.clear()
        self._reached[target] = (found, now)
        return found


def _reached_anew(target: Target) -> Reached:
    return reach(target, [])


def estimate(
    target: Target,
    database: str,
    role: str,
    secret: str,
    search_path: Sequence[str] | None,
    text: str,
    parameters: Sequence[Parameter],
    facts: Facts,
    types: Sequence[int] = (),
    reach_target: Callable[[Target], Reached] = _reached_anew,
) -> Estimate:
    """Return how many rows the planner expects, or why nobody knows. Blocking; never raises.

    ``search_path``: the session's schemas in order, as ``current_schemas(true)`` gives them.
    ``parameters``: as the client sent them, complete; ``types``: the OIDs that its Parse gave.
    The number is that of the statement's tag: rows changed, or rows returned by a SELECT.
    """
    why = why_no_estimate(search_path, facts)
    if any(isinstance(parameter, CutValue) for parameter in parameters):
        why = why or "a parameter is too large"
    if why:
        return Estimate(None, why)
    try:
        reached = reach_target(target)
        with connected(target, role, database, secret, reached) as connection:
            return _asked(connection, search_path or (), text, parameters, facts, types)
    except StepFailed as failed:
        return Estimate(None, f"{_UNREACHED}: {failed.step.detail}")
    except psycopg.Error as error:
        return Estimate(None, PLANNER_SAYS + said(error, secret), error.sqlstate or "")
    except (GatepostError, OSError, ValueError, KeyError, TypeError) as error:
        return Estimate(None, f"{_UNREACHED} ({type(error).__name__})")


def why_no_estimate(search_path: Sequence[str] | None, facts: Facts) -> str:
    """Return why a statement must not be planned, as far as its facts say; "" = it may be."""
    if facts.refusal or len(facts.statements) != 1:
        return "it is not one statement"
    (statement,) = facts.statements
    if statement.unknown:
        return statement.unknown
    if statement.kind not in _EXPLAINED or facts.needs_catalog:
        return "it is not a statement that the planner can be asked about"
    if search_path is None:
        return "the session's search_path is not known"
    return next(filter(None, map(_obstacle, statement.effects)), "") or _flagged(statement)


def _flagged(statement: Statement) -> str:
    flags = ", ".join(sorted(statement.flags))
    return f"it does more than touch rows ({flags})" if flags else ""


def _obstacle(effect: Effect) -> str:
    name = effect.function or effect.relation
    if name is None:
        return ""
    if name.schema is None:
        return f"{effect.object} is not known"
    if name.schema.startswith("pg_temp"):
        return f"{effect.object} is temporary: no other connection sees it"
    if effect.cls in (EffectClass.DDL, EffectClass.TEMP_DDL):
        return "it makes something new"
    if effect.function is not None and (
        name.schema != _CATALOG or name.name not in builtins().names
    ):
        return f"{effect.object} is not a built-in function, and planning could run it"
    return ""


def _asked(
    connection: Connection,
    search_path: Sequence[str],
    text: str,
    parameters: Sequence[Parameter],
    facts: Facts,
    types: Sequence[int],
) -> Estimate:
    """Ask over an open connection, which is closed afterwards."""
    connection.execute(
        f"BEGIN READ ONLY; SET LOCAL statement_timeout = '{_STATEMENT_S}s';"
        f"SET LOCAL lock_timeout = '{_LOCK_MS}ms'; SET LOCAL search_path = pg_catalog".encode()
    )
    effects = facts.statements[0].effects
    opaque = connection.execute(_OPAQUE_SQL, (_relations(effects),), prepare=False).fetchone()
    if opaque is not None:
        return Estimate(None, f"{opaque[0]} has code of its own, and planning could run it")
    deleted = _relations(effect for effect in effects if effect.cls is EffectClass.DELETE)
    carried = connection.execute(_CARRIED_SQL, (deleted,), prepare=False).fetchone()
    if carried is not None:
        return Estimate(None, f"rows of {carried[0]} that refer to them go along, by ON DELETE")
    path = ", ".join(_quoted(schema) for schema in search_path if not _is_temporary(schema))
    connection.execute(f"SET LOCAL search_path = {path or _quoted('')}".encode())
    values, formats = _wire(parameters)
    oids = [types[index] if index < len(types) else 0 for index in range(len(values))]
    explain = b"EXPLAIN (FORMAT JSON, VERBOSE, COSTS) " + text.encode()
    plans = orjson.loads(_value(connection.pgconn, explain, values, oids, formats))
    found = _rows(plans)
    if found.rows:
        found = _tempered(connection, plans[0]["Plan"], found.rows)
    connection.execute(b"ROLLBACK")
    return found


def _relations(effects: Iterable[Effect]) -> list[str]:
    """Return the names of what effects touch, as SQL has them."""
    return sorted(
        {
            f"{_quoted(effect.relation.schema or '')}.{_quoted(effect.relation.name)}"
            for effect in effects
            if effect.relation is not None
        }
    )


def _wire(parameters: Sequence[Parameter]) -> tuple[list[bytes | None], list[int]]:
    """Return values and formats (0 text, 1 binary) as the protocol has them."""
    values: list[bytes | None] = []
    formats: list[int] = []
    for parameter in parameters:
        is_binary = isinstance(parameter, BinaryValue)
        formats.append(int(is_binary))
        match parameter:
            case BinaryValue():
                values.append(bytes(parameter.data))
            case str():
                values.append(parameter.encode())
            case CutValue():
                raise ValueError("a parameter is not complete")
            case _:
                values.append(parameter)
    return values, formats


def _value(
    connection: pq.abc.PGconn,
    text: bytes,
    values: list[bytes | None],
    oids: list[int],
    formats: list[int],
) -> bytes:
    """Run one query with the client's own bytes, and return its one value.

    Raises: ``psycopg.Error``; TimeoutError when the server does not answer.
    """
    connection.nonblocking = 1
    connection.send_query_params(text, values, oids, formats)
    deadline = time.monotonic() + _ANSWER_S
    while connection.flush() or connection.is_busy():
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not readable([connection.socket], left_s):
            raise TimeoutError
        connection.consume_input()
    result = connection.get_result()
    connection.nonblocking = 0
    if result is None or result.status != pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result) if result else TimeoutError
    while connection.get_result() is not None:
        pass
    return result.get_value(0, 0) or b""


def _rows(plans: list[dict[str, Any]]) -> Estimate:
    """Read the plan: what the one node that changes rows gets, else what the top node returns."""
    if len(plans) != 1:
        return Estimate(None, "rewrite rules make several statements of it")
    top = plans[0]["Plan"]
    changing = [node for node in _nodes(top) if node["Node Type"] == "ModifyTable"]
    if not changing:
        return Estimate(int(top["Plan Rows"]))
    if len(changing) > 1 or changing[0] is not top:
        return Estimate(None, "it changes rows on the way, in WITH")
    if "Output" in top:
        return Estimate(None, "RETURNING sends rows before they are counted")
    sources = [
        node for node in top.get("Plans", ()) if node["Parent Relationship"] in ("Outer", "Member")
    ]
    return Estimate(sum(int(node["Plan Rows"]) for node in sources))


def _tempered(connection: Connection, top: Mapping[str, Any], rows: int) -> Estimate:
    """Take back what the planner adds for a small table that was never analysed: ten pages of it.

    https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/access/table/tableam.c
    (table_block_relation_estimate_size). Elsewhere a new table of three rows has thousands.
    """
    scanned = [node for node in _nodes(top) if "Scan" in node["Node Type"]]
    if len(scanned) != 1 or "Relation Name" not in scanned[0]:
        return Estimate(rows)
    (node,) = scanned
    name = f"{_quoted(node['Schema'])}.{_quoted(node['Relation Name'])}"
    row = connection.execute(_SIZE_SQL, (name,), prepare=False).fetchone()
    if row is None or row[0] != -1 or not isinstance(row[1], int):
        return Estimate(rows)
    pages = min(row[1], _GUESSED_PAGES)
    return Estimate(ceil(rows * pages / _GUESSED_PAGES))


def _nodes(top: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [top]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("Plans", ())


def _is_temporary(schema: str) -> bool:
    return schema.startswith(("pg_temp", "pg_toast_temp"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
