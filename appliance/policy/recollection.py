"""A recorded statement that cannot be resolved any more, as it was understood then (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from appliance.sql.facts import Effect, EffectClass, Name, Statement

_CLASSES = {cls.value: cls for cls in EffectClass}
# Whether it had a WHERE is not in the record: only the text can tell.
_BY_TEXT = frozenset({EffectClass.DELETE, EffectClass.UPDATE})
_BUILTIN = "pg_catalog"


def as_recorded(statement: Statement, recorded: Iterable[tuple[str, str]]) -> Statement:
    """Return the statement with what its record knows in the place of what is unknown now.

    Where the record does not know enough either, it stays as it is: unknown.
    """
    left = dict.fromkeys((_CLASSES.get(cls), name) for cls, name in recorded)
    if not left or any(cls in (None, EffectClass.UNKNOWN) for cls, _ in left):
        return statement
    effects: list[Effect] = []
    for effect in statement.effects:
        if effect.cls is EffectClass.UNKNOWN:
            continue
        match = next((key for key in left if key[0] is effect.cls and _is(effect, key[1])), None)
        if match is None:
            return statement  # it means something else by now
        del left[match]
        effects.append(_named(effect, match[1]))
    for cls, name in left:
        if cls is None or cls in _BY_TEXT:
            return statement
        effects.append(_named(Effect(cls), name))
    return replace(statement, effects=tuple(effects), unknown="")


def _is(effect: Effect, name: str) -> bool:
    """Return whether a name in the text can be the object of the record."""
    own = effect.object
    return own == name or (bool(own) and name.endswith(f".{own}"))


def _named(effect: Effect, name: str) -> Effect:
    if not name or effect.object == name:
        return effect
    is_function = name.endswith("()")
    schema, _, bare = name.removesuffix("()").rpartition(".")
    found = Name(schema or None, bare)
    if is_function:
        # Whether it is on the list of pure built-ins is not in the record either.
        return replace(effect, function=found, default_exempt=schema == _BUILTIN)
    return replace(effect, relation=found)
