"""Handlers for SELECT, INSERT, UPDATE, DELETE, MERGE and all that stands inside of them."""

from __future__ import annotations

from appliance.sql.calls import constant, inspect_call
from appliance.sql.conditions import depends_on_constants, is_combined, may_always_hold
from appliance.sql.facts import EffectClass, Name
from appliance.sql.levels import Level, Use
from appliance.sql.parsed import FunctionUse
from appliance.sql.walker import Handler, Node, Walk, name_of, range_name, strings

_DML = {
    "CMD_INSERT": EffectClass.INSERT,
    "CMD_UPDATE": EffectClass.UPDATE,
    "CMD_DELETE": EffectClass.DELETE,
}


def select(walk: Walk, node: Node, outer: Level) -> None:
    """Open the level of one SELECT, VALUES, TABLE or one side of a set operation."""
    inserts = "valuesLists" in node and outer.cls is EffectClass.INSERT
    level = walk.level(outer, EffectClass.INSERT if inserts else EffectClass.SELECT)
    with_clause(walk, node.get("withClause"), level)
    if "whereClause" in node:
        _note_fixed(walk, node, level)
    if "intoClause" in node:
        create_relation(walk, node["intoClause"]["rel"])
    for side in ("larg", "rarg"):
        if side in node:
            walk.push({"SelectStmt": node[side]}, level)
    # lockingClause names aliases of the FROM, not relations
    walk.push_rest(node, level, "withClause", "intoClause", "larg", "rarg", "lockingClause")


def _note_fixed(walk: Walk, node: Node, level: Level) -> None:
    """Note the column that ``FROM pg_settings WHERE name = 'x'``, and nothing else, fixes."""
    test, sources = node["whereClause"].get("A_Expr"), node.get("fromClause", ())
    if test is None or len(sources) != 1 or test.get("kind") != "AEXPR_OP":
        return
    if sources[0].get("RangeVar", {}).get("relname") != "pg_settings":
        return
    if strings(test.get("name")) != ["="] or "lexpr" not in test:
        return
    left = strings(test["lexpr"].get("ColumnRef", {}).get("fields"))
    value = test.get("rexpr", {}).get("A_Const", {}).get("sval", {}).get("sval")
    if len(left) == 1 and value is not None and not walk.is_doubtful(value):
        level.known[left[0]] = value


def insert(walk: Walk, node: Node, outer: Level) -> None:
    level = walk.level(outer, EffectClass.INSERT)
    with_clause(walk, node.get("withClause"), level)
    columns = _target_names(node.get("cols"))
    _target(walk, node["relation"], level, EffectClass.INSERT, columns or None)
    source = walk.level(outer, EffectClass.INSERT, ctes=level.ctes)
    walk.push(node.get("cols"), level)
    walk.push(node.get("selectStmt"), source)
    conflict = node.get("onConflictClause")
    if conflict:
        if conflict.get("action") == "ONCONFLICT_UPDATE":
            _on_conflict_update(walk, node["relation"], conflict, source)
        else:
            walk.push_rest(conflict, walk.level(source, EffectClass.INSERT))
    _returning(walk, node.get("returningClause"), node["relation"], level)


def _on_conflict_update(walk: Walk, relation: Node, conflict: Node, outer: Level) -> None:
    level = walk.level(outer, EffectClass.UPDATE)
    use = walk.use(
        EffectClass.UPDATE, range_name(relation), _target_names(conflict.get("targetList"))
    )
    level.offer(_alias(relation), use)
    level.sources["excluded"] = [use]
    _set(walk, conflict.get("targetList"), relation, level)
    walk.push_rest(conflict, level, "targetList")


def update(walk: Walk, node: Node, outer: Level) -> None:
    level = walk.level(outer, EffectClass.UPDATE)
    with_clause(walk, node.get("withClause"), level)
    columns = _target_names(node.get("targetList"))
    target = _target(walk, node["relation"], level, EffectClass.UPDATE, columns)
    _set(walk, node.get("targetList"), node["relation"], level)
    walk.push(node.get("fromClause"), level)
    _where(walk, node.get("whereClause"), (target,), level)
    _returning(walk, node.get("returningClause"), node["relation"], level)


