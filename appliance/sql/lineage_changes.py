"""What INSERT, UPDATE, DELETE and MERGE store, and what their RETURNING shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from appliance.sql.catalog import Function, Relation
from appliance.sql.dependencies import Kind
from appliance.sql.facts import Name
from appliance.sql.lineage_names import Level, Source, Table
from appliance.sql.lineage_query import Queries
from appliance.sql.taint import Taint, Write, computed
from appliance.sql.walker import Node, range_name

_RULED = "\0"  # stands for all columns, and for how many there are


class Changes(Queries):
    """Reads statements that change rows."""

    changes = False

    def change(self, tag: str, node: Node, parent: Level | None) -> Table:
        """Return what a statement's RETURNING shows; note what it stores."""
        self.changes = True
        level = Level(parent)
        self.with_(node.get("withClause"), level)
        relation = node["relation"]
        target = self.range_var({**relation, "inh": True}, Level(None))
        target = self.aliased(target, relation.get("alias")).of_row(self.row())
        for named in self.scope.relation(range_name(relation)).relations:
            if named.is_system:  # definitions are changed by commands, which are looked at
                self.inspects.add(f"a change of {named.name}")
        code = self.code_of(target)
        for value in code.values():
            self.opaque |= value.opaque
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
        return self._returning(node, target, shown, level, code)

    def code_of(self, target: Source) -> dict[str, Taint]:
        """Return what code may put into the columns of rows that change; "" = into all.

        Checks, indexes, policies and what runs afterwards change nothing, but may fail loudly.
        """
        todo = {v.origin[0] for _, v in target.columns if v.origin}
        todo |= {v.plain[0] for _, v in target.columns if v.plain}
        found, seen = dict[str, Taint](), set[int]()
        while todo:
            oid = todo.pop()
            relation = self.catalog.by_oid(oid)
            if oid in seen or relation is None:
                continue
            seen.add(oid)
            self.pinned(oid)
            if self.catalog.is_active(oid):
                self.opaque.add(f"checks and triggers of {relation.name}")
            for name, value in self._code_in(relation, target):
                found[name] = computed([found.get(name, value), value])
            todo |= set(self.catalog.children(oid))
            for other in self.catalog.referencing(oid):  # what foreign keys do there
                if self.catalog.is_active(other):
                    self.opaque.add(f"triggers behind {relation.name}")
            if relation.kind == "v":
                rules = self.catalog.rules(oid)
                todo |= {o for rule in rules for o in rule.reach.relations}
        return found

    def _code_in(self, relation: Relation, target: Source) -> Iterator[tuple[str, Taint]]:
        if relation.kind == "f" or any(
            rule.event != "select" for rule in self.catalog.rules(relation.oid)
        ):
            kind = "" if relation.kind == "f" else _RULED
            yield kind, Taint(opaque=frozenset({f"rules of {relation.name}"}))
        columns = {column.number: column.name for column in relation.columns or ()}
        for oid, number, function in self.catalog.defaults:
            if oid == relation.oid:
                yield columns.get(number, ""), self._by_name_of(function)[0]
        for trigger in self.catalog.triggers:
            if trigger.relation != relation.oid or not trigger.changes_row:
                continue
            value, functions = self._by_name_of(trigger.function)
            sets = [self.assigned(function) for function in functions]
            if not sets or value.opaque or None in sets:
                yield "", Taint(opaque=frozenset({f"triggers of {relation.name}"}))
                continue
            whole = computed([value, target.whole()]).via(f"trigger {trigger.function}()")
            for column in frozenset[str]().union(*(names or () for names in sets)):
                yield column, whole

    def _by_name_of(self, name: Name) -> tuple[Taint, list[Function]]:
        """Return what the functions of a name read; opaque where that is not known."""
        found = [f for f in self.catalog.functions(name.name) if f.name == name]
        self.depend(Kind.FUNCTION, name.name)
        read = [self.reads(function) for function in found]
        known = [part.value for part in read if part is not None]
        if not found or len(known) != len(found):
            return Taint(opaque=frozenset({str(name)})), found
        return computed(known), found

    def _insert(self, node: Node, target: Source, level: Level) -> None:
        names = [entry["ResTarget"].get("name", "") for entry in node.get("cols", [])]
        names = names or [name for name, _ in target.columns]
        if "selectStmt" in node:
            table = self.query(node["selectStmt"], level.outside())
            for at, (_, value) in enumerate(table.columns):
                name = names[at] if at < len(names) and not table.is_open else ""
                self._write("INSERT", name, value, target)
        conflict = node.get("onConflictClause") or {}
        inner = Level(level)
        inner.sources.append(replace(target, alias="excluded").of_row(self.row()))
        self._assign(conflict.get("targetList"), target, inner)
        self.test(conflict.get("whereClause"), inner)
        self.test((conflict.get("infer") or {}).get("whereClause"), inner)

    def _assign(self, nodes: Any, target: Source, level: Level) -> None:
        for entry in nodes or ():
            body = entry["ResTarget"]
            value = self.expression(body.get("val", {}), level)
            if "indirection" in body:
                value = computed([value, self.parts(body["indirection"], level)])
            self._write("UPDATE", body.get("name", ""), value, target)

    def _pairs(self, nodes: Any, values: list[Node], target: Source, level: Level) -> None:
        names = [entry["ResTarget"].get("name", "") for entry in nodes or ()]
        names = names or [name for name, _ in target.columns]
        for at, value in enumerate(values):
            name = names[at] if at < len(names) else ""
            self._write("MERGE", name, self.expression(value, level), target)

    def _write(self, what: str, name: str, value: Taint, target: Source) -> None:
        if value.columns or value.opaque:
            found = target.named(name)
            column = found[0].plain if len(found) == 1 else None
            self.writes.append(Write(what, self.use(value), column))

    def _returning(
        self, node: Node, target: Source, shown: list[Source], level: Level, code: dict[str, Taint]
    ) -> Table:
        clause = node.get("returningClause") or {}
        exprs = clause.get("exprs") or node.get("returningList") or []
        tests = frozenset(level.tests)
        if _RULED in code:  # a rule may be a SELECT, whose rows are shown then
            shown_by_rules = code[_RULED]
            return Table([("", shown_by_rules)], True, tests)
        if not exprs:
            return Table(tests=tests)
        level.items = [*shown, target] if "mergeWhenClauses" in node else [target, *shown]
        names = {"old": "old", "new": "new"}
        for option in clause.get("options", []):
            body = option["ReturningOption"]
            names["old" if "OLD" in body.get("option", "") else "new"] = body.get("value", "")
        taken = {source.alias for source in level.sources}
        changed = self._changed(target, code)
        sources = [changed if source is target else source for source in level.sources]
        level.items = [changed if source is target else source for source in level.items]
        outer = Level(level.parent, shares=level)
        outer.sources = [
            replace(changed, alias=alias) for alias in names.values() if alias not in taken
        ]
        inner = Level(outer, shares=level)
        inner.sources, inner.items, inner.using = sources, level.items, level.using
        columns, is_open = self.targets(exprs, inner)
        self.opaque |= changed.whole().opaque
        return Table(columns, is_open, tests)

    def _changed(self, target: Source, code: dict[str, Taint]) -> Source:
        """Return the rows after the code that runs when they change."""
        everywhere = [code[""]] if "" in code else []
        columns = []
        for name, value in target.columns:
            more = [*everywhere, *([code[name]] if name in code else [])]
            if value.latent:  # a cast on the way in
                more.append(Taint(opaque=value.latent))
            columns.append((name, computed([value, *more]) if more else value))
        rest = None if target.rest is None else computed([target.rest, *code.values()])
        return replace(target, columns=columns, rest=rest)
