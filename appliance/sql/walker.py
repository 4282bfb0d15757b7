"""Walks a parse tree and collects what it names: relations, functions, columns, settings.

The walk is one loop over a stack, never a recursion: statements nest deeper than Python may.
Every dictionary is visited, whatever its tag, so that a name cannot hide in a node that nobody
thought of; HANDLERS (in queries.py and the files of utility statements) say where more is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from appliance.sql.facts import Effect, EffectClass, Name, SettingChange
from appliance.sql.levels import Level, Use
from appliance.sql.parsed import FunctionUse, ParsedStatement, RelationUse, SchemaUse

Node = dict[str, Any]
Handler = Callable[["Walk", Node, Level], None]


class Texts(Protocol):
    """What reads the texts that stand in literals of a statement."""

    def inner(
        self, text: str, depth: int, variables: frozenset[str] | None = None
    ) -> list[ParsedStatement] | None:
        """Return what SQL says; None when it cannot be analysed."""
        ...

    def plpgsql(
        self, text: str, parameters: tuple[str, ...] = (), depth: int = 0
    ) -> list[ParsedStatement]:
        """Return what the SQL in a PL/pgSQL body says; what cannot be told has ``unknown``."""
        ...


MAX_NESTED_TEXTS = 3  # a text in a literal in a text in a literal: deeper is unknown


class Walk:
    """Everything that one statement names, while it is being read."""

    def __init__(
        self,
        handlers: dict[str, Handler],
        texts: Texts,
        depth: int,
        doubtful: bool = False,
        variables: frozenset[str] | None = None,
    ) -> None:
        self.handlers = handlers
        self.texts = texts
        self.depth = depth
        self.doubtful = doubtful
        self.variables = variables
        self.pending: list[tuple[Any, Level]] = []
        self.levels: list[Level] = []
        self.uses: list[Use] = []
        self.effects: dict[tuple[EffectClass, bool], None] = {}
        self.functions: dict[FunctionUse, None] = {}
        self.schemas: dict[SchemaUse, None] = {}
        self.operators: dict[Name, None] = {}
        self.types: dict[Name, None] = {}
        self.settings: list[SettingChange] = []
        self.flags: dict[tuple[str, str], None] = {}
        self.code: list[str] = []
        self.inner: list[ParsedStatement] = []
        self.unknown = ""
        self.prepares: str | None = None
        self.executes: str | None = None
        self.deallocates: str | None = None
        self.transaction = ""
        self.copy = ""
        self.changes_state = True
        self.explains = False
        self.copies_query = False
        self.attributes: dict[str, None] = {}
        self.selects = False  # is or carries a SELECT, perhaps one without a relation
        self.has_own_effects = False  # its handler noted all, so its class need not be added
        self.literal_sensitive = True

    # -- moving ---------------------------------------------------------------------------------

    def level(
        self,
        parent: Level | None,
        cls: EffectClass,
        *,
        reads: EffectClass | None = None,
        tracks: bool = True,
        ctes: frozenset[str] | None = None,
    ) -> Level:
        """Open a query level below ``parent``; what it reads counts as select unless said."""
        made = Level(parent, cls, reads or EffectClass.SELECT, tracks=tracks, ctes=ctes)
        self.levels.append(made)
        return made

    def push(self, value: Any, level: Level) -> None:
        """Have ``value`` (a node, a list of nodes, or None) walked in ``level``."""
        if value:
            self.pending.append((value, level))

    def push_rest(self, node: Node, level: Level, *done: str) -> None:
        """Have every field of ``node`` walked but those that were dealt with."""
        for key, value in node.items():
            if key not in done and type(value) in (dict, list):
                self.pending.append((value, level))

    def run(self) -> None:
        """Walk until nothing is left, then settle which columns belong to what."""
        pending, handlers = self.pending, self.handlers
        while pending:
            value, level = pending.pop()
            if type(value) is list:
                for item in value:
                    pending.append((item, level))
                continue
            if "relname" in value:  # a RangeVar in a field of its own, without a tag
                handlers["RangeVar"](self, value, level)
                continue
            for key, child in value.items():
                handler = handlers.get(key)
                if handler is not None:
                    handler(self, child, level)
                elif type(child) is dict or type(child) is list:
                    pending.append((child, level))
        for level in self.levels:
            if level.columns or level.is_natural:
                level.settle(self.variables)

    def is_doubtful(self, value: str) -> bool:
        """Return whether a literal that is code or a name may mean something else to the server."""
        return self.doubtful and "\\" in value

    # -- noting ---------------------------------------------------------------------------------

    def effect(self, cls: EffectClass, *, exempt: bool = False) -> None:
        """Note an effect without an object."""
        self.effects[(cls, exempt)] = None

    def use(self, cls: EffectClass, name: Name, columns: set[str] | None = None) -> Use:
        """Note a relation."""
        made = Use(cls, name, columns)
        self.uses.append(made)
        return made

    def function(self, cls: EffectClass, name: Name, arguments: int = -1) -> None:
        """Note a function."""
        self.functions[FunctionUse(cls, name, arguments)] = None

    def flag(self, flag: str, detail: str = "") -> None:
        """Note what a built-in rule looks at."""
        self.flags[(flag, detail)] = None

    def cannot_know(self, reason: str) -> None:
        """Note why the statement cannot be known; the first reason stays."""
        self.unknown = self.unknown or reason

    def setting(
        self, name: str, value: str | None, scope: str = "session", *, resets: bool = False
    ) -> None:
        """Note a changed setting, with what it means where it is more than a setting.

        ``value`` None: reset (``resets``), or not a constant.
        """
        name = name.lower()
        self.settings.append(SettingChange(name, value, scope))
        self.code += setting_code(name, value)
        if name in ROLE_SETTINGS:
            neutral = "none" if name == "role" else "default"
            resets = resets or value == neutral
            self.flag("set_role", neutral if resets else "*" if value is None else value)
            self.effect(EffectClass.ROLE, exempt=resets)
        elif name in LIBRARY_SETTINGS and not resets:
            self.flag("load", name)

    def text(self, text: str, what: str, variables: frozenset[str] | None = None) -> None:
        """Take a literal that is SQL as part of this statement."""
        self.code.append(text)
        found = None
        if self._is_readable(text):
            found = self.texts.inner(text, self.depth + 1, variables)
        if found is None or any(part.executes or part.transaction for part in found):
            self.cannot_know(f"{what} could not be analysed")
        else:
            self._run(found)

    def body(self, text: str, what: str, parameters: tuple[str, ...] = ()) -> None:
        """Take a literal that is PL/pgSQL as part of this statement."""
        self.code.append(text)
        if not self._is_readable(text):
            self.cannot_know(f"{what} could not be analysed")
            return
        found = self.texts.plpgsql(text, parameters, self.depth + 1)
        reason = next((part.unknown for part in found if part.unknown), "")
        if reason:
            self.cannot_know(why_unknown(what, reason))
        elif any(part.executes or part.prepares or part.deallocates for part in found):
            self.cannot_know(f"{what} could not be analysed: it prepares statements")
        self._run(found)

    def _is_readable(self, text: str) -> bool:
        return self.depth < MAX_NESTED_TEXTS and not self.is_doubtful(text)

    def _run(self, found: list[ParsedStatement]) -> None:
        self.inner += found
        self.changes_state |= any(part.changes_state for part in found)

    # -- the result -----------------------------------------------------------------------------

    def _own_effects(self, cls: EffectClass) -> dict[tuple[EffectClass, bool], None]:
        """Return the effects without an object; a statement without any object has its class."""
        effects = dict(self.effects)
        if self.selects:
            cls = EffectClass.SELECT
        if self.explains:
            if not self.uses:
                effects[(EffectClass.EXPLAIN, False)] = None
        elif not (
            self.has_own_effects
            or any(use.cls is cls for use in self.uses)
            or any(use.created or cls is EffectClass.CALL for use in self.functions)
        ):
            effects[(cls, False)] = None
        return effects

    def statement(
        self, kind: str, cls: EffectClass, start: int, end: int, fingerprint: int
    ) -> ParsedStatement:
        """Return what was found, what its literals of SQL hold included."""
        self.uses = [use for use in self.uses if not (use.aside and use.columns == set())]
        places = {id(use): place for place, use in enumerate(self.uses)}
        relations = [use.freeze(places) for use in self.uses]
        effects = self._own_effects(cls)
        for part in self.inner:
            self._take(part, relations, effects)
        if self.unknown:
            effects[(EffectClass.UNKNOWN, False)] = None
        return ParsedStatement(
            kind,
            start,
            end,
            fingerprint,
            tuple([Effect(cls, default_exempt=exempt) for cls, exempt in effects]),
            tuple(relations),
            tuple(self.functions),
            tuple(self.schemas),
            tuple(self.operators),
            tuple(self.types),
            tuple(self.attributes),
            tuple(self.settings),
            self.prepares,
            self.executes,
            self.deallocates,
            self.transaction,
            self.copy,
            tuple(self.flags),
            self.unknown,
            self.changes_state or bool(self.unknown or self.settings),
            self.explains,
            self.copies_query,
            tuple(self.code),
        )

    def _take(
        self,
        part: ParsedStatement,
        relations: list[RelationUse],
        effects: dict[tuple[EffectClass, bool], None],
    ) -> None:
        """Take over what a literal of SQL names."""
        offset = len(relations)  # places in ``maybe`` are places in the whole list from now on
        relations += [_moved(use, offset) if use.maybe else use for use in part.relations]
        self.copies_query |= part.copies_query
        self.functions.update(dict.fromkeys(part.functions))
        self.schemas.update(dict.fromkeys(part.schemas))
        self.operators.update(dict.fromkeys(part.operators))
        self.types.update(dict.fromkeys(part.types))
        self.attributes.update(dict.fromkeys(part.attributes))
        self.flags.update(dict.fromkeys(part.flag_details))
        self.settings += part.settings
        self.code += part.code
        self.unknown = self.unknown or part.unknown
        effects.update({(e.cls, e.default_exempt): None for e in part.effects})


def _moved(use: RelationUse, offset: int) -> RelationUse:
    maybe = tuple(
        (column, tuple(place if place < 0 else place + offset for place in inner))
        for column, inner in use.maybe
    )
    return replace(use, maybe=maybe)


def why_unknown(what: str, reason: str) -> str:
    """Return the sentence that says what cannot be known of a body."""
    return f"{what} {reason}" if reason == BUILDS_TEXT else f"in {what}: {reason}"


BUILDS_TEXT = "runs text that it builds"
ROLE_SETTINGS = frozenset({"role", "session_authorization"})
# Settings that make the server load a library (each in a session of its own, or in this one).
LIBRARY_SETTINGS = frozenset(
    {
        "local_preload_libraries",
        "session_preload_libraries",
        "shared_preload_libraries",
        "dynamic_library_path",
        "extension_control_path",
        "jit_provider",
    }
)


# Settings whose value decides what texts mean and what they may do; of others it is a constant.
_DECIDING_SETTINGS = (
    ROLE_SETTINGS
    | LIBRARY_SETTINGS
    | {
        "search_path",
        "session_replication_role",
        "row_security",
        "standard_conforming_strings",
        "backslash_quote",
        "client_encoding",
        "default_transaction_read_only",
        "transaction_read_only",
        "check_function_bodies",
        "plpgsql.variable_conflict",
    }
)


def setting_code(name: str, value: str | None) -> tuple[str, ...]:
    """Return what a changed setting adds to a fingerprint."""
    if name not in _DECIDING_SETTINGS:
        return (f"set {name}",)
    return (f"set {name}", "?" if value is None else value)


def strings(nodes: Any) -> list[str]:
    """Return the names of a list of String nodes; others (A_Star) are left out."""
    if not nodes:
        return []
    return [node["String"].get("sval", "") for node in nodes if node and "String" in node]


def name_of(parts: list[str]) -> Name:
    """Return the name that ``schema.name`` or ``database.schema.name`` gives."""
    return Name(parts[-2] if len(parts) > 1 else None, parts[-1] if parts else "")


def range_name(node: Node) -> Name:
    """Return the name that a RangeVar gives; a database in front can only be the present one."""
    return Name(node.get("schemaname"), node.get("relname", ""))