def delete(walk: Walk, node: Node, outer: Level) -> None:
    level = walk.level(outer, EffectClass.DELETE)
    with_clause(walk, node.get("withClause"), level)
    target = _target(walk, node["relation"], level, EffectClass.DELETE, None)
    walk.push(node.get("usingClause"), level)
    _where(walk, node.get("whereClause"), (target,), level)
    _returning(walk, node.get("returningClause"), node["relation"], level)


def _set(walk: Walk, items: list[Node] | None, relation: Node, level: Level) -> None:
    """Walk a SET list: what it reads of the target it could write where everybody may read."""
    inside = walk.level(level, EffectClass.UPDATE)
    use = walk.use(EffectClass.SELECT, range_name(relation), set())
    use.aside = True
    inside.offer(_alias(relation), use)
    inside.sources[_alias(relation)] += level.sources.get(_alias(relation), ())
    walk.push(items, inside)


def merge(walk: Walk, node: Node, outer: Level) -> None:
    """MERGE counts as merge on its target and as each of the actions it may take."""
    level = walk.level(outer, EffectClass.MERGE)
    with_clause(walk, node.get("withClause"), level)
    target = _target(walk, node["relation"], level, EffectClass.MERGE, None)
    alias = _alias(node["relation"])
    judged: list[Use] = []
    matched: list[Use] = []
    for when in node.get("mergeWhenClauses", ()):
        clause = when["MergeWhenClause"]
        cls = _DML.get(clause.get("commandType", ""))
        if cls is None:  # DO NOTHING
            walk.push(clause.get("condition"), level)
            continue
        columns = _target_names(clause.get("targetList"))
        use = walk.use(cls, target.name, columns if cls is not EffectClass.DELETE else None)
        if cls is EffectClass.INSERT and not columns:
            use.columns = None
        if cls is not EffectClass.INSERT:
            use.where = "none"
            judged.append(use)
            if clause.get("matchKind") != "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
                matched.append(use)  # those rows alone are the ones that ON chooses
        if "condition" in clause:
            of = () if cls is EffectClass.INSERT else (use,)
            _condition(walk, clause["condition"], of, level)
        level.sources[alias].append(use)
        if cls is EffectClass.UPDATE:
            _set(walk, clause.get("targetList"), node["relation"], level)
        else:
            walk.push(clause.get("targetList"), level)
        walk.push(clause.get("values"), level)
    walk.push(node.get("sourceRelation"), level)
    _where(walk, node["joinCondition"], tuple(matched), level)
    for use in judged:  # bare names are judged through the level's own sources
        level.uses.append(use)
    _returning(walk, node.get("returningClause"), node["relation"], level)


def with_clause(walk: Walk, clause: Node | None, level: Level) -> None:
    """Make the CTEs' names known in ``level``, and walk each with the names it may see.

    Without RECURSIVE a CTE sees only those before it: ``WITH t AS (SELECT * FROM t)`` reads the
    relation t.
    """
    if not clause:
        return
    ctes = [item["CommonTableExpr"] for item in clause.get("ctes", ())]
    names = frozenset(cte["ctename"] for cte in ctes)
    visible = level.ctes
    for cte in ctes:
        sees = level.ctes | names if clause.get("recursive") else visible
        holder = walk.level(level.parent, EffectClass.SELECT, ctes=sees)
        walk.push_rest(cte, holder)
        visible = visible | {cte["ctename"]}
    level.ctes = level.ctes | names


def create_relation(walk: Walk, relation: Node) -> Use:
    """Note a relation that the statement makes."""
    use = walk.use(EffectClass.DDL, range_name(relation))
    walk.changes_state = True
    use.created = True
    use.temporary = relation.get("relpersistence") == "t"
    return use


