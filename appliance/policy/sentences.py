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
_VERBS = {"allow": "may run", "block": "may not run", "approve": "need a human for"}

Piece = tuple[str, bool]


def sentence(rule: PolicyRule) -> list[Piece]:
    """Return the rule as pieces of text, each with whether it is bold.

    **Machines** may not run **ddl, dcl** on **any target** → block
    """
    pieces: list[Piece] = [
        (_who(rule.who), True),
        (f" {_verb(rule)} ", False),
        (", ".join(rule.commands) or "anything", True),
    ]
    if rule.without_where is not None:
        pieces.append((" without WHERE" if rule.without_where else " with a WHERE", True))
    if rule.rows_over is not None:
        rows = f"{rule.rows_over:,} row{'' if rule.rows_over == 1 else 's'}"
        pieces += [(" of more than ", False), (rows, True)]
    pieces += _listed(" touching ", rule.tables)
    pieces += _listed(" in column " if len(rule.columns) == 1 else " in columns ", rule.columns)
    pieces += _listed(" through function ", rule.functions)
    pieces.append((" on ", False))
    pieces.append((", ".join(rule.targets) or "any target", True))
    pieces += _listed(" as ", rule.roles)
    pieces += _listed(" from ", rule.sources)
    pieces += _listed(" with application ", rule.application_names)
    pieces += _listed(" during ", (rule.hours,) if rule.hours else ())
    if rule.action == "approve" and (rule.approvers or rule.owner_may_approve):
        words = [_one(rule.approvers) if rule.approvers else "any approver"]
        words += ["its owner"] if rule.owner_may_approve else []
        pieces += [(", approved by ", False), (" or ".join(words), True)]
    pieces.append((f" → {rule.action}", False))
    return pieces


def plain_sentence(rule: PolicyRule) -> str:
    """Return the same without marks: for the shell and for mails."""
    return "".join(text for text, _ in sentence(rule))


def _verb(rule: PolicyRule) -> str:
    """Return what the rule says of whom it is about; one alone needs, several need."""
    verb = _VERBS.get(rule.action, "may not run")
    words = rule.who or ("*",)
    is_one = "*" in words or (len(words) == 1 and not words[0].startswith("kind:"))
    return verb.replace("need ", "needs ") if is_one else verb


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
    return f"group {name}" if kind == "group" else name or word


def _listed(before: str, values: tuple[str, ...]) -> list[Piece]:
    return [(before, False), (", ".join(values), True)] if values else []
