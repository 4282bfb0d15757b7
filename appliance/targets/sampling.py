"""A few rows of a target's tables, read as the role that reads its catalog.

For looking at what columns hold: values stay in memory, in the answer, and nowhere else. Nothing of
a user's own runs: tables and materialized views only, no row-level security, no casts; each query
is read-only and bounded in time, large tables are read at a few random pages.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from appliance.entities import Target
from appliance.errors import NotFound, Unreachable
from appliance.targets.connect import Connection, connected, said
from appliance.targets.reach import reach
from appliance.targets.steps import StepFailed

ROWS = 100  # of a table
DIFFERENT = 20  # values of a column that are looked at
BUDGET_S = 20.0
_STATEMENT_S = 2
_LOCK_MS = 100
_VALUE_BYTES = 8192  # as stored; what is larger is left out
_PAGES = 64  # a table of more is sampled at random pages
_SAMPLED_PAGES = 40
_READABLE = "rmp"

# What is to be read of each relation: itself, or of a partitioned one its largest partition that is
# a table here. %s: OIDs.
_PLACES_SQL = b"""
WITH RECURSIVE parts AS (
  SELECT c.oid AS asked, c.oid, c.relkind FROM pg_class c WHERE c.oid = ANY (%s::int8[]::oid[])
  UNION ALL
  SELECT p.asked, i.inhrelid, c.relkind FROM parts p JOIN pg_inherits i ON i.inhparent = p.oid
  JOIN pg_class c ON c.oid = i.inhrelid WHERE p.relkind = 'p'
)
SELECT DISTINCT ON (p.asked) p.asked::int8, n.nspname, c.relname,
  pg_relation_size(c.oid) / current_setting('block_size')::int8
FROM parts p JOIN pg_class c ON c.oid = p.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.relkind IN ('r', 'm')
ORDER BY p.asked, pg_relation_size(c.oid) DESC, c.oid
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A relation to look at. ``columns``: (attribute number, name, whether it is an array)."""

    oid: int
    kind: str
    columns: tuple[tuple[int, str, bool], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen: different values by (relation's OID, attribute number), without NULLs.

    ``failed``: why a relation could not be read, in the server's words. ``unseen``: relations for
    which no time was left.
    """

    values: Mapping[tuple[int, int], tuple[str, ...]] = field(repr=False)
    failed: Mapping[int, str]
    unseen: tuple[int, ...] = ()


def sample(
    target: Target,
    database: str,
    secret: str,
    wanted: Sequence[Wanted],
    *,
    budget_s: float = BUDGET_S,
    different: int = DIFFERENT,
) -> Sample:
    """Read a few rows of each relation, as the target's catalog role. Blocking.

    Raises: ``Unreachable`` that says what is wrong and how to mend it.
    """
    role = target.reader
    if role is None:
        raise NotFound(f"target {target.name} has no upstream role", "add one that may read it")
    try:
        with connected(target, role.name, database, secret, reach(target, [])) as connection:
            return _Sampling(connection, secret, different).run(wanted, budget_s)
    except StepFailed as failed:
        step = failed.step
        raise Unreachable(f"target {target.name}: {step.detail}", step.hint) from None
    except psycopg.Error as error:
        raise Unreachable(
            f"target {target.name}: its tables cannot be read: {said(error, secret)}",
            "the server's log says more",
        ) from None


class _Sampling:
    def __init__(self, connection: Connection, secret: str, different: int) -> None:
        self._connection = connection
        self._secret = secret
        self._different = different
        self._values: dict[tuple[int, int], tuple[str, ...]] = {}
        self._failed: dict[int, str] = {}

    def run(self, wanted: Sequence[Wanted], budget_s: float) -> Sample:
        started = time.monotonic()
        self._connection.execute(
            f"SET search_path = pg_catalog; SET default_transaction_read_only = on;"
            f"SET statement_timeout = '{_STATEMENT_S}s'; SET lock_timeout = '{_LOCK_MS}ms';"
            f"SET row_security = off; SET jit = off".encode()
        )
        places = self._places(one.oid for one in wanted if one.kind in _READABLE)
        unseen: list[int] = []
        for one in wanted:
            if not one.columns or one.oid not in places:
                continue
            if time.monotonic() - started > budget_s:
                unseen.append(one.oid)
                continue
            try:
                self._read(one, *places[one.oid])
            except psycopg.OperationalError as error:
                if self._connection.closed:
                    raise
                self._failed[one.oid] = said(error, self._secret)
            except psycopg.Error as error:
                self._failed[one.oid] = said(error, self._secret)
        return Sample(self._values, self._failed, tuple(unseen))

    def _places(self, oids: Iterable[int]) -> dict[int, tuple[str, str, int]]:
        """Return schema, name and size in pages of what is to be read for each relation."""
        rows = self._connection.execute(_PLACES_SQL, (list(oids),), prepare=False).fetchall()
        return {
            int(str(asked)): (str(schema), str(name), int(str(pages)))
            for asked, schema, name, pages in rows
        }

    def _read(self, one: Wanted, schema: str, name: str, pages: int) -> None:
        found: dict[int, dict[str, None]] = {number: {} for number, _, _ in one.columns}
        for row in self._rows(one, schema, name, pages):
            for (number, _, _), value in zip(one.columns, row, strict=True):
                if value is not None and len(found[number]) < self._different:
                    found[number].setdefault(value)
        for number, values in found.items():
            self._values[one.oid, number] = tuple(values)

    def _rows(self, one: Wanted, schema: str, name: str, pages: int) -> list[list[str | None]]:
        columns = sql.SQL(", ").join(map(_column, one.columns))
        place = sql.Identifier(schema, name)
        if pages > _PAGES:
            share = sql.Literal(max(100 * _SAMPLED_PAGES / pages, 0.0001))
            query = sql.SQL("SELECT {} FROM ONLY {} TABLESAMPLE SYSTEM ({}) LIMIT {}")
            rows = self._fetched(query.format(columns, place, share, ROWS))
            if rows:
                return rows
        query = sql.SQL("SELECT {} FROM ONLY {} LIMIT {}")
        return self._fetched(query.format(columns, place, ROWS))

    def _fetched(self, query: sql.Composed) -> list[list[str | None]]:
        """Return the rows as the server wrote them, whatever their types are."""
        result = self._connection.execute(query, prepare=False).pgresult
        if result is None:
            return []
        return [
            [_text(result.get_value(row, column)) for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]


def _column(column: tuple[int, str, bool]) -> sql.Composable:
    """Return what is selected of a column; an array as JSON, which is read without its types."""
    _, name, is_array = column
    value: sql.Composable = sql.Identifier(name)
    if is_array:
        value = sql.SQL("array_to_json({})").format(value)
    return sql.SQL("CASE WHEN pg_column_size({}) <= {} THEN {} END").format(
        sql.Identifier(name), _VALUE_BYTES, value
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
