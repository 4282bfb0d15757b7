"""What the shape of a WHERE says: whether it may hold for every row, whatever is in its columns."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 50  # of AND, OR and NOT in one another; what is deeper counts as holding for every row
_SAME = frozenset({"=", "<=", ">="})


def may_always_hold(condition: Any, variables: frozenset[str], depth: int = 0) -> bool:
    """Return whether AND, OR and NOT make a condition true of every row: ``id = 1 OR 1 = 1``.

    Only AND, OR and NOT are looked through; any other condition on a column is taken to restrict.
    ``variables``: names that are no columns.
    """
    return _free(condition, variables, False, depth)


def is_combined(condition: Any) -> bool:
    """Return whether a condition is made of others, or compares a thing with itself."""
    return isinstance(condition, dict) and ("BoolExpr" in condition or _compares_itself(condition))


def depends_on_constants(condition: Any, depth: int = 0) -> bool:
    """Return whether constants decide: ``1 = 0`` and ``1 = 1`` look alike but for those."""
    if depth > MAX_DEPTH or not isinstance(condition, dict):
        return depth > MAX_DEPTH
    if "BoolExpr" in condition:
        arms = condition["BoolExpr"].get("args", ())
        return any(depends_on_constants(arm, depth + 1) for arm in arms)
    return "A_Expr" in condition and _constant(condition) is not None


def _free(condition: Any, variables: frozenset[str], negated: bool, depth: int) -> bool:
    if depth > MAX_DEPTH:
        return True
    node = condition.get("BoolExpr") if isinstance(condition, dict) else None
    if node is None:
        return _free_leaf(condition, variables, negated)
    operator = node.get("boolop")
    if operator == "NOT_EXPR":
        return _free(node["args"][0], variables, not negated, depth + 1)
    arms = (_free(arm, variables, negated, depth + 1) for arm in node.get("args", ()))
    return all(arms) if (operator == "AND_EXPR") is not negated else any(arms)


def _free_leaf(condition: Any, variables: frozenset[str], negated: bool) -> bool:
    if _compares_itself(condition):
        return not negated
    if _names_column(condition, variables):
        return False
    value = _constant(condition)
    return True if value is None else value is not negated


def _compares_itself(condition: Any) -> bool:
    """Return whether it is ``id = id``."""
    test = condition.get("A_Expr") if isinstance(condition, dict) else None
    if test is None or test.get("kind") != "AEXPR_OP" or "lexpr" not in test:
        return False
    names = [part.get("String", {}).get("sval") for part in test.get("name", ())]
    left = test["lexpr"].get("ColumnRef", {}).get("fields")
    right = test.get("rexpr", {}).get("ColumnRef", {}).get("fields")
    return bool(left) and left == right and names[-1:] != [] and names[-1] in _SAME


def _names_column(condition: Any, variables: frozenset[str]) -> bool:
    pending = [condition]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
            continue
        if not isinstance(value, dict):
            continue
        fields = value.get("ColumnRef", {}).get("fields")
        if fields and fields[0].get("String", {}).get("sval") not in variables:
            return True
        pending += value.values()
    return False


def _constant(condition: Any) -> bool | None:
    """Return what ``true``, ``false`` and ``1 = 0`` say; None where it takes more to tell."""
    if not isinstance(condition, dict):
        return None
    if "A_Const" in condition:
        value = condition["A_Const"].get("boolval")
        return None if value is None else bool(value.get("boolval"))
    test = condition.get("A_Expr", {})
    if test.get("kind") != "AEXPR_OP" or "lexpr" not in test:
        return None
    sides = [test.get(side, {}).get("A_Const", {}).get("ival") for side in ("lexpr", "rexpr")]
    names = [part.get("String", {}).get("sval") for part in test.get("name", ())]
    if None in sides or names != ["="]:
        return None
    return bool(sides[0].get("ival", 0) == sides[1].get("ival", 0))
