"""What a query's columns carry: SELECT, VALUES, set operations, WITH."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

from appliance.sql.figures import UNSURE, figure
from appliance.sql.lineage_code import Bodies
from appliance.sql.lineage_expressions import NotKnownError
from appliance.sql.lineage_names import Level, Source, Table
from appliance.sql.taint import (
    CLEAN,
    ColumnId,
    Named,
    Taint,
    Write,
    computed,
    merged,
    tested,
    touched_by,
)
from appliance.sql.walker import Node, strings

_MAX_ROUNDS = 12
_QUERY_STEPS = 10  # that reading a query costs, compared with an expression
_BY_NAME = ("groupClause", "distinctClause", "sortClause")
_CHANGES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")


class Queries(Bodies):
    """Reads queries; every query level ends as the table of its outputs."""

    def query(self, node: Node, parent: Level | None) -> Table:
        """Return the outputs of a query that another one uses."""
        table = self.top(node, parent)
        columns = [(name, _decided(taint, table.tests)) for name, taint in table.columns]
        return replace(table, columns=columns)

    def top(self, node: Node, parent: Level | None = None) -> Table:
        """Return the outputs of a query that is the statement."""
        if "SelectStmt" in node:
            return self._select(node["SelectStmt"], parent)
        for tag in _CHANGES:
            if tag in node:
                return self.change(tag, node[tag], parent)
        if "op" in node or "targetList" in node or "valuesLists" in node:
            return self._select(node, parent)
        raise NotKnownError(f"{next(iter(node), 'this')} is no query that is understood")

    @abstractmethod
    def change(self, tag: str, node: Node, parent: Level | None) -> Table:
        """Return what INSERT, UPDATE, DELETE or MERGE returns."""

    def _select(self, node: Node, parent: Level | None) -> Table:
        self.step(_QUERY_STEPS)
        level = Level(parent)
        self.with_(node.get("withClause"), level)
        if "intoClause" in node:
            inner = {key: value for key, value in node.items() if key != "intoClause"}
            return self.stored(self._select(inner, level), "SELECT INTO")
        if node.get("op", "SETOP_NONE") != "SETOP_NONE":
            return self._set_operation(node, level)
        if "valuesLists" in node:
            return self._values(node, level)
        for item in node.get("fromClause", []):
            level.items.append(self.item(item, level))
        self.test(node.get("whereClause"), level)
        columns, is_open = self.targets(node.get("targetList", []), level)
        self.test(node.get("havingClause"), level)
        self._windows(node.get("windowClause"), level)
        for part in _BY_NAME:
            self._by_name(node.get(part), level, columns)
        self.limit(node, level)
        if node.get("distinctClause") == [{}]:
            self.use(computed(value for _, value in columns))
            self.operators(["="])
        tests = frozenset(level.tests)
        shown = [(n, touched_by(v, tests) if v.made else v) for n, v in columns]
        return Table(shown, is_open, tests, level.is_made, frozenset(level.code))

    def limit(self, node: Node, level: Level) -> None:
        """Note what LIMIT, OFFSET and FETCH are made from."""
        for part in ("limitOffset", "limitCount"):
            self.size(self.parts(node.get(part), level))

    def _windows(self, nodes: Any, level: Level) -> None:
        for node in nodes or ():
            window = node["WindowDef"]
            for part in ("partitionClause", "orderClause"):
                self.test(window.get(part), level)
            for part in ("startOffset", "endOffset"):
                self.size(self.parts(window.get(part), level))

    def _by_name(self, nodes: Any, level: Level, columns: list[Named]) -> None:
        """Read GROUP BY and ORDER BY: a bare name or a number may be an output."""
        for node in nodes or ():
            inner = node.get("SortBy", {}).get("node", node) if node else {}
            if "SortBy" in node:
                self._sorted_by(node["SortBy"])
            names = strings(inner.get("ColumnRef", {}).get("fields"))
            outputs = [value for name, value in columns if names == [name] or name == UNSURE]
            at = inner.get("A_Const", {}).get("ival", {}).get("ival", 0)
            if 0 < at <= len(columns):
                outputs.append(columns[at - 1][1])
            if (names or at) and outputs:
                shown = self.use(computed(outputs))
                level.tests |= shown.columns
                self.links |= shown.links
            known = any(source.named(names[0]) for source in level.sources) if names else False
            if not outputs or known or not (names or at):
                self.test(inner, level)

    def _sorted_by(self, node: Node) -> None:
        """Note the operators by which rows are put in order."""
        names = strings(node.get("useOp"))
        self.operators([names[-1]] if names else ["<", ">"])

    def _values(self, node: Node, level: Level) -> Table:
        columns: list[Named] = []
        for entry in node["valuesLists"]:
            items = entry.get("List", {}).get("items", [])
            row = [("", self.expression(item, level)) for item in items]
            columns = row if not columns else _union(columns, row)
        named = [
            (f"column{at}", replace(value, made=True, plain=None, origin=(0, 0), is_told=False))
            for at, (_, value) in enumerate(columns, 1)
        ]
        level.sources.append(Source(list(named)))
        self.test(node.get("sortClause"), level)
        self.limit(node, level)
        return Table(named, tests=frozenset(level.tests), is_made=True)

    def _set_operation(self, node: Node, level: Level) -> Table:
        left = self.query(node["larg"], level)
        right = self.query(node["rarg"], level)
        both = computed([left.whole(), right.whole()])
        if node.get("op") != "SETOP_UNION" or not node.get("all"):
            self.use(both)
            self.operators(["="])
        tests = left.tests | right.tests
        columns = [
            (name, value if value.columns else replace(value, made=True))
            for name, value in _union(left.columns, right.columns)
        ]
        is_open = left.is_open or right.is_open
        if is_open:
            columns = [(name, both) for name, _ in left.columns]
        if node.get("op") != "SETOP_UNION":  # which rows are left tells which are the same
            for (_, one), (_, other) in zip(left.columns, right.columns, strict=False):
                self.links |= self.link(computed([one, other]), is_equality=True).links
        level.sources.append(Source(list(columns)))
        for part in _BY_NAME:
            self._by_name(node.get(part), level, columns)
        self.limit(node, level)
        is_made = left.is_made or right.is_made
        return Table(columns, is_open, tests | level.tests, is_made, left.code | right.code)

    def targets(self, nodes: list[Node], level: Level) -> tuple[list[Named], bool]:
        """Return the outputs of a target list, stars expanded; and whether there may be others."""
        columns: list[Named] = []
        is_open = False
        for node in nodes:
            target = node["ResTarget"]
            value = target.get("val", {})
            stars = self._star(value, level)
            if stars is not None:
                for source in stars:
                    columns += source.columns
                    if source.rest is not None:
                        is_open = True
                        columns.append((UNSURE, source.rest))
                continue
            indirection = value.get("A_Indirection", {}).get("indirection", [])
            if indirection and "A_Star" in indirection[-1]:
                row = self.expression(value["A_Indirection"]["arg"], level)
                if len(indirection) == 1 and row.fields is not None:
                    columns += [(n, replace(v, origin=None)) for n, v in row.fields]
                else:
                    is_open = True
                    steps = self.parts(indirection, level)
                    columns.append((UNSURE, self.use(computed([steps, row]))))
                continue
            columns.append((target.get("name") or figure(value), self.expression(value, level)))
        return columns, is_open

    def _star(self, value: Node, level: Level) -> list[Source] | None:
        fields = value.get("ColumnRef", {}).get("fields", [])
        if not fields or "A_Star" not in fields[-1]:
            return None
        names = strings(fields)
        if not names:
            return level.items
        found = level.aliased(names[-1], is_qualified=len(names) > 1)
        if len(found) != 1:
            raise NotKnownError(f"what {names[-1]}.* shows is not known")
        return found

    # -- WITH -----------------------------------------------------------------------------------

    def with_(self, clause: Node | None, level: Level) -> None:
        """Read the queries of a WITH; recursive ones until nothing changes."""
        if not clause:
            return
        entries = [entry["CommonTableExpr"] for entry in clause.get("ctes", [])]
        if not clause.get("recursive"):
            for entry in entries:
                level.ctes = {**level.ctes, entry["ctename"]: self._cte(entry, level)}
            return
        for entry in entries:
            names = strings(entry.get("aliascolnames"))
            level.ctes[entry["ctename"]] = Table([(n, CLEAN) for n in names], True)
        for _ in range(_MAX_ROUNDS):
            before = dict(level.ctes)
            for entry in entries:
                level.ctes[entry["ctename"]] = self._recursive(entry, level)
            if before == level.ctes:
                return
        whole = Taint(frozenset(self.reached), opaque=frozenset(self.opaque), made=True)
        for entry in entries:
            table = level.ctes[entry["ctename"]]
            level.ctes[entry["ctename"]] = Table(
                [(n, whole) for n, _ in table.columns], True, is_made=True
            )

    def _recursive(self, entry: Node, level: Level) -> Table:
        """Return one round of a query that may use itself: what it yields is ``made``."""
        node = entry["ctequery"].get("SelectStmt", {})
        name = entry["ctename"]
        if "larg" not in node:
            return self._cte(entry, level)
        if level.ctes[name].is_open:
            start = self.query(node["larg"], level)
            if not start.is_open:
                level.ctes[name] = self._under_names(entry, start)
        table = self._cte(entry, level)
        columns = [
            (n, replace(v, made=True, plain=None, origin=None) if not v.plain else v)
            for n, v in table.columns
        ]
        table = replace(table, columns=columns, is_made=True)
        return self._ordered(entry, table)

    def _ordered(self, entry: Node, table: Table) -> Table:
        """Return the table with what SEARCH and CYCLE add to it."""
        search = entry.get("search_clause") or {}
        cycle = entry.get("cycle_clause") or {}
        if not search and not cycle:
            return table
        whole = computed([table.whole(), Taint(tested=table.tests)])
        more = [(search.get("search_seq_column", ""), whole)] if search else []
        if cycle:
            marks = [cycle.get(f"cycle_mark_{part}") for part in ("value", "default")]
            told = tested([whole, self.parts([m for m in marks if m], Level(None))])
            more += [
                (cycle.get("cycle_mark_column", ""), told),
                (cycle.get("cycle_path_column", ""), whole),
            ]
        return replace(table, columns=[*table.columns, *more])

    def _cte(self, entry: Node, level: Level) -> Table:
        return self._under_names(entry, self.query(entry["ctequery"], level))

    def _under_names(self, entry: Node, table: Table) -> Table:
        names = strings(entry.get("aliascolnames"))
        columns = [
            (names[at] if at < len(names) else name, value)
            for at, (name, value) in enumerate(table.columns)
        ]
        return replace(table, columns=columns)

    def stored(self, table: Table, what: str) -> Table:
        """Note that all of a query's result is kept; return what is shown of it: nothing."""
        self.writes += [Write(what, value) for _, value in table.columns]
        if table.is_open:
            self.writes.append(Write(what, table.whole()))
        return Table()


def _union(left: list[Named], right: list[Named]) -> list[Named]:
    if len(left) != len(right):
        whole = computed([value for _, value in left + right])
        return [(name, whole) for name, _ in left]
    return [
        (name, replace(merged(value, other), fields=None))
        for (name, value), (_, other) in zip(left, right, strict=True)
    ]


def _decided(taint: Taint, tests: frozenset[ColumnId]) -> Taint:
    """Return an output of an inner query after what decided whether it is there."""
    if taint.is_told and not taint.made:
        return replace(taint, tested=taint.tested | tests)
    return touched_by(taint, tests) if taint.made or not taint.columns else taint
