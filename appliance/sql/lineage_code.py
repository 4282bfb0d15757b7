"""What users' functions read, give and store, as far as their bodies can be read."""

from __future__ import annotations

from dataclasses import replace

import orjson

from appliance.sql.analysis import is_slow
from appliance.sql.builtins import Builtins
from appliance.sql.catalog import MAX_DEFINITION, Function
from appliance.sql.facts import EffectClass, Name
from appliance.sql.figures import UNSURE
from appliance.sql.lexing import unreadable
from appliance.sql.lineage_calls import SENDING, gives_only_what_it_is_given
from appliance.sql.lineage_expressions import NotKnownError
from appliance.sql.lineage_functions import Reads
from appliance.sql.lineage_names import Level, Source, Table
from appliance.sql.lineage_relations import Relations
from appliance.sql.lookup import Scope
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.parsed import ParsedStatement, RelationUse
from appliance.sql.taint import CLEAN, Taint, computed
from appliance.sql.walker import Node, strings

_MAX_BODIES = 8
_GIVEN = ("FUNC_PARAM_DEFAULT", "FUNC_PARAM_IN", "FUNC_PARAM_INOUT", "")
_SHOWN = ("FUNC_PARAM_OUT", "FUNC_PARAM_INOUT", "FUNC_PARAM_TABLE")
_QUIET = frozenset({EffectClass.SELECT, EffectClass.CALL})
_WRITING = frozenset(
    {EffectClass.INSERT, EffectClass.UPDATE, EffectClass.DELETE, EffectClass.MERGE}
)


class _UnreadError(Exception):
    """A body holds what is not understood."""


