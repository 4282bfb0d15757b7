"""Read a configuration file into a ``Document``; every wrong value is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from appliance.declarative.document import (
    CredentialEntry,
    Document,
    GrantEntry,
    GroupEntry,
    IdentityEntry,
    RoleEntry,
    RuleEntry,
    SettingsEntry,
    TargetEntry,
)
from appliance.declarative.source import Problems, compose
from appliance.declarative.table import Table
from appliance.entities import Durability, Limits, PermissionRole, PolicyRule
from appliance.errors import Invalid
from appliance.hours import parse_hours
from appliance.identity.credentials import parse_label
from appliance.identity.spans import parse_span
from appliance.store import grants, identities, names, rules, settings, targets

MASKING = "masking rules are"
FEDERATED = "federated credentials are"

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_STATUSES = ("active", "suspended", "disabled")
_DEFAULT_MAX_SESSION = timedelta(seconds=grants.GrantSpec("", "", "").max_session_s)

Entry = TypeVar("Entry", bound=object)


def read_document(text: bytes, file: str) -> tuple[Document, Problems]:
    """Return what the file says. Raises: InvalidFile with everything that is wrong in it.

    The ``Problems`` know the lines, for what only the store can tell.
    """
    problems = Problems(file)
    node = compose(text, problems)
    problems.raise_if_any()
    if node is None:
        return Document(None, None, None, None, None, None), problems
    top = Table(node, "", problems)
    if top.has("masking") and top.tables("masking") != ():
        top.refuse("masking", MASKING)
    document = Document(
        targets=_entries(top, "targets", _target, _target_name),
        groups=_entries(top, "groups", _group, lambda entry: entry.name),
        identities=_entries(top, "identities", _identity, lambda entry: entry.spec.name),
        grants=_grants(top),
        policies=_entries(top, "policies", _policy, lambda entry: entry.rule.name),
        settings=_settings(top),
    )
    top.end_of_keys()
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
        password=table.text("password", _password),
        password_env=table.text("password_env", environment_name),
        password_file=table.text("password_file", _file),
    )
    given = [k for k in ("password", "password_env", "password_file") if table.has(k)]
    if len(given) > 1:
        table.wrong(Invalid(given[1], f"comes beside {given[0]}: give one of them"))
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
    if table.word("profile") not in (None, "off"):
        if table.word("profile") in ("learn", "enforce"):
            table.refuse("profile", "statement profiles are")
        else:
            table.wrong(Invalid("profile", "expected off | learn | enforce"))
    roles = table.texts("permission_roles", _one_of(tuple(r.value for r in PermissionRole)))
    status = table.text("status", _one_of(_STATUSES))
    credentials = table.tables("credentials")
    entry = IdentityEntry(
        path=table.path,
        spec=spec,
        groups=table.texts("groups", names.plain_name),
        permission_roles=roles,
        status=status,
        credentials=None if credentials is None else tuple(map(_credential, credentials)),
    )
    table.end_of_keys()
    if roles and spec.kind != "human":
        table.wrong(Invalid("permission_roles", "only people sign in to the page"))
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
    table.refuse("rows_over", "rows_over is")
    table.refuse("hours", "hours in policies are")
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
        without_where=table.flag("without_where"),
        approvers=table.text("approvers"),
        timeout_s=None if timeout is None else int(timeout.total_seconds()),
        retry_s=None if retry is None else int(retry.total_seconds()),
        message=table.text("message") or "",
        enabled=_or(table.flag("enabled"), True),
    )
    table.end_of_keys()
    _check(table, rules.checked, rule)
    return RuleEntry(table.path, rule)


def _settings(top: Table) -> SettingsEntry | None:
    table = top.table("settings")
    if table is None:
        return None
    for key, what in (
        ("oidc", "sign-in through an identity provider is"),
        ("saml", "sign-in through an identity provider is"),
        ("smtp", "mail is"),
        ("digest", "the digest is"),
    ):
        table.refuse(key, what)
    default_action = table.text("default_action", _one_of(settings.ACTIONS))
    recording, limits = table.table("recording"), table.table("limits")
    durability, days = None, None
    if recording is not None:
        durability = recording.text("durability", _one_of(tuple(d.value for d in Durability)))
        if recording.word("results") not in (None, "off"):
            recording.refuse("results", "recording of results is")
        days = recording.parsed("retention", _days, recording.text("retention"))
        recording.end_of_keys()
    found: dict[str, int] = {}
    if limits is not None:
        read = {name: limits.number(name) for name in Limits.__dataclass_fields__}
        found = {name: number for name, number in read.items() if number is not None}
        limits.end_of_keys()
        try:
            settings.checked_limits(found)
        except Invalid as error:
            limits.wrong(Invalid(error.field.rpartition(".")[2], error.message, error.hint))
    table.end_of_keys()
    return SettingsEntry(default_action, durability, days, found)


def environment_name(path: str, text: str) -> str:
    """Return the name of an environment variable."""
    if not _ENV.fullmatch(text):
        raise Invalid(path, "expected the name of an environment variable")
    return text


def _password(path: str, text: str) -> str:
    if not text or "\0" in text or len(text) > 1000:
        raise Invalid(path, "expected 1 to 1000 characters without NUL")
    return text


def _file(path: str, text: str) -> str:
    return names.one_line(path, text)


def _days(path: str, text: str) -> int:
    span = parse_span(path, text)
    if span % timedelta(days=1) or not 1 <= span.days <= settings.MAX_RETENTION_DAYS:
        raise Invalid(path, f"expected whole days, 1d to {settings.MAX_RETENTION_DAYS}d")
    return span.days


def _one_of(words: tuple[str, ...]) -> Callable[[str, str], str]:
    return lambda path, text: names.choice(path, text, words)


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
