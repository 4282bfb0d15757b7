"""How commands print: aligned columns for people, JSON for programs, moments as ISO 8601."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import click
import orjson

from appliance.hidden import is_hidden


def print_json(value: Any) -> None:
    """Print one JSON document: dataclasses as objects, without fields hidden from their repr."""
    click.echo(orjson.dumps(plain(value), option=orjson.OPT_INDENT_2).decode())


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print columns, or the sentence that says why there are no rows and what to do."""
    if not rows:
        click.echo(empty)
        return
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def moment(at: datetime | None) -> str:
    """Return a moment to the second, in UTC; "" for none."""
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def parameter_text(value: Any) -> str:
    """Return a recorded parameter (see ``recording.parameters``) for people."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return repr(value)
    if value.get("redacted"):
        return "(not recorded: secret)"
    if "hex" in value:
        return f"\\x{value['hex']} (type {value['oid']})"
    return f"{value['text']!r}… ({value['length']} bytes)"


def visible(text: str) -> str:
    """Return a client's text so that it cannot move the terminal's cursor or forge lines."""
    return "".join(ascii(c)[1:-1] if c not in "\n\t" and is_hidden(c) else c for c in text)


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.repr}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(inner) for inner in value)
    return value
