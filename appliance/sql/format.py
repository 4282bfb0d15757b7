"""Statements laid out for the pages that people read and decide by."""

from __future__ import annotations

from appliance.sql.lexing import unreadable
from appliance.sql.planner import Planner

MAX_CHARACTERS = 20_000


def format_sql(text: str, planner: Planner | None) -> str:
    """Return the statement over several lines, or as it came where that cannot be done safely."""
    if planner is None or len(text) > MAX_CHARACTERS or unreadable(text):
        return text
    return planner.format(text) or text
