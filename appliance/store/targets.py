"""Targets and their upstream roles: what the gateway connects to, and as whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from appliance.entities import Durability, SslMode, Target, UpstreamRole
from appliance.errors import Conflict, Invalid, NotFound
from appliance.policy.patterns import BadPattern, name_pattern
from appliance.sealing import Sealer, upstream_binding
from appliance.store import masking_resolutions, masking_rules, names, rules
from appliance.store.actors import Actor
from appliance.store.changes import Change, change, difference
from appliance.store.database import Store
from appliance.store.models import GrantRow, RoleRow, TargetRow
from appliance.store.pages import Page, contains, paginate
from appliance.store.settings import ACTIONS

# A new place must not receive the old place's passwords.
PLACE = ("host", "port", "database", "sslmode")


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What a form or the file says about a target, roles aside."""

    name: str
    host: str
    database: str
    port: int = 5432
    sslmode: str = "prefer"
    environment: str = ""
    catalog_role: str = ""
    default_action: str | None = None
    sslrootcert: str | None = None
    allow_md5: bool = False
    allow_cleartext: bool = False
    durability: str | None = None
    safe_functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetChange:
    """What an update did; ``secrets_dropped`` names the roles whose stored secrets it removed."""

    changed: tuple[str, ...] = ()
    secrets_dropped: tuple[str, ...] = ()


def create(store: Store, by: Actor, now: datetime, spec: TargetSpec) -> Target:
    """Register a target. Raises: Invalid, Conflict if the name is taken."""
    values = checked(spec)
    with change(store, by, now) as doing:
        if TargetRow.get_or_none(TargetRow.name == spec.name):
            raise Conflict(f"there is already a target called {spec.name}")
        position = TargetRow.select().count()
        row = TargetRow.create(position=position, created_by=by.name, created_at=now, **values)
        doing.decides("target.create", spec.name, **_told(values))
        return _target(row, [])


def update(store: Store, by: Actor, now: datetime, name: str, spec: TargetSpec) -> TargetChange:
    """Make the target called ``name`` be as ``spec`` says; its name cannot change.

    Another host, port, database or sslmode drops the stored secrets of its roles.
    Raises: Invalid, NotFound.
    """
    if spec.name != name:
        raise Invalid("name", "a target's name cannot change: connection strings name it")
    values = checked(spec)
    with change(store, by, now) as doing:
        row = _row(name)
        changed = difference(row, values)
        if not changed:
            return TargetChange()
        TargetRow.update(**changed).where(TargetRow.id == row.id).execute()
        doing.decides("target.change", name, **_told(changed))
        if "safe_functions" in changed:
            masking_resolutions.forget_computed(doing, name)
        dropped: tuple[str, ...] = ()
        if changed.keys() & set(PLACE):
            dropped = _drop_secrets(row, doing)
        return TargetChange(tuple(changed), dropped)


def delete(store: Store, by: Actor, now: datetime, name: str) -> None:
    """Remove a target with its roles, grants and masking rules; records of its sessions stay.

    Raises: Conflict while a policy rule names it.
    """
    with change(store, by, now) as doing:
        row = _row(name)
        if rules.names_target(name):
            raise Conflict(f"a policy rule names target {name}", "change the rule first")
        GrantRow.delete().where(GrantRow.target == row.id).execute()
        masking = masking_rules.names_on(row.id)  # they go with it
        TargetRow.delete().where(TargetRow.id == row.id).execute()
        doing.decides("target.delete", name, **({"masking": masking} if masking else {}))


def reorder(store: Store, by: Actor, now: datetime, wanted: tuple[str, ...]) -> bool:
    """List these targets first, in this order; return whether that changed anything."""
    with change(store, by, now) as doing:
        present = [row.name for row in TargetRow.select().order_by(*_order())]
        unknown = [name for name in wanted if name not in present]
        if unknown:
            raise NotFound(f"no target is called {unknown[0]}")
        order = [*dict.fromkeys(wanted), *(name for name in present if name not in wanted)]
        if order == present:
            return False
        for position, name in enumerate(order):
            TargetRow.update(position=position).where(TargetRow.name == name).execute()
        doing.decides("target.reorder", "targets", order=order)
        return True


