"""Handlers of statements about roles, languages, extensions, servers: what built-in rules watch."""

from __future__ import annotations

from typing import Any

from appliance.sql.facts import EffectClass
from appliance.sql.levels import Level
from appliance.sql.session_statements import TRUSTED_LANGUAGES, setting_value
from appliance.sql.utility import name_function
from appliance.sql.walker import LIBRARY_SETTINGS, Node, Walk, name_of, setting_code, strings

_STRONG_OPTIONS = frozenset({"superuser", "bypassrls", "isreplication", "createrole"})
# Membership in these gives files, programs or everything.
_PREDEFINED = {
    "pg_execute_server_program": "program",
    "pg_read_server_files": "server_file",
    "pg_write_server_files": "server_file",
    "pg_create_subscription": "subscription",
}
_EXTENSION_FLAGS = {"dblink": "dblink", "adminpack": "server_file", "pltclu": "untrusted_language"}
_TRUSTED_EXTENSIONS = frozenset({"plpgsql", "plperl", "pltcl", "plv8", "plcoffee", "plls"})


def create_role(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DCL)
    role = node.get("role", "")
    if node.get("stmt_type") == "ROLESTMT_USER":
        walk.flag("login", role)
    _options(walk, node.get("options", ()), role)


def alter_role(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DCL)
    _options(walk, node.get("options", ()), role_name(node.get("role")))


def _options(walk: Walk, options: list[Node], role: str) -> None:
    for item in options:
        option = item["DefElem"]
        name = option["defname"]
        if name == "password":
            walk.flag("password", role)
        elif name == "canlogin" and _is_true(option):
            walk.flag("login", role)
        elif name in _STRONG_OPTIONS and _is_true(option):
            walk.flag("superuser", role)
        elif name in ("addroleto", "rolemembers", "adminmembers"):
            _membership(walk, [role] if name != "addroleto" else _role_names(option), role)


def _is_true(option: Node) -> bool:
    value = option.get("arg", {}).get("Boolean")
    return value is None or bool(value.get("boolval"))


def _role_names(option: Node) -> list[str]:
    items = option.get("arg", {}).get("List", {}).get("items", ())
    return [role_name(item.get("RoleSpec")) for item in items]


def _membership(walk: Walk, granted: list[str], member: str) -> None:
    for name in granted:
        if name in _PREDEFINED:
            walk.flag(_PREDEFINED[name], name)
        if name.startswith("pg_"):
            walk.flag("superuser", member or name)


def grant_role(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DCL)
    if node.get("is_grant"):
        granted = [
            item.get("AccessPriv", {}).get("priv_name", "")
            for item in node.get("granted_roles", ())
        ]
        members = [role_name(item.get("RoleSpec")) for item in node.get("grantee_roles", ())]
        _membership(walk, granted, members[0] if members else "")


def alter_role_set(walk: Walk, node: Node, base: Level) -> None:
    """ALTER ROLE … SET: in force at the role's next login."""
    walk.effect(EffectClass.DCL)
    _stored_setting(walk, node.get("setstmt", {}))


def alter_database_set(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    _stored_setting(walk, node.get("setstmt", {}))


def alter_system(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    walk.flag("alter_system", node.get("setstmt", {}).get("name", "all"))


def _stored_setting(walk: Walk, setting: Node) -> None:
    name = setting.get("name", "").lower()
    value = setting_value(name, setting)
    if setting.get("kind") != "VAR_SET_VALUE" and setting.get("kind") != "VAR_SET_CURRENT":
        return
    walk.code += setting_code(name, value)
    if name in ("role", "session_authorization"):
        walk.flag("set_role", "*" if value is None else value)
    elif name in LIBRARY_SETTINGS:
        walk.flag("load", name)


def role_name(spec: Any) -> str:
    """Return the name of a RoleSpec; "current_user" and the like stay words."""
    if not isinstance(spec, dict):
        return ""
    kind = spec.get("roletype", "")
    if kind == "ROLESPEC_CSTRING":
        return str(spec.get("rolename", ""))
    words = {
        "ROLESPEC_CURRENT_USER": CURRENT_USER,
        "ROLESPEC_CURRENT_ROLE": CURRENT_USER,
        "ROLESPEC_SESSION_USER": SESSION_USER,
    }
    return words.get(kind, "public")


# Stand-ins that no role can be called: resolve.py puts the session's role in their place.
CURRENT_USER = "\0current_user"
SESSION_USER = "\0session_user"


def load(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    walk.flag("load", node.get("filename", ""))


def create_extension(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    name = node.get("extname", "")
    flag = _EXTENSION_FLAGS.get(name)
    if flag is None and name.endswith("_fdw"):
        flag = "foreign"
    if flag is None and name.startswith("pl") and name not in _TRUSTED_EXTENSIONS:
        flag = "untrusted_language"
    if flag is not None:
        walk.flag(flag, name)


def create_language(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    name = node.get("plname", "")
    if name not in TRUSTED_LANGUAGES or node.get("plhandler"):
        walk.flag("untrusted_language", name)
    for field in ("plhandler", "plinline", "plvalidator"):
        if node.get(field):
            name_function(walk, name_of(strings(node[field])))


def subscription(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    walk.flag("subscription", node.get("subname", ""))


def foreign(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(EffectClass.DDL)
    walk.flag("foreign", node.get("servername") or node.get("fdwname") or "")
    for item in node.get("func_options", ()):
        parts = strings(item["DefElem"].get("arg", {}).get("List", {}).get("items"))
        if parts:
            name_function(walk, name_of(parts))
