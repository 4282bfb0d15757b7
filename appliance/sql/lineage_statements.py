"""What statements of every kind show, keep and send: queries go to their reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from appliance.sql.copy_options import copy_options
from appliance.sql.facts import Name
from appliance.sql.lineage_calls import is_plain_setting
from appliance.sql.lineage_changes import Changes
from appliance.sql.lineage_expressions import NotKnownError
from appliance.sql.lineage_names import Level, Table
from appliance.sql.taint import CONSTANT, Lineage, Taint, Write, computed, words_of
from appliance.sql.walker import Node, range_name

_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# They can neither show nor move a value, whatever they name.
_HARMLESS = words_of(
    """VariableSetStmt ListenStmt UnlistenStmt DiscardStmt ClosePortalStmt DeallocateStmt LockStmt
    CheckPointStmt NotifyStmt"""
)
# The like, but checks and triggers run over stored rows or for any definition: errors tell.
_SPEAKING = words_of(
    """TransactionStmt TruncateStmt VacuumStmt ReindexStmt ClusterStmt ConstraintsSetStmt
    RefreshMatViewStmt GrantStmt GrantRoleStmt CreateSeqStmt AlterSeqStmt DropdbStmt CreateEnumStmt
    AlterEnumStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt
    AlterDefaultPrivilegesStmt ReassignOwnedStmt DropOwnedStmt AlterDatabaseSetStmt"""
)
# Definitions that run nothing by themselves: they may only not name what is masked.
_NAMING = words_of("""
    CreateStmt AlterTableStmt IndexStmt RenameStmt AlterObjectSchemaStmt CommentStmt
    AlterOwnerStmt CompositeTypeStmt CreateStatsStmt AlterStatsStmt AlterTypeStmt""")
# Definitions that only take away or describe: what they name does not matter.
_TAKING = frozenset({"DropStmt", "CommentStmt"})
_COPYING = {"CreateTableAsStmt": "CREATE TABLE AS", "ViewStmt": "CREATE VIEW"}
_CODE = words_of("""
    FuncCall SubLink A_Expr TypeCast BoolExpr CaseExpr CoalesceExpr MinMaxExpr NullTest
    A_Indirection ColumnRef""")


class Statements:
    """Reads one statement of any kind."""

    def __init__(
        self, reader: Changes, prepared: Mapping[str, Lineage], cursors: Mapping[str, Lineage]
    ) -> None:
        self._reader = reader
        self._prepared = prepared
        self._cursors = cursors

    def read(self, node: Node) -> Lineage:  # noqa: C901 - a list of cases
        """Return what one statement does."""
        ((tag, body),) = node.items()
        if tag in _QUERIES:
            return self._of(self._reader.top(node))
        if tag == "VariableShowStmt":
            return self._show(body)
        if tag in _HARMLESS:
            return Lineage()
        if tag in _SPEAKING:
            return Lineage(speaks=True)
        if tag == "ExplainStmt":
            return self._explain(body)
        if tag == "PrepareStmt":
            return self._prepare(body)
        if tag == "DeclareCursorStmt":
            found = self._of(self._reader.top(body["query"]))
            return replace(found, declares=body.get("portalname", ""))
        if tag == "ExecuteStmt":
            return self._execute(body)
        if tag == "FetchStmt":
            if body.get("ismove"):
                return Lineage(speaks=True)
            return self._known(self._cursors, body.get("portalname", ""), "cursor")
        if tag == "CopyStmt":
            return self._copy(body)
        if tag in _COPYING:
            return self._copying(tag, body)
        if tag == "CallStmt":
            return self._call(body)
        if tag == "CreateSchemaStmt":
            if body.get("schemaElts"):
                return Lineage(forbidden="CREATE SCHEMA with definitions in it")
            return Lineage(speaks=True)
        if tag in _TAKING:
            return Lineage(speaks=True)
        if tag == "CreateStmt":  # what it makes is new, whatever else has that name
            return self._naming({**body, "relation": None})
        if tag in _NAMING:
            return self._naming(body)
        return Lineage(forbidden=_called(tag))

    def _of(self, table: Table) -> Lineage:
        reader = self._reader
        opaque = set(reader.opaque)
        for _, value in table.columns:
            opaque |= value.opaque
        opaque |= reader.size_code
        computes = any(value.origin in (None, (0, 0)) for _, value in table.columns)
        bound = reader.is_bound or reader.changes or bool(reader.writes or table.is_open)
        return Lineage(
            None if table.is_open else tuple(table.columns),
            frozenset(reader.used | table.tests),
            frozenset(reader.reached),
            frozenset(opaque),
            tuple(reader.writes),
            frozenset(reader.inspects),
            relations=frozenset(reader.relations),
            depends=frozenset(reader.depends),
            is_bound=bound or (computes and bool(reader.depends)),
            sizes=frozenset(reader.sizes),
            links=frozenset(reader.links),
            watched=dict(reader.watched),
            changes=reader.changes,
            calls=bool(reader.code_read),
        )

    def _show(self, body: Node) -> Lineage:
        name = str(body.get("name", ""))
        # Code may have stored anything in a setting of its own.
        code = frozenset({"pg_catalog.current_setting"})
        stored = Taint(opaque=code, origin=(0, 0))
        if name == "all":
            shown = (("name", CONSTANT), ("setting", stored), ("description", CONSTANT))
            return Lineage(shown, opaque=code)
        if is_plain_setting(name):
            return Lineage(((name, CONSTANT),))
        return Lineage(((name, stored),), opaque=code)

    def _prepare(self, body: Node) -> Lineage:
        reader = self._reader
        types = computed([reader.type_(entry["TypeName"]) for entry in body.get("argtypes", [])])
        found = self._of(reader.top(body["query"]))
        return replace(_given(found, types), prepares=body.get("name", ""))

    def _explain(self, body: Node) -> Lineage:
        """A plan shows conditions and estimates; and what code gave where it was folded."""
        inner = self.read(body["query"])
        if inner.unknown or inner.forbidden:
            return inner
        folded = computed(self._reader.folded)
        shown = computed([folded, Taint(opaque=inner.opaque)]) if inner.opaque else folded
        shown = replace(shown, origin=(0, 0)).via("EXPLAIN")
        return replace(
            inner,
            outputs=(("QUERY PLAN", shown),),
            is_bound=True,
            prepares=None,
            declares=None,
            copy=None,
        )

    def _known(self, known: Mapping[str, Lineage], name: str, what: str) -> Lineage:
        found = known.get(name)
        if found is None:
            raise NotKnownError(f"no {what} {name} is known in this session")
        return replace(found, prepares=None, declares=None, copy=None)

    def _execute(self, body: Node) -> Lineage:
        found = self._known(self._prepared, body.get("name", ""), "prepared statement")
        reader = self._reader
        given = reader.parts(body.get("params"), Level(None))
        found = replace(
            found,
            opaque=found.opaque | reader.opaque,
            reached=found.reached | reader.reached,
            inspects=found.inspects | reader.inspects,
            writes=(*found.writes, *reader.writes),
            sizes=found.sizes | reader.sizes,
            depends=found.depends | frozenset(reader.depends),
            is_bound=True,
        )
        return _given(found, given)

    def _call(self, body: Node) -> Lineage:
        """A procedure may run where all that it reads is known, and nothing of that is masked."""
        reader = self._reader
        reader.changes = True
        value = reader.call(body["funccall"], Level(None))
        if value.opaque:
            return Lineage(forbidden=f"CALL of {sorted(value.opaque)[0]}()")
        reader.writes.append(Write("CALL", value))
        return self._of(Table([("", value)], is_open=True))

    def _copy(self, body: Node) -> Lineage:
        if body.get("is_program") or body.get("filename"):
            return Lineage(forbidden="COPY to or from a file or program")
        if body.get("is_from"):
            return self._copied_in(body)
        options = copy_options(body.get("options", []))
        if options is None:
            return Lineage(forbidden="COPY with options that are not known")
        query = body.get("query")
        found = self._of(self._reader.top(query)) if query else self._copied(body)
        return replace(found, copy=options, is_bound=True)

    def _copied_in(self, body: Node) -> Lineage:
        """COPY FROM STDIN stores what the client sends; only errors can show what is there."""
        reader = self._reader
        reader.changes = True
        source = reader.range_var({**body["relation"], "inh": True}, Level(None))
        reader.code_of(source)
        reader.test(body.get("whereClause"), Level(None))
        return self._of(Table())

    def _copied(self, body: Node) -> Lineage:
        # COPY of a table shows its own rows and none of its children's.
        source = self._reader.range_var({**body["relation"], "inh": False}, Level(None))
        if source.rest is not None:
            return self._of(Table([("", source.rest)], is_open=True))
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
            found = self._execute(query["ExecuteStmt"])
            if found.outputs is None:
                raise NotKnownError("what it copies is not known")
            writes = [Write(_COPYING[tag], value) for _, value in found.outputs]
            return replace(found, outputs=(), writes=(*found.writes, *writes), changes=True)
        self._reader.changes = True
        return self._of(self._reader.stored(self._reader.top(query), _COPYING[tag]))

    def _naming(self, body: Node) -> Lineage:
        """Read a definition: which relations it names, and the code in its expressions."""
        reader = self._reader
        found: set[int] = set()
        pending: list[object] = [body]
        values: list[Taint] = []
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending += value
                continue
            if not isinstance(value, dict):
                continue
            if "relname" in value:
                meaning = reader.scope.relation(range_name(value))
                reader.meant(range_name(value), meaning)
                found |= {relation.oid for relation in meaning.relations}
            if "items" in value and isinstance(value["items"], list):
                found |= self._listed(value["items"])
            for key, child in value.items():
                if key in _CODE:
                    values.append(reader.parts({key: child}, Level(None)))
                else:
                    pending.append(child)
        whole = computed(values)
        reader.writes.append(Write("the definition", replace(whole, opaque=frozenset())))
        return replace(
            self._of(Table()),
            opaque=whole.opaque,
            names=frozenset(found),
            is_bound=True,
            speaks=True,
            defines=True,
            changes=True,
        )

    def _listed(self, items: list[Node]) -> set[int]:
        names = [item["String"]["sval"] for item in items if item and "String" in item]
        if not names:
            return set()
        name = Name(names[-2] if len(names) > 1 else None, names[-1])
        return {relation.oid for relation in self._reader.scope.relation(name).relations}


def _given(found: Lineage, given: Taint) -> Lineage:
    """Return what a prepared statement does with values of its parameters."""
    if not given.columns and not given.opaque:
        return found
    outputs = (
        None
        if found.outputs is None
        else tuple((name, computed([value, given])) for name, value in found.outputs)
    )
    writes = tuple(replace(w, value=computed([w.value, given])) for w in found.writes)
    if found.changes and not writes:
        writes = (Write("the statement", given),)
    return replace(
        found,
        outputs=outputs,
        writes=writes,
        opaque=found.opaque | given.opaque,
        reached=found.reached | given.columns,
        used=found.used | given.columns,
        sizes=found.sizes | given.columns,
    )


def _called(tag: str) -> str:
    """Return what people call a statement, from its tag in the grammar."""
    words = tag.removesuffix("Stmt")
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in words)
    return spaced.strip().upper() or "this statement"
