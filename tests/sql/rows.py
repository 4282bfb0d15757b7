"""The corpus of statements: how a row is written, and what the code makes of it."""

from __future__ import annotations

from typing import Any

from appliance.sql.catalog import Catalog
from appliance.sql.facts import Effect, Facts, NameContext, Statement
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve

PATH = ("pg_catalog", "public")
PREPARED = "PREPARE prepared_one AS SELECT ssn FROM customers WHERE id = $1"


def context(parser: Parser, catalog: Catalog) -> NameContext:
    """Return a fresh session's names, with one prepared statement."""
    plain = NameContext(PATH, "app_ro", frozenset())
    prepared = {"prepared_one": resolve(parser.parse(PREPARED), catalog, plain)}
    return NameContext(PATH, "app_ro", frozenset(), prepared)


def described(facts: Facts) -> list[dict[str, Any]]:
    """Return each statement as a corpus row has it; what is empty is left out."""
    return [_statement(statement) for statement in facts.statements]


def _statement(statement: Statement) -> dict[str, Any]:
    effects = {_effect(e) for e in statement.effects}
    row: dict[str, Any] = {"effects": sorted(effects)}
    if statement.unknown:
        row["unknown"] = statement.unknown
    if statement.flag_details:
        row["flags"] = sorted(f"{flag}={detail}" for flag, detail in statement.flag_details)
    if statement.changes_state:
        row["state"] = True
    if statement.settings:
        row["settings"] = [
            f"{s.scope} {s.name}" + ("" if s.value is None else f" = {s.value}")
            for s in statement.settings
        ]
    for field in ("prepares", "executes", "deallocates", "transaction", "copy"):
        if getattr(statement, field):
            row[field] = getattr(statement, field)
    return row


def _effect(effect: Effect) -> str:
    """Write an effect: ``delete public.orders(id) all <public.v_orders ~``.

    ``(…)`` columns where known, ``all`` without_where, ``<`` via, ``~`` default_exempt.
    """
    text = str(effect.cls)
    if effect.object:
        text += f" {effect.object}"
    if effect.columns is not None and effect.relation is not None:
        text += f"({','.join(effect.columns)})"
    if effect.without_where:
        text += " all"
    if effect.via:
        text += f" <{effect.via}"
    return text + " ~" if effect.default_exempt else text
