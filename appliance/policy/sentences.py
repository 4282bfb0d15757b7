"""A policy rule as the sentence that people read on the page."""

from __future__ import annotations

from appliance.entities import IdentityKind, PolicyRule

_MACHINES = frozenset(kind for kind in IdentityKind if kind is not IdentityKind.HUMAN)
_KINDS = {
    IdentityKind.HUMAN: "people",
    IdentityKind.SERVICE: "services",
    IdentityKind.CI: "CI jobs",
    IdentityKind.BOT: "bots",
    IdentityKind.AGENT: "AI agents",
}
_VERBS = {"allow": "may run", "block": "may not run", "approve": "need an approval to run"}

Piece = tuple[str, bool]


def sentence(rule: PolicyRule) -> list[Piece]:
    """Return the rule as pieces of text, each with whether it is bold.

    **Machines** may not run **ddl, dcl** on **any target** → block
    """
    pieces: list[Piece] = [
        (_who(rule.who), True),
        (f" {_VERBS.get(rule.action, 'may not run')} ", False),
        (", ".join(rule.commands) or "anything", True),
    ]
    if rule.without_where is not None:
        pieces.append((" without WHERE" if rule.without_where else " with a WHERE", True))
    pieces += _listed(" touching ", rule.tables)
    pieces += _listed(" in column " if len(rule.columns) == 1 else " in columns ", rule.columns)
    pieces += _listed(" through function ", rule.functions)
    pieces.append((" on ", False))
    pieces.append((", ".join(rule.targets) or "any target", True))
    pieces += _listed(" as ", rule.roles)
    pieces += _listed(" from ", rule.sources)
    pieces += _listed(" with application ", rule.application_names)
    if rule.action == "approve" and rule.approvers:
        pieces += [(", approved by ", False), (_one(rule.approvers), True)]
    pieces.append((f" → {rule.action}", False))
    return pieces


def plain_sentence(rule: PolicyRule) -> str:
    """Return the same without marks: for the shell and for mails."""
    return "".join(text for text, _ in sentence(rule))


def _who(words: tuple[str, ...]) -> str:
    """Say whom the rule is about; words of ours begin the sentence with a capital letter."""
    if not words or "*" in words:
        return "Everyone"
    kinds = {word.removeprefix("kind:") for word in words if word.startswith("kind:")}
    found = []
    if kinds >= _MACHINES:
        found.append("machines")
        kinds -= _MACHINES
    rest = [word for word in words if not word.startswith("kind:") or word[5:] in kinds]
    found += [_one(word) for word in rest]
    if len(found) > len(rest) or not rest[0].startswith("identity:"):
        found[0] = found[0][0].upper() + found[0][1:]
    return " and ".join(filter(None, (", ".join(found[:-1]), found[-1])))


def _one(word: str) -> str:
    kind, _, name = word.partition(":")
    if kind == "kind" and name in _KINDS:
        return _KINDS[IdentityKind(name)]
    return f"group {name}" if kind == "group" else name


def _listed(before: str, values: tuple[str, ...]) -> list[Piece]:
    return [(before, False), (", ".join(values), True)] if values else []
