"""The names that PostgreSQL gives to outputs without one: parse_target.c, FigureColname."""

from __future__ import annotations

from appliance.sql.walker import Node, strings

UNSURE = ""  # a reference to any name may mean it
_UNNAMED = "?column?"
_FIXED = {
    "A_ArrayExpr": "array",
    "RowExpr": "row",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "MergeSupportFunc": "merge_action",
}
_NAMELESS = frozenset({"A_Const", "ParamRef", "BoolExpr", "NullTest", "BooleanTest"})


def figure(value: Node) -> str:
    """Return the name of an output; UNSURE where it depends on what is not known here."""
    name, _ = _figured(value)
    return _UNNAMED if name is None else name


def _figured(value: Node) -> tuple[str | None, int]:  # noqa: C901 - a list of cases
    """Return the name (None: nothing suggests one) and how strongly it is suggested."""
    for tag, body in value.items():
        if tag in _FIXED:
            return _FIXED[tag], 2
        if tag in _NAMELESS:
            return None, 0
        if tag == "ColumnRef":
            names = strings(body.get("fields"))
            return (names[-1], 2) if names else (None, 0)
        if tag == "FuncCall":
            names = strings(body.get("funcname"))
            return (names[-1], 2) if names else (UNSURE, 2)
        if tag == "MinMaxExpr":
            return ("least" if body.get("op") == "IS_LEAST" else "greatest"), 2
        if tag == "A_Expr":
            return ("nullif", 2) if body.get("kind") == "AEXPR_NULLIF" else (None, 0)
        if tag == "A_Indirection":
            names = strings(body.get("indirection"))
            return (names[-1], 2) if names else _figured(body["arg"])
        if tag == "CollateClause":
            return _figured(body["arg"])
        if tag == "TypeCast":
            return _weak(
                _figured(body["arg"]), (strings(body["typeName"].get("names")) or [""])[-1]
            )
        if tag == "CaseExpr":
            return _weak(_figured(body.get("defresult") or {"A_Const": {}}), "case")
        if tag == "SubLink":
            return _sub_select(body)
    return UNSURE, 2


def _weak(found: tuple[str | None, int], otherwise: str) -> tuple[str | None, int]:
    return found if found[1] > 1 else (otherwise, 1)


def _sub_select(body: Node) -> tuple[str | None, int]:
    kind = body.get("subLinkType")
    if kind == "EXISTS_SUBLINK":
        return "exists", 2
    if kind == "ARRAY_SUBLINK":
        return "array", 2
    if kind != "EXPR_SUBLINK":
        return None, 0
    targets = body["subselect"].get("SelectStmt", {}).get("targetList", [])
    if len(targets) != 1:
        return UNSURE, 2
    target = targets[0]["ResTarget"]
    value = target.get("val", {})
    if "A_Star" in (value.get("ColumnRef", {}).get("fields") or [{}])[-1]:
        return UNSURE, 2  # that of the one column that it stands for
    if "A_Star" in (value.get("A_Indirection", {}).get("indirection") or [{}])[-1]:
        return UNSURE, 2
    return target.get("name") or figure(value), 2
