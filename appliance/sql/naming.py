"""Resolves the names of one statement and adds what they mean to its effects."""

from __future__ import annotations

from dataclasses import replace

from appliance.sql.builtins import Builtins
from appliance.sql.catalog import Relation
from appliance.sql.effects import Effects
from appliance.sql.expand import Expansion
from appliance.sql.facts import EffectClass, Name, SettingChange
from appliance.sql.lookup import TEMP, Found, Scope, is_temp
from appliance.sql.parsed import FunctionUse, Parsed, ParsedStatement, RelationUse
from appliance.sql.walker import why_unknown

_MAX_DEPTH = 16  # of bodies that call bodies, views over views


class StatementNames:
    """One statement's names, resolved. Afterwards: ``unknown``, ``needs_catalog``, ``flags`` …"""

    def __init__(
        self,
        scope: Scope,
        builtins: Builtins,
        effects: Effects,
        outer: StatementNames | None = None,
        via: str = "",
    ) -> None:
        self._scope = scope
        self._builtins = builtins
        self._effects = effects
        self._depth: int = outer._depth + 1 if outer else 0
        self._via = via
        self._expansion: Expansion = Expansion(
            scope,
            builtins,
            effects,
            self._definition,
            outer._expansion if outer else None,
        )
        self._unknown = ""
        self.needs_catalog = False
        self.moves_names = False  # its bodies change what names mean
        self._changes_state = False

    @property
    def unknown(self) -> str:
        return self._unknown or self._expansion.unknown

    @property
    def changes_state(self) -> bool:
        return self._changes_state or self._expansion.changes_state

    @property
    def flags(self) -> dict[tuple[str, str], None]:
        return self._expansion.flags

    def resolve(self, parsed: ParsedStatement) -> None:
        """Add what the statement's names mean."""
        found = [
            Found() if use.created else self._scope.relation(use.name) for use in parsed.relations
        ]
        for use, meaning in zip(parsed.relations, found, strict=True):
            if use.created:
                self._create(use)
            else:
                self._relation(use, meaning, found)
        columns = self._columns(found)
        for call in parsed.functions:
            self._function(call, columns)
        for attribute in parsed.attributes:
            self._attribute(attribute)
        self._schemas(parsed)
        self._operators(parsed)

    # -- relations ------------------------------------------------------------------------------

    def _create(self, use: RelationUse) -> None:
        schema = use.name.schema
        if use.temporary or is_temp(schema):
            made = Name(TEMP, use.name.name)
            self._effects.add(EffectClass.TEMP_DDL, made, via=self._via)
        else:
            made = use.name if schema else Name(self._scope.creation_schema(), use.name.name)
            self._effects.add(use.cls, made, via=self._via)
        self._scope.create(made)

    def _relation(self, use: RelationUse, meaning: Found, all_found: list[Found]) -> None:
        for name in meaning.names:  # temporary, or made just now
            cls = use.cls
            if cls is EffectClass.DDL and name.schema == TEMP:
                cls = EffectClass.TEMP_DDL
            self._effects.add(
                cls,
                name,
                columns=use.columns,
                without_where=use.where == "none",
                via=self._via,
            )
        for text in meaning.views:
            self._temporary_view(use.cls, text, use.name.name)
        for relation in meaning.relations:
            if use.aside and relation.own(use.columns) == ():
                continue  # the bare names in it belong to another source
            self._expansion.relation(
                use.cls,
                relation,
                columns=use.columns,
                without_where=self._is_without_where(use, relation, all_found),
                via=self._via,
                only=use.only,
                reads=use.reads,
                cascades=use.cascades,
                exempt=use.aside or (bool(self._via) and relation.is_system),
            )
            if use.moves:
                self._expansion.moved(relation, use.columns, use.becomes)
        if meaning.is_empty:
            self._not_found(use)
        elif meaning.doubt:
            self._cannot_know(f"{use.name}: {meaning.doubt}")
        if (meaning.names or meaning.views) and use.cls is not EffectClass.SELECT:
            self._changes_state = True  # its triggers and defaults are not known here

    def _not_found(self, use: RelationUse) -> None:
        self.needs_catalog = True
        name = use.name
        if use.optional and name.schema is None:  # where it would be, if it were
            name = Name(self._scope.creation_schema(), name.name)
        self._effects.add(
            use.cls,
            name,
            columns=use.columns,
            without_where=use.where == "none",
            via=self._via,
        )
        if not use.optional:
            self._effects.add(EffectClass.UNKNOWN, use.name)
            self._cannot_know(f"relation {use.name} is not in the target's catalog")

    def _is_without_where(
        self, use: RelationUse, relation: Relation, all_found: list[Found]
    ) -> bool:
        """Return whether the WHERE, if any, refers to no column of this relation."""
        if use.where != "none":
            return False
        for column, inner in use.maybe:
            if relation.has_column(column) is not True and column not in _SYSTEM_COLUMNS:
                continue
            if not any(self._captures(place, column, all_found) for place in inner):
                return False
        return True

    @staticmethod
    def _captures(place: int, column: str, all_found: list[Found]) -> bool:
        """Return whether a nearer source may be what a bare column belongs to."""
        if place < 0:
            return True
        found = all_found[place]
        if found.names or found.views or not found.relations:
            return True
        return any(relation.has_column(column) is not False for relation in found.relations)

    def _schemas(self, parsed: ParsedStatement) -> None:
        for use in parsed.schemas:
            for relation in self._scope.catalog.in_schema(use.schema):
                self._expansion.relation(use.cls, relation, via=use.schema)
                if use.moves:
                    self._expansion.moved(relation, None, None)

    # -- functions and operators -----------------------------------------------------------------

    def _function(self, call: FunctionUse, columns: frozenset[str]) -> None:
        name = call.name
        users = self._scope.functions(name)
        for function in users:
            by_name = call.created or call.cls is EffectClass.DCL
            self._expansion.function(call.cls, function, self._via, by_name=by_name)
        if call.optional:
            return
        if call.created:
            self._created_function(call, bool(users))
            return
        is_builtin = name.schema in (None, "pg_catalog") and name.name in self._builtins.names
        if is_builtin:
            self._expansion.builtin(call.cls, name.name, self._via)
        elif is_temp(name.schema):
            self._effects.add(call.cls, None, name, via=self._via)
            self._cannot_know(f"function {name}() is a temporary one")
        elif not users:
            self._no_function(call, columns)

    def _attribute(self, name: str) -> None:
        """Add the functions that ``row.name`` may call: none, but for the rarest of schemas."""
        for function in self._scope.functions(Name(None, name)):
            if function.takes_row:
                self._expansion.function(EffectClass.SELECT, function, self._via)

    def _created_function(self, call: FunctionUse, is_known: bool) -> None:
        name = call.name
        cls = call.cls
        if is_temp(name.schema):
            cls = EffectClass.TEMP_DDL
        elif name.schema is None:
            if is_known:
                return
            name = Name(self._scope.creation_schema(), name.name)
        renamed = cls is EffectClass.SELECT or cls is EffectClass.CALL  # not run by that
        self._effects.add(cls, None, name, via=self._via, exempt=renamed)

    def _no_function(self, call: FunctionUse, columns: frozenset[str]) -> None:
        name = call.name
        # column(row) is row.column, and type(value) a cast: neither is a function
        may_be_other = name.name in columns or name.name in self._scope.catalog.types
        if call.arguments == 1 and name.schema is None and may_be_other:
            self._changes_state = True
            return
        self.needs_catalog = True
        self._effects.add(call.cls, None, name, via=self._via)
        self._effects.add(EffectClass.UNKNOWN, None, name)
        self._cannot_know(f"function {name}() is not in the target's catalog")

    def _operators(self, parsed: ParsedStatement) -> None:
        catalog = self._scope.catalog
        if catalog.has_operators:
            for name in parsed.operators:
                self._expansion.operator(EffectClass.SELECT, name, self._scope.path)
        for name in parsed.types:
            if name.name in catalog.active_types:
                self._changes_state = True
            for function in catalog.behind_type(name.name):
                self._expansion.named_function(EffectClass.SELECT, function, self._via)

    # -- definitions -----------------------------------------------------------------------------

    def _temporary_view(self, cls: EffectClass, text: str, name: str) -> None:
        parsed = self._scope.catalog.definition(text)
        self._definition(parsed, None, f"{TEMP}.{name}", cls)

    def _definition(
        self,
        parsed: Parsed,
        path: tuple[str, ...] | None,
        via: str,
        cls: EffectClass | None = None,
    ) -> None:
        """Add what a body or a view's definition does. ``cls``: what is done to a view's rows."""
        if self._depth >= _MAX_DEPTH or parsed.refusal:
            self._cannot_know(f"what {via} runs could not be analysed")
            return
        names = self._scope.names
        if path is not None or self._scope.path is None:
            names = replace(names, search_path=path, prepared={})
        scope = Scope(self._scope.catalog, names)
        if self._statements(parsed, scope, via, cls) and scope.path is not None:
            scope.forget_path()  # loops run what stands before the change after it
            self._statements(parsed, scope, via, cls)
            self.moves_names = True
        self._scope.by_path |= scope.by_path

    def _statements(self, parsed: Parsed, scope: Scope, via: str, cls: EffectClass | None) -> bool:
        """Add what each statement of a body does; tell whether one changes what names mean."""
        moves = False
        for statement in parsed.statements:
            if cls is not None:
                statement = _with_class(statement, cls)
            inner = StatementNames(scope, self._builtins, self._effects, self, via)
            for effect in statement.effects:
                if effect.cls is not EffectClass.SELECT:
                    self._effects.add_effect(replace(effect, via=via))
            inner.resolve(statement)
            if statement.copies_query:
                inner.resolve(_with_class(statement, EffectClass.COPY_OUT))
            reason = inner.unknown or statement.unknown
            if reason:
                self._cannot_know(why_unknown(_called(via), reason))
            if statement.executes or statement.prepares or statement.deallocates:
                self._cannot_know(f"{_called(via)} prepares statements")
            moves |= inner.moves_names or moves_names(statement.settings)
            self.needs_catalog = self.needs_catalog or inner.needs_catalog
            self._changes_state |= inner.changes_state or statement.changes_state
            self._expansion.flags.update(inner.flags)
            self._expansion.flags.update(dict.fromkeys(statement.flag_details))
        return moves

    def _cannot_know(self, reason: str) -> None:
        self._unknown = self._unknown or reason

    @staticmethod
    def _columns(found: list[Found]) -> frozenset[str]:
        return frozenset(
            column.name
            for meaning in found
            for relation in meaning.relations
            for column in relation.columns or ()
        )


_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax"})


_PATH_SETTINGS = frozenset({"search_path", "role", "session_authorization", "all"})


def moves_names(settings: tuple[SettingChange, ...]) -> bool:
    """Return whether names may mean something else after these changes."""
    return any(change.name in _PATH_SETTINGS for change in settings)


def _called(via: str) -> str:
    return f"function {via}" if via.endswith("()") else via


def _with_class(statement: ParsedStatement, cls: EffectClass) -> ParsedStatement:
    """Return a view's definition with what it reads treated as what is done to the view."""
    relations = tuple(
        replace(use, cls=cls) if use.cls is EffectClass.SELECT else use
        for use in statement.relations
    )
    return replace(statement, relations=relations)
