"""Patterns for names of tables, columns and functions: ``schema.name``, ``*`` within a part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from appliance.sql.facts import Name

_NAME_BYTES = 63  # longer identifiers are cut by the server, so the catalog never has them
_TEMP_SCHEMA = re.compile(r"pg_temp_\d+")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Match(IntEnum):
    """Whether a condition holds. MAYBE: the facts do not say."""

    NO = 0
    MAYBE = 1
    YES = 2


class BadPattern(ValueError):
    """A pattern that names nothing; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a pattern. ``regex`` None = no ``*`` in it, unless it is all that there is."""

    text: str
    is_any: bool = False
    regex: re.Pattern[str] | None = None

    def holds(self, name: str) -> bool:
        """Return whether a name of the catalog fits."""
        if self.regex is None:
            return self.is_any or name == self.text
        return self.regex.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class NamePattern:
    """``schema.name``; a bare name means any schema."""

    schema: Part
    name: Part

    def match(self, name: Name) -> Match:
        """Compare with a name as the catalog has it.

        One that could not be resolved may be a view or a synonym for anything: MAYBE.
        """
        if name.schema is None:
            exact = self.schema.is_any and self.name.holds(name.name)
            return Match.YES if exact else Match.MAYBE
        if not self.name.holds(name.name):
            return Match.NO
        schema = name.schema
        if schema.startswith("pg_temp_") and _TEMP_SCHEMA.fullmatch(schema):
            schema = "pg_temp"
        return Match.YES if self.schema.holds(schema) else Match.NO


@dataclass(frozen=True, slots=True)
class ColumnPattern:
    """``schema.table.column``; missing parts in front mean any."""

    table: NamePattern
    column: Part

    def match(self, table: Name, column: str | None) -> Match:
        """Compare with one column of a table; None = it could be any of them."""
        on_table = self.table.match(table)
        if column is None:
            return on_table if self.column.is_any else min(on_table, Match.MAYBE)
        return on_table if self.column.holds(column) else Match.NO


_ANY = Part("*", is_any=True)


def name_pattern(text: str) -> NamePattern:
    """Parse a pattern for tables or functions. A function's ``()`` may follow its name.

    Raises: ``BadPattern``.
    """
    parts = _parts(text.removesuffix("()"), most=2)
    return NamePattern(parts[-2] if len(parts) > 1 else _ANY, parts[-1])


def column_pattern(text: str) -> ColumnPattern:
    """Parse a pattern for columns.

    Raises: ``BadPattern``.
    """
    *table, column = _parts(text, most=3)
    schema = table[-2] if len(table) > 1 else _ANY
    return ColumnPattern(NamePattern(schema, table[-1] if table else _ANY), column)


def _parts(text: str, most: int) -> list[Part]:
    """Split at dots outside quotes, and fold what is not quoted as SQL does (ASCII only)."""
    parts: list[Part] = []
    position = 0
    while True:
        if text[position : position + 1] == '"':
            name, position = _quoted(text, position + 1)
        else:
            end = position
            while end < len(text) and text[end] not in '."':
                end += 1
            name, position = text[position:end].strip().translate(_UPPER), end
        if not name:
            raise BadPattern(f"a part of the pattern {text!r} is empty")
        parts.append(_part(name))
        if position == len(text):
            break
        if text[position] != ".":
            raise BadPattern(f"expected a dot after a quoted part in the pattern {text!r}")
        position += 1
    if len(parts) > most:
        raise BadPattern(f"the pattern {text!r} has more than {most} parts")
    return parts


def _quoted(text: str, start: int) -> tuple[str, int]:
    """Return what stands between the quotes, and the position behind the closing one."""
    name: list[str] = []
    position = start
    while position < len(text):
        if text[position] != '"':
            name.append(text[position])
            position += 1
        elif text[position + 1 : position + 2] == '"':
            name.append('"')
            position += 2
        else:
            return "".join(name), position + 1
    raise BadPattern(f"a quote is not closed in the pattern {text!r}")


def _part(name: str) -> Part:
    if set(name) == {"*"}:
        return _ANY
    if "*" not in name:
        return Part(name.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore"))
    regex = ".*".join(re.escape(piece) for piece in name.split("*"))
    return Part(name, regex=re.compile(regex, re.DOTALL))
