"""Handlers of statements about the session: SET, roles, transactions, cursors, PREPARE, COPY."""

from __future__ import annotations

import re
from typing import Any

from appliance.sql.facts import EffectClass, Name
from appliance.sql.levels import Level
from appliance.sql.parsed import FunctionUse
from appliance.sql.utility import options_with_functions
from appliance.sql.walker import ROLE_SETTINGS, Handler, Node, Walk, name_of, strings

_TRANSACTIONS = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback_to",
    "TRANS_STMT_PREPARE": "prepare",
    "TRANS_STMT_COMMIT_PREPARED": "",
    "TRANS_STMT_ROLLBACK_PREPARED": "",
}
# Settings whose elements PostgreSQL quotes when it joins them (GUC_LIST_QUOTE).
_QUOTED_LISTS = frozenset(
    {
        "search_path",
        "temp_tablespaces",
        "local_preload_libraries",
        "session_preload_libraries",
        "shared_preload_libraries",
        "unix_socket_directories",
    }
)
_SAFE_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")
_FALSE = frozenset({"false", "off", "no", "0", "f", "n", "of"})


def variable_set(walk: Walk, node: Node, base: Level) -> None:
    """SET, RESET, SET TRANSACTION; of ALTER ROLE … SET only what it would mean is noted."""
    kind, name = node.get("kind", ""), node.get("name", "")
    walk.has_own_effects = True
    if kind == "VAR_SET_MULTI":
        walk.effect(EffectClass.SESSION)
        walk.setting(name, None)
        return
    if kind == "VAR_RESET_ALL":
        walk.effect(EffectClass.SESSION, exempt=True)
        walk.setting("all", None, resets=True)
        return
    resets = kind in ("VAR_RESET", "VAR_SET_DEFAULT")
    value = None if resets else setting_value(name, node)
    if value is not None and walk.is_doubtful(value):
        value = None
    if name.lower() not in ROLE_SETTINGS:
        walk.effect(EffectClass.SESSION, exempt=kind == "VAR_RESET")
    walk.setting(name, value, "local" if node.get("is_local") else "session", resets=resets)


def setting_value(name: str, node: Node) -> str | None:
    """Return the value as PostgreSQL joins it; None when it is no constant."""
    values = [_constant(argument) for argument in node.get("args", ())]
    if not values or any(value is None for value in values):
        return None
    known = [value for value in values if value is not None]
    if name.lower() in _QUOTED_LISTS:
        known = [quote_name(value) for value in known]
    return ", ".join(known)


def quote_name(name: str) -> str:
    """Return a name as PostgreSQL writes it, in quotes where it must."""
    return name if _SAFE_NAME.match(name) else '"' + name.replace('"', '""') + '"'


def _constant(node: Any) -> str | None:
    if "TypeCast" in node:  # SET TIME ZONE INTERVAL '1' HOUR
        return _constant(node["TypeCast"].get("arg", {}))
    value = node.get("A_Const")
    if value is None:
        return None
    if "sval" in value:
        return str(value["sval"].get("sval", ""))
    if "fval" in value:
        return str(value["fval"].get("fval", ""))
    if "boolval" in value:
        return "true" if value["boolval"].get("boolval") else "false"
    return str(value.get("ival", {}).get("ival", 0)) if "ival" in value else None


