"""What clients and people read about a verdict: one sentence each, and what can be done next."""

from __future__ import annotations

from urllib.parse import quote

from appliance.entities import Identity, PolicyRule
from appliance.policy.builtin import PREFIX, BuiltinHit
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, Verdict
from appliance.sql.facts import Effect, EffectClass

_MESSAGE_MAX = 300
PROFILE = "profile"  # the rule that verdicts of statement profiles name


def refusal_text(verdict: Verdict) -> tuple[str, str]:
    """Return message and HINT of the 42501 for a verdict that lets nothing run.

    For a hold: what would happen, for where nothing is really run.
    """
    if verdict.action is Action.HOLD:
        return f"gatepost: would be held by {_rule_words(verdict)}: {verdict.reason}", verdict.hint
    return f"gatepost: blocked by {_rule_words(verdict)}: {verdict.reason}", verdict.hint


def rule_reason(action: Action, message: str, effect: Effect, unknown: str, rows: str = "") -> str:
    """Return the sentence for people: the rule's own message, or what it decided and on what.

    ``rows``: what ``rows_words`` says, where the rule asks for many rows.
    """
    if effect.cls is EffectClass.UNKNOWN and action is not Action.ALLOW:
        # The rule's own message would speak of what this may well not be.
        why = f": {unknown}" if unknown else ""
        return f"it cannot be known what this would do{why}"[:_MESSAGE_MAX]
    if action is not Action.ALLOW and message:
        return f"{message[:_MESSAGE_MAX]} ({rows})" if rows else message[:_MESSAGE_MAX]
    doing = _doing(effect)
    if rows and action is not Action.ALLOW:
        return f"{doing} {rows}"
    match action:
        case Action.ALLOW:
            return f"{doing} is allowed"
        case Action.HOLD:
            return f"{doing} needs an approval"
    return f"{doing} is not allowed"


def rows_words(limit: int, rows: int | None, why: str = "", *, returned: bool = False) -> str:
    """Say how many rows it would be, and how many a rule lets by."""
    verb = "return" if returned else "touch"
    because = f": {why}" if why else ""
    if rows is None:
        return f"could {verb} any number of rows (limit {limit:,}){because}"
    return f"would {verb} {rows:,} row{'' if rows == 1 else 's'} (limit {limit:,}){because}"


def rule_hint(rule: PolicyRule) -> str:
    """Return how to go on after a rule's no, or on what its hold waits."""
    if rule.action != "approve":
        return f'Ask an admin of Gatepost about rule "{rule.name}".'
    if rule.retry_s is not None:
        return (
            f"It is refused at once, and passes once within {_span(rule.retry_s)} after "
            f"{approver_words(rule)} approved it."
        )
    return f"It waits for an approval by {approver_words(rule)}."


def approver_words(rule: PolicyRule) -> str:
    """Return who can approve by a rule: "group dba", "bo@example.com", "an approver"."""
    kind, _, name = (rule.approvers or "").partition(":")
    words = f"group {name}" if kind == "group" else name or "an approver"
    return f"{words} or the owner" if rule.owner_may_approve else words


def profile_reason(identity: Identity) -> str:
    """Return what the statement profile of an identity stops."""
    return f"not signed for {identity.name}"


def profile_hint(identity: Identity, pages: str = "") -> str:
    """Return how a statement gets into a profile; ``pages``: where the pages are, if known."""
    names = " or ".join(filter(None, (identity.owner, identity.backup_owner)))
    where = f"\n{pages}/identities/{quote(identity.name)}/profile" if pages else ""
    return f"{names or 'An admin'} can sign it, under Approvals{':' if where else '.'}{where}"


def default_hint(action: Action, effect: Effect, subject: Subject) -> str:
    """Return how to go on where no rule decides something."""
    if action is Action.HOLD:
        return "It waits for an approval by an approver."
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
    if verdict.rule == PROFILE:
        return "its statement profile"
    if verdict.rule.startswith(PREFIX):
        return f"built-in rule {verdict.rule.removeprefix(PREFIX)}"
    return f'rule "{verdict.rule}"'


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _doing(effect: Effect) -> str:
    words = effect.cls.value
    if effect.object:
        words += f" on {effect.object}"
    if effect.without_where:
        words += " without WHERE"
    if effect.via:
        words += f" (through {effect.via})"
    return words
