"""Read a configuration file into a ``Document``; every wrong value is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from appliance.declarative.document import (
    CredentialEntry,
    Document,
    GrantEntry,
    GroupEntry,
    IdentityEntry,
    MaskingEntry,
    RoleEntry,
    RuleEntry,
    TargetEntry,
)
from appliance.declarative.reading_masking import read_masking
from appliance.declarative.reading_settings import (
    environment_name,
    one_at_most,
    one_of,
    read_settings,
    secret_file,
    secret_text,
)
from appliance.declarative.source import Problems, compose
from appliance.declarative.table import Table
from appliance.entities import PermissionRole, PolicyRule, ProfileMode
from appliance.errors import Invalid
from appliance.hours import parse_hours
from appliance.identity.credentials import parse_label
from appliance.store import grants, identities, masking_rules, names, rules, targets

FEDERATED = "federated credentials are"

_MODES = tuple(mode.value for mode in ProfileMode)
_STATUSES = ("active", "suspended", "disabled")
_DEFAULT_MAX_SESSION = timedelta(seconds=grants.GrantSpec("", "", "").max_session_s)

Entry = TypeVar("Entry", bound=object)


_NAMING = ("targets", "groups", "identities")  # the keys whose entries others name


def read_document(
    text: bytes, file: str, *, with_problems: bool = False
) -> tuple[Document, Problems]:
    """Return what the file says. Raises: InvalidFile with everything that is wrong in it.

    ``with_problems``: return what can be read also if something is wrong in it, as long as every
    name that it gives is known: then ``apply`` refuses it with the names that are not.
    The ``Problems`` know the lines, for what only the store can tell.
    """
    problems = Problems(file)
    node = compose(text, problems)
    problems.raise_if_any()
    if node is None:
        return Document(None, None, None, None, None, None), problems
    top = Table(node, "", problems)
    document = Document(
        targets=_entries(top, "targets", _target, _target_name),
        groups=_entries(top, "groups", _group, lambda entry: entry.name),
        identities=_entries(top, "identities", _identity, lambda entry: entry.spec.name),
        grants=_grants(top),
        policies=_entries(top, "policies", _policy, lambda entry: entry.rule.name),
        settings=read_settings(top),
        masking=_entries(top, "masking", _masking, lambda entry: entry.rule.name),
    )
    top.end_of_keys()
    if not with_problems or any(error.field.startswith(_NAMING) for error in problems.found):
        problems.raise_if_any()
    return document, problems


def _entries(
    top: Table,
    key: str,
    read: Callable[[Table], Entry | None],
    name_of: Callable[[Entry], str],
) -> tuple[Entry, ...] | None:
    tables = top.tables(key)
    if tables is None:
        return None
    found = [entry for entry in map(read, tables) if entry is not None]
    seen: set[str] = set()
    for table, name in ((t, t.text("name")) for t in tables):
        if name is not None and name in seen:
            table.wrong(Invalid("name", f"{name!r} is there twice"))
        seen.add(name or "")
    return tuple(found)


def _target_name(entry: TargetEntry) -> str:
    return entry.spec.name


def _target(table: Table) -> TargetEntry | None:
    spec = targets.TargetSpec(
        name=table.text("name", names.plain_name, required=True) or "",
        host=table.text("host", names.host, required=True) or "",
        database=table.text("database", names.database_name, required=True) or "",
        port=_or(table.number("port"), 5432),
        sslmode=table.text("sslmode") or "prefer",
        environment=table.text("environment") or "",
        catalog_role=table.text("catalog_role", names.database_name) or "",
        default_action=table.text("default_action"),
        sslrootcert=table.text("sslrootcert"),
        allow_md5=_or(table.flag("allow_md5"), False),
        allow_cleartext=_or(table.flag("allow_cleartext"), False),
        durability=table.text("durability"),
        safe_functions=table.texts("safe_functions") or (),
    )
    listed = table.tables("roles")
    roles = None if listed is None else tuple(map(_role, listed))
    table.end_of_keys()
    if roles is not None:
        known = [role.name for role in roles]
        for index, name in enumerate(known):
            if name and name in known[:index]:
                table.wrong(Invalid(f"roles[{index}].name", f"{name!r} is there twice"))
        if spec.catalog_role and spec.catalog_role not in known:
            table.wrong(Invalid("catalog_role", f"{spec.catalog_role} is not among the roles"))
    _check(table, targets.checked, spec)
    return TargetEntry(table.path, spec, roles)


def _role(table: Table) -> RoleEntry:
    entry = RoleEntry(
        path=table.path,
        name=table.text("name", names.database_name, required=True) or "",
        password=table.text("password", secret_text),
        password_env=table.text("password_env", environment_name),
        password_file=table.text("password_file", secret_file),
    )
    one_at_most(table, "password", "password_env", "password_file")
    table.end_of_keys()
    return entry


def _group(table: Table) -> GroupEntry | None:
    entry = GroupEntry(
        path=table.path,
        name=table.text("name", names.plain_name, required=True) or "",
        claim=table.text("claim", lambda path, text: names.one_line(path, text, most=200)),
        members=table.texts("members", names.identity_name),
    )
    table.end_of_keys()
    return entry


def _identity(table: Table) -> IdentityEntry | None:
    spec = identities.IdentitySpec(
        name=table.text("name", names.identity_name, required=True) or "",
        kind=table.text("kind", required=True) or "",
        owner=table.text("owner"),
        backup_owner=table.text("backup_owner"),
        purpose=table.text("purpose") or "",
        environment=table.text("environment") or "",
        expires_at=table.end("expires"),
        application_names=table.texts("application_names") or (),
        sources=table.texts("sources") or (),
    )
    profile = table.word("profile")  # a word also where YAML reads off as false
    if profile is not None and profile not in _MODES:
        table.wrong(Invalid("profile", f"expected {' | '.join(_MODES)}"))
        profile = None
    roles = table.texts("permission_roles", one_of(tuple(r.value for r in PermissionRole)))
    status = table.text("status", one_of(_STATUSES))
    credentials = table.tables("credentials")
    entry = IdentityEntry(
        path=table.path,
        spec=spec,
        groups=table.texts("groups", names.plain_name),
        permission_roles=roles,
        status=status,
        profile=profile,
        credentials=None if credentials is None else tuple(map(_credential, credentials)),
    )
    table.end_of_keys()
    if roles and spec.kind != "human":
        table.wrong(Invalid("permission_roles", "only people sign in to the page"))
    if profile not in (None, "off") and spec.kind == "human":
        table.wrong(Invalid("profile", "only machines have a statement profile"))
    _check(table, identities.checked, spec)
    return entry


def _credential(table: Table) -> CredentialEntry:
    table.refuse("federated", FEDERATED)
    label = table.text("label")
    if label is not None:
        table.parsed("label", parse_label, label)
    entry = CredentialEntry(
        path=table.path,
        password_env=table.text("password_env", environment_name),
        label=label,
        expires_at=table.end("expires"),
    )
    if entry.label and entry.password_env:
        table.wrong(Invalid("label", "comes beside password_env: give one of them"))
    table.end_of_keys()
    return entry


def _grants(top: Table) -> tuple[GrantEntry, ...] | None:
    tables = top.tables("grants")
    if tables is None:
        return None
    return tuple(entry for table in tables for entry in _grant(table))


def _grant(table: Table) -> Iterable[GrantEntry]:
    whos = table.texts("who", alone=True, empty=False)
    if not table.has("who"):
        table.wrong(Invalid("", "lacks the key who"))
    hours = table.text("hours")
    if hours is not None:
        table.parsed("hours", lambda _path, text: parse_hours(text), hours)
    spec = grants.GrantSpec(
        who="*",
        target=table.text("target", required=True) or "",
        role=table.text("role", required=True) or "",
        databases=table.texts("databases", empty=False) or (),
        sources=table.texts("sources", empty=False) or (),
        application_names=table.texts("application_names", empty=False) or (),
        hours=hours or "",
        expires_at=table.end("expires"),
        max_session_s=int(_or(table.span("max_session"), _DEFAULT_MAX_SESSION).total_seconds()),
        fastpath=_or(table.flag("fastpath"), False),
        replication=_or(table.flag("replication"), False),
        allow_builtin=frozenset(table.texts("allow_builtin") or ()),
    )
    table.end_of_keys()
    _check(table, grants.checked, spec)
    values = {name: getattr(spec, name) for name in grants.GrantSpec.__dataclass_fields__}
    return [GrantEntry(table.path, grants.GrantSpec(**{**values, "who": w})) for w in whos or ()]


def _policy(table: Table) -> RuleEntry | None:
    hours = table.text("hours")
    if hours is not None:
        table.parsed("hours", lambda _path, text: parse_hours(text), hours)
    timeout, retry = table.span("timeout"), table.span("retry")
    rule = PolicyRule(
        name=table.text("name", names.plain_name, required=True) or "",
        action=table.text("action", required=True) or "",
        who=table.texts("who", alone=True, empty=False) or ("*",),
        targets=table.texts("targets", empty=False) or (),
        roles=table.texts("roles", empty=False) or (),
        commands=table.texts("commands", empty=False) or (),
        tables=table.texts("tables", empty=False) or (),
        columns=table.texts("columns", empty=False) or (),
        functions=table.texts("functions", empty=False) or (),
        application_names=table.texts("application_names", empty=False) or (),
        sources=table.texts("sources", empty=False) or (),
        hours=hours or "",
        without_where=table.flag("without_where"),
        rows_over=table.number("rows_over"),
        approvers=table.text("approvers"),
        owner_may_approve=_or(table.flag("owner_may_approve"), False),
        timeout_s=None if timeout is None else int(timeout.total_seconds()),
        retry_s=None if retry is None else int(retry.total_seconds()),
        message=table.text("message") or "",
        enabled=_or(table.flag("enabled"), True),
    )
    table.end_of_keys()
    _check(table, rules.checked, rule)
    return RuleEntry(table.path, rule)


def _masking(table: Table) -> MaskingEntry | None:
    entry = read_masking(table)
    if entry is not None:
        _check(table, masking_rules.checked, entry.rule)
    return entry


def _check(table: Table, check: Callable[[Entry], object], spec: Entry) -> None:
    """Note what the store's own check says, unless the entry is known to be wrong already."""
    if any(_is_inside(error.field, table.path) for error in table.problems.found):
        return
    try:
        check(spec)
    except Invalid as error:
        table.wrong(error)


def _is_inside(path: str, table: str) -> bool:
    return path == table or path.startswith((f"{table}.", f"{table}["))


def _or(value: Entry | None, default: Entry) -> Entry:
    return default if value is None else value
