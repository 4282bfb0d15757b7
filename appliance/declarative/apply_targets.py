"""Apply the ``targets:`` of a file: places, upstream roles, secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from appliance.declarative.document import RoleEntry, TargetEntry
from appliance.entities import Target
from appliance.errors import Invalid
from appliance.store import targets as store_targets

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying


def targets(doing: Applying, entries: Sequence[TargetEntry]) -> None:
    """Register and change targets and add to their roles; ``drop_roles`` comes after grants."""
    present = {target.name: target for target in _all(doing)}
    for entry in entries:
        name = entry.spec.name
        with doing.at(entry.path):
            if name not in present:
                store_targets.create(doing.store, doing.by, doing.now, entry.spec)
                doing.tell(f"create target {name}")
            else:
                _update(doing, entry)
        for position, role in enumerate(entry.roles or ()):
            with doing.at(role.path):
                _put_role(doing, name, role, position)
    if entries and store_targets.reorder(
        doing.store, doing.by, doing.now, tuple(entry.spec.name for entry in entries)
    ):
        doing.tell("change the order of targets")


def drop_roles(doing: Applying, entries: Sequence[TargetEntry]) -> None:
    """Remove the roles that a target's own list in the file no longer has."""
    present = {target.name: target for target in _all(doing)}
    for entry in entries:
        if entry.roles is None:
            continue
        listed = {role.name for role in entry.roles}
        for role in present[entry.spec.name].roles:
            if role.name not in listed:
                with doing.at(f"{entry.path}.roles"):
                    store_targets.delete_role(
                        doing.store, doing.by, doing.now, entry.spec.name, role.name
                    )
                doing.tell(f"delete role {entry.spec.name}/{role.name}")


def prune(doing: Applying, entries: Sequence[TargetEntry] | None) -> None:
    """Remove the targets that the file lacks, with their grants."""
    if entries is None:
        return
    listed = {entry.spec.name for entry in entries}
    for target in _all(doing):
        if target.name not in listed:
            store_targets.delete(doing.store, doing.by, doing.now, target.name)
            doing.tell(f"delete target {target.name}")


def _update(doing: Applying, entry: TargetEntry) -> None:
    name = entry.spec.name
    done = store_targets.update(doing.store, doing.by, doing.now, name, entry.spec)
    if done.changed:
        doing.tell(f"change target {name}: {', '.join(done.changed)}")
    if done.secrets_dropped:
        roles = ", ".join(done.secrets_dropped)
        doing.tell(f"drop the stored secrets of target {name}: {roles}")


def _put_role(doing: Applying, target: str, role: RoleEntry, position: int) -> None:
    secret = role.password
    if role.password_env is not None:
        # Unset here: serve's environment has it, or what is stored already stays.
        secret = doing.options.environ.get(role.password_env) or None
    try:
        told = store_targets.put_role(
            doing.store,
            doing.by,
            doing.now,
            target,
            role.name,
            sealer=doing.sealer,
            secret=secret,
            password_env=role.password_env,
            password_file=role.password_file,
            position=position,
        )
    except Invalid as error:
        if role.password_env is not None and error.field == "password":
            raise Invalid("password_env", f"{role.password_env}: {error.message}") from None
        raise
    if "added" in told and secret is None:
        doing.remarks.append(f"role {target}/{role.name} has no password here: {_whence(role)}")
    if "added" in told:
        doing.tell(f"add role {target}/{role.name}")
    elif told:
        doing.tell(f"change role {target}/{role.name}: {', '.join(told)}")


def _whence(role: RoleEntry) -> str:
    """Return where the password of a role that was added without one has to come from."""
    if role.password_env is not None:
        return f"{role.password_env} must be set where gatepost serve runs"
    if role.password_file is not None:
        return f"gatepost serve reads {role.password_file}"
    return "give it password, password_env or password_file, or set it on the page"


def _all(doing: Applying) -> tuple[Target, ...]:
    with doing.store.reading():
        return store_targets.read_all()
