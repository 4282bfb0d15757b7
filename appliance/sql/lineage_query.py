"""What a query's columns carry: SELECT, set operations, WITH, and statements with RETURNING."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appliance.sql.lineage_from import Froms, NotKnownError
from appliance.sql.lineage_names import Level, Source, Table
from appliance.sql.taint import CLEAN, ColumnId, Named, Taint, Write, computed, merged, touched_by
from appliance.sql.walker import Node, strings

_MAX_ROUNDS = 12
_DECIDING = (
    "whereClause",
    "groupClause",
    "havingClause",
    "windowClause",
    "distinctClause",
    "sortClause",
    "limitOffset",
    "limitCount",
)


class Queries(Froms):
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
        for tag in ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"):
            if tag in node:
                return self._change(tag, node[tag], parent)
        if "op" in node or "targetList" in node:
            return self._select(node, parent)
        raise NotKnownError(f"{next(iter(node), 'this')} is no query that is understood")

    def _select(self, node: Node, parent: Level | None) -> Table:
        level = Level(parent)
        self.with_(node.get("withClause"), level)
        if "intoClause" in node:
            inner = {key: value for key, value in node.items() if key != "intoClause"}
            table = self._select(inner, level)
            self.writes += [Write("SELECT INTO", value) for _, value in table.columns]
            self._open_write(table, "SELECT INTO")
            return Table()
        if node.get("op", "SETOP_NONE") != "SETOP_NONE":
            table = self._set_operation(node, level)
            level.sources.append(Source(list(table.columns)))
            for part in _DECIDING:
                self.test(node.get(part), level)
            return replace(table, tests=table.tests | level.tests)
        if "valuesLists" in node:
            return self._values(node["valuesLists"], level)
        for item in node.get("fromClause", []):
            level.items.append(self.item(item, level))
        columns, is_open = self.targets(node.get("targetList", []), level)
        for part in _DECIDING:
            if part in ("groupClause", "sortClause", "distinctClause"):
                self._by_name(node.get(part), level, columns)
            else:
                self.test(node.get(part), level)
        if node.get("distinctClause") == [{}] or node.get("groupDistinct"):
            self.use(computed(value for _, value in columns))
        tests = frozenset(level.tests)
        shown = [(n, touched_by(v, tests) if v.made else v) for n, v in columns]
        return Table(shown, is_open, tests)

    def _by_name(self, nodes: Any, level: Level, columns: list[Named]) -> None:
        """Read GROUP BY and ORDER BY: a bare name or a number may be an output."""
        for node in nodes or ():
            inner = node.get("SortBy", {}).get("node", node) if node else {}
            names = strings(inner.get("ColumnRef", {}).get("fields"))
            outputs = [value for name, value in columns if names == [name]]
            at = inner.get("A_Const", {}).get("ival", {}).get("ival", 0)
            if 0 < at <= len(columns):
                outputs.append(columns[at - 1][1])
            if outputs:
                level.tests |= self.use(computed(outputs)).columns
            known = any(n == names[0] for s in level.sources for n, _ in s.columns) if names else 0
            if not outputs or known:
                self.test(inner, level)

    def _values(self, lists: list[Node], level: Level) -> Table:
        columns: list[Named] = []
        for entry in lists:
            items = entry.get("List", {}).get("items", [])
            row = [("", self.expression(item, level)) for item in items]
            columns = row if not columns else self._merge(columns, row)
        named = [
            (f"column{at}", replace(value, made=True, plain=None, origin=(0, 0)))
            for at, (_, value) in enumerate(columns, 1)
        ]
        return Table(named, tests=frozenset(level.tests))

    def _merge(self, left: list[Named], right: list[Named]) -> list[Named]:
        if len(left) != len(right):
            whole = computed([value for _, value in left + right])
            return [(name, whole) for name, _ in left]
        return [
            (name, replace(merged(value, other), fields=None))
            for (name, value), (_, other) in zip(left, right, strict=True)
        ]

    def _set_operation(self, node: Node, level: Level) -> Table:
        left = self.query(node["larg"], level)
        right = self.query(node["rarg"], level)
        if node.get("op") != "SETOP_UNION" or not node.get("all"):
            self.use(computed([left.whole(), right.whole()]))
        tests = left.tests | right.tests
        if left.is_open or right.is_open:
            whole = computed([left.whole(), right.whole()])
            return Table([(name, whole) for name, _ in left.columns], True, tests)
        return Table(self._merge(left.columns, right.columns), tests=tests)

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
                    if source.watched:
                        self.inspects.add(source.name)
                    if source.rest is not None:
                        is_open = True
                        columns.append(("", source.rest))
                continue
            indirection = value.get("A_Indirection", {}).get("indirection", [])
            taint = self.expression(value, level)
            if indirection and "A_Star" in indirection[-1]:
                row = self.expression(value["A_Indirection"]["arg"], level)
                if len(indirection) == 1 and row.fields is not None:
                    columns += [(n, replace(v, origin=None)) for n, v in row.fields]
                else:
                    is_open = True
                    columns.append(("", computed([taint, row])))
                continue
            columns.append((target.get("name") or figure(value), taint))
        return columns, is_open

    def _star(self, value: Node, level: Level) -> list[Source] | None:
        fields = value.get("ColumnRef", {}).get("fields", [])
        if not fields or "A_Star" not in fields[-1]:
            return None
        names = strings(fields)
        if not names:
            return level.items
        found = level.source(names[-1])
        if len(found) != 1:
            raise NotKnownError(f"what {names[-1]}.* shows is not known")
        return found

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
        whole = Taint(frozenset(self.reached), opaque=frozenset(self.opaque))
        for entry in entries:
            table = level.ctes[entry["ctename"]]
            level.ctes[entry["ctename"]] = Table([(n, whole) for n, _ in table.columns], True)

    def _recursive(self, entry: Node, level: Level) -> Table:
        """Return one round of a query that may use itself: what it yields is ``made``."""
        node = entry["ctequery"].get("SelectStmt", {})
        name = entry["ctename"]
        if level.ctes[name].is_open and node.get("larg"):
            start = self.query(node["larg"], level)
            if not start.is_open:
                level.ctes[name] = self._named(entry, start)
        table = self._cte(entry, level)
        columns = [
            (n, replace(v, made=True, plain=None, origin=None) if not v.plain else v)
            for n, v in table.columns
        ]
        table = replace(table, columns=columns)
        if entry.get("search_clause") or entry.get("cycle_clause"):
            table = replace(table, is_open=True)
        return table

    def _cte(self, entry: Node, level: Level) -> Table:
        return self._named(entry, self.query(entry["ctequery"], level))

    def _named(self, entry: Node, table: Table) -> Table:
        names = strings(entry.get("aliascolnames"))
        columns = [
            (names[at] if at < len(names) else name, value)
            for at, (name, value) in enumerate(table.columns)
        ]
        return replace(table, columns=columns)

    def _open_write(self, table: Table, what: str) -> None:
        if table.is_open:
            self.writes.append(Write(what, table.whole()))

    # -- statements that change rows ------------------------------------------------------------

    def _change(self, tag: str, node: Node, parent: Level | None) -> Table:
        level = Level(parent)
        self.with_(node.get("withClause"), level)
        relation = node["relation"]
        target = self.range_var({**relation, "inh": True}, Level(None))
        target = self.aliased(target, relation.get("alias"))
        oids = {v.origin[0] for _, v in target.columns if v.origin}
        code = {
            f"rules and triggers of {target.name}"
            for oid in oids
            if self.catalog.is_active(oid)
            or any(rule.event != "select" for rule in self.catalog.rules(oid))
        }
        self.opaque |= code
        level.sources.append(target)
        sources: list[Node] = [*node.get("fromClause", []), *node.get("usingClause", [])]
        if "sourceRelation" in node:
            sources.append(node["sourceRelation"])
        shown = [] if tag == "InsertStmt" else [self.item(item, level) for item in sources]
        self.test(node.get("whereClause"), level)
        self.test(node.get("joinCondition"), level)
        if tag == "InsertStmt":
            self._insert(node, target, level)
        else:
            self._assign(node.get("targetList"), target, level)
        for clause in node.get("mergeWhenClauses", []):
            body = clause["MergeWhenClause"]
            self.test(body.get("condition"), level)
            if body.get("values"):
                self._pairs(body.get("targetList"), body["values"], target, level)
            else:
                self._assign(body.get("targetList"), target, level)
        return self._returning(node, target, shown, level, frozenset(code))

    def _insert(self, node: Node, target: Source, level: Level) -> None:
        names = [entry["ResTarget"].get("name", "") for entry in node.get("cols", [])]
        names = names or [name for name, _ in target.columns]
        if "selectStmt" in node:
            outer = Level(level.parent)
            outer.ctes = level.ctes
            table = self.query(node["selectStmt"], outer)
            for at, (_, value) in enumerate(table.columns):
                name = names[at] if at < len(names) and not table.is_open else ""
                self._write("INSERT", name, value, target)
        conflict = node.get("onConflictClause") or {}
        inner = Level(level)
        inner.sources.append(replace(target, alias="excluded"))
        self._assign(conflict.get("targetList"), target, inner)
        self.test(conflict.get("whereClause"), inner)
        self.test((conflict.get("infer") or {}).get("whereClause"), inner)

    def _assign(self, nodes: Any, target: Source, level: Level) -> None:
        for entry in nodes or ():
            body = entry["ResTarget"]
            value = self.expression(body.get("val", {}), level)
            self._write("UPDATE", body.get("name", ""), value, target)

    def _pairs(self, nodes: Any, values: list[Node], target: Source, level: Level) -> None:
        names = [entry["ResTarget"].get("name", "") for entry in nodes or ()]
        names = names or [name for name, _ in target.columns]
        for at, value in enumerate(values):
            name = names[at] if at < len(names) else ""
            self._write("MERGE", name, self.expression(value, level), target)

    def _write(self, what: str, name: str, value: Taint, target: Source) -> None:
        if value.columns or value.opaque:
            column = dict(target.columns).get(name, CLEAN).plain
            self.writes.append(Write(what, self.use(value), column))

    def _returning(
        self, node: Node, target: Source, shown: list[Source], level: Level, code: frozenset[str]
    ) -> Table:
        clause = node.get("returningClause") or {}
        exprs = clause.get("exprs") or node.get("returningList") or []
        if not exprs:
            return Table(tests=frozenset(level.tests))
        level.items = [*shown, target] if "mergeWhenClauses" in node else [target, *shown]
        names = {"old": "old", "new": "new"}
        for option in clause.get("options", []):
            body = option["ReturningOption"]
            names["old" if "OLD" in body.get("option", "") else "new"] = body.get("value", "")
        taken = {source.alias for source in level.sources}
        for alias in names.values():
            if alias not in taken:
                level.sources.append(replace(target, alias=alias))
        # A bare name is the target's: old and new stand apart.
        extra = [s for s in level.sources if s.alias in names.values() and s.alias not in taken]
        inner = Level(level)
        inner.sources = [s for s in level.sources if s not in extra]
        level.sources = extra
        inner.items = level.items
        columns, is_open = self.targets(exprs, inner)
        if code:
            columns = [(n, computed([v, Taint(opaque=code)])) for n, v in columns]
        return Table(columns, is_open, frozenset(level.tests))


def _decided(taint: Taint, tests: frozenset[ColumnId]) -> Taint:
    """Return an output of an inner query after what decided whether it is there."""
    if taint.is_told:
        return replace(taint, tested=taint.tested | tests)
    return touched_by(taint, tests) if taint.made or not taint.columns else taint


def figure(value: Node) -> str:  # noqa: C901 - a list of cases
    """Return the name that PostgreSQL gives an output without one; "" where it is not sure."""
    for tag, body in value.items():
        if tag == "ColumnRef":
            return (strings(body.get("fields")) or [""])[-1]
        if tag == "FuncCall":
            return (strings(body.get("funcname")) or [""])[-1]
        if tag == "A_Indirection":
            return (strings(body.get("indirection")) or [figure(body["arg"])])[-1]
        if tag == "TypeCast":
            inner = figure(body["arg"])
            return inner or (strings(body.get("typeName", {}).get("names")) or [""])[-1]
        if tag == "SubLink":
            kind = body.get("subLinkType")
            if kind == "EXISTS_SUBLINK":
                return "exists"
            if kind == "ARRAY_SUBLINK":
                return "array"
            inner_targets = body["subselect"].get("SelectStmt", {}).get("targetList", [])
            if len(inner_targets) == 1:
                target = inner_targets[0]["ResTarget"]
                return str(target.get("name") or figure(target.get("val", {})))
        if tag == "CaseExpr":
            return figure(body.get("defresult", {})) or "case"
        if tag == "CoalesceExpr":
            return "coalesce"
        if tag == "MinMaxExpr":
            return "least" if body.get("op") == "IS_LEAST" else "greatest"
        if tag == "RowExpr":
            return "row"
        if tag == "A_ArrayExpr":
            return "array"
    return ""
