"""From what a text says to what it would do: names looked up in the target's catalog."""

from __future__ import annotations

from dataclasses import replace

from appliance.sql.builtins import builtins
from appliance.sql.catalog import Catalog
from appliance.sql.effects import Effects
from appliance.sql.facts import (
    Effect,
    EffectClass,
    Facts,
    NameContext,
    SettingChange,
    Statement,
)
from appliance.sql.fingerprint import fingerprint
from appliance.sql.lookup import Scope
from appliance.sql.naming import StatementNames, moves_names
from appliance.sql.parsed import Parsed, ParsedStatement
from appliance.sql.role_statements import CURRENT_USER, SESSION_USER
from appliance.sql.statements import CALM_TAGS
from appliance.sql.walker import LIBRARY_SETTINGS, setting_code

__all__ = ["NameContext", "resolve", "setting_facts"]

_NOT_BEFORE = frozenset({"VariableSetStmt", "ExecuteStmt"})  # names in them are looked up first
NO_CATALOG = "the target's catalog is not known"


def resolve(parsed: Parsed, catalog: Catalog | None, names: NameContext) -> Facts:
    """Return what the statements would do. Never raises on what ``Parser`` returned.

    Without a catalog names stay as they were written, and a statement that names a relation or a
    function is unknown.
    """
    if parsed.refusal:
        return Facts((), refusal=parsed.refusal)
    script = _Script(catalog, names)
    statements = tuple(script.statement(statement) for statement in parsed.statements)
    return Facts(statements, needs_catalog=script.needs_catalog, by_path=script.by_path)


def setting_facts(name: str, value: str) -> Facts:
    """Return the facts of a start-up parameter: those of the SET that it is."""
    name = name.lower()
    is_role = name in ("role", "session_authorization")
    flags: tuple[tuple[str, str], ...] = ()
    if is_role:
        flags = (("set_role", value),)
    elif name in LIBRARY_SETTINGS:
        flags = (("load", name),)
    effect = Effect(EffectClass.ROLE if is_role else EffectClass.SESSION)
    statement = Statement(
        kind="VariableSetStmt",
        effects=(effect,),
        fingerprint=fingerprint(0, (effect,), setting_code(name, value)),
        start=0,
        end=0,
        changes_state=True,
        settings=(SettingChange(name, value),),
        flags=frozenset(flag for flag, _ in flags),
        flag_details=flags,
    )
    return Facts((statement,))


