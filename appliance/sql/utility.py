"""Handlers of utility statements: DDL, DCL, maintenance, and what they touch."""

from __future__ import annotations

from typing import Any

from appliance.sql.calls import inspect_name
from appliance.sql.facts import EffectClass, Name
from appliance.sql.levels import Level
from appliance.sql.parsed import FunctionUse, SchemaUse
from appliance.sql.queries import create_relation
from appliance.sql.walker import Handler, Node, Walk, name_of, strings

_DDL, _DCL = EffectClass.DDL, EffectClass.DCL
_RELATIONS = frozenset(
    {
        "OBJECT_TABLE",
        "OBJECT_VIEW",
        "OBJECT_MATVIEW",
        "OBJECT_INDEX",
        "OBJECT_SEQUENCE",
        "OBJECT_FOREIGN_TABLE",
    }
)
_PARTS = frozenset(
    {"OBJECT_COLUMN", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY", "OBJECT_TABCONSTRAINT"}
)
_FUNCTIONS = frozenset(
    {"OBJECT_FUNCTION", "OBJECT_PROCEDURE", "OBJECT_ROUTINE", "OBJECT_AGGREGATE"}
)
_OBJECT_FLAGS = {
    "OBJECT_FDW": "foreign",
    "OBJECT_FOREIGN_SERVER": "foreign",
    "OBJECT_FOREIGN_TABLE": "foreign",
    "OBJECT_USER_MAPPING": "foreign",
    "OBJECT_SUBSCRIPTION": "subscription",
    "OBJECT_LANGUAGE": "untrusted_language",
}
# Options of CREATE OPERATOR / AGGREGATE / TYPE / CAST … that name a function.
_FUNCTION_OPTIONS = frozenset(
    {
        "procedure",
        "function",
        "sfunc",
        "finalfunc",
        "combinefunc",
        "serialfunc",
        "deserialfunc",
        "msfunc",
        "minvfunc",
        "mfinalfunc",
        "restrict",
        "join",
        "input",
        "output",
        "receive",
        "send",
        "typmod_in",
        "typmod_out",
        "analyze",
        "subscript",
        "canonical",
        "subtype_diff",
        "handler",
        "validator",
        "inline",
        "start",
        "gettoken",
        "end",
        "lextypes",
        "headline",
        "init",
        "lexize",
        "support",
    }
)


def touching(walk: Walk, node: Node, base: Level) -> None:
    """Count every relation in the statement as touched with the statement's class."""
    walk.push_rest(node, base)


def create_table(walk: Walk, node: Node, base: Level) -> None:
    create_relation(walk, node["relation"])
    walk.push_rest(node, base, "relation")


def create_foreign_table(walk: Walk, node: Node, base: Level) -> None:
    walk.flag("foreign", node.get("servername", ""))
    create_table(walk, node["base"], base)
    walk.push_rest(node, base, "base")


def create_view(walk: Walk, node: Node, base: Level) -> None:
    create_relation(walk, node["view"])
    walk.push_rest(node, base, "view")


def create_table_as(walk: Walk, node: Node, base: Level) -> None:
    create_relation(walk, node["into"]["rel"])
    query = node["query"]
    walk.selects = "SelectStmt" in query
    walk.push(query, base)


def create_sequence(walk: Walk, node: Node, base: Level) -> None:
    create_relation(walk, node["sequence"])
    walk.push_rest(node, base, "sequence")


def composite_type(walk: Walk, node: Node, base: Level) -> None:
    create_relation(walk, node["typevar"])
    walk.push_rest(node, base, "typevar")


def create_schema(walk: Walk, node: Node, base: Level) -> None:
    """CREATE SCHEMA with elements: their bare names are looked up in the new schema first."""
    walk.effect(_DDL)
    before = len(walk.uses)
    inner: list[Node] = [item for item in node.get("schemaElts", ())]
    schema = node.get("schemaname") or node.get("authrole", {}).get("rolename")
    for item in inner:
        for tag, statement in item.items():
            handler = walk.handlers.get(tag)
            if handler is None:
                walk.cannot_know(f"CREATE SCHEMA with a {tag}")
            else:
                handler(walk, statement, base)
    for use in walk.uses[before:]:
        if use.name.schema is None and use.created:
            use.name = Name(schema, use.name.name)


def drop(walk: Walk, node: Node, base: Level) -> None:
    kind = node["removeType"]
    named = False
    for item in node.get("objects", ()):
        named = object_name(walk, kind, item, _DDL, optional=bool(node.get("missing_ok"))) or named
        if kind == "OBJECT_SCHEMA" and node.get("behavior") == "DROP_CASCADE":
            walk.schemas[SchemaUse(_DDL, item["String"]["sval"])] = None
    if not named or kind == "OBJECT_SCHEMA":
        walk.effect(_DDL)
    if kind in _OBJECT_FLAGS and kind != "OBJECT_LANGUAGE":
        walk.flag(_OBJECT_FLAGS[kind])


def about_object(cls: EffectClass) -> Handler:
    """Return a handler for COMMENT, SECURITY LABEL, ALTER … OWNER / SET SCHEMA / DEPENDS."""

    def handler(walk: Walk, node: Node, base: Level) -> None:
        kind = node.get("objtype") or node.get("objectType") or ""
        if not object_name(walk, kind, node.get("object"), cls) and "relation" not in node:
            walk.effect(cls)
        _flag_kind(walk, kind)
        walk.push_rest(node, base, "object")

    return handler


def rename(walk: Walk, node: Node, base: Level) -> None:
    kind = node.get("renameType", "")
    if kind in _RELATIONS and "relation" in node:
        use = walk.use(_DDL, _range(node["relation"]))
        use.moves, use.becomes = True, Name(None, node.get("newname", ""))
        use.optional = bool(node.get("missing_ok"))
        _flag_kind(walk, kind)
        return
    elif kind == "OBJECT_COLUMN" and "relation" in node:
        walk.use(_DDL, _range(node["relation"]), {node.get("subname", "")}).moves = True
    elif kind == "OBJECT_SCHEMA":
        walk.schemas[SchemaUse(_DDL, node.get("subname", ""), moves=True)] = None
    elif kind in _FUNCTIONS:
        _moved_function(walk, node)
    if "relation" not in node and not object_name(walk, kind, node.get("object"), _DDL):
        walk.has_own_effects = True
        walk.effect(_DCL if kind == "OBJECT_ROLE" else _DDL)
    _flag_kind(walk, kind)
    walk.push_rest(node, base, "object")


def alter_schema(walk: Walk, node: Node, base: Level) -> None:
    """ALTER … SET SCHEMA."""
    kind = node.get("objectType", "")
    if kind in _RELATIONS and "relation" in node:
        use = walk.use(_DDL, _range(node["relation"]))
        use.moves, use.becomes = True, Name(node.get("newschema", ""), "")
        use.optional = bool(node.get("missing_ok"))
        _flag_kind(walk, kind)
        return
    about_object(_DDL)(walk, node, base)
    if kind in _FUNCTIONS:
        _moved_function(walk, node)


def _flag_kind(walk: Walk, kind: str) -> None:
    if kind in _OBJECT_FLAGS:
        walk.flag(_OBJECT_FLAGS[kind])


def _moved_function(walk: Walk, node: Node) -> None:
    """A rule on calls of a function concerns giving it another name."""
    parts = strings(node.get("object", {}).get("ObjectWithArgs", {}).get("objname"))
    if parts:
        for cls in (EffectClass.SELECT, EffectClass.CALL):
            walk.functions[FunctionUse(cls, name_of(parts), created=True)] = None


_PARENTS = frozenset(
    {"AT_AddInherit", "AT_DropInherit", "AT_AttachPartition", "AT_DetachPartition"}
    | {"AT_DetachPartitionFinalize"}
)


def alter_table(walk: Walk, node: Node, base: Level) -> None:
    if node.get("objtype") == "OBJECT_FOREIGN_TABLE":
        walk.flag("foreign")
    use = walk.use(_DDL, _range(node["relation"]))
    use.optional = bool(node.get("missing_ok"))
    for item in node.get("cmds", ()):
        command = item["AlterTableCmd"]
        if command.get("subtype") in _PARENTS:
            use.moves = True
            other = command.get("def", {})
            other = other.get("RangeVar") or other.get("PartitionCmd", {}).get("name")
            if other:
                walk.use(_DDL, _range(other)).moves = True
    walk.push_rest(node, base, "relation")


def refresh(walk: Walk, node: Node, base: Level) -> None:
    walk.use(_DDL, _range(node["relation"])).reads = True
    walk.changes_state = True


def truncate(walk: Walk, node: Node, base: Level) -> None:
    for item in node.get("relations", ()):
        relation = item["RangeVar"]
        use = walk.use(EffectClass.TRUNCATE, _range(relation))
        use.only = not relation.get("inh")
        use.cascades = node.get("behavior") == "DROP_CASCADE"


def grant(walk: Walk, node: Node, base: Level) -> None:
    kind, target = node.get("objtype", ""), node.get("targtype", "")
    objects = node.get("objects", ())
    if target == "ACL_TARGET_ALL_IN_SCHEMA":
        walk.effect(_DCL)
        if kind == "OBJECT_TABLE" or kind == "OBJECT_SEQUENCE":
            for schema in strings(objects):
                walk.schemas[SchemaUse(_DCL, schema)] = None
        return
    named = False
    for item in objects:
        if kind in _FUNCTIONS and "ObjectWithArgs" in item:
            walk.function(_DCL, name_of(strings(item["ObjectWithArgs"].get("objname"))))
            named = True
        elif "RangeVar" in item:
            walk.use(_DCL, _range(item["RangeVar"]))
            named = True
    if not named:
        walk.effect(_DCL)
    if kind in _OBJECT_FLAGS and kind != "OBJECT_LANGUAGE":
        walk.flag(_OBJECT_FLAGS[kind])


def define(walk: Walk, node: Node, base: Level) -> None:
    """CREATE OPERATOR / AGGREGATE / TYPE / COLLATION / TEXT SEARCH …: functions it names count."""
    walk.effect(_DDL)
    options_with_functions(walk, [*node.get("definition", ()), *node.get("args", ())])
    walk.push_rest(node, base, "definition", "defnames")


def options_only(walk: Walk, node: Node, base: Level) -> None:
    """ALTER OPERATOR, ALTER TYPE … SET, CREATE TYPE … AS RANGE: functions are in the options."""
    walk.effect(_DDL)
    options_with_functions(walk, [*node.get("options", ()), *node.get("params", ())])


def options_with_functions(walk: Walk, options: Any) -> None:
    """Note the functions that options like ``PROCEDURE = pg_read_file`` name."""
    for item in options or ():
        option = item.get("DefElem") if isinstance(item, dict) else None
        if not option or option.get("defname", "").lower() not in _FUNCTION_OPTIONS:
            continue
        value = option.get("arg", {})
        parts = strings(value.get("TypeName", {}).get("names")) or strings(
            value.get("List", {}).get("items")
        )
        if not parts and "String" in value:
            parts = [value["String"].get("sval", "")]
        if parts:
            name_function(walk, name_of(parts))


def name_function(walk: Walk, name: Name) -> None:
    """Note a function that DDL names without calling it."""
    walk.function(_DDL, name)
    inspect_name(walk, name)


def naming_functions(*fields: str) -> Handler:
    """Return a handler for DDL that names functions in these fields (lists or ObjectWithArgs)."""

    def handler(walk: Walk, node: Node, base: Level) -> None:
        if "relation" not in node:
            walk.effect(_DDL)
        for field in fields:
            value = node.get(field)
            if isinstance(value, dict):
                value = value.get("objname")
            if value:
                name_function(walk, name_of(strings(value)))
        walk.push_rest(node, base, *fields)

    return handler


def operator_class(walk: Walk, node: Node, base: Level) -> None:
    walk.effect(_DDL)
    for item in node.get("items", ()):
        part = item["CreateOpClassItem"]
        if part.get("itemtype") == 2:  # OPCLASS_ITEM_FUNCTION
            name_function(walk, name_of(strings(part.get("name", {}).get("objname"))))


def object_name(
    walk: Walk, kind: str, item: Any, cls: EffectClass, *, optional: bool = False
) -> bool:
    """Note the relation or function that an object's name gives; tell whether there was one."""
    if not isinstance(item, dict):
        return False
    if kind in _FUNCTIONS:
        parts = strings(item.get("ObjectWithArgs", {}).get("objname"))
        if parts:
            walk.functions[FunctionUse(cls, name_of(parts), created=True)] = None
        return bool(parts)
    parts = strings(item.get("List", {}).get("items"))
    if kind in _PARTS:
        parts = parts[:-1]
    elif kind not in _RELATIONS:
        return False
    if parts:
        walk.use(cls, name_of(parts)).optional = optional
    return bool(parts)


def _range(relation: Node) -> Name:
    return Name(relation.get("schemaname"), relation.get("relname", ""))
