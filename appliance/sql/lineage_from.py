"""What the items of a FROM offer: relations, views, sub-selects, joins, functions."""

from __future__ import annotations

from dataclasses import replace

import orjson

from appliance.sql.analysis import is_slow
from appliance.sql.builtins import Builtins
from appliance.sql.catalog import MAX_DEFINITION, Relation
from appliance.sql.catalog_pins import FIRST_USER_OID
from appliance.sql.dependencies import Dependency, Kind, is_temporary, quoted
from appliance.sql.facts import Name
from appliance.sql.lexing import unreadable
from appliance.sql.lineage_calls import SINGLE, WATCHED
from appliance.sql.lineage_expressions import Expressions
from appliance.sql.lineage_names import Level, Source, Table
from appliance.sql.lookup import Found, Scope
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.taint import CLEAN, Named, Taint, computed, merged
from appliance.sql.walker import Node, name_of, range_name, strings

_MAX_VIEWS = 16


class NotKnownError(Exception):
    """Nothing can be said about a statement; the message says why."""


class Froms(Expressions):
    """Reads what stands in a FROM."""

    def __init__(self, scope: Scope, builtins: Builtins, library: PgQuery) -> None:
        super().__init__(scope, builtins)
        self.library = library
        self.relations: set[int] = set()
        self.reached: set[tuple[int, int]] = set()
        self.seen: tuple[int, ...] = ()
        self.within: tuple[Relation, ...] | None = None
        self.views: dict[int, Table] = {}

    def item(self, node: Node, level: Level) -> Source:
        """Add one item to a level; return what a star shows of it."""
        ((tag, body),) = node.items()
        if tag == "JoinExpr":
            return self._join(body, level)
        if tag == "RangeVar":
            found = self.range_var(body, level)
        elif tag == "RangeTableSample":
            found = self.range_var(body["relation"]["RangeVar"], level)
            level.tests |= self.parts(body.get("args"), level).columns
        elif tag == "RangeSubselect":
            table = self.query(body["subquery"], level)
            found = Source(list(table.columns), CLEAN if table.is_open else None)
            if table.is_open:
                found.rest = table.whole()
            level.tests |= table.tests
        elif tag == "RangeFunction":
            found = self._function(body, level)
        else:
            value = replace(self.use(self.parts(body, level)), made=True)
            level.tests |= value.columns
            found = Source([], value)
        alias = body.get("alias")
        if tag == "RangeTableSample":
            alias = body["relation"]["RangeVar"].get("alias")
        found = self.aliased(found, alias)
        level.sources.append(found)
        return found

    def aliased(self, source: Source, alias: Node | None) -> Source:
        """Return the item under its alias and with the columns named there."""
        if not alias:
            return source
        names = strings(alias.get("colnames"))
        columns = list(source.columns)
        if names and source.rest is not None:
            columns = [(name, source.rest) for name in names] + columns
        elif names:
            columns = [
                (names[at] if at < len(names) else name, value)
                for at, (name, value) in enumerate(columns)
            ]
        watched = source.watched
        if names and watched:
            self.inspects.add(source.name)
        return replace(source, columns=columns, alias=alias.get("aliasname", ""))

    def range_var(self, node: Node, level: Level) -> Source:
        """Return what a name in FROM offers, under its own name."""
        name = range_name(node)
        cte = level.cte(name.name) if name.schema is None else None
        if cte is not None:
            level.tests |= cte.tests
            return Source(list(cte.columns), cte.whole() if cte.is_open else None, name.name)
        return replace(self.named(name, bool(node.get("inh"))), alias=name.name)

    def named(self, name: Name, inherits: bool = True) -> Source:
        """Return what a relation offers by whatever its name may mean."""
        if self.within is not None:
            found = [r for r in self.within if r.name.name == name.name]
            exact = [r for r in found if name.schema in (None, r.name.schema)]
            if len(exact) != 1:
                raise NotKnownError(f"what {name} means in a view's definition is not known")
            return self.relation(exact[0], inherits)
        meaning = self.scope.relation(name)
        self.meant(name, meaning)
        if meaning.doubt and meaning.relations:
            raise NotKnownError(f"what {name} means is not known: {meaning.doubt}")
        several = len(meaning.relations) + len(meaning.views)
        if several > 1 or (meaning.names and meaning.relations):
            raise NotKnownError(f"{name} may be any of several relations")
        if meaning.views:
            table = self.text(meaning.views[0])
            return Source(list(table.columns), table.whole() if table.is_open else None)
        if meaning.relations:
            return self.relation(meaning.relations[0], inherits)
        if meaning.names:
            return Source([], CLEAN)  # a temporary table: nothing masked gets into one
        raise NotKnownError(f"no relation {name} is known")

    def meant(self, name: Name, meaning: Found) -> None:
        """Note what a name of the text means now."""
        schema = "pg_temp" if name.schema and is_temporary(name.schema) else name.schema
        expected = "temp" if meaning.names else ""
        for relation in meaning.relations:
            expected = str(relation.oid)
        self.depends.add(Dependency(Kind.NAME, quoted(schema, name.name), expected))

    def pinned(self, oid: int) -> None:
        """Note that a relation must be as it is now."""
        if oid >= FIRST_USER_OID:
            pin = self.catalog.pin(Kind.RELATION, str(oid))
            self.depends.add(Dependency(Kind.RELATION, str(oid), pin))

    def relation(self, relation: Relation, inherits: bool = True) -> Source:
        """Return the columns of one relation."""
        self.relations.add(relation.oid)
        self.pinned(relation.oid)
        if relation.kind != "r" or self.catalog.children(relation.oid):
            self.is_bound = self.is_bound or not relation.is_system
        watched = WATCHED.get(relation.name.name, frozenset())
        if relation.kind == "t":
            self.inspects.add(str(relation.name))
        if relation.columns is None:
            return Source([], CLEAN, watched=watched, name=str(relation.name))
        own: list[Named] = []
        view = self._view(relation) if relation.kind in "vm" else None
        for at, column in enumerate(relation.columns):
            here = (relation.oid, column.number)
            self.reached.add(here)
            sources = {here}
            if inherits:
                sources |= self._below(relation.oid, column.name)
            sources |= {
                (relation.oid, n) for n in self.catalog.generated_from(relation.oid, column.number)
            }
            taint = Taint(frozenset(sources), plain=here, origin=here)
            if view is not None:
                shown = view.columns[at][1]
                plain = shown.plain or (here if not shown.sources else None)
                taint = replace(
                    shown, sources=shown.sources | {here}, plain=plain, origin=here, fields=None
                )
            own.append((column.name, taint))
        self.reached |= {source for _, taint in own for source in taint.sources}
        return Source(own, watched=watched, name=str(relation.name))

    def _below(self, oid: int, name: str) -> set[tuple[int, int]]:
        found, todo, seen = set[tuple[int, int]](), list(self.catalog.children(oid)), {oid}
        while todo:
            child = todo.pop()
            if child in seen:
                continue
            seen.add(child)
            if self.catalog.children(child):
                self.pinned(child)
            todo += self.catalog.children(child)
            relation = self.catalog.by_oid(child)
            found |= {
                (child, column.number)
                for column in (relation.columns if relation else None) or ()
                if column.name == name
            }
        return found

    def _view(self, relation: Relation) -> Table:
        """Return what a view shows; where that is not known, all it reads."""
        known = self.views.get(relation.oid)
        if known is not None:
            return known
        count = len(relation.columns or ())
        rules = [rule for rule in self.catalog.rules(relation.oid) if rule.event == "select"]
        oids = [oid for rule in rules for oid in rule.reach.relations if oid != relation.oid]
        bases = tuple(base for oid in oids if (base := self.catalog.by_oid(oid)) is not None)
        called = frozenset(str(name) for rule in rules for name in rule.reach.functions)
        outer = (self.within, self.called, self.seen)
        text = self.catalog.view(relation.oid)
        if relation.oid in self.seen or len(self.seen) > _MAX_VIEWS or len(bases) != len(oids):
            raise NotKnownError(f"what the view {relation.name} shows is not known")
        self.within, self.called, self.seen = bases, called, (*self.seen, relation.oid)
        inspects, opaque = set(self.inspects), set(self.opaque)
        try:
            table = self.text(text) if text is not None else None
            hidden = frozenset(n for n in called if not n.startswith("pg_catalog.")) - self.opaque
            if table is None or table.is_open or len(table.columns) != count:
                table = None
        except NotKnownError:
            table, hidden = None, frozenset(called)
        if table is None:
            self.inspects, self.opaque = inspects, opaque
            whole = computed(value for base in bases for _, value in self.relation(base).columns)
            users = frozenset(n for n in called if not n.startswith("pg_catalog."))
            whole = computed([whole, Taint(opaque=users | {f"view {relation.name}"})])
            table = Table([("", whole)] * count)
        elif hidden:
            more = Taint(opaque=hidden)
            self.opaque |= hidden
            table = Table([(n, computed([v, more])) for n, v in table.columns], tests=table.tests)
        self.within, self.called, self.seen = outer
        self.views[relation.oid] = table
        return table

    def text(self, text: str) -> Table:
        """Return what a query that stands in a text shows."""
        statement = self.parsed(text)
        return self.query(statement, None)

    def parsed(self, text: str) -> Node:
        """Return the tree of the one statement in a text."""
        if len(text) > MAX_DEFINITION or unreadable(text) or is_slow(text):
            raise NotKnownError("a definition is too large to be analysed")
        try:
            statements = orjson.loads(self.library.parse(text.encode())).get("stmts", [])
        except (GrammarError, ValueError) as error:
            raise NotKnownError("a definition could not be analysed") from error
        if len(statements) != 1:
            raise NotKnownError("a definition is not one statement")
        tree: Node = statements[0]["stmt"]
        return tree

    def _join(self, node: Node, level: Level) -> Source:
        start = len(level.sources)
        left = self.item(node["larg"], level)
        right = self.item(node["rarg"], level)
        names = strings(node.get("usingClause"))
        if node.get("isNatural"):
            if left.rest is not None or right.rest is not None:
                raise NotKnownError("a NATURAL join of columns that are not known")
            theirs = {name for name, _ in right.columns}
            names = [name for name, _ in left.columns if name in theirs]
        columns: list[Named] = []
        for name in names:
            sides = [self._side(side, name) for side in (left, right)]
            level.tests |= self.use(computed(sides)).columns
            value = merged(sides[0], sides[1])
            if node.get("jointype", "") in ("JOIN_INNER", "JOIN_LEFT"):
                value = replace(value, plain=sides[0].plain)
            columns.append((name, value))
            level.using[name] = value
        merged_columns = list(columns)
        columns += [
            (name, value)
            for side in (left, right)
            for name, value in side.columns
            if name not in names
        ]
        rests = [side.rest for side in (left, right) if side.rest is not None]
        shown = Source(columns, computed(rests) if rests else None)
        shown.watched = left.watched | right.watched
        shown.name = left.name if left.watched else right.name
        self.test(node.get("quals"), level)
        using_alias = node.get("join_using_alias")
        if using_alias:
            level.sources.append(Source(merged_columns, alias=using_alias.get("aliasname", "")))
        if node.get("alias"):
            shown = self.aliased(shown, node["alias"])
            del level.sources[start:]
            level.sources.append(shown)
        return shown

    def _side(self, side: Source, name: str) -> Taint:
        for key, value in side.columns:
            if key == name:
                return value
        if side.rest is not None:
            return side.rest
        return side.whole()

    def _function(self, node: Node, level: Level) -> Source:
        """Return what functions in FROM give; how many columns is often not known."""
        values, names, single = [], [], True
        for entry in node.get("functions", []):
            items = entry.get("List", {}).get("items", [])
            call = items[0] if items else {}
            values.append(self.expression(call, level))
            function = name_of(strings(call.get("FuncCall", {}).get("funcname")))
            names.append(function.name)
            single = single and function.name in SINGLE
            if function.name == "unnest":
                given = len(call["FuncCall"].get("args") or [])
                names += [function.name] * (given - 1)
                single = single or (given > 1 and len(node["functions"]) == 1)
            self.parts(items[1:], level)
        taint = replace(self.use(computed(values)), made=True)
        self.opaque |= taint.opaque
        level.tests |= taint.columns
        alias = (node.get("alias") or {}).get("aliasname", "")
        if node.get("coldeflist"):
            columns = [
                (entry["ColumnDef"].get("colname", ""), taint) for entry in node["coldeflist"]
            ]
            return Source(columns, alias=alias)
        if single and not taint.opaque:
            if alias and len(names) == 1:
                names = [alias]
            columns = [(name, taint) for name in names]
            if node.get("ordinality"):
                columns.append(("ordinality", CLEAN))
            return Source(columns, alias=alias or names[0])
        return Source([], taint, alias=alias or (names[0] if names else ""))
