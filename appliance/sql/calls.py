"""Functions that are more than a function: they read files, run text, change settings."""

from __future__ import annotations

import re
from typing import Any

from appliance.sql.facts import EffectClass, Name
from appliance.sql.levels import Level
from appliance.sql.walker import Node, Walk

# Flags by name, whatever the schema: an extension's functions may live anywhere.
_FLAGGED = {
    "lo_import": "server_file",
    "lo_export": "server_file",
    "be_lo_import": "server_file",
    "be_lo_export": "server_file",
    "pg_stat_file": "server_file",
    "pg_logdir_ls": "server_file",
    "pg_file_write": "server_file",
    "pg_file_read": "server_file",
    "pg_file_sync": "server_file",
    "pg_file_rename": "server_file",
    "pg_file_unlink": "server_file",
    "pg_file_length": "server_file",
    "pg_hba_file_rules": "server_file",
    "pg_ident_file_mappings": "server_file",
    "pg_show_all_file_settings": "server_file",
    "pg_current_logfile": "server_file",
    "pg_create_logical_replication_slot": "load",
    "fmgr_c_validator": "load",
    "plpython3_call_handler": "untrusted_language",
    "plperlu_call_handler": "untrusted_language",
}
_FLAGGED_PREFIXES = (
    ("pg_read_", "server_file"),
    ("pg_ls_", "server_file"),
    ("dblink", "dblink"),
    ("postgres_fdw_", "foreign"),
)
# Functions that run the text they are given -> the place of that text among the arguments.
_RUNS_TEXT = {
    "query_to_xml": 0,
    "query_to_xmlschema": 0,
    "query_to_xml_and_xmlschema": 0,
    "ts_stat": 0,
    "crosstab": 0,
    "crosstab2": 0,
    "crosstab3": 0,
    "crosstab4": 0,
    "crosstabn": 0,
}
# Functions that read a relation named by their first argument.
_READS_RELATION = frozenset({"table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema"})
_UNKNOWABLE = frozenset(
    {
        "schema_to_xml",
        "schema_to_xmlschema",
        "schema_to_xml_and_xmlschema",
        "database_to_xml",
        "database_to_xmlschema",
        "database_to_xml_and_xmlschema",
        "pg_logical_slot_get_changes",
        "pg_logical_slot_get_binary_changes",
        "pg_logical_slot_peek_changes",
        "pg_logical_slot_peek_binary_changes",
        "connectby",
        "xpath_table",
    }
)
_SPECIAL = (
    frozenset(_FLAGGED)
    | frozenset(_RUNS_TEXT)
    | _READS_RELATION
    | _UNKNOWABLE
    | {"set_config", "ts_rewrite", "setval"}
)
# Functions whose first argument names an object, though a rule need not look at that.
_TAKES_NAME = frozenset({"nextval", "currval", "setval", "pg_notify"})
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)?\Z")


def inspect_call(walk: Walk, name: Name, arguments: list[Node], level: Level) -> None:
    """Note what a call means beyond being a call."""
    word = name.name
    if flag_function(walk, name):
        _note_constants(walk, arguments)
    elif word in _TAKES_NAME:
        _note_constants(walk, arguments[:1])
    if word not in _SPECIAL:
        return
    walk.literal_sensitive = True
    if word == "set_config":
        _set_config(walk, arguments, level)
    elif word in _RUNS_TEXT:
        _run_text(walk, word, arguments, _RUNS_TEXT[word])
    elif word == "ts_rewrite":
        if len(arguments) == 2:
            _run_text(walk, word, arguments, 1)
    elif word in _READS_RELATION or word == "setval":
        _relation(walk, word, arguments)
    elif word in _UNKNOWABLE:
        walk.cannot_know(f"{word}() reads relations that its text does not name")


