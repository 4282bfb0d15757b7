"""What clients and people read about a verdict: one sentence each, and what can be done next."""

from __future__ import annotations

from appliance.entities import PolicyRule
from appliance.policy.builtin import PREFIX, BuiltinHit
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, Verdict
from appliance.sql.facts import Effect, EffectClass

_MESSAGE_MAX = 300
_NO_APPROVALS = "approvals are not set up"


def refusal_text(verdict: Verdict) -> tuple[str, str]:
    """Return message and HINT of the 42501 for a verdict that lets nothing run.

    A hold is refused too, until there are approvals.
    """
    if verdict.action is Action.HOLD:
        return (
            f"gatepost: {_rule_words(verdict)} wants an approval, and {_NO_APPROVALS}: "
            f"{verdict.reason}",
            verdict.hint or "Ask an admin of Gatepost.",
        )
    return f"gatepost: blocked by {_rule_words(verdict)}: {verdict.reason}", verdict.hint


def rule_reason(action: Action, rule: str, message: str, effect: Effect, unknown: str) -> str:
    """Return the sentence for people: the rule's own message, or what it decided and on what."""
    if effect.cls is EffectClass.UNKNOWN and action is not Action.ALLOW:
        # The rule's own message would speak of what this may well not be.
        why = f": {unknown}" if unknown else ""
        return f"it cannot be known what this would do{why}"[:_MESSAGE_MAX]
    if action is not Action.ALLOW and message:
        return message[:_MESSAGE_MAX]
    doing = _doing(effect)
    match action:
        case Action.ALLOW:
            return f"{doing} is allowed"
        case Action.HOLD:
            return f"{doing} needs an approval"
    return f"{doing} is not allowed"


def rule_hint(rule: PolicyRule) -> str:
    """Return how to go on after a rule's no."""
    return f'Ask an admin of Gatepost about rule "{rule.name}".'


def default_hint(effect: Effect, subject: Subject) -> str:
    """Return how to go on where no rule allows something."""
    on = f" on {effect.object}" if effect.object else ""
    target = subject.target.name
    return f"Ask an admin of Gatepost for a rule that allows {effect.cls}{on} ({target})."


def builtin_reason(hit: BuiltinHit) -> str:
    """Return what a built-in rule stops."""
    title = hit.rule.title
    return f"{title}: {hit.detail}" if hit.detail else title


def builtin_hint(hit: BuiltinHit) -> str:
    """Return how a built-in rule is switched off."""
    return f"An admin can allow it on the grant: allow_builtin: [{hit.rule.name}]"


def _rule_words(verdict: Verdict) -> str:
    if verdict.rule == "default":
        return "default_action"
    if verdict.rule.startswith(PREFIX):
        return f"built-in rule {verdict.rule.removeprefix(PREFIX)}"
    return f'rule "{verdict.rule}"'


def _doing(effect: Effect) -> str:
    words = effect.cls.value
    if effect.object:
        words += f" on {effect.object}"
    if effect.without_where:
        words += " without WHERE"
    if effect.via:
        words += f" (through {effect.via})"
    return words
