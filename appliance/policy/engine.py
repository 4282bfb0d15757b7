"""The policy engine: (snapshot, subject, facts) -> verdict. Pure; no clock, no store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from appliance.entities import Snapshot
from appliance.policy.builtin import PREFIX, UNREADABLE, allowed_builtins, builtin_hits
from appliance.policy.patterns import Match
from appliance.policy.rules import ACTIONS, Rulebook, SessionRule
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.policy.wording import (
    builtin_hint,
    builtin_reason,
    default_hint,
    rule_hint,
    rule_reason,
)
from appliance.sql.facts import Effect, EffectClass, Facts, Statement

DEFAULT = "default"
_KNOWN_VERDICTS = 256
# Settings that drivers send of themselves at every connect, and that change only how values look.
# A start-up parameter is judged as a SET: were these not exempt as SHOW is, a default_action of
# block would lock every client out.
_LOOKS = frozenset(
    {
        "application_name",
        "bytea_output",
        "client_encoding",
        "client_min_messages",
        "datestyle",
        "extra_float_digits",
        "intervalstyle",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
        "timezone",
    }
)
_UNKNOWN = Effect(EffectClass.UNKNOWN)


class Policy:
    """What one session may do, by one snapshot. Make a new one when either changes.

    ``rulebook``: share one among the sessions of a snapshot, so that rules are compiled once.
    Verdicts are remembered by the identity of the facts, which callers cache by text.
    """

    __slots__ = ("_allowed", "_book", "_by_class", "_default", "_known", "_rules", "_subject")

    def __init__(
        self, snapshot: Snapshot, subject: Subject, rulebook: Rulebook | None = None
    ) -> None:
        self._book = rulebook or Rulebook(snapshot)
        self._subject = subject
        self._allowed = allowed_builtins(subject)
        word = subject.target.default_action or snapshot.settings.default_action
        self._default = ACTIONS.get(word, Action.BLOCK)
        self._rules: tuple[SessionRule, ...] | None = None
        self._by_class: dict[EffectClass, tuple[SessionRule, ...]] = {}
        self._known: OrderedDict[int, tuple[Facts, Verdict]] = OrderedDict()

    @property
    def subject(self) -> Subject:
        """Return whom this policy is about."""
        return self._subject

    @property
    def depends_on_objects(self) -> bool:
        """Return whether a verdict can depend on which table, column or function is meant."""
        return any(
            rule.compiled.tables or rule.compiled.columns or rule.compiled.functions
            for rule in self._concerning()
        )

    def decide(self, facts: Facts) -> Verdict:
        """Return the strictest verdict over all effects of all statements of a message."""
        key = id(facts)
        known = self._known.get(key)
        if known is not None and known[0] is facts:
            self._known.move_to_end(key)
            return known[1]
        verdict = self._judge(facts)
        self._known[key] = (facts, verdict)  # holding the facts keeps their id from being reused
        if len(self._known) > _KNOWN_VERDICTS:
            self._known.popitem(last=False)
        return verdict

    def _judge(self, facts: Facts) -> Verdict:
        if facts.refusal:
            rule = PREFIX + UNREADABLE.name
            blocked = EffectDecision(_UNKNOWN, Action.BLOCK, rule)
            return Verdict(Action.BLOCK, rule, facts.refusal, UNREADABLE.explanation, (blocked,))
        decisions: list[EffectDecision] = []
        strictest: Verdict | None = None
        for hit in builtin_hits(facts, self._subject, self._allowed):
            rule = PREFIX + hit.rule.name
            decisions.append(EffectDecision(hit.effect, Action.BLOCK, rule))
            strictest = strictest or Verdict(
                Action.BLOCK, rule, builtin_reason(hit), builtin_hint(hit)
            )
        for statement in facts.statements:
            for effect in _effects(statement):
                only = effect.default_exempt or _only_looks(statement, effect)
                action, decider = self._strictest(effect, only)
                name = decider.compiled.rule.name if decider else DEFAULT
                decisions.append(EffectDecision(effect, action, name))
                if strictest is None or action.strictness > strictest.action.strictness:
                    strictest = self._verdict(action, decider, effect, statement)
        if strictest is None:
            return Verdict(Action.ALLOW, DEFAULT, "nothing to decide")
        return Verdict(
            strictest.action, strictest.rule, strictest.reason, strictest.hint, tuple(decisions)
        )

    def _strictest(self, effect: Effect, named_only: bool) -> tuple[Action, SessionRule | None]:
        """Return the strictest action that may be due, over all columns the effect may touch."""
        found: tuple[Action, SessionRule | None] | None = None
        rules = self._for_class(effect.cls)
        for column in _columns(effect, rules):
            for action, rule in self._candidates(rules, effect, column, named_only):
                if found is None or action.strictness > found[0].strictness:
                    found = (action, rule)
        return found or (Action.ALLOW, None)

    def _candidates(
        self,
        rules: tuple[SessionRule, ...],
        effect: Effect,
        column: str | None,
        named_only: bool,
    ) -> Iterator[tuple[Action, SessionRule | None]]:
        """Yield what may be due: of each rule that may apply, up to the first that surely does."""
        for rule in rules:
            if named_only and not rule.names(effect):
                continue
            match = rule.match(effect, column)
            if match is Match.NO:
                continue
            yield rule.compiled.action, rule
            if match is Match.YES:
                return
        yield (Action.ALLOW if named_only else self._default), None

    def _for_class(self, cls: EffectClass) -> tuple[SessionRule, ...]:
        """Return the rules, in order, that may concern effects of a class."""
        found = self._by_class.get(cls)
        if found is None:
            found = tuple(rule for rule in self._concerning() if rule.may_concern(cls))
            self._by_class[cls] = found
        return found

    def _concerning(self) -> tuple[SessionRule, ...]:
        if self._rules is None:
            self._rules = self._book.concerning(self._subject)
        return self._rules

    def _verdict(
        self, action: Action, decider: SessionRule | None, effect: Effect, statement: Statement
    ) -> Verdict:
        if decider is None:
            hint = "" if action is Action.ALLOW else default_hint(effect, self._subject)
            reason = rule_reason(action, DEFAULT, "", effect, statement.unknown)
            return Verdict(action, DEFAULT, reason, hint)
        rule = decider.compiled.rule
        hint = "" if action is Action.ALLOW else rule_hint(rule)
        reason = rule_reason(action, rule.name, rule.message, effect, statement.unknown)
        return Verdict(action, rule.name, reason, hint)


def _columns(effect: Effect, rules: tuple[SessionRule, ...]) -> tuple[str | None, ...]:
    """Return the columns to decide one by one: one allowed column must not let others by."""
    if effect.columns and any(rule.compiled.columns for rule in rules):
        return effect.columns
    return (None,)


def _effects(statement: Statement) -> tuple[Effect, ...]:
    """Return the effects to decide: what nobody could tell is itself one."""
    effects = statement.effects
    if not effects or (
        statement.unknown and all(e.cls is not EffectClass.UNKNOWN for e in effects)
    ):
        return (*effects, _UNKNOWN)
    return effects


def _only_looks(statement: Statement, effect: Effect) -> bool:
    """Return whether an effect sets nothing but how values look."""
    return (
        effect.cls is EffectClass.SESSION
        and statement.kind == "VariableSetStmt"
        and bool(statement.settings)
        and all(setting.name in _LOOKS for setting in statement.settings)
    )