def inspect_name(walk: Walk, name: Name) -> None:
    """Note what it means that an operator, aggregate, cast … will call a function."""
    flag_function(walk, name)
    if name.name in _SPECIAL:
        walk.cannot_know(f"{name.name}() would be called by another name")
    if name.name == "set_config":
        walk.flag("set_role", "*")


def _note_constants(walk: Walk, arguments: list[Node]) -> None:
    """Have string constants count for the fingerprint: file names, sequences, texts run afar.

    Not where a password stands: a hash would say which one it is.
    """
    walk.literal_sensitive = True
    for argument in arguments:
        text = _constant(argument)
        if text is not None and "password" not in text.lower():
            walk.code.append(text)


def flag_function(walk: Walk, name: Name) -> bool:
    """Note the flag of a function that is called or named; tell whether it has one."""
    flag = function_flag(name.name)
    if flag is not None:
        walk.flag(flag, f"{name.name}()")
    return flag is not None


def function_flag(word: str) -> str | None:
    """Return which built-in rule watches functions of that name, in whatever schema."""
    flag = _FLAGGED.get(word)
    if flag is None and word[:3] in ("pg_", "dbl", "pos"):
        return next((flag for prefix, flag in _FLAGGED_PREFIXES if word.startswith(prefix)), None)
    return flag


def constant(walk: Walk, node: Any) -> str | None:
    """Return the text of a string constant, also one cast to text; None when it is not one."""
    found = _constant(node)
    return None if found is None or walk.is_doubtful(found) else found


def _constant(node: Any) -> str | None:
    while isinstance(node, dict):
        if "TypeCast" in node:
            names = node["TypeCast"].get("typeName", {}).get("names", ())
            last = names[-1]["String"].get("sval", "") if names else ""
            if last not in ("text", "varchar", "bpchar", "regclass", "name"):
                return None
            node = node["TypeCast"].get("arg")
        elif "A_Const" in node:
            value = node["A_Const"].get("sval")
            return value.get("sval", "") if value is not None else None
        else:
            return None
    return None


def _set_config(walk: Walk, arguments: list[Node], level: Level) -> None:
    walk.effect(EffectClass.SESSION)
    named = len(arguments) != 3 or any("NamedArgExpr" in argument for argument in arguments)
    name = None if named else constant(walk, arguments[0]) or _fixed(arguments[0], level)
    if name is None:
        walk.cannot_know("set_config() with a name that is not a constant")
        walk.flag("set_role", "*")
        return
    value = constant(walk, arguments[1])
    local = arguments[2].get("A_Const", {}).get("boolval", {}).get("boolval", False)
    walk.setting(name, value, "local" if local is True else "session")


def _fixed(node: Node, level: Level) -> str | None:
    """Return the only value that a bare column can have here: so pg_dump calls set_config."""
    fields = node.get("ColumnRef", {}).get("fields", ())
    if len(fields) != 1 or "String" not in fields[0]:
        return None
    return level.known.get(fields[0]["String"].get("sval", ""))


def _run_text(walk: Walk, word: str, arguments: list[Node], place: int) -> None:
    named = any("NamedArgExpr" in argument for argument in arguments)
    text = constant(walk, arguments[place]) if place < len(arguments) and not named else None
    if text is None:
        walk.cannot_know(f"{word}() runs a text that is not a constant")
    else:
        walk.text(text, f"the text that {word}() runs")


def _relation(walk: Walk, word: str, arguments: list[Node]) -> None:
    text = constant(walk, arguments[0]) if arguments else None
    if word == "setval":  # writes the sequence; a computed name leaves the function's own effect
        cls = EffectClass.UPDATE
    else:
        cls = EffectClass.SELECT
        if text is None:
            walk.cannot_know(f"{word}() reads a relation that is not a constant")
    if text is None:
        return
    walk.code.append(text)
    if not _PLAIN_NAME.match(text):
        walk.cannot_know(f"{word}() names its relation in a way that is not read here")
        return
    schema, _, name = text.lower().rpartition(".")
    walk.use(cls, Name(schema or None, name))
