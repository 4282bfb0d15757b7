"""The policy engine: (snapshot, subject, facts) -> verdict. Pure; no clock, no store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from appliance.entities import ProfileMode, Snapshot
from appliance.policy.builtin import PREFIX, UNREADABLE, allowed_builtins, builtin_hits
from appliance.policy.patterns import Match
from appliance.policy.rules import ACTIONS, Rulebook, SessionRule
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.policy.wording import (
    PROFILE,
    builtin_hint,
    builtin_reason,
    default_hint,
    profile_hint,
    profile_reason,
    rows_words,
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
_E = EffectClass
# Statements whose tag counts what they touch -> the effects that it counts.
_COUNTING = {
    "SelectStmt": frozenset({_E.SELECT}),
    "InsertStmt": frozenset({_E.SELECT, _E.INSERT, _E.UPDATE}),
    "UpdateStmt": frozenset({_E.SELECT, _E.UPDATE}),
    "DeleteStmt": frozenset({_E.SELECT, _E.DELETE}),
    "MergeStmt": frozenset({_E.SELECT, _E.MERGE, _E.INSERT, _E.UPDATE, _E.DELETE}),
}


class Policy:
    """What one session may do, by one snapshot. Make a new one when either changes.

    ``rulebook``: share one among the sessions of a snapshot, so that rules are compiled once.
    Verdicts are remembered by the identity of the facts, which callers cache by text.
    """

    __slots__ = (
        "_allowed",
        "_book",
        "_by_class",
        "_default",
        "_known",
        "_limits",
        "_rules",
        "_signed",
        "_subject",
    )

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
        identity = subject.identity
        self._signed = (  # None: whatever the rules allow
            snapshot.profiles.get(identity.name, frozenset())
            if identity.profile is ProfileMode.ENFORCE
            else None
        )
        self._known: OrderedDict[int, tuple[Facts, Verdict]] = OrderedDict()
        self._limits: OrderedDict[int, tuple[Facts, tuple[int, ...]]] = OrderedDict()

    @property
    def subject(self) -> Subject:
        """Return whom this policy is about."""
        return self._subject

    @property
    def depends_on_objects(self) -> bool:
        """Return whether a verdict can depend on which table, column or function is meant."""
        return self._signed is not None or any(
            rule.compiled.tables or rule.compiled.columns or rule.compiled.functions
            for rule in self._concerning()
        )

    def decide(self, facts: Facts, rows: int | None = 0, why: str = "") -> Verdict:
        """Return the strictest verdict over all effects of all statements of a message.

        ``rows``: how many its only statement touches; None = not known, ``why`` says why not.
        """
        if rows != 0:
            return self._judge(facts, rows, why)
        key = id(facts)
        known = self._known.get(key)
        if known is not None and known[0] is facts:
            self._known.move_to_end(key)
            return known[1]
        verdict = self._judge(facts, 0, "")
        self._known[key] = (facts, verdict)  # holding the facts keeps their id from being reused
        if len(self._known) > _KNOWN_VERDICTS:
            self._known.popitem(last=False)
        return verdict

    def row_limits(self, facts: Facts) -> tuple[int, ...]:
        """Return, ascending, each number of rows above which other rules decide, or more of them.

        Empty for nearly everything: ``decide`` has then said all there is to say.
        """
        known = self._limits.get(id(facts))
        if known is not None and known[0] is facts:
            return known[1]
        limits = self._judged_limits(facts)
        self._limits[id(facts)] = (facts, limits)
        if len(self._limits) > _KNOWN_VERDICTS:
            self._limits.popitem(last=False)
        return limits

    def _judged_limits(self, facts: Facts) -> tuple[int, ...]:
        if facts.refusal or len(facts.statements) != 1 or not _counts(facts.statements[0]):
            return ()
        of_rules = {rule.compiled.rule.rows_over for rule in self._concerning()} - {None}
        verdict = self.decide(facts)
        if verdict.action is Action.BLOCK:
            return ()
        deciders = _deciders(verdict)
        found = []
        for limit in sorted(limit for limit in of_rules if limit is not None):
            above = _deciders(self._judge(facts, limit + 1, ""))
            if above != deciders:
                found.append(limit)
                deciders = above
        return tuple(found)

    def _judge(self, facts: Facts, rows: int | None, why: str) -> Verdict:
        if facts.refusal:
            rule = PREFIX + UNREADABLE.name
            blocked = EffectDecision(_UNKNOWN, Action.BLOCK, rule)
            return Verdict(Action.BLOCK, rule, facts.refusal, UNREADABLE.explanation, (blocked,))
        found = [
            Verdict(
                Action.BLOCK,
                PREFIX + hit.rule.name,
                builtin_reason(hit),
                builtin_hint(hit),
                (EffectDecision(hit.effect, Action.BLOCK, PREFIX + hit.rule.name),),
            )
            for hit in builtin_hits(facts, self._subject, self._allowed)
        ]
        if len(facts.statements) > 1:
            rows, why = None, "it is one of several statements"
        unsigned = []
        for statement in facts.statements:
            judged = list(self._judge_statement(statement, rows, why))
            found += judged
            if self._signed is not None and not self._is_signed(statement):
                unsigned += judged
        if not found:
            return Verdict(Action.ALLOW, DEFAULT, "nothing to decide")
        strictest = max(found, key=lambda verdict: verdict.action.strictness)
        if unsigned and strictest.action is not Action.BLOCK:
            strictest = self._unsigned(unsigned[0])
        refused = {id(verdict) for verdict in unsigned}
        decisions = tuple(
            EffectDecision(decision.effect, Action.BLOCK, PROFILE)
            if id(verdict) in refused and verdict.action is not Action.BLOCK
            else decision
            for verdict in found
            for decision in verdict.decisions
        )
        return replace(strictest, decisions=decisions)

    def _judge_statement(
        self, statement: Statement, rows: int | None, why: str
    ) -> Iterator[Verdict]:
        """Yield the verdict on each effect, with each rule that decides it."""
        if statement.unknown:
            rows, why = 0, ""  # its unknown effect meets every rule: no other needs to be guessed
        elif rows is not None and not _counts(statement):
            rows, why = None, "no estimate covers all that it does"
        for effect in _effects(statement):
            only = effect.default_exempt or _only_looks(statement, effect)
            action, deciders = self._strictest(effect, only, rows)
            verdict = self._verdict(action, deciders[0], effect, statement, rows, why)
            decisions = tuple(EffectDecision(effect, action, _name(rule)) for rule in deciders)
            yield replace(verdict, decisions=decisions)

    def _is_signed(self, statement: Statement) -> bool:
        """Return whether the identity's statement profile has it, or need not have it."""
        return statement.fingerprint in (self._signed or ()) or all(
            effect.default_exempt or _only_looks(statement, effect)
            for effect in _effects(statement)
        )

    def _unsigned(self, verdict: Verdict) -> Verdict:
        who = self._subject.identity
        return replace(
            verdict,
            action=Action.BLOCK,
            rule=PROFILE,
            reason=profile_reason(who),
            hint=profile_hint(who, self._book.pages),
        )

    def _strictest(
        self, effect: Effect, named_only: bool, rows: int | None
    ) -> tuple[Action, tuple[SessionRule | None, ...]]:
        """Return the strictest action that may be due, over all columns the effect may touch.

        With it the rules that say so: of a hold every one, since each wants its own approvers.
        """
        strictest = Action.ALLOW
        found: dict[int, SessionRule | None] = {}
        rules = self._for_class(effect.cls)
        for column in _columns(effect, rules):
            for action, rule in self._candidates(rules, effect, column, named_only, rows):
                if action.strictness > strictest.strictness:
                    strictest, found = action, {}
                if action is strictest and (not found or action is Action.HOLD):
                    found[id(rule)] = rule
        return strictest, tuple(found.values()) or (None,)

    def _candidates(
        self,
        rules: tuple[SessionRule, ...],
        effect: Effect,
        column: str | None,
        named_only: bool,
        rows: int | None,
    ) -> Iterator[tuple[Action, SessionRule | None]]:
        """Yield what may be due: of each rule that may apply, up to the first that surely does."""
        for rule in rules:
            if named_only and not rule.names(effect):
                continue
            match = rule.match(effect, column, rows)
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
        self,
        action: Action,
        decider: SessionRule | None,
        effect: Effect,
        statement: Statement,
        rows: int | None,
        why: str,
    ) -> Verdict:
        if decider is None:
            hint = "" if action is Action.ALLOW else default_hint(action, effect, self._subject)
            reason = rule_reason(action, "", effect, statement.unknown)
            return Verdict(action, DEFAULT, reason, hint)
        rule = decider.compiled.rule
        hint = "" if action is Action.ALLOW else rule_hint(rule)
        many = ""
        if rule.rows_over is not None:
            returned = statement.kind == "SelectStmt"
            many = rows_words(rule.rows_over, rows, why, returned=returned)
        reason = rule_reason(action, rule.message, effect, statement.unknown, many)
        return Verdict(action, rule.name, reason, hint)