def range_var(walk: Walk, node: Node, level: Level) -> None:
    name = range_name(node)
    if name.schema is None and name.name in level.ctes and "catalogname" not in node:
        level.offer(_alias(node), None)
        return
    use = walk.use(level.reads, name, set() if level.tracks else None)
    use.only = not node.get("inh")
    alias = node.get("alias")
    if alias and alias.get("colnames"):  # its columns go by other names here
        use.columns = None
    level.offer(_alias(node), use)


def join(walk: Walk, node: Node, level: Level) -> None:
    for key in ("alias", "join_using_alias"):
        if key in node:
            level.joins.add(node[key]["aliasname"])
    if node.get("isNatural"):
        level.is_natural = True
    level.columns += [([column], False) for column in strings(node.get("usingClause"))]
    walk.push_rest(node, level, "alias", "join_using_alias", "usingClause")


def range_other(walk: Walk, node: Node, level: Level) -> None:
    """A source of FROM that is no relation: a sub-select, a function, XMLTABLE."""
    alias = node.get("alias")
    level.offer(alias["aliasname"] if alias else "", None)
    walk.push_rest(node, level, "alias")


def json_table(walk: Walk, node: Node, level: Level) -> None:
    _newer_function(walk, "json_table", level)
    range_other(walk, node, level)


def range_sample(walk: Walk, node: Node, level: Level) -> None:
    walk.function(level.cls, name_of(strings(node.get("method"))), 1)
    walk.push_rest(node, level, "method")


def column_ref(walk: Walk, node: Node, level: Level) -> None:
    fields = node["fields"]
    names, star = strings(fields), "A_Star" in fields[-1]
    level.columns.append((names, star))
    if len(names) > 1 and not star:
        walk.attributes[names[-1]] = None


def indirection(walk: Walk, node: Node, level: Level) -> None:
    for name in strings(node.get("indirection")):
        walk.attributes[name] = None
    walk.push_rest(node, level)


def function_call(walk: Walk, node: Node, level: Level) -> None:
    name = name_of(strings(node["funcname"]))
    arguments = node.get("args") or []
    walk.function(level.cls, name, len(arguments))
    inspect_call(walk, name, arguments, level)
    walk.push_rest(node, level, "funcname")


def expression(walk: Walk, node: Node, level: Level) -> None:
    operator(walk, node.get("name"))
    walk.push_rest(node, level, "name")


def sublink(walk: Walk, node: Node, level: Level) -> None:
    operator(walk, node.get("operName"))
    walk.push_rest(node, level, "operName")


def sort_by(walk: Walk, node: Node, level: Level) -> None:
    operator(walk, node.get("useOp"))
    walk.push_rest(node, level, "useOp")


def operator(walk: Walk, parts: object) -> None:
    if parts:
        walk.operators[name_of(strings(parts))] = None


def type_name(walk: Walk, node: Node, level: Level) -> None:
    parts = strings(node.get("names"))
    if parts and not (len(parts) > 1 and parts[-2] == "pg_catalog"):
        walk.types[name_of(parts)] = None
    walk.push_rest(node, level, "names")


def type_cast(walk: Walk, node: Node, level: Level) -> None:
    """'orders'::regclass is a name, whatever it looks like."""
    parts = strings(node.get("typeName", {}).get("names"))
    if parts and parts[-1].startswith("reg"):
        walk.literal_sensitive = True
        text = constant(walk, node.get("arg"))
        if text is not None:
            walk.code.append(text)
    type_name(walk, node.get("typeName", {}), level)
    walk.push_rest(node, level, "typeName")


def _newer_function(walk: Walk, name: str, level: Level) -> None:
    """An older server takes this construct for a call of a function of that name."""
    walk.functions[FunctionUse(level.cls, Name(None, name), optional=True)] = None