def put_role(
    store: Store,
    by: Actor,
    now: datetime,
    target: str,
    role: str,
    *,
    sealer: Sealer,
    secret: str | None = None,
    password_env: str | None = None,
    password_file: str | None = None,
    position: int | None = None,
) -> tuple[str, ...]:
    """Add an upstream role, or change it; return what changed ("added", "secret", …).

    ``secret`` None keeps the stored one. Secrets are sealed to this target and role.
    """
    names.database_name("role", role)
    if secret is not None and (not secret or "\0" in secret or len(secret) > 1000):
        raise Invalid("password", "expected 1 to 1000 characters without NUL")
    with change(store, by, now) as doing:
        row = _row(target)
        stored = _role_row(row.id, role)
        is_new = stored is None
        if stored is None:
            last = RoleRow.select().where(RoleRow.target == row.id).count()
            stored = RoleRow.create(target=row.id, name=role, position=last)
        place = upstream_binding(row.id, role)
        values: dict[str, Any] = {"password_env": password_env, "password_file": password_file}
        if position is not None:
            values["position"] = position
        changed = difference(stored, values)
        if secret is not None and not _same_secret(sealer, stored.sealed_secret, place, secret):
            changed |= {"sealed_secret": sealer.seal(secret.encode(), place), "secret_at": now}
        if changed:
            RoleRow.update(**changed).where(RoleRow.id == stored.id).execute()
        told = _told_role(is_new, changed)
        if told:
            doing.decides("role.add" if is_new else "role.change", f"{target}/{role}", changed=told)
        return told


def drop_secret(store: Store, by: Actor, now: datetime, target: str, role: str) -> bool:
    """Forget a role's stored secret; return whether there was one."""
    with change(store, by, now) as doing:
        stored = _role_row(_row(target).id, role)
        if stored is None or stored.sealed_secret is None:
            return False
        RoleRow.update(sealed_secret=None, secret_at=now).where(RoleRow.id == stored.id).execute()
        doing.decides("role.change", f"{target}/{role}", changed=("secret dropped",))
        return True


def delete_role(store: Store, by: Actor, now: datetime, target: str, role: str) -> None:
    """Remove an upstream role. Raises: Conflict while a grant uses it."""
    with change(store, by, now) as doing:
        row = _row(target)
        stored = _role_row(row.id, role)
        if stored is None:
            raise NotFound(f"target {target} has no role {role}")
        used = GrantRow.select().where((GrantRow.target == row.id) & (GrantRow.role == role))
        if used.exists():
            raise Conflict(f"a grant uses role {role} of {target}", "remove the grant first")
        if RoleRow.select().where(RoleRow.name == role).count() == 1 and rules.names_role(role):
            raise Conflict(f"a policy rule names role {role}", "change the rule first")
        RoleRow.delete().where(RoleRow.id == stored.id).execute()
        doing.decides("role.delete", f"{target}/{role}")


def get(store: Store, name: str) -> Target:
    """Return a target with its roles. Raises: NotFound."""
    with store.reading():
        row = _row(name)
        return _target(row, list(_roles(RoleRow.target == row.id)))


def find(
    store: Store, text: str = "", *, sort: str = "position", page: int = 1, size: int = 50
) -> Page[Target]:
    """Return the targets whose name, host, database or environment holds ``text``."""
    with store.reading():
        query = TargetRow.select()
        if text:
            query = query.where(
                contains(TargetRow.name, text)
                | contains(TargetRow.host, text)
                | contains(TargetRow.database, text)
                | contains(TargetRow.environment, text)
            )
        columns = {
            "position": TargetRow.position,
            "name": TargetRow.name,
            "environment": TargetRow.environment,
            "created_at": TargetRow.created_at,
        }
        found = paginate(
            query, lambda r: r, sort=sort, columns=columns, tie=TargetRow.id, page=page, size=size
        )
        roles = list(_roles(RoleRow.target.in_([row.id for row in found.items])))
        return Page(tuple(_target(r, roles) for r in found.items), found.total, page, size)


def read_all() -> tuple[Target, ...]:
    """Return every target, in order; for callers inside a store scope."""
    roles = list(_roles(None))
    rows = TargetRow.select().order_by(*_order())
    return tuple(_target(row, roles) for row in rows)


