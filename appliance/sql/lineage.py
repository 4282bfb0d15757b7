"""Where every output column of a statement comes from, and what else the statement passes on."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from appliance.sql.analysis import is_slow
from appliance.sql.builtins import builtins
from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.lexing import unreadable
from appliance.sql.lineage_calls import SENDING, gives_only_what_it_is_given
from appliance.sql.lineage_changes import Changes
from appliance.sql.lineage_expressions import NotKnownError
from appliance.sql.lineage_statements import Statements
from appliance.sql.lookup import Scope
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.taint import Lineage
from appliance.sql.walker import Node, name_of, strings

MAX_CHARACTERS = 1_000_000
MAX_TOKENS = 4000
# Versions that accept nothing that the grammar here refuses, but for functions of users whose
# names have become words of the grammar.
_SAME_GRAMMAR = range(140000, 190000)
_NEWER = re.compile("json|merge_action|system_user", re.IGNORECASE)
_CHANGING = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "intoClause"})


def lineage(
    text: str,
    catalog: Catalog,
    names: NameContext,
    library: PgQuery,
    prepared: Mapping[str, Lineage] | None = None,
    cursors: Mapping[str, Lineage] | None = None,
) -> Lineage:
    """Return where the outputs of the one statement in ``text`` come from. Never raises.

    ``prepared`` and ``cursors``: what EXECUTE and FETCH by name refer to.
    """
    statement: Node = {}
    is_error = False
    reader = Changes(Scope(catalog, names), builtins(), library)
    try:
        if len(text) > MAX_CHARACTERS or unreadable(text) or is_slow(text):
            raise NotKnownError("the statement is too large to be analysed")
        data = text.encode()
        if len(data) > MAX_TOKENS and library.count_tokens(data) > MAX_TOKENS:
            raise NotKnownError("the statement is too large to be analysed")
        statements = orjson.loads(library.parse(data)).get("stmts", [])
        if not statements:
            return Lineage()
        if len(statements) > 1:
            raise NotKnownError("several statements in one text")
        statement = statements[0]["stmt"]
        return Statements(reader, prepared or {}, cursors or {}).read(statement)
    except NotKnownError as error:
        reason = str(error)
    except (GrammarError, ValueError):
        reason = "PostgreSQL's grammar does not accept it"
        is_error = catalog.version in _SAME_GRAMMAR and not _NEWER.search(text)
    except (RecursionError, KeyError, TypeError, AttributeError, IndexError):
        reason = "the statement is not understood"
    return Lineage(
        None,
        unknown=reason,
        changes=not is_error and not _only_shows(statement),
        depends=frozenset(reader.depends),
        is_bound=True,
    )


def _only_shows(statement: Node) -> bool:
    """Return whether a statement surely keeps and sends nothing, whatever it reads."""
    if "FetchStmt" in statement:
        return True
    if "SelectStmt" not in statement:
        return False
    pending: list[object] = [statement]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            if _CHANGING & value.keys():
                return False
            name = (
                name_of(strings(value["FuncCall"].get("funcname")))
                if ("FuncCall" in value)
                else None
            )
            if name is not None:
                own = name.schema in (None, "pg_catalog") and name.name not in SENDING
                if not own or not gives_only_what_it_is_given(name.name, builtins()):
                    return False
            pending += value.values()
    return True
