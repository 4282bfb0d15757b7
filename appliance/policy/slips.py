"""A slip of the pen, which a strict rule refuses as unknown, in the target's own words.

A name that the catalog does not have, or a text that is no SQL, is unknown, and the strictest rule
refuses it: nothing runs. But whoever mistyped a table wants to read that, in PostgreSQL's words,
and drivers look for its SQLSTATE.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.policy.verdict import Action, Verdict
from appliance.sql.facts import NO_GRAMMAR, Effect, EffectClass, Facts


@dataclass(frozen=True, slots=True)
class Slip:
    """The error that the target would report."""

    sqlstate: str
    message: str
    hint: str


def slip_of(verdict: Verdict, facts: Facts) -> Slip | None:
    """Return the target's own error for a refused text that nothing else is wrong with."""
    refused = [made.effect for made in verdict.decisions if made.action is not Action.ALLOW]
    if not refused or any(effect.cls is not EffectClass.UNKNOWN for effect in refused):
        return None
    for statement in facts.statements:
        if statement.unknown.startswith(NO_GRAMMAR):
            return Slip("42601", statement.unknown.removeprefix(NO_GRAMMAR), _hint(verdict.rule))
    return _missing(facts, refused, verdict.rule)


def missing_name(facts: Facts, rule: str) -> Slip | None:
    """Return the error for what is no SQL, or the first name that the catalog does not have.

    ``rule``: that refuses it.
    """
    for statement in facts.statements:
        if statement.unknown.startswith(NO_GRAMMAR):
            return Slip("42601", statement.unknown.removeprefix(NO_GRAMMAR), _hint(rule))
    effects = (effect for statement in facts.statements for effect in statement.effects)
    return _missing(facts, (e for e in effects if e.cls is EffectClass.UNKNOWN), rule)


def _missing(facts: Facts, unknown: Iterable[Effect], rule: str) -> Slip | None:
    named = next((effect for effect in unknown if effect.relation or effect.function), None)
    if named is None or not facts.needs_catalog:
        return None
    if named.relation is not None:
        return Slip("42P01", f'relation "{named.relation}" does not exist', _hint(rule))
    return Slip("42883", f"function {named.function} does not exist", _hint(rule))


def _hint(rule: str) -> str:
    return f"gatepost: what cannot be known is refused by {rule}."
