"""What the items of a FROM offer: names, sub-selects, joins, functions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace

from appliance.sql.catalog import Relation
from appliance.sql.dependencies import Dependency, Kind, is_temporary, quoted
from appliance.sql.facts import Name
from appliance.sql.lineage_calls import shapes
from appliance.sql.lineage_expressions import NotKnownError
from appliance.sql.lineage_functions import Calls
from appliance.sql.lineage_names import Level, Source, Table
from appliance.sql.lookup import Found
from appliance.sql.taint import ANY_COLUMN, CLEAN, Named, Taint, computed, merged
from appliance.sql.walker import Node, name_of, range_name, strings

# What stand for the OIDs of the session's own relations, and of what is in no relation.
_TEMPORARY = -1
_MADE = -2


class Froms(Calls):
    """Reads what stands in a FROM."""

    # Of a view that is being read: the relations that its tree names; names mean those.
    within: tuple[Relation, ...] | None = None

    @abstractmethod
    def relation(self, relation: Relation, inherits: bool = True) -> Source:
        """Return the columns of one relation."""

    @abstractmethod
    def text(self, text: str) -> Table:
        """Return the outputs of a query that is given as text."""

    def item(self, node: Node, level: Level) -> Source:
        """Add one item to a level; return what a star shows of it."""
        ((tag, body),) = node.items()
        if tag == "JoinExpr":
            return self._join(body, level)
        alias = body.get("alias")
        is_derived = tag == "RangeSubselect"
        if tag == "RangeVar":
            name = range_name(body)
            is_derived = name.schema is None and level.cte(name.name) is not None
            found = self.range_var(body, level)
        elif tag == "RangeTableSample":
            found = self.range_var(body["relation"]["RangeVar"], level)
            alias = body["relation"]["RangeVar"].get("alias")
            for seen in (level, level.outside()):
                self.size(self.parts([body.get("args"), body.get("repeatable")], seen))
        elif tag == "RangeSubselect":
            sees = level if body.get("lateral") else level.outside()
            table = self.query(body["subquery"], sees)
            found = table.source()
            level.tests |= table.tests
        elif tag == "RangeFunction":
            found = self._function(body, level)
        else:  # XMLTABLE, JSON_TABLE
            value = self.use(self.parts(body, level))
            document = body.get("docexpr") or body.get("context_item", {}).get("raw_expr") or {}
            read = self.expression(document, level) if document else value
            others = {k: v for k, v in body.items() if k not in ("docexpr", "context_item")}
            if not document or not self.is_fixed([document], [read], level):
                self.size(read)
            self.size(self.parts(others, level))
            found = Source([], replace(value, made=True).via(tag), is_made=True)
        found = self.aliased(found, alias)
        found = self._of_rows(found) if is_derived else found.of_row(self.row())
        if found.is_made:  # rows that the client makes up are rows to compare with, too
            found.columns = [(name, _made_up(value)) for name, value in found.columns]
            found.rest = None if found.rest is None else _made_up(found.rest)
        level.sources.append(found)
        level.is_made = level.is_made or found.is_made
        level.code |= found.code
        return found

    def _of_rows(self, found: Source) -> Source:
        """Return a derived table, each of whose rows may be of several: those of its own FROM."""
        own, numbers = self.row(), dict[int, int]()

        def counted(value: Taint) -> Taint:
            if value.made and not value.columns:
                value = _made_up(value)
            for row in value.rows - numbers.keys():
                numbers[row] = self.row()
            inner = frozenset(numbers[row] for row in value.rows)
            return replace(value, rows=inner or frozenset({own}))

        columns = [(name, counted(value)) for name, value in found.columns]
        rest = None if found.rest is None else counted(found.rest)
        return replace(found, columns=columns, rest=rest)

    def aliased(self, source: Source, alias: Node | None) -> Source:
        """Return the item under its alias and with the columns named there."""
        if not alias:
            return source
        names = strings(alias.get("colnames"))
        columns = source.columns
        if names and (source.rest is not None or len(names) > len(columns)):
            whole = source.rest if source.rest is not None else source.whole()
            columns = [(name, merged(whole, source.whole())) for name in names]
            source = replace(source, rest=whole)
        elif names:
            columns = [
                (names[at] if at < len(names) else name, value)
                for at, (name, value) in enumerate(columns)
            ]
        return replace(source, columns=list(columns), alias=alias.get("aliasname", ""))

    def range_var(self, node: Node, level: Level) -> Source:
        """Return what a name in FROM offers, under its own name."""
        name = range_name(node)
        cte = level.cte(name.name) if name.schema is None else None
        if cte is not None:
            level.tests |= cte.tests
            found = cte.source(name.name)
            found.columns = [(key, v.via(f"WITH {name.name}")) for key, v in found.columns]
            return found
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
            return self.text(meaning.views[0]).source()
        if meaning.relations:
            return self.relation(meaning.relations[0], inherits)
        if meaning.names:  # a temporary table: nothing masked gets into one
            return Source([], Taint(frozenset({(_TEMPORARY, ANY_COLUMN)})))
        raise NotKnownError(f"no relation {name} is known")

    def meant(self, name: Name, meaning: Found) -> None:
        """Note what a name of the text means now."""
        schema = "pg_temp" if name.schema and is_temporary(name.schema) else name.schema
        expected = "temp" if meaning.names else ""
        for relation in meaning.relations:
            expected = str(relation.oid)
        self.depends.add(Dependency(Kind.NAME, quoted(schema, name.name), expected))

    def _join(self, node: Node, level: Level) -> Source:
        start, using = len(level.sources), dict(level.using)
        left = self.item(node["larg"], level)
        right = self.item(node["rarg"], level)
        names = strings(node.get("usingClause"))
        if node.get("isNatural"):
            if left.rest is not None or right.rest is not None:
                raise NotKnownError("a NATURAL join of columns that are not known")
            theirs = {name for name, _ in right.columns}
            names = [name for name, _ in left.columns if name in theirs]
        shared = [
            (name, self._shared(left, right, name, node.get("jointype", "")), level)
            for name in names
        ]
        columns = [(name, value) for name, value, _ in shared]
        for name, value in columns:
            level.tests |= self.use(value).columns
            level.using[name] = value
        alone = [
            (name, value)
            for side in (left, right)
            for name, value in side.columns
            if name not in names
        ]
        rests = [side.rest for side in (left, right) if side.rest is not None]
        shown = Source([*columns, *alone], computed(rests) if rests else None)
        seen = Level(level.parent, shares=level)
        seen.sources, seen.using = level.sources[start:], dict(level.using)
        self.test(node.get("quals"), seen)
        level.tests |= seen.tests
        using_alias = node.get("join_using_alias")
        if using_alias:
            level.sources.append(Source(columns, alias=using_alias.get("aliasname", "")))
        if node.get("alias"):
            shown = self.aliased(shown, node["alias"])
            del level.sources[start:]
            level.using = using
            level.sources.append(shown)
        return shown

    def _shared(self, left: Source, right: Source, name: str, kind: str) -> Taint:
        """Return the column that USING makes of one from each side."""
        sides = [self._side(side, name) for side in (left, right)]
        both = computed([*sides, self.operators(["="])])
        self.use(both)
        self.links |= self.link(both, is_equality=True).links
        value = merged(sides[0], sides[1])
        if kind in ("JOIN_INNER", "JOIN_LEFT"):
            value = replace(value, plain=sides[0].plain)
        return value

    def _side(self, side: Source, name: str) -> Taint:
        found = side.named(name) or side.maybe() or [side.whole()]
        return computed(found) if len(found) > 1 else found[0]

    # -- functions ------------------------------------------------------------------------------

    def _function(self, node: Node, level: Level) -> Source:
        """Return what functions in FROM give; how many columns is often not known."""
        parts: list[Source] = []
        entries = node.get("functions", [])
        for entry in entries:
            items = entry.get("List", {}).get("items", [])
            listed = items[1].get("List", {}).get("items", []) if len(items) > 1 else []
            parts.append(self._one_function(items[0] if items else {}, listed, level))
        columns: list[Named] = []
        rests: list[Taint] = []
        for part in parts:
            columns += part.columns
            rests += [part.rest] if part.rest is not None else []
        alias = (node.get("alias") or {}).get("aliasname", "")
        if node.get("coldeflist"):
            whole = computed([value for _, value in columns] + rests)
            whole = computed([whole, *(self._declared(e) for e in node["coldeflist"])])
            whole = replace(whole, made=True)
            columns = [
                (entry["ColumnDef"].get("colname", ""), whole) for entry in node["coldeflist"]
            ]
            rests = []
        elif len(parts) == 1 and alias and len(columns) == 1 and not rests and parts[0].alias:
            columns = [(alias, columns[0][1])]  # a scalar's column takes the alias
        if node.get("ordinality"):
            columns.append(("ordinality", CLEAN))
        code = frozenset[str]().union(*(part.code for part in parts))
        made = any(part.is_made for part in parts)
        rest = computed(rests) if rests else None
        rest = None if rest is None else replace(rest, made=made)
        return Source(columns, rest, alias or (parts[0].alias if parts else ""), made, code)

    def _declared(self, entry: Node) -> Taint:
        return self.type_(entry["ColumnDef"].get("typeName", {}))

    def _one_function(self, call: Node, listed: list[Node], level: Level) -> Source:
        """Return what one function gives; ``alias``: "" where its columns have their own names."""
        function = call.get("FuncCall")
        if function is None:  # CURRENT_DATE, a cast …
            return Source([], replace(self.expression(call, level), made=True), "?", True)
        found = self.called_table(function, level)
        name = name_of(strings(function.get("funcname"))).name
        if isinstance(found, Table):
            level.tests |= found.tests
            return replace(found.source(name), alias=name if found.columns[0][0] == name else "")
        taint = replace(self.use(found), made=True)
        level.tests |= taint.columns
        if taint.opaque and taint.columns:
            self.size(taint)
        made = Source([], taint, name, True, taint.opaque)
        if listed:
            whole = computed([taint, *map(self._declared, listed)])
            whole = replace(whole, made=True)
            made.columns = [(entry["ColumnDef"].get("colname", ""), whole) for entry in listed]
            made.rest, made.alias = None, ""
            return made
        if taint.opaque or self._has_users(name):
            return made
        known = shapes()
        if name in known.tables:
            return replace(
                made, columns=[(n, taint) for n in known.tables[name]], rest=None, alias=""
            )
        arguments = function.get("args") or []
        if name == "unnest" and all(map(self._is_plain_array, arguments)):
            return replace(made, columns=[(name, taint) for _ in arguments], rest=None)
        if name in self.builtins.names and name not in known.open:
            return replace(made, columns=[(name, taint)], rest=None)
        return made

    def _has_users(self, name: str) -> bool:
        return bool(self.catalog.functions(name))

    def _is_plain_array(self, node: Node) -> bool:
        """Return whether the elements are surely no rows, which unnest would take apart."""
        if "TypeCast" in node:
            names = strings(node["TypeCast"]["typeName"].get("names"))
            return names[:1] == ["pg_catalog"] or names == ["text"]
        elements: Iterable[Node] = node.get("A_ArrayExpr", {}).get("elements", [{}])
        return all("A_Const" in element for element in elements)


def _made_up(value: Taint) -> Taint:
    return replace(value, sources=value.sources | {(_MADE, ANY_COLUMN)})
