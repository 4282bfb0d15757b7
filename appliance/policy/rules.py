"""Policy rules made ready to be asked: conditions compiled, those of the session answered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from appliance.entities import PolicyRule, Snapshot, address_in, who_matches
from appliance.policy.patterns import (
    BadPattern,
    ColumnPattern,
    Match,
    NamePattern,
    column_pattern,
    name_pattern,
)
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action
from appliance.sql.facts import Effect, EffectClass

T = TypeVar("T")

ACTIONS = {"allow": Action.ALLOW, "approve": Action.HOLD, "block": Action.BLOCK}
_CLASSES = frozenset(cls.value for cls in EffectClass)
_WRITES = (EffectClass.DELETE, EffectClass.UPDATE)
COUNTED = ("select", "insert", "update", "delete", "merge")
_COUNTED = frozenset(EffectClass(word) for word in COUNTED)
# What touches rows that nobody counts before it runs: as many as there may be.
_UNCOUNTED = frozenset({EffectClass.TRUNCATE, EffectClass.COPY_IN, EffectClass.COPY_OUT})


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule whose patterns are parsed. ``broken``: a list that cannot be read was left out."""

    rule: PolicyRule
    action: Action
    commands: frozenset[str]
    tables: tuple[NamePattern, ...]
    columns: tuple[ColumnPattern, ...]
    functions: tuple[NamePattern, ...]
    broken: bool


@dataclass(frozen=True, slots=True)
class SessionRule:
    """A rule that may concern a session. ``certain``: MAYBE where the session is half known."""

    compiled: CompiledRule
    certain: Match

    def may_concern(self, cls: EffectClass) -> bool:
        """Return whether an effect of this class can meet the rule at all."""
        commands = self.compiled.commands
        return not commands or cls.value in commands or cls is EffectClass.UNKNOWN

    def names(self, effect: Effect) -> bool:
        """Return whether the rule names what ``default_exempt`` effects must be named by.

        That is the relation or the function of one that has such an object, else the class.
        """
        rule = self.compiled
        if effect.relation is not None:
            return bool(rule.tables or rule.columns)
        if effect.function is not None:
            return bool(rule.functions)
        return effect.cls.value in rule.commands

    def match(self, effect: Effect, column: str | None, rows: int | None = 0) -> Match:
        """Return whether all conditions hold for one effect, on one column of its relation.

        ``column`` None: it could be any, or there is none (then ``effect.columns`` is empty).
        ``rows``: how many it touches, None = not known. A rule that asks for many never surely
        holds: those after it are asked too, so that more rows never make anything more lenient.
        """
        rule = self.compiled
        unknown = effect.cls is EffectClass.UNKNOWN
        found = self.certain
        if rule.commands and effect.cls.value not in rule.commands:
            if not unknown:
                return Match.NO
            found = Match.MAYBE
        if unknown and (rule.tables or rule.columns or rule.functions):
            return Match.MAYBE
        if rule.rule.without_where is not None and found:
            found = min(found, _without_where(rule.rule.without_where, effect))
        if rule.tables and found:
            found = min(found, _tables(rule.tables, effect))
        if rule.columns and found:
            found = min(found, _columns(rule.columns, effect, column))
        if rule.functions and found:
            found = min(found, _functions(rule.functions, effect))
        if rule.rule.rows_over is not None and found:
            found = min(found, _rows_over(rule.rule.rows_over, effect, rows))
        return found


class Rulebook:
    """All enabled rules of one snapshot, compiled once for every session.

    ``closed``: names of those that are outside of their hours now: as if they were not there.
    ``pages``: the address of the pages, which hints point to.
    """

    def __init__(
        self, snapshot: Snapshot, closed: frozenset[str] = frozenset(), pages: str = ""
    ) -> None:
        self.pages = pages
        self._rules = tuple(
            compile_rule(rule)
            for rule in snapshot.rules
            if rule.enabled and rule.name not in closed
        )

    def concerning(self, subject: Subject) -> tuple[SessionRule, ...]:
        """Return the rules, in order, that this session may meet."""
        found = ((rule, _session(rule, subject)) for rule in self._rules)
        return tuple(SessionRule(rule, match) for rule, match in found if match)


