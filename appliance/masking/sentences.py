"""A masking rule as the sentence that people read, and who it concerns now. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.entities import Identity, IdentityKind, MaskingRule, MaskMode, Snapshot, who_matches
from appliance.masking.values import Method

Piece = tuple[str, bool]

_MOST_COLUMNS = 4
_KINDS = {
    IdentityKind.HUMAN: "people",
    IdentityKind.SERVICE: "services",
    IdentityKind.CI: "CI jobs",
    IdentityKind.BOT: "bots",
    IdentityKind.AGENT: "AI agents",
}
# What each method leaves of a value, in words.
METHOD_WORDS: dict[Method, str] = {
    Method.NULL: "NULL",
    Method.REDACT: "***",
    Method.PARTIAL: "its last characters",
    Method.HASH: "a keyed hash",
    Method.EMAIL: "***@domain",
    Method.ZERO_DATE: "0001-01-01",
    Method.FIXED: "",
}


@dataclass(frozen=True, slots=True)
class Audience:
    """Who can reach a rule's target now: those who see it masked, and those who are exempt."""

    masked: tuple[str, ...]
    exempt: tuple[str, ...]


def sentence(rule: MaskingRule) -> list[Piece]:
    """Return the rule as pieces of text, each with whether it is bold.

    **Everyone** but **group pci** sees **public.customers.card_number** on **shop** as **…**
    """
    pieces: list[Piece] = [("Everyone", True)]
    if rule.exempt:
        pieces += [(" but ", False), (_joined([who_words(word) for word in rule.exempt]), True)]
    pieces += [(" sees ", False), (_columns(rule.columns), True)]
    pieces += [(" on ", False), (rule.target, True), (" as ", False), (shown_as(rule), True)]
    if rule.mode is MaskMode.STRICT:
        pieces.append((", and may use it in no condition or expression", False))
    return pieces


def plain_sentence(rule: MaskingRule) -> str:
    """Return the same without marks: for the shell."""
    return "".join(text for text, _ in sentence(rule))


def shown_as(rule: MaskingRule) -> str:
    """Return what a masked identity sees, in words."""
    if rule.method is Method.FIXED:
        return f"“{rule.value or ''}”"
    return METHOD_WORDS[rule.method]


def who_words(word: str) -> str:
    """Return a ``who`` word for people: ``kind:ci`` is CI jobs."""
    kind, _, name = word.partition(":")
    if kind == "kind" and name in _KINDS:
        return _KINDS[IdentityKind(name)]
    return f"group {name}" if kind == "group" else name or word


def reaching(snapshot: Snapshot, target: str, now: datetime) -> tuple[Identity, ...]:
    """Return the identities that hold a live grant on a target, by name."""
    who = {
        grant.who
        for grant in snapshot.grants
        if grant.target == target and (grant.expires_at is None or now < grant.expires_at)
    }
    found = (
        identity
        for identity in snapshot.identities.values()
        if identity.is_active(now) and any(who_matches(word, identity) for word in who)
    )
    return tuple(sorted(found, key=lambda one: one.name))


def audience(rule: MaskingRule, identities: Iterable[Identity]) -> Audience:
    """Return which of the identities a rule bites, and which are exempt from it."""
    masked: list[str] = []
    exempt: list[str] = []
    for identity in identities:
        is_exempt = any(who_matches(word, identity) for word in rule.exempt)
        (exempt if is_exempt else masked).append(identity.name)
    return Audience(tuple(masked), tuple(exempt))


def biting(snapshot: Snapshot, name: str, targets: Container[str]) -> dict[str, tuple[str, ...]]:
    """Return the rules that are on and bite an identity, by target, in their order."""
    identity = snapshot.identities.get(name)
    found: dict[str, tuple[str, ...]] = {}
    if identity is None:
        return found
    for rule in snapshot.masking:
        if rule.enabled and rule.target in targets and audience(rule, [identity]).masked:
            found[rule.target] = (*found.get(rule.target, ()), rule.name)
    return found


def _columns(columns: Sequence[str]) -> str:
    if len(columns) <= _MOST_COLUMNS:
        return _joined(columns)
    more = len(columns) - _MOST_COLUMNS + 1
    return f"{', '.join(columns[: _MOST_COLUMNS - 1])} and {more} more columns"


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