def _name(rule: SessionRule | None) -> str:
    return rule.compiled.rule.name if rule else DEFAULT


def _deciders(verdict: Verdict) -> tuple[object, ...]:
    """Return what makes two verdicts on the same facts the same one."""
    return verdict.action, [(decision.action, decision.rule) for decision in verdict.decisions]


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


def _counts(statement: Statement) -> bool:
    """Return whether the rows that a statement reports are those of each of its effects.

    Not those of what a CTE changes on the way, of a cursor, of COPY, of what EXECUTE runs.
    """
    counted = _COUNTING.get(statement.kind)
    if counted is None or statement.unknown or statement.executes is not None:
        return False
    named = {e.relation for e in statement.effects if e.cls is not _E.SELECT and not e.via}
    return len(named - {None}) <= 1 and all(e.cls in counted for e in statement.effects)


def changes_only_looks(facts: Facts) -> bool:
    """Return whether statements do nothing but set how values look: no profile asks for those."""
    return all(_only_looks(part, effect) for part in facts.statements for effect in part.effects)


def _only_looks(statement: Statement, effect: Effect) -> bool:
    """Return whether an effect sets nothing but how values look."""
    return (
        effect.cls is EffectClass.SESSION
        and statement.kind == "VariableSetStmt"
        and bool(statement.settings)
        and all(setting.name in _LOOKS for setting in statement.settings)
    )
