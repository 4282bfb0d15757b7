"""Apply the ``groups:`` and ``identities:`` of a file: who there is, and who belongs where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.declarative.apply_credentials import apply_credentials
from appliance.declarative.document import Document, GroupEntry, IdentityEntry
from appliance.declarative.references import is_kept
from appliance.entities import (
    Identity,
    IdentityStatus,
    PermissionRole,
    ProfileMode,
    Snapshot,
)
from appliance.store import accounts, snapshots
from appliance.store import groups as store_groups
from appliance.store import identities as store_identities
from appliance.store import profiles as store_profiles
from appliance.store.identities import IdentitySpec

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying

_PRUNED = "not in the applied file"


def groups(doing: Applying, entries: Sequence[GroupEntry]) -> None:
    """Create groups and set their claims."""
    present = _snapshot(doing).groups
    for entry in entries:
        with doing.at(entry.path):
            if entry.name not in present:
                store_groups.create(
                    doing.store, doing.by, doing.now, name=entry.name, claim=entry.claim
                )
                doing.tell(f"create group {entry.name}")
            elif store_groups.change_claim(
                doing.store, doing.by, doing.now, entry.name, entry.claim
            ):
                doing.tell(f"change group {entry.name}: claim")


def identities(doing: Applying, entries: Sequence[IdentityEntry]) -> None:
    """Create and change identities; owners last, so that the file may name them in any order."""
    present = _snapshot(doing).identities
    created = [entry for entry in entries if entry.spec.name not in present]
    for entry in created:
        with doing.at(entry.path):
            bare = replace(entry.spec, owner=None, backup_owner=None)
            store_identities.create(doing.store, doing.by, doing.now, bare)
            doing.tell(f"create {entry.spec.kind} {entry.spec.name}")
    fresh = {entry.spec.name for entry in created}
    for entry in entries:
        name = entry.spec.name
        changed: tuple[str, ...] = ()
        if name in fresh or not _is_as(present[name], entry.spec):
            with doing.at(entry.path):
                changed = store_identities.update(
                    doing.store, doing.by, doing.now, name, entry.spec
                )
        if changed and name not in fresh:
            doing.tell(f"change identity {name}: {', '.join(changed)}")
        if entry.permission_roles is not None:
            _permission_roles(doing, entry, entry.permission_roles)
        _status(doing, entry, None if name in fresh else present[name].status)


def memberships(doing: Applying, document: Document) -> None:
    """Make membership be what the file says, from either side.

    One that the file does not name stays only if neither its group lists members nor its identity
    lists groups.
    """
    snapshot = _snapshot(doing)
    wanted: dict[tuple[str, str], str] = {}
    strict_groups: set[str] = set()
    strict_identities: set[str] = set()
    for group in document.groups or ():
        if group.members is not None:
            strict_groups.add(group.name)
            wanted |= {(group.name, member): f"{group.path}.members" for member in group.members}
    for identity in document.identities or ():
        if identity.groups is not None:
            name = identity.spec.name
            strict_identities.add(name)
            wanted |= {(group, name): f"{identity.path}.groups" for group in identity.groups}
    present = {(g.name, member) for g in snapshot.groups.values() for member in g.members}
    for pair in sorted(present - wanted.keys()):
        group_name, member = pair
        if group_name in strict_groups or member in strict_identities:
            store_groups.remove(doing.store, doing.by, doing.now, group_name, member)
            doing.tell(f"remove {member} from group {group_name}")
    for pair in (pair for pair in wanted if pair not in present):
        with doing.at(wanted[pair]):
            store_groups.add(doing.store, doing.by, doing.now, pair[0], pair[1])
        doing.tell(f"add {pair[1]} to group {pair[0]}")


def credentials(doing: Applying, entries: Sequence[IdentityEntry]) -> None:
    """Issue, rotate and revoke the credentials of those identities that list theirs."""
    for entry in entries:
        if entry.credentials is not None:
            apply_credentials(doing, entry.spec.name, entry.credentials)


def profiles(doing: Applying, entries: Sequence[IdentityEntry]) -> None:
    """Set what the statement profiles do; enforcing takes one that the owner signed."""
    for entry in entries:
        if entry.profile is None or (entry.profile == "off" and entry.spec.kind == "human"):
            continue
        mode, name = ProfileMode(entry.profile), entry.spec.name
        with doing.at(f"{entry.path}.profile"):
            if store_profiles.set_mode(doing.store, doing.by, doing.now, name, mode):
                doing.tell(f"change identity {name}: profile {mode.value}")


def prune(doing: Applying, document: Document) -> None:
    """Remove groups, and retire identities, that the file lacks."""
    snapshot = _snapshot(doing)
    if document.groups is not None:
        listed = {entry.name for entry in document.groups}
        for name in sorted(snapshot.groups.keys() - listed):
            with doing.at("groups"):
                store_groups.delete(doing.store, doing.by, doing.now, name)
            doing.tell(f"delete group {name}")
    if document.identities is None:
        return
    with_account = {account.identity for account in accounts.all_accounts(doing.store)}
    named = {entry.spec.name for entry in document.identities}
    for name in sorted(snapshot.identities.keys() - named):
        if not is_kept(name, snapshot, with_account):
            store_identities.retire(doing.store, doing.by, doing.now, name, _PRUNED)
            doing.tell(f"retire {name}")
        elif name in with_account:
            doing.remarks.append(f"{name} is not in the file but has a local sign-in: kept")


def _permission_roles(doing: Applying, entry: IdentityEntry, words: Sequence[str]) -> None:
    roles = frozenset(map(PermissionRole, words))
    with doing.at(f"{entry.path}.permission_roles"):
        if store_identities.set_permission_roles(
            doing.store, doing.by, doing.now, entry.spec.name, roles
        ):
            doing.tell(f"change identity {entry.spec.name}: permission roles")


def _status(doing: Applying, entry: IdentityEntry, present: IdentityStatus | None) -> None:
    """Set the status that the file says. Where it says none, a suspension stays."""
    name = entry.spec.name
    if entry.status is None and present is not IdentityStatus.RETIRED:
        return
    wanted = IdentityStatus(entry.status or IdentityStatus.ACTIVE)
    with doing.at(f"{entry.path}.status"):
        if store_identities.set_status(doing.store, doing.by, doing.now, name, wanted):
            doing.tell(f"change identity {name}: {wanted.value}")


def _is_as(identity: Identity, spec: IdentitySpec) -> bool:
    """Return whether nothing of the spec differs: thousands of entries mostly do not."""
    fields = IdentitySpec.__dataclass_fields__
    return all(getattr(identity, name) == getattr(spec, name) for name in fields)


def _snapshot(doing: Applying) -> Snapshot:
    return snapshots.load(doing.store, doing.now)
