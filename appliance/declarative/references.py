"""Check every name that a file mentions against the file and the store, before any change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.declarative.document import (
    Document,
    GrantEntry,
    IdentityEntry,
    MaskingEntry,
    RuleEntry,
)
from appliance.declarative.source import Problems
from appliance.entities import IdentityKind, IdentityStatus, Snapshot
from appliance.store import accounts, snapshots

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying

_KINDS = {kind.value for kind in IdentityKind}


@dataclass(frozen=True, slots=True)
class Known:
    """The names that there will be when the file is applied. ``roles``: by target."""

    identities: frozenset[str]
    humans: frozenset[str]
    groups: frozenset[str]
    roles: dict[str, frozenset[str]]


def check_references(doing: Applying, document: Document) -> None:
    """Raise InvalidFile naming every unknown name."""
    snapshot = snapshots.load(doing.store, doing.now)
    with_account = {account.identity for account in accounts.all_accounts(doing.store)}
    known = _known(snapshot, document, with_account, prune=doing.options.prune)
    problems = doing.problems
    for identity in document.identities or ():
        _check_identity(problems, known, identity)
    for group in document.groups or ():
        for index, name in enumerate(group.members or ()):
            _check(problems, f"{group.path}.members[{index}]", name, known.identities, "identity")
    for grant in document.grants or ():
        _check_grant(problems, known, grant)
    every_role = frozenset(name for roles in known.roles.values() for name in roles)
    for rule in document.policies or ():
        _check_rule(problems, known, every_role, rule)
    for masking in document.masking or ():
        _check_masking(problems, known, masking)
    problems.raise_if_any()


def is_kept(name: str, snapshot: Snapshot, with_account: set[str]) -> bool:
    """Return whether ``--prune`` leaves an identity that the file lacks.

    Retired ones are history already; whoever can sign in to the page must not be locked out.
    """
    identity = snapshot.identities[name]
    return identity.status is IdentityStatus.RETIRED or name in with_account


def _known(snapshot: Snapshot, document: Document, with_account: set[str], *, prune: bool) -> Known:
    listed = {entry.spec.name: entry.spec.kind for entry in document.identities or ()}
    pruned = prune and document.identities is not None
    stored = {
        name: identity.kind.value
        for name, identity in snapshot.identities.items()
        if not pruned or is_kept(name, snapshot, with_account)
    }
    kinds = stored | listed
    groups = {entry.name for entry in document.groups or ()}
    if not (prune and document.groups is not None):
        groups |= snapshot.groups.keys()
    roles = {
        name: frozenset(role.name for role in target.roles)
        for name, target in snapshot.targets.items()
    }
    named = {entry.spec.name for entry in document.targets or ()}
    if prune and document.targets is not None:
        roles = {name: found for name, found in roles.items() if name in named}
    for entry in document.targets or ():
        if entry.roles is not None:
            roles[entry.spec.name] = frozenset(role.name for role in entry.roles)
        else:
            roles.setdefault(entry.spec.name, frozenset())
    return Known(
        identities=frozenset(kinds),
        humans=frozenset(name for name, kind in kinds.items() if kind == IdentityKind.HUMAN),
        groups=frozenset(groups),
        roles=roles,
    )


def _check_identity(problems: Problems, known: Known, entry: IdentityEntry) -> None:
    spec = entry.spec
    for key, name in (("owner", spec.owner), ("backup_owner", spec.backup_owner)):
        path = f"{entry.path}.{key}"
        if name is None:
            continue
        if name == spec.name:
            problems.add(path, "nobody owns themselves")
        elif name in known.identities and name not in known.humans:
            problems.add(path, f"{name} is no human: somebody has to answer for it")
        else:
            _check(problems, path, name, known.identities, "identity")
    if spec.owner is not None and spec.owner == spec.backup_owner:
        problems.add(f"{entry.path}.backup_owner", "expected somebody else than the owner")
    for index, group in enumerate(entry.groups or ()):
        _check(problems, f"{entry.path}.groups[{index}]", group, known.groups, "group")


def _check_grant(problems: Problems, known: Known, entry: GrantEntry) -> None:
    spec = entry.spec
    _check_who(problems, known, f"{entry.path}.who", spec.who)
    if spec.target not in known.roles:
        _unknown(problems, f"{entry.path}.target", spec.target, "target", known.roles)
    elif spec.role not in known.roles[spec.target]:
        roles = known.roles[spec.target]
        _unknown(problems, f"{entry.path}.role", spec.role, f"role of {spec.target}", roles)


def _check_rule(
    problems: Problems, known: Known, every_role: frozenset[str], entry: RuleEntry
) -> None:
    rule, path = entry.rule, entry.path
    for index, who in enumerate(rule.who):
        _check_who(problems, known, f"{path}.who[{index}]", who)
    for index, name in enumerate(rule.targets):
        _check(problems, f"{path}.targets[{index}]", name, known.roles, "target")
    for index, name in enumerate(rule.roles):
        _check(problems, f"{path}.roles[{index}]", name, every_role, "upstream role")
    if rule.approvers is not None:
        _check_approvers(problems, known, f"{path}.approvers", rule.approvers)


def _check_masking(problems: Problems, known: Known, entry: MaskingEntry) -> None:
    for index, who in enumerate(entry.rule.exempt):
        _check_who(problems, known, f"{entry.path}.exempt[{index}]", who)
    if entry.rule.target:  # else that it lacks one is said already
        _check(problems, f"{entry.path}.target", entry.rule.target, known.roles, "target")


def _check_approvers(problems: Problems, known: Known, path: str, who: str) -> None:
    if not who.startswith(("group:", "identity:")):
        problems.add(path, f"expected group:NAME or identity:NAME, got {who[:60]!r}")
    else:
        _check_who(problems, known, path, who)


def _check_who(problems: Problems, known: Known, path: str, who: str) -> None:
    kind, colon, name = who.partition(":")
    if who == "*":
        return
    match kind:
        case "identity" if name:
            _check(problems, path, name, known.identities, "identity")
        case "group" if name:
            _check(problems, path, name, known.groups, "group")
        case "kind" if colon:
            if name not in _KINDS:
                problems.add(path, f"expected kind:{'|'.join(sorted(_KINDS))}, got {who[:60]!r}")
        case _:
            problems.add(
                path, f"expected *, identity:NAME, group:NAME or kind:KIND, got {who[:60]!r}"
            )


def _check(problems: Problems, path: str, name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        _unknown(problems, path, name, what, known)


def _unknown(problems: Problems, path: str, name: str, what: str, known: Iterable[str]) -> None:
    near = difflib.get_close_matches(name, list(known), 1)
    hint = f"did you mean {near[0]}?" if near else "add it to the file or create it first"
    problems.add(path, f"no {what} is called {name[:80]!r}", hint)
