"""A proposed policy beside the present one: which rules differ, and whom that can touch (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from appliance.entities import PolicyRule, ProfileMode, Snapshot, address_in
from appliance.hours import closed_rules
from appliance.policy.patterns import Match
from appliance.policy.rules import Rulebook
from appliance.policy.subject import Subject
from appliance.sql.facts import Effect, EffectClass, Facts

_UNKNOWN = Effect(EffectClass.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Details:
    """What rules ask of a statement besides its text, identity, target and role."""

    session: bool  # application name or source
    hours: bool
    rows: tuple[int, ...]  # the numbers of rows that make a difference, ascending

    @property
    def is_any(self) -> bool:
        return self.session or self.hours or bool(self.rows)


class Proposal:
    """The present snapshot and the proposed one."""

    def __init__(self, present: Snapshot, proposed: Snapshot) -> None:
        self.present = present
        self.proposed = proposed
        self.changed = changed_rules(present.rules, proposed.rules)
        self._is_wide = (
            present.settings.default_action != proposed.settings.default_action
            or present.targets != proposed.targets
            or present.grants != proposed.grants
        )
        loose = tuple(_loosened(rule) for rule in self.changed if rule.enabled)
        self._book = Rulebook(replace(proposed, rules=loose))

    @property
    def details(self) -> Details:
        """Return what has to be told apart for a right answer."""
        rules = [r for r in (*self.present.rules, *self.proposed.rules) if r.enabled]
        return Details(
            session=any(rule.application_names or rule.sources for rule in rules),
            hours=any(rule.hours for rule in rules),
            rows=tuple(sorted({r.rows_over for r in rules if r.rows_over is not None})),
        )

    def session_state(self, application_name: str, source: str) -> tuple[object, ...]:
        """Return which rules' conditions on a session hold: equal ones are judged alike."""
        found: list[object] = []
        for rule in (*self.present.rules, *self.proposed.rules):
            if rule.enabled and rule.application_names:
                found.append(any(fnmatchcase(application_name, g) for g in rule.application_names))
            if rule.enabled and rule.sources:
                try:
                    found.append(address_in(source, rule.sources))
                except ValueError:
                    found.append(None)
        return tuple(found)

    def closed_at(self, at: datetime) -> tuple[frozenset[str], frozenset[str]]:
        """Return which rules are outside of their hours at a moment: now and as proposed."""
        return closed_rules(self.present, at), closed_rules(self.proposed, at)

    def may_touch(self, subject: Subject) -> bool:
        """Return whether anything that differs is about such a session, whatever it says."""
        if self._is_wide or self._identity_differs(subject.identity.name):
            return True
        return bool(self._book.concerning(_anybody(subject)))

    def touches(self, subject: Subject, facts: Facts) -> bool:
        """Return whether anything that differs can matter for a statement of this session."""
        if self._is_wide or facts.refusal or self._identity_differs(subject.identity.name):
            return True
        rules = self._book.concerning(_anybody(subject))
        for statement in facts.statements:
            effects = statement.effects
            if not effects or statement.unknown:
                effects = (*effects, _UNKNOWN)
            for effect in effects:
                for rule in rules:
                    columns = effect.columns or (None,)
                    if any(rule.match(effect, column, None) is not Match.NO for column in columns):
                        return True
        return False

    def _identity_differs(self, name: str) -> bool:
        one, other = self.present, self.proposed
        if one.identities.get(name) != other.identities.get(name):
            return True
        return one.profiles.get(name) != other.profiles.get(name)


def with_rules(snapshot: Snapshot, rules: Iterable[PolicyRule]) -> Snapshot:
    """Return the snapshot as it would be with these rules, in this order."""
    return replace(snapshot, rules=tuple(rules))


def with_profile(
    snapshot: Snapshot, identity: str, mode: ProfileMode, signed: Iterable[str]
) -> Snapshot:
    """Return the snapshot as it would be with this profile of an identity."""
    changed = replace(snapshot.identities[identity], profile=mode)
    profiles = {name: kept for name, kept in snapshot.profiles.items() if name != identity}
    if mode is ProfileMode.ENFORCE:
        profiles[identity] = frozenset(signed)
    return replace(
        snapshot,
        identities={**snapshot.identities, identity: changed},
        profiles=profiles,
    )


def changed_rules(
    present: tuple[PolicyRule, ...], proposed: tuple[PolicyRule, ...]
) -> tuple[PolicyRule, ...]:
    """Return the rules of both lists between what they begin and what they end with alike."""
    start = 0
    while start < min(len(present), len(proposed)) and present[start] == proposed[start]:
        start += 1
    end = 0
    most = min(len(present), len(proposed)) - start
    while end < most and present[-1 - end] == proposed[-1 - end]:
        end += 1
    return (*present[start : len(present) - end], *proposed[start : len(proposed) - end])


def _anybody(subject: Subject) -> Subject:
    """Return a session of any application name and source."""
    return replace(subject, application_name=None, source=None)


def _loosened(rule: PolicyRule) -> PolicyRule:
    """Return a rule without the conditions that differ from one run of a statement to another."""
    return replace(rule, application_names=(), sources=(), hours="", rows_over=None)