def compile_rule(rule: PolicyRule) -> CompiledRule:
    """Compile a rule. A pattern that cannot be read makes a strict rule broader, never narrower."""
    action = ACTIONS.get(rule.action, Action.BLOCK)
    tables, bad_tables = _parsed(rule.tables, name_pattern)
    columns, bad_columns = _parsed(rule.columns, column_pattern)
    functions, bad_functions = _parsed(rule.functions, name_pattern)
    commands = frozenset(command.lower() for command in rule.commands)
    bad_commands = not commands <= _CLASSES
    broken = bad_tables or bad_columns or bad_functions or bad_commands
    return CompiledRule(
        rule=rule,
        action=action,
        commands=frozenset() if bad_commands else commands,
        tables=() if bad_tables else tables,
        columns=() if bad_columns else columns,
        functions=() if bad_functions else functions,
        broken=broken,
    )


def _parsed(texts: tuple[str, ...], parse: Callable[[str], T]) -> tuple[tuple[T, ...], bool]:
    """Return the patterns that can be read, and whether one cannot."""
    found: list[T] = []
    for text in texts:
        with suppress(BadPattern):
            found.append(parse(text))
    return tuple(found), len(found) < len(texts)


def contradictions(rule: PolicyRule) -> list[tuple[str, str]]:
    """Return conditions that nothing can meet together, as (field, sentence): for forms, apply."""
    found: list[tuple[str, str]] = []
    if rule.functions and (rule.tables or rule.columns):
        found.append(("functions", "an effect is on a table or on a function: make two rules"))
    named = {command.lower() for command in rule.commands}
    writes = {cls.value for cls in _WRITES}
    if rule.without_where is not None and named and not named & writes:
        found.append(("without_where", "only delete and update have a WHERE that counts here"))
    if rule.rows_over is not None:
        if rule.action == "allow":
            found.append(("rows_over", "more rows can make a rule stricter, and never allow more"))
        if named - set(COUNTED):
            found.append(("rows_over", f"only {', '.join(COUNTED)} have rows that are counted"))
    return found


def _session(compiled: CompiledRule, subject: Subject) -> Match:
    """Answer the conditions that do not change while a session lives."""
    rule = compiled.rule
    if not any(who_matches(who, subject.identity) for who in rule.who):
        return Match.NO
    if rule.targets and not {subject.target.name, "*"} & set(rule.targets):
        return Match.NO
    if rule.roles and not _roles(compiled, subject):
        return Match.NO
    found = min(_application(rule, subject), _source(rule, subject))
    if compiled.broken and found:
        found = Match.NO if compiled.action is Action.ALLOW else Match.MAYBE
    return found


def _roles(compiled: CompiledRule, subject: Subject) -> bool:
    """Strict rules want one of the roles in use, lenient ones all: SET ROLE must not slip by."""
    if "*" in compiled.rule.roles:
        return True
    named = subject.roles & set(compiled.rule.roles)
    return named == subject.roles if compiled.action is Action.ALLOW else bool(named)


def _application(rule: PolicyRule, subject: Subject) -> Match:
    if not rule.application_names:
        return Match.YES
    name = subject.application_name
    if name is None:
        return Match.MAYBE
    fits = any(fnmatchcase(name, glob) for glob in rule.application_names)
    return Match.YES if fits else Match.NO


def _source(rule: PolicyRule, subject: Subject) -> Match:
    if not rule.sources:
        return Match.YES
    if subject.source is None:
        return Match.MAYBE
    try:
        return Match.YES if address_in(subject.source, rule.sources) else Match.NO
    except ValueError:
        return Match.MAYBE


def _without_where(wanted: bool, effect: Effect) -> Match:
    if effect.cls is EffectClass.UNKNOWN:
        return Match.MAYBE
    if effect.cls not in _WRITES:
        return Match.NO
    return Match.YES if effect.without_where is wanted else Match.NO


def _rows_over(limit: int, effect: Effect, rows: int | None) -> Match:
    if effect.cls is EffectClass.UNKNOWN or effect.cls in _UNCOUNTED:
        return Match.MAYBE
    if effect.cls not in _COUNTED:
        return Match.NO
    return Match.MAYBE if rows is None or rows > limit else Match.NO


def _tables(patterns: tuple[NamePattern, ...], effect: Effect) -> Match:
    if effect.relation is None:
        return Match.NO
    found = Match.NO
    for pattern in patterns:
        match = pattern.match(effect.relation)
        if match > found:
            found = match
    return found


def _columns(patterns: tuple[ColumnPattern, ...], effect: Effect, column: str | None) -> Match:
    if effect.relation is None or (column is None and effect.columns is not None):
        return Match.NO
    return max(pattern.match(effect.relation, column) for pattern in patterns)


def _functions(patterns: tuple[NamePattern, ...], effect: Effect) -> Match:
    if effect.function is None:
        return Match.NO
    found = Match.NO
    for pattern in patterns:
        match = pattern.match(effect.function)
        if match > found:
            found = match
    return found
