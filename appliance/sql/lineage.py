"""Where every output column of a statement comes from, and what else the statement passes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from appliance.sql.analysis import is_slow
from appliance.sql.builtins import builtins
from appliance.sql.catalog import Catalog
from appliance.sql.copy_options import copy_options
from appliance.sql.facts import Name, NameContext
from appliance.sql.lexing import unreadable
from appliance.sql.lineage_from import NotKnownError
from appliance.sql.lineage_names import Level, Table
from appliance.sql.lineage_query import Queries
from appliance.sql.lookup import Scope
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.taint import CONSTANT, Lineage, Taint, Write, computed
from appliance.sql.walker import Node, range_name

MAX_CHARACTERS = 65_536
MAX_TOKENS = 4000
_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# They can neither show nor move a value, whatever they name.
_HARMLESS = frozenset(
    {
        "TransactionStmt",
        "VariableSetStmt",
        "VariableShowStmt",
        "ListenStmt",
        "UnlistenStmt",
        "DiscardStmt",
        "ClosePortalStmt",
        "DeallocateStmt",
        "LockStmt",
        "TruncateStmt",
        "CheckPointStmt",
        "VacuumStmt",
        "ReindexStmt",
        "ClusterStmt",
        "ConstraintsSetStmt",
        "NotifyStmt",
        "RefreshMatViewStmt",
        "GrantStmt",
        "GrantRoleStmt",
        "CreateSchemaStmt",
        "CreateSeqStmt",
        "AlterSeqStmt",
        "DropdbStmt",
        "CreateEnumStmt",
        "AlterEnumStmt",
    }
)
# Definitions that run nothing by themselves: they may only not name what is masked.
_NAMING = frozenset(
    {
        "CreateStmt",
        "AlterTableStmt",
        "IndexStmt",
        "RenameStmt",
        "AlterObjectSchemaStmt",
        "CommentStmt",
        "AlterOwnerStmt",
        "CompositeTypeStmt",
        "DropStmt",
    }
)
_COPYING = {"CreateTableAsStmt": "CREATE TABLE AS", "ViewStmt": "CREATE VIEW"}


def lineage(
    text: str,
    catalog: Catalog,
    names: NameContext,
    library: PgQuery,
    prepared: Mapping[str, Lineage] | None = None,
    cursors: Mapping[str, Lineage] | None = None,
) -> Lineage:
    """Return where the outputs of the one statement in ``text`` come from. Never raises.

    ``prepared`` and ``cursors``: what EXECUTE and FETCH by name refer to.
    """
    try:
        if len(text) > MAX_CHARACTERS or unreadable(text) or is_slow(text):
            raise NotKnownError("the statement is too large to be analysed")
        data = text.encode()
        if len(data) > MAX_TOKENS and library.count_tokens(data) > MAX_TOKENS:
            raise NotKnownError("the statement is too large to be analysed")
        statements = orjson.loads(library.parse(data)).get("stmts", [])
        if not statements:
            return Lineage()
        if len(statements) > 1:
            raise NotKnownError("several statements in one text")
        reader = Queries(Scope(catalog, names), builtins(), library)
        return _Statement(reader, prepared or {}, cursors or {}).read(statements[0]["stmt"])
    except NotKnownError as error:
        return Lineage(None, unknown=str(error))
    except (GrammarError, ValueError):
        return Lineage(None, unknown="PostgreSQL's grammar does not accept it")
    except (RecursionError, KeyError, TypeError, AttributeError, IndexError):
        return Lineage(None, unknown="the statement is not understood")


class _Statement:
    """Reads one statement of any kind."""

    def __init__(
        self, reader: Queries, prepared: Mapping[str, Lineage], cursors: Mapping[str, Lineage]
    ) -> None:
        self._reader = reader
        self._prepared = prepared
        self._cursors = cursors

    def read(self, node: Node) -> Lineage:  # noqa: C901 - a list of cases
        ((tag, body),) = node.items()
        if tag in _QUERIES:
            return self._of(self._reader.top(node))
        if tag in _HARMLESS:
            return Lineage(((str(body.get("name", "")), CONSTANT),)) if "Show" in tag else Lineage()
        if tag == "ExplainStmt":
            return self._explain(body)
        if tag == "PrepareStmt":
            return self._later(body["query"], prepares=body.get("name", ""))
        if tag == "DeclareCursorStmt":
            return self._later(body["query"], declares=body.get("portalname", ""))
        if tag == "ExecuteStmt":
            return self._named(self._prepared, body.get("name", ""), "prepared statement")
        if tag == "FetchStmt":
            if body.get("ismove"):
                return Lineage()
            return self._named(self._cursors, body.get("portalname", ""), "cursor")
        if tag == "CopyStmt":
            return self._copy(body)
        if tag in _COPYING:
            return self._copying(tag, body)
        if tag in _NAMING:
            return self._naming(body)
        return Lineage(forbidden=_called(tag))

    def _of(
        self, table: Table, *, prepares: str | None = None, declares: str | None = None
    ) -> Lineage:
        reader = self._reader
        opaque = set(reader.opaque)
        for _, value in table.columns:
            opaque |= value.opaque
        return Lineage(
            None if table.is_open else tuple(table.columns),
            frozenset(reader.used | table.tests),
            frozenset(reader.reached),
            frozenset(opaque),
            tuple(reader.writes),
            frozenset(reader.inspects),
            relations=frozenset(reader.relations),
            prepares=prepares,
            declares=declares,
            depends=frozenset(reader.depends),
            is_bound=reader.is_bound or bool(reader.writes or table.is_open),
        )

    def _later(
        self, query: Node, *, prepares: str | None = None, declares: str | None = None
    ) -> Lineage:
        return self._of(self._reader.top(query), prepares=prepares, declares=declares)

    def _explain(self, body: Node) -> Lineage:
        """A plan shows conditions and estimates; and what code gave where it was folded."""
        inner = self.read(body["query"])
        if inner.unknown or inner.forbidden:
            return inner
        shown = Taint(opaque=inner.opaque, origin=(0, 0))
        return Lineage(
            (("QUERY PLAN", shown),),
            inner.used,
            inner.reached,
            inner.opaque,
            inner.writes,
            inner.inspects,
            inner.names,
            relations=inner.relations,
            depends=inner.depends,
            is_bound=True,
        )

    def _named(self, known: Mapping[str, Lineage], name: str, what: str) -> Lineage:
        found = known.get(name)
        if found is None:
            raise NotKnownError(f"what the {what} {name} shows is not known")
        return found

    def _copy(self, body: Node) -> Lineage:
        if body.get("is_program") or body.get("filename"):
            return Lineage(forbidden="COPY to or from a file or program")
        if body.get("is_from"):  # what it stores comes from the client, as of an INSERT
            filled = {"relation": body["relation"], "whereClause": body.get("whereClause")}
            return self._of(self._reader.top({"InsertStmt": filled}))
        options = copy_options(body.get("options", []))
        if options is None:
            return Lineage(forbidden="COPY with options that are not known")
        query = body.get("query")
        found = self._of(self._reader.top(query)) if query else self._copied(body)
        return replace(found, copy=options, is_bound=True)

    def _copied(self, body: Node) -> Lineage:
        level = Level(None)
        relation = body["relation"]
        # COPY of a table shows its own rows and none of its children's.
        source = self._reader.range_var({**relation, "inh": False}, level)
        if source.rest is not None:
            self._reader.inspects |= {source.name} if source.watched else set()
            return self._of(Table(is_open=True))
        names = [entry["String"]["sval"] for entry in body.get("attlist", [])]
        columns = dict(source.columns)
        generated = {
            name
            for name, value in source.columns
            if value.origin and self._reader.catalog.generated_from(*value.origin)
        }
        names = names or [name for name, _ in source.columns if name not in generated]
        if any(name not in columns for name in names):
            raise NotKnownError("a column that COPY names is not known")
        return self._of(Table([(name, columns[name]) for name in names]))

    def _copying(self, tag: str, body: Node) -> Lineage:
        query = body["query"]
        if "ExecuteStmt" in query:
            found = self._named(
                self._prepared, query["ExecuteStmt"].get("name", ""), "prepared statement"
            )
            writes = tuple(Write(_COPYING[tag], value) for _, value in found.outputs or ())
            if found.outputs is None:
                return Lineage(None, unknown="what it copies is not known")
            return replace(found, outputs=(), writes=writes, is_bound=True)
        table = self._reader.top(query)
        # A view shows later what it can reach: another definition of a function, other rows.
        values = [value for _, value in table.columns]
        values.append(Taint(tested=table.tests))
        self._reader.writes += [Write(_COPYING[tag], value) for value in values]
        if table.is_open:
            self._reader.writes.append(Write(_COPYING[tag], computed(values)))
        return self._of(Table())

    def _naming(self, body: Node) -> Lineage:
        """Read a definition: which relations it names, and the code in its expressions."""
        reader = self._reader
        found: set[int] = set()
        pending: list[object] = [body]
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending += value
            elif isinstance(value, dict):
                pending += value.values()
                if "relname" in value:
                    meaning = reader.scope.relation(range_name(value))
                    reader.meant(range_name(value), meaning)
                    found |= {relation.oid for relation in meaning.relations}
                if "items" in value and isinstance(value["items"], list):
                    found |= self._listed(value["items"])
                for key in ("FuncCall", "SubLink"):
                    if key in value:
                        reader.parts({key: value[key]}, Level(None))
        return Lineage(
            opaque=frozenset(reader.opaque),
            inspects=frozenset(reader.inspects),
            names=frozenset(found),
            depends=frozenset(reader.depends),
            is_bound=True,
        )

    def _listed(self, items: list[Node]) -> set[int]:
        names = [item["String"]["sval"] for item in items if item and "String" in item]
        if not names:
            return set()
        name = Name(names[-2] if len(names) > 1 else None, names[-1])
        return {relation.oid for relation in self._reader.scope.relation(name).relations}


def _called(tag: str) -> str:
    """Return what people call a statement, from its tag in the grammar."""
    words = tag.removesuffix("Stmt")
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in words)
    return spaced.strip().upper() or "this statement"
