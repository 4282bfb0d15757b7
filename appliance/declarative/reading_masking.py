"""Read the ``masking:`` of a configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from appliance.declarative.document import MaskingEntry
from appliance.declarative.table import Table
from appliance.entities import MaskingRule, MaskMode
from appliance.errors import Invalid
from appliance.masking.values import Method
from appliance.store import names

Word = TypeVar("Word")

_METHODS = {method.value: method for method in Method}
_MODES = {mode.value: mode for mode in MaskMode}


def read_masking(table: Table) -> MaskingEntry | None:
    """Return one rule; None where its method or mode is no word that there is."""
    method = _word(table, "method", _METHODS)
    if not table.has("method"):
        table.wrong(Invalid("", "lacks the key method"))
    mode = _word(table, "mode", _MODES) if table.has("mode") else MaskMode.LENIENT
    if not table.has("columns"):
        table.wrong(Invalid("", "lacks the key columns"))
    enabled = table.flag("enabled")
    name = table.text("name", names.plain_name, required=True)
    target = table.text("target", required=True)
    columns = table.texts("columns")
    value = table.text("value")
    exempt = table.texts("exempt", alone=True)
    table.end_of_keys()
    if method is None or mode is None:
        return None
    rule = MaskingRule(
        id=0,
        name=name or "",
        target=target or "",
        columns=columns or (),
        method=method,
        value=value,
        mode=mode,
        exempt=exempt or (),
        enabled=True if enabled is None else enabled,
    )
    return MaskingEntry(table.path, rule)


def _word(table: Table, key: str, words: Mapping[str, Word]) -> Word | None:
    """Return what a word means; null is one too, also where YAML reads it as nothing."""
    word = table.word(key)
    if word is None:
        return None
    if word not in words:
        table.wrong(Invalid(key, f"expected {' | '.join(words)}, got {word[:60]!r}"))
        return None
    return words[word]