def variable_show(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = True
    walk.effect(EffectClass.SESSION, exempt=True)


def discard(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = True
    walk.effect(EffectClass.SESSION, exempt=True)
    if node.get("target") == "DISCARD_ALL":
        walk.setting("all", None, resets=True)
        walk.deallocates = "*"


def transaction(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = True
    kind = node.get("kind", "TRANS_STMT_BEGIN")
    # What another session has prepared is not this one's own: to end it must be allowed or signed.
    walk.effect(EffectClass.TRANSACTION, exempt=not kind.endswith("_PREPARED"))
    if kind not in _TRANSACTIONS:
        walk.cannot_know(f"transaction control {kind} is not known here")
    walk.transaction = _TRANSACTIONS.get(kind, "")


def constraints_set(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = True
    walk.effect(EffectClass.TRANSACTION, exempt=True)


def explain(walk: Walk, node: Node, base: Level) -> None:
    """EXPLAIN ANALYZE runs what it explains; plain EXPLAIN touches it, and plans it."""
    query = node["query"]
    runs = any(_is_on(option["DefElem"]) for option in node.get("options", ()))
    if runs:
        walk.effect(EffectClass.EXPLAIN)
        walk.selects = "SelectStmt" in query
    else:
        walk.explains = True
    walk.push(query, base)


def _is_on(option: Node) -> bool:
    if option.get("defname", "").lower() != "analyze":
        return False
    value = option.get("arg")
    if value is None:
        return True
    for kind, field in (("String", "sval"), ("Integer", "ival"), ("Boolean", "boolval")):
        if kind in value:
            return str(value[kind].get(field, 0)).lower() not in _FALSE
    return True


def prepare(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.PREPARE)
    walk.prepares = node["name"]
    walk.selects = "SelectStmt" in node["query"]
    walk.push_rest(node, base)


def execute(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.EXECUTE)
    walk.executes = node["name"]
    walk.push_rest(node, walk.level(base, EffectClass.EXECUTE))


def deallocate(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = True
    walk.effect(EffectClass.PREPARE, exempt=True)
    walk.deallocates = node.get("name") or "*"


def declare_cursor(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.CURSOR)
    walk.selects = "SelectStmt" in node["query"]
    walk.push(node["query"], base)


def fetch(walk: Walk, node: Node, base: Level) -> None:
    """FETCH and MOVE run the cursor's functions, which only now may change something."""
    walk.has_own_effects = True
    walk.effect(EffectClass.CURSOR, exempt=True)


def close(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = True
    walk.effect(EffectClass.CURSOR, exempt=True)


def copy(walk: Walk, node: Node, base: Level) -> None:
    walk.has_own_effects = "query" not in node
    reads = not node.get("is_from")
    moves = EffectClass.COPY_OUT if reads else EffectClass.COPY_IN
    classes = [moves]
    if node.get("is_program"):
        classes.append(EffectClass.COPY_PROGRAM)
        walk.flag("program", "COPY … PROGRAM")
    elif node.get("filename"):
        walk.flag("server_file", "COPY")
    else:
        walk.copy = "out" if reads else "in"
    if node.get("filename"):
        walk.code.append(node["filename"])
    if "query" in node:
        for cls in classes:
            walk.effect(cls)
        walk.copies_query = True
        walk.selects = "SelectStmt" in node["query"]
        walk.push(node["query"], base)
        return
    relation = node["relation"]
    name = Name(relation.get("schemaname"), relation.get("relname", ""))
    columns = set(strings(node.get("attlist"))) or None
    for cls in (*classes, EffectClass.SELECT if reads else EffectClass.INSERT):
        walk.use(cls, name, None if columns is None else set(columns))
    if "whereClause" in node:
        walk.push(node["whereClause"], walk.level(base, EffectClass.INSERT))


def session_only(cls: EffectClass) -> Handler:
    """Return a handler for a statement without objects: LISTEN, UNLISTEN, NOTIFY."""

    def handler(walk: Walk, node: Node, base: Level) -> None:
        walk.effect(cls)
        walk.code.append(node.get("conditionname", ""))

    return handler


def do(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DO)
    language = _option_text(node.get("args"), "language") or "plpgsql"
    if language.lower() not in TRUSTED_LANGUAGES:
        walk.flag("untrusted_language", language)
    text = _option_text(node.get("args"), "as") or ""
    if language.lower() == "plpgsql":
        walk.body(text, "the DO block")
    else:
        walk.code.append(text)
        walk.cannot_know(f"what a DO block in {language} runs is not known before it runs")


def call(walk: Walk, node: Node, base: Level) -> None:
    walk.push({"FuncCall": node["funccall"]}, walk.level(base, EffectClass.CALL))


def create_function(walk: Walk, node: Node, base: Level) -> None:
    """CREATE FUNCTION: bodies in SQL carry what they name; others are the function's own secret."""
    name = name_of(strings(node.get("funcname")))
    walk.functions[FunctionUse(EffectClass.DDL, name, created=True)] = None
    options = node.get("options", ())
    language = (_option_text(options, "language") or "sql").lower()
    if language not in TRUSTED_LANGUAGES:
        walk.flag("untrusted_language", language)
    if language == "sql":
        text = _option_text(options, "as")
        if text is not None:
            walk.text(text, "the body of the function", frozenset())
    elif language == "plpgsql":
        walk.body(_option_text(options, "as") or "", "the function", _parameter_names(node))
    else:  # whoever may make it may call it: later nobody could tell any more
        walk.cannot_know(f"what a function in {language} does is not known")
    options_with_functions(walk, options)
    _function_settings(walk, options)
    walk.push(node.get("parameters"), base)
    walk.push(node.get("sql_body"), base)


def _parameter_names(node: Node) -> tuple[str, ...]:
    parameters = (item["FunctionParameter"] for item in node.get("parameters", ()))
    return tuple(parameter["name"] for parameter in parameters if parameter.get("name"))


def alter_function(walk: Walk, node: Node, base: Level) -> None:
    name = name_of(strings(node.get("func", {}).get("objname")))
    walk.functions[FunctionUse(EffectClass.DDL, name, created=True)] = None
    _function_settings(walk, node.get("actions", ()))


def _function_settings(walk: Walk, options: Any) -> None:
    """SET clauses of a function: a role or a library set there counts as set."""
    for item in options or ():
        option = item.get("DefElem", {})
        setting = option.get("arg", {}).get("VariableSetStmt")
        if setting and setting.get("name", "").lower() in ROLE_SETTINGS:
            value = setting_value(setting["name"], setting)
            walk.flag("set_role", "*" if value is None else value)


def _option_text(options: Any, name: str) -> str | None:
    for item in options or ():
        option = item.get("DefElem", {})
        if option.get("defname") != name:
            continue
        value = option.get("arg", {})
        items = value.get("List", {}).get("items")
        found = strings(items) if items else strings([value])
        return found[0] if found else ""
    return None


# Languages that run with the rights of whoever calls, and reach nothing outside the database.
TRUSTED_LANGUAGES = frozenset({"sql", "plpgsql", "plperl", "pltcl", "plv8", "plcoffee", "plls"})
