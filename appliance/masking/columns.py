"""Patterns of masking rules for columns: always three parts, as the catalog writes the names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.policy.patterns import BadPattern, Part, name_pattern

_NAME_BYTES = 63  # longer identifiers are cut by the server, so the catalog never has them
_SHAPE = "expected schema.table.column"


@dataclass(frozen=True, slots=True)
class MaskPattern:
    """``schema.table.column``; nothing is folded, ``*`` stands for anything within a part."""

    schema: Part
    table: Part
    column: Part

    def on(self, schema: str, table: str) -> bool:
        """Return whether columns of that relation can be meant."""
        return self.table.holds(table) and self.schema.holds(schema)

    @property
    def is_exact(self) -> bool:
        """Return whether it means one column only."""
        return not any(p.is_any or p.regex for p in (self.schema, self.table, self.column))


def mask_pattern(text: str) -> MaskPattern:
    """Parse a pattern. A part with a dot in it stands in double quotes.

    Raises: ``BadPattern``.
    """
    parts = _parts(text)
    if len(parts) != 3:
        raise BadPattern(f"{_SHAPE}, got {len(parts)} of these parts in {text!r}")
    return MaskPattern(*map(_part, parts))


def _parts(text: str) -> list[str]:
    found: list[str] = []
    rest = text
    while True:
        rest = rest.lstrip()
        if rest.startswith('"'):
            quoted = re.match(r'"((?:[^"]|"")*)"\s*', rest)
            if quoted is None:
                raise BadPattern(f"a quote is not closed in {text!r}")
            name, rest = quoted[1].replace('""', '"'), rest[quoted.end() :]
            if rest and not rest.startswith("."):
                raise BadPattern(f"expected a dot after a quoted part in {text!r}")
            dot, rest = rest[:1], rest[1:]
        else:
            name, dot, rest = rest.partition(".")
            name = name.strip()
        if not name:
            raise BadPattern(f"{_SHAPE}, and a part of {text!r} is empty")
        found.append(name)
        if not dot:
            return found


def _part(name: str) -> Part:
    if set(name) == {"*"}:
        return Part("*", is_any=True)
    if "*" not in name:
        return Part(name.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore"))
    regex = ".*".join(re.escape(piece) for piece in name.split("*"))
    return Part(name, regex=re.compile(regex, re.DOTALL))


def function_glob(pattern: str) -> str:
    """Return a contract's pattern (folded, quoted, bare) as a glob over "schema.name"."""
    parsed = name_pattern(pattern)
    return f"{_piece(parsed.schema)}.{_piece(parsed.name)}"


def _piece(part: Part) -> str:
    return "".join(f"[{char}]" if char in "[?" else char for char in part.text)
