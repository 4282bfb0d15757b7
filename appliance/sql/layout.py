"""Lays a statement out for people with sqlglot. Only the planner process imports this."""

from __future__ import annotations

import re

import sqlglot
from sqlglot.errors import SqlglotError

MAX_CHARACTERS = 20_000
_SPACE = re.compile(r"\s+")


def lay_out(text: str) -> str | None:
    """Return the text over several lines; None where sqlglot does not understand all of it.

    What it would change beyond white space and the case of words is not shown: people decide by
    this text.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        trees = sqlglot.parse(text, read="postgres")
        if any(tree is None or tree.key == "command" for tree in trees):
            return None
        pretty = ";\n\n".join(tree.sql(dialect="postgres", pretty=True) for tree in trees if tree)
    except (SqlglotError, RecursionError, ValueError):
        return None
    return pretty if _essence(pretty) == _essence(text) else None


def _essence(text: str) -> str:
    return _SPACE.sub("", text).rstrip(";").casefold()