def checked(spec: TargetSpec) -> dict[str, Any]:
    """Return the spec as column values. Raises: Invalid."""
    sslmode = names.choice("sslmode", spec.sslmode, tuple(mode.value for mode in SslMode))
    if spec.allow_cleartext and sslmode not in ("verify-ca", "verify-full"):
        raise Invalid("allow_cleartext", "needs sslmode verify-ca or verify-full")
    if spec.default_action is not None:
        names.choice("default_action", spec.default_action, ACTIONS)
    if spec.durability is not None:
        names.choice("durability", spec.durability, tuple(d.value for d in Durability))
    return {
        "name": names.plain_name("name", spec.name),
        "host": names.host("host", spec.host),
        "port": names.port("port", spec.port),
        "database": names.database_name("database", spec.database),
        "sslmode": sslmode,
        "environment": names.one_line("environment", spec.environment, most=63),
        "catalog_role": spec.catalog_role
        and names.database_name("catalog_role", spec.catalog_role),
        "default_action": spec.default_action,
        "sslrootcert": _certificates(spec.sslrootcert),
        "allow_md5": spec.allow_md5,
        "allow_cleartext": spec.allow_cleartext,
        "durability": spec.durability,
        "safe_functions": list(_functions(spec.safe_functions)),
    }


def _functions(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if len(patterns) > names.MAX_LIST:
        raise Invalid("safe_functions", f"expected at most {names.MAX_LIST} entries")
    for index, pattern in enumerate(patterns):
        field = f"safe_functions[{index}]"
        names.one_line(field, pattern)
        try:
            name_pattern(pattern)
        except BadPattern as error:
            hint = "write schema.name, * stands for anything"
            raise Invalid(field, str(error), hint) from None
    return tuple(dict.fromkeys(patterns))


def _certificates(pem: str | None) -> str | None:
    if not pem or not pem.strip():
        return None
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise Invalid("sslrootcert", "expected certificates as PEM text") from None
    return pem.strip() + "\n"


def _order() -> tuple[Any, Any]:
    return TargetRow.position, TargetRow.id


def _row(name: str) -> Any:
    row = TargetRow.get_or_none(TargetRow.name == name)
    if row is None:
        raise NotFound(f"no target is called {name}")
    return row


def _role_row(target_id: int, role: str) -> Any:
    return RoleRow.get_or_none((RoleRow.target == target_id) & (RoleRow.name == role))


def _roles(condition: Any) -> Any:
    query = RoleRow.select().order_by(RoleRow.position, RoleRow.id)
    return query if condition is None else query.where(condition)


def _drop_secrets(row: Any, doing: Change) -> tuple[str, ...]:
    condition = (RoleRow.target == row.id) & RoleRow.sealed_secret.is_null(False)
    dropped = tuple(role.name for role in _roles(condition))
    if dropped:
        RoleRow.update(sealed_secret=None, secret_at=doing.now).where(condition).execute()
        doing.decides("target.secrets_dropped", row.name, roles=dropped)
    return dropped


def _same_secret(sealer: Sealer, sealed: bytes | None, place: str, secret: str) -> bool:
    return sealed is not None and sealer.holds(sealed, place, secret.encode())


def _told(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != "sslrootcert"} | (
        {"sslrootcert": "changed"} if values.get("sslrootcert") else {}
    )


def _told_role(is_new: bool, changed: dict[str, Any]) -> tuple[str, ...]:
    words = {"sealed_secret": "secret", "position": "order"}
    told = tuple(words.get(name, name) for name in changed if name != "secret_at")
    return ("added", *told) if is_new else told


def _target(row: Any, roles: list[Any]) -> Target:
    return Target(
        id=row.id,
        name=row.name,
        host=row.host,
        port=row.port,
        database=row.database,
        sslmode=SslMode(row.sslmode),
        environment=row.environment,
        roles=tuple(
            UpstreamRole(r.name, r.sealed_secret, r.password_env, r.password_file)
            for r in roles
            if r.target_id == row.id
        ),
        catalog_role=row.catalog_role,
        sslrootcert=row.sslrootcert,
        default_action=row.default_action,
        allow_md5=row.allow_md5,
        allow_cleartext=row.allow_cleartext,
        durability=Durability(row.durability) if row.durability else None,
        safe_functions=tuple(row.safe_functions or ()),
    )