def newer(name: str) -> Handler:
    """Return a handler for a construct that is a plain function to older servers."""

    def handler(walk: Walk, node: Node, level: Level) -> None:
        _newer_function(walk, name, level)
        walk.push_rest(node, level)

    return handler


def json_function(walk: Walk, node: Node, level: Level) -> None:
    names = {"JSON_EXISTS_OP": "json_exists", "JSON_QUERY_OP": "json_query"}
    _newer_function(walk, names.get(node.get("op", ""), "json_value"), level)
    walk.push_rest(node, level)


def _target(
    walk: Walk, relation: Node, level: Level, cls: EffectClass, columns: set[str] | None
) -> Use:
    use = walk.use(cls, range_name(relation), columns)
    use.only = not relation.get("inh")
    level.target = use
    level.offer(_alias(relation), use)
    return use


def _where(walk: Walk, condition: object, judged: tuple[Use, ...], level: Level) -> None:
    for use in judged:
        use.where = "none"
    if not condition:
        return
    if isinstance(condition, dict) and "CurrentOfExpr" in condition:
        for use in judged:  # exactly one row: the cursor's
            use.where = "refers"
        return
    _condition(walk, condition, judged, level)


def _condition(walk: Walk, condition: object, judged: tuple[Use, ...], level: Level) -> None:
    """Walk a condition: what it refers to restricts the judged, unless it holds for all anyway."""
    inside = walk.level(level, level.cls)
    inside.where_of = judged
    if is_combined(condition):
        walk.literal_sensitive |= depends_on_constants(condition)
        if may_always_hold(condition, walk.variables or frozenset()):
            inside.where_of = ()
    walk.push(condition, inside)


def _returning(walk: Walk, clause: Node | None, relation: Node, level: Level) -> None:
    if not clause:
        return
    inside = walk.level(level, EffectClass.SELECT)
    inside.is_returning = True
    use = walk.use(EffectClass.SELECT, range_name(relation), set())
    inside.offer(_alias(relation), use)
    named = [item["ReturningOption"]["value"] for item in clause.get("options", ())]
    for alias in ("old", "new", *named):
        inside.sources.setdefault(alias, [use])
    walk.push(clause.get("exprs"), inside)


def _target_names(items: list[Node] | None) -> set[str]:
    return {item["ResTarget"]["name"] for item in items or () if "name" in item["ResTarget"]}


def _alias(relation: Node) -> str:
    alias = relation.get("alias")
    return str(alias["aliasname"] if alias else relation.get("relname", ""))


def leaf(walk: Walk, node: Node, level: Level) -> None:
    """Nothing in it names anything."""


QUERY_HANDLERS: dict[str, Handler] = {
    "A_Const": leaf,
    "ParamRef": leaf,
    "String": leaf,
    "SelectStmt": select,
    "InsertStmt": insert,
    "UpdateStmt": update,
    "DeleteStmt": delete,
    "MergeStmt": merge,
    "RangeVar": range_var,
    "JoinExpr": join,
    "RangeSubselect": range_other,
    "RangeFunction": range_other,
    "RangeTableFunc": range_other,
    "JsonTable": json_table,
    "RangeTableSample": range_sample,
    "ColumnRef": column_ref,
    "A_Indirection": indirection,
    "FuncCall": function_call,
    "A_Expr": expression,
    "SubLink": sublink,
    "SortBy": sort_by,
    "TypeName": type_name,
    "typeName": type_name,
    "TypeCast": type_cast,
    "JsonFuncExpr": json_function,
    "JsonObjectConstructor": newer("json_object"),
    "JsonArrayConstructor": newer("json_array"),
    "JsonArrayQueryConstructor": newer("json_array"),
    "JsonObjectAgg": newer("json_objectagg"),
    "JsonArrayAgg": newer("json_arrayagg"),
    "JsonParseExpr": newer("json"),
    "JsonScalarExpr": newer("json_scalar"),
    "JsonSerializeExpr": newer("json_serialize"),
    "MergeSupportFunc": newer("merge_action"),
}