class Bodies(Relations):
    """Reads the bodies of functions."""

    def __init__(self, scope: Scope, builtins: Builtins, library: PgQuery) -> None:
        super().__init__(scope, builtins, library)
        self._known_reads: dict[tuple[int, tuple[str, ...] | None], Reads | None] = {}

    def body(self, function: Function, arguments: list[Taint]) -> Table | None:
        """Return what a function in language sql gives; None where that cannot be read."""
        text = self.catalog.function_text(function.oid)
        if text is None or function.oid in self.seen or len(self.seen) > _MAX_BODIES:
            return None
        before = set(self.inspects), set(self.opaque), list(self.writes), len(self.folded)
        bases = None
        if function.reach is not None:  # its names were looked up when it was made
            found = [self.catalog.by_oid(oid) for oid in function.reach.relations]
            bases = tuple(relation for relation in found if relation is not None)
        called = None if function.reach is None else frozenset(map(str, function.reach.functions))
        try:
            with self.apart(bases, called, function.oid):
                if function.search_path is not None:
                    names = replace(self.scope.names, search_path=function.search_path)
                    self.scope = Scope(self.catalog, names)
                table = self._run(self.parsed(text)["CreateFunctionStmt"], arguments)
        except (NotKnownError, KeyError, IndexError, TypeError):
            table = None
        if table is None:
            self.inspects, self.opaque, self.writes = before[0], before[1], before[2]
            del self.folded[before[3] :]
            return None
        columns = [
            (n, replace(v, plain=None, fields=None).via(f"{function.name}()"))
            for n, v in table.columns
        ]
        return replace(table, columns=[(n, replace(v, origin=(0, 0))) for n, v in columns])

    def _run(self, created: Node, arguments: list[Taint]) -> Table | None:
        parameters = [entry["FunctionParameter"] for entry in created.get("parameters", [])]
        given = [p for p in parameters if p.get("mode", "") in _GIVEN]
        if len(arguments) > len(given):
            return None
        defaults = [p["defexpr"] for p in given[len(arguments) :] if "defexpr" in p]
        if len(defaults) != len(given) - len(arguments):
            return None
        level = Level(None)
        values = [*arguments, *(self.expression(node, level) for node in defaults)]
        # A variable of a body is not the row it came from.
        values = [replace(value, plain=None, origin=None) for value in values]
        level.parameters = tuple(values)
        names = [p.get("name", "") for p in given]
        name = strings(created.get("funcname"))[-1]
        level.sources.append(Source(list(zip(names, values, strict=True)), alias=name))
        statements = self._statements(created)
        if not statements or any(set(node) != {"SelectStmt"} for node in statements):
            return None
        if any("intoClause" in node["SelectStmt"] for node in statements):
            return None
        tables = [self.query(node, level) for node in statements]
        shown = [p["name"] for p in parameters if p.get("mode", "") in _SHOWN and "name" in p]
        table = tables[-1]
        type_ = strings(created.get("returnType", {}).get("names"))
        if shown and len(shown) == len(table.columns):
            names = shown
        elif len(table.columns) > 1:  # of a type whose columns are known elsewhere
            names = [UNSURE] * len(table.columns)
        elif type_[:1] == ["pg_catalog"] or type_ in (["text"], ["date"], ["uuid"]):
            names = [name]
        else:  # perhaps one row, which FROM takes apart
            names, table.is_open = [UNSURE], True
        table.columns = [(names[at], v) for at, (_, v) in enumerate(table.columns)]
        return table

    def _statements(self, created: Node) -> list[Node]:
        body = created.get("sql_body")
        if body is not None:
            if "ReturnStmt" in body:
                target = {"ResTarget": {"val": body["ReturnStmt"]["returnval"]}}
                return [{"SelectStmt": {"targetList": [target], "op": "SETOP_NONE"}}]
            outer = body["List"]["items"]
            return [item for part in outer for item in part["List"]["items"]]
        for option in created.get("options", []):
            if option["DefElem"].get("defname") == "as":
                parts = strings(option["DefElem"]["arg"]["List"]["items"])
                return self._texts(parts[0]) if len(parts) == 1 else []
        return []

    def _texts(self, text: str) -> list[Node]:
        if len(text) > MAX_DEFINITION or unreadable(text) or is_slow(text):
            return []
        try:
            statements = orjson.loads(self.library.parse(text.encode())).get("stmts", [])
        except (GrammarError, ValueError):
            return []
        return [statement["stmt"] for statement in statements]

    # -- bodies that are not one query ----------------------------------------------------------

    def reads(self, function: Function) -> Reads | None:
        """Return all that a body reads, whatever it does with it; None: it cannot be known."""
        known = (function.oid, self.scope.path)
        if known not in self._known_reads:
            self._known_reads[known] = None  # a circle is not read
            self._known_reads[known] = self._read_apart(function)
        return self._known_reads[known]

    def _read_apart(self, function: Function) -> Reads | None:
        if function.oid in self.seen or len(self.seen) > _MAX_BODIES:
            return None
        before = set(self.inspects)
        try:
            with self.apart(None, None, function.oid):
                if function.search_path is not None:
                    names = replace(self.scope.names, search_path=function.search_path)
                    self.scope = Scope(self.catalog, names)
                found = self._reads(function)
        except (_UnreadError, NotKnownError):
            found = None
        if self.inspects != before:
            self.inspects, found = before, None
        return found

    def _reads(self, function: Function) -> Reads:
        if function.language in ("internal", "c") and function.reach is not None:
            found = [self._called_in(name) for name in function.reach.functions]
            return _all_of([part for part in found if part is not None])
        parsed = self.catalog.body(function)
        if parsed is None or parsed.refusal:
            raise _UnreadError
        parts = [self._statement(statement) for statement in parsed.statements]
        return _all_of(parts)

    def _statement(self, statement: ParsedStatement) -> Reads:
        odd = statement.unknown or statement.settings or statement.schemas or statement.copy
        odd = odd or statement.executes or statement.prepares or statement.transaction
        classes = {effect.cls for effect in statement.effects}
        if odd or not classes <= (_QUIET | _WRITING):
            raise _UnreadError
        if any(self.operator(name) for name in statement.operators):
            raise _UnreadError
        if any(self.type_({"names": _nodes(name)}).opaque for name in statement.types):
            raise _UnreadError
        if any(self.attribute(name) for name in statement.attributes):
            raise _UnreadError
        found = [self._called_in(use.name) for use in statement.functions]
        parts = [part for part in found if part is not None]
        parts += [self._relation_in(use) for use in statement.relations]
        writes = bool(classes & _WRITING)
        return _all_of([*parts, Reads(CLEAN, CLEAN, writes)])

    def _called_in(self, name: Name) -> Reads | None:
        users = [] if name.schema == "pg_catalog" else self.scope.functions(name)
        users = [function for function in users if function.name.schema != "information_schema"]
        if name.schema in (None, "pg_catalog") and name.name in self.builtins.names:
            if name.name in SENDING:
                return Reads(CLEAN, CLEAN, True)
            if not gives_only_what_it_is_given(name.name, self.builtins):
                raise _UnreadError
            if not users or all(map(self.is_sure, users)):
                return None
        found = [self.reads(function) for function in users]
        known = [part for part in found if part is not None]
        if not users or len(known) != len(found):
            raise _UnreadError
        return _all_of(known)

    def _relation_in(self, use: RelationUse) -> Reads:
        if use.created or use.moves:
            raise _UnreadError
        source = self.named(use.name, not use.only)
        whole = source.whole()
        if use.columns is not None and source.rest is None:
            whole = computed(value for name, value in source.columns if name in use.columns)
        if use.cls not in _QUIET | _WRITING:
            raise _UnreadError
        # Of a table that it inserts into, a body sees its own new rows at most.
        stored = CLEAN if use.cls is EffectClass.INSERT else whole
        return Reads(whole, stored, use.cls in _WRITING)

    def assigned(self, function: Function) -> frozenset[str] | None:
        """Return which columns of NEW a trigger's function may set; None: perhaps all."""
        source = function.source
        if function.language != "plpgsql" or source is None or unreadable(source):
            return None
        data = source.encode()
        try:
            tokens = [data[t.start : t.end].decode().lower() for t in self.library.scan(data)]
        except GrammarError:
            return None
        return _assigned([t for t in tokens if not t.startswith(("--", "/*"))])


def _assigned(tokens: list[str]) -> frozenset[str] | None:  # noqa: C901 - a list of cases
    found = set[str]()
    if {"alias", "call", "foreach"} & set(tokens):
        return None
    padded = ["", *tokens, "", "", "", ""]
    for at in range(1, len(tokens) + 1):
        here, after = padded[at].strip('"'), padded[at + 1]
        if here == "return" and after not in ("new", "old", "null", ";"):
            return None
        if here == "return" and after != ";" and padded[at + 2] != ";":
            return None
        if here == "into" and padded[at - 1] not in ("insert", "merge"):
            rest = padded[at + 1 :]
            ends = [i for i, word in enumerate(rest) if word in (";", "from", "")]
            if "new" in {word.strip('"') for word in rest[: ends[0]]}:
                return None
        if here != "new":
            continue
        if after in (":=", "=") or padded[at - 1] == "for":
            return None
        if after == ".":
            if padded[at + 3] in (".", "["):
                return None
            if padded[at + 3] in (":=", "="):
                found.add(padded[at + 2].strip('"'))
    return frozenset(found)


def _all_of(parts: list[Reads]) -> Reads:
    return Reads(
        computed(part.value for part in parts),
        computed(part.stored for part in parts),
        any(part.writes for part in parts),
    )


def _nodes(name: Name) -> list[Node]:
    parts = [part for part in (name.schema, name.name) if part is not None]
    return [{"String": {"sval": part}} for part in parts]