class _Script:
    """The statements of one text, each with what those before it made or changed."""

    def __init__(self, catalog: Catalog | None, names: NameContext) -> None:
        self._catalog = catalog
        self._names = names
        self._scope = None if catalog is None else Scope(catalog, names)
        self._prepared: dict[str, Facts] = {}
        self.needs_catalog = False

    @property
    def by_path(self) -> bool:
        return self._scope is not None and self._scope.by_path

    def statement(self, parsed: ParsedStatement) -> Statement:
        effects = Effects()
        for effect in parsed.effects:
            effects.add_effect(effect)
        unknown = parsed.unknown
        changes = parsed.changes_state
        flags = dict.fromkeys(parsed.flag_details)
        if self._scope is None:
            unknown = self._unresolved(parsed, effects) or unknown
        elif parsed.relations or parsed.functions or parsed.names_more:
            found = self._resolved(parsed, effects)
            unknown = unknown or found.unknown
            changes = changes or found.changes_state
            flags.update(found.flags)
            self.needs_catalog = self.needs_catalog or found.needs_catalog
        settings = parsed.settings
        marks: list[str] = []  # of what EXECUTE runs
        if parsed.executes is not None:
            changes = True  # by triggers and functions of what was prepared
            run = self._executed(parsed.executes)
            marks = [parsed.executes] if run is None else [part.fingerprint for part in run]
            unknown = unknown or self._unknown_run(parsed.executes, run)
            for part in run or ():
                for effect in part.effects:
                    if effect.cls is not EffectClass.PREPARE:
                        effects.add_effect(effect)
                settings += part.settings
                flags.update(dict.fromkeys(part.flag_details))
        if unknown:
            effects.note_unknown()
        changes = changes or bool(unknown)
        made = self._finished(parsed, effects, unknown, changes, settings, tuple(flags), marks)
        self._after(made)
        return made

    def _resolved(self, parsed: ParsedStatement, effects: Effects) -> StatementNames:
        """Add what names mean; twice where the statement itself changes that on its way."""
        scope = self._scope
        if scope is None:
            raise ValueError("names need a catalog")
        if parsed.kind not in _NOT_BEFORE and moves_names(parsed.settings):
            scope.forget_path()
        found = StatementNames(scope, builtins(), effects)
        found.resolve(parsed)
        if found.moves_names and scope.path is not None:
            scope.forget_path()
            found = StatementNames(scope, builtins(), effects)
            found.resolve(parsed)
        return found

    def _unresolved(self, parsed: ParsedStatement, effects: Effects) -> str:
        """Add what is named as it is written; return why the statement is unknown."""
        for use in parsed.relations:
            effects.add(use.cls, use.name, columns=use.columns, without_where=use.where == "none")
        for call in parsed.functions:
            if not call.optional:
                effects.add(call.cls, None, call.name)
        for schema in parsed.schemas:
            effects.add(schema.cls)
        named = parsed.relations or parsed.schemas or any(not f.optional for f in parsed.functions)
        if named:
            self.needs_catalog = True
        return NO_CATALOG if named else ""

    def _executed(self, name: str) -> tuple[Statement, ...] | None:
        facts = self._prepared.get(name) or self._names.prepared.get(name)
        if facts is None or facts.refusal or not facts.statements:
            return None
        own = tuple(s for s in facts.statements if s.prepares == name)
        return own or facts.statements

    @staticmethod
    def _unknown_run(name: str, run: tuple[Statement, ...] | None) -> str:
        if run is None:
            return f'what "{name}" was prepared for is not known'
        return next((part.unknown for part in run if part.unknown), "")

    def _finished(
        self,
        parsed: ParsedStatement,
        effects: Effects,
        unknown: str,
        changes: bool,
        settings: tuple[SettingChange, ...],
        flags: tuple[tuple[str, str], ...],
        run: list[str],
    ) -> Statement:
        if parsed.copies_query:
            _copy_out(effects)
        found = effects.freeze()
        if parsed.explains:
            found = _explained(found)
        details = tuple((flag, self._role(detail)) for flag, detail in flags)
        return Statement(
            kind=parsed.kind,
            effects=found,
            fingerprint=fingerprint(parsed.fingerprint, found, (*parsed.code, *run)),
            start=parsed.start,
            end=parsed.end,
            unknown=unknown,
            changes_state=changes,
            settings=settings,
            prepares=parsed.prepares,
            executes=parsed.executes,
            deallocates=parsed.deallocates,
            transaction=parsed.transaction,
            copy=parsed.copy,
            flags=frozenset(flag for flag, _ in details),
            flag_details=details,
        )

    def _role(self, detail: str) -> str:
        """Put the session's own role where a statement said CURRENT_USER."""
        if detail in (CURRENT_USER, SESSION_USER):
            return self._names.role
        return detail

    def _after(self, statement: Statement) -> None:
        """Take note of what the rest of the script can no longer be sure of."""
        if statement.prepares is not None:
            self._prepared[statement.prepares] = Facts((statement,))
        if self._scope is None:
            return
        moved = moves_names(statement.settings)
        runs_code = statement.changes_state and statement.kind in _CODE
        if moved or statement.unknown or runs_code:
            self._scope.forget_path()


# Statements that change what names mean only by code that they run.
_CODE = CALM_TAGS | {"CallStmt", "DoStmt", "FetchStmt", "ExecuteStmt"}


def _copy_out(effects: Effects) -> None:
    """COPY (query) TO: whatever is read is copied out as well."""
    for (cls, relation, _), found in list(effects.found.items()):
        if cls is EffectClass.SELECT and relation is not None:
            columns = None if found.columns is None else tuple(found.columns)
            effects.add(
                EffectClass.COPY_OUT, relation, columns=columns, via=found.via, exempt=found.exempt
            )
            effects.found.pop((EffectClass.COPY_OUT, None, None), None)


def _explained(found: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Plain EXPLAIN runs nothing, but touches and plans all of it."""
    kept = (EffectClass.UNKNOWN, EffectClass.EXPLAIN)
    changed = (
        effect if effect.cls in kept else replace(effect, cls=EffectClass.EXPLAIN)
        for effect in found
    )
    return tuple(dict.fromkeys(changed))
