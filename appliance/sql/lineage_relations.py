"""What relations offer: columns of tables, what views show, what bodies of functions give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import orjson

from appliance.sql.analysis import is_slow
from appliance.sql.builtins import Builtins
from appliance.sql.catalog import MAX_DEFINITION, Column, Relation
from appliance.sql.lexing import unreadable
from appliance.sql.lineage_calls import WATCHED
from appliance.sql.lineage_expressions import NotKnownError
from appliance.sql.lineage_from import Froms
from appliance.sql.lineage_names import Source, Table
from appliance.sql.lookup import Scope
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.taint import ANY_COLUMN, ColumnId, Named, Taint, computed
from appliance.sql.walker import Node

_MAX_VIEWS = 16

_SETTING_VALUES = frozenset({"setting", "reset_val"})


class Relations(Froms):
    """Reads relations, the definitions of views and the bodies of functions."""

    def __init__(self, scope: Scope, builtins: Builtins, library: PgQuery) -> None:
        super().__init__(scope, builtins)
        self.library = library
        self.relations: set[int] = set()
        self.reached: set[ColumnId] = set()
        self.watched: dict[ColumnId, str] = {}
        self._views: dict[int, Table] = {}

    def relation(self, relation: Relation, inherits: bool = True) -> Source:
        """Return the columns of one relation."""
        self.relations.add(relation.oid)
        self.pinned(relation.oid)
        if relation.kind != "r" or self.catalog.children(relation.oid):
            self.is_bound = self.is_bound or not relation.is_system
        if relation.kind == "t":
            self.inspects.add(str(relation.name))
        if self.catalog.has_policies(relation.oid):
            self.opaque.add(f"policies of {relation.name}")
        if relation.columns is None:
            return self._system(relation)
        own: list[Named] = []
        view = self._view(relation) if relation.kind in "vm" else None
        for at, column in enumerate(relation.columns):
            taint = self._column(relation, column, inherits)
            if view is not None:
                if view.columns[at][1].columns:
                    self.shown_again.add((relation.oid, column.number))
                taint = _through_view(relation, taint, view.columns[at][1])
            own.append((column.name, self._watch(relation, column.number, column.name, taint)))
        self.reached |= {source for _, taint in own for source in taint.columns}
        code = frozenset[str]() if view is None else view.code
        return Source(own, is_made=view is not None and view.is_made, code=code)

    def _system(self, relation: Relation) -> Source:
        """Return a relation of which only the columns that must be watched are known, if any."""
        rest = Taint(frozenset({(relation.oid, ANY_COLUMN)}))
        columns = self.catalog.system_columns(relation.oid)
        if not columns:
            if relation.name.name in WATCHED:
                self.inspects.add(str(relation.name))
            return Source([], rest)
        own: list[Named] = []
        for number, name in columns:
            taint = replace(rest, origin=(relation.oid, number))
            own.append((name, self._watch(relation, number, name, taint)))
        return Source(own)

    def _watch(self, relation: Relation, number: int, name: str, taint: Taint) -> Taint:
        watched = WATCHED.get(relation.name.name, ())
        if relation.name.name == "pg_settings" and self.catalog.sets_settings:
            watched = _SETTING_VALUES
        if name not in watched:
            return taint
        here = (relation.oid, number)
        self.watched[here] = f"{relation.name}.{name}"
        self.reached.add(here)
        return replace(taint, sources=taint.sources | {here}, plain=here, origin=here)

    def _column(self, relation: Relation, column: Column, inherits: bool) -> Taint:
        here = (relation.oid, column.number)
        sources = {here}
        if inherits:
            sources |= self._below(relation.oid, column.name)
        for oid, number in tuple(sources):
            sources |= {(oid, n) for n in self.catalog.generated_from(oid, number)}
        latent = self.casting(column.type)
        return Taint(frozenset(sources), plain=here, origin=here, latent=latent)

    def _below(self, oid: int, name: str) -> set[ColumnId]:
        found, todo, seen = set[ColumnId](), list(self.catalog.children(oid)), {oid}
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

    @contextmanager
    def apart(
        self, within: tuple[Relation, ...] | None, called: frozenset[str] | None, seen: int
    ) -> Iterator[None]:
        """Read a definition of somebody else's: its names are its own, its uses no one's."""
        outer = (self.within, self.called, self.seen, self.used, self.scope)
        self.within, self.called, self.seen = within, called, (*self.seen, seen)
        self.used = set()
        try:
            yield
        finally:
            self.within, self.called, self.seen, self.used, self.scope = outer

    def _view(self, relation: Relation) -> Table:
        """Return what a view shows; where that is not known, all it reads."""
        known = self._views.get(relation.oid)
        if known is not None:
            return known
        count = len(relation.columns or ())
        rules = [rule for rule in self.catalog.rules(relation.oid) if rule.event == "select"]
        oids = [oid for rule in rules for oid in rule.reach.relations if oid != relation.oid]
        bases = tuple(base for oid in oids if (base := self.catalog.by_oid(oid)) is not None)
        called = frozenset(str(name) for rule in rules for name in rule.reach.functions)
        users = frozenset(n for n in called if not n.startswith("pg_catalog."))
        if relation.oid in self.seen or len(self.seen) > _MAX_VIEWS or len(bases) != len(oids):
            raise NotKnownError(f"what the view {relation.name} shows is not known")
        text = self.catalog.view(relation.oid)
        inspects, opaque, read = set(self.inspects), self.opaque, self.code_read
        table = None
        with self.apart(bases, called, relation.oid):
            self.opaque, self.code_read = set(), set()
            try:
                table = self.text(text) if text is not None else None
            except NotKnownError:
                table = None
            hidden = self._unread(users)
            if table is None or table.is_open or len(table.columns) != count:
                self.inspects = inspects
                table = self._all_of(bases, count)
                hidden = users | {f"view {relation.name}"}
            if hidden:
                more = Taint(opaque=hidden)
                table.columns = [(n, computed([v, more])) for n, v in table.columns]
            self.opaque |= opaque | hidden
            self.code_read |= read
        self._views[relation.oid] = table
        return table

    def _all_of(self, bases: tuple[Relation, ...], count: int) -> Table:
        shown = [self.relation(base).whole() for base in bases]
        return Table([("", computed(shown))] * count)

    def _unread(self, users: frozenset[str]) -> frozenset[str]:
        """Return the users' functions of a view that its text did not show where."""
        hidden = set()
        for name in users - self.opaque - self.code_read:
            schema, _, bare = name.rpartition(".")
            found = [f for f in self.catalog.functions(bare) if f.name.schema == schema]
            if not found or not all(map(self.is_sure, found)):
                hidden.add(name)
        return frozenset(hidden)

    def text(self, text: str) -> Table:
        """Return what a query that stands in a text shows."""
        return self.query(self.parsed(text), None)

    def parsed(self, text: str, limit: int = MAX_DEFINITION) -> Node:
        """Return the tree of the one statement in a text."""
        if len(text) > limit or unreadable(text) or is_slow(text):
            raise NotKnownError("a definition is too large to be analysed")
        try:
            statements = orjson.loads(self.library.parse(text.encode())).get("stmts", [])
        except (GrammarError, ValueError) as error:
            raise NotKnownError("a definition could not be analysed") from error
        if len(statements) != 1:
            raise NotKnownError("a definition is not one statement")
        tree: Node = statements[0]["stmt"]
        return tree


def _through_view(relation: Relation, own: Taint, shown: Taint) -> Taint:
    """Return a view's column: what its definition shows there, under the view's own origin."""
    here = own.origin
    plain = shown.plain or (here if not shown.columns and not shown.opaque else None)
    value = replace(shown, sources=shown.sources | own.sources, plain=plain, origin=here)
    return replace(value, fields=None, latent=own.latent).via(f"view {relation.name}")
