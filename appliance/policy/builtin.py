"""The rules that come first on every target: what would lead round the gateway, or out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.policy.subject import Subject
from appliance.sql.facts import Effect, EffectClass, Facts, Name, Statement

PREFIX = "builtin:"
_RESET_ROLE = frozenset({"none", "default"})
_ANY = "*"
_ROLE_SETTINGS = frozenset({"role", "session_authorization"})
_SET_KIND = "VariableSetStmt"
_SETTINGS_VIEW = Name("pg_catalog", "pg_settings")


@dataclass(frozen=True, slots=True)
class BuiltinRule:
    """A rule of Gatepost's own. ``flags``: the facts it looks at.

    ``switchable``: a grant can switch it off by name in ``allow_builtin``.
    """

    name: str
    title: str
    explanation: str
    flags: frozenset[str] = frozenset()
    switchable: bool = True


BUILTIN_RULES: tuple[BuiltinRule, ...] = (
    BuiltinRule(
        "readable-text",
        "Text that can be read in two ways",
        "Its meaning depends on settings that only the server knows, so no rule can judge it.",
        switchable=False,
    ),
    BuiltinRule(
        "passwords",
        "Passwords and LOGIN of database roles",
        "A role that sets a password or gains LOGIN can reach the database past the gateway.",
        frozenset({"password", "login"}),
    ),
    BuiltinRule(
        "role-powers",
        "SUPERUSER and other powers of database roles",
        "SUPERUSER, BYPASSRLS, REPLICATION, CREATEROLE and the predefined roles open every way "
        "that these rules close.",
        frozenset({"superuser"}),
    ),
    BuiltinRule(
        "set-role",
        "SET ROLE and SET SESSION AUTHORIZATION beyond the granted roles",
        "A session acts only as upstream roles that its identity has a grant for.",
        frozenset({"set_role"}),
    ),
    BuiltinRule(
        "alter-system",
        "ALTER SYSTEM",
        "It changes the configuration of the whole server, its authentication included.",
        frozenset({"alter_system"}),
    ),
    BuiltinRule(
        "load",
        "LOAD",
        "It runs a shared library inside the server.",
        frozenset({"load"}),
    ),
    BuiltinRule(
        "server-files",
        "Files of the server",
        "COPY with a file, pg_read_file, lo_import and their like reach files on the database's "
        "machine.",
        frozenset({"server_file"}),
    ),
    BuiltinRule(
        "programs",
        "Programs on the server",
        "COPY … PROGRAM runs a command on the database's machine.",
        frozenset({"program"}),
    ),
    BuiltinRule(
        "foreign-servers",
        "dblink, foreign servers and user mappings",
        "They lead to other databases, or back to this one, without the gateway.",
        frozenset({"dblink", "foreign"}),
    ),
    BuiltinRule(
        "subscriptions",
        "Subscriptions",
        "CREATE and ALTER SUBSCRIPTION connect the server to another one.",
        frozenset({"subscription"}),
    ),
    BuiltinRule(
        "untrusted-languages",
        "Untrusted languages",
        "Functions in C, plpython3u, plperlu and their like can do whatever the server can.",
        frozenset({"untrusted_language"}),
    ),
)

UNREADABLE = BUILTIN_RULES[0]


@dataclass(frozen=True, slots=True)
class BuiltinHit:
    """A built-in rule that blocks a statement, with the effect that people are shown."""

    rule: BuiltinRule
    effect: Effect
    detail: str


def allowed_builtins(subject: Subject) -> frozenset[str]:
    """Return the names of the built-in rules that the session's grant switches off."""
    names = subject.grant.allow_builtin if subject.grant else frozenset()
    return frozenset(name.removeprefix(PREFIX) for name in names)


def builtin_hits(facts: Facts, subject: Subject, allowed: frozenset[str]) -> Iterator[BuiltinHit]:
    """Yield the built-in rules that block something of a message."""
    for statement in facts.statements:
        flags = _flags(statement)
        if not flags:
            continue
        for rule in BUILTIN_RULES:
            hit = flags & rule.flags
            if not hit or (rule.switchable and rule.name in allowed):
                continue
            if "set_role" in hit:
                beyond = _beyond(statement, subject)
                if beyond is not None:
                    yield BuiltinHit(rule, _shown(statement), beyond)
            else:
                yield BuiltinHit(rule, _shown(statement), "")


def _flags(statement: Statement) -> frozenset[str]:
    """Return the statement's flags, with those that its effects and settings imply."""
    flags = statement.flags
    for effect in statement.effects:
        if effect.cls is EffectClass.COPY_PROGRAM:
            flags |= {"program"}
        elif effect.cls is EffectClass.UPDATE and effect.relation == _SETTINGS_VIEW:
            flags |= {"set_role"}  # its rule calls set_config() with whatever the rows name
    if any(setting.name in _ROLE_SETTINGS for setting in statement.settings):
        flags |= {"set_role"}
    return flags


def _beyond(statement: Statement, subject: Subject) -> str | None:
    """Return the role that a statement would become without a grant for it, or None."""
    wanted = [role for flag, role in statement.flag_details if flag == "set_role"]
    for setting in statement.settings:
        if setting.name in _ROLE_SETTINGS and setting.value is not None:
            wanted.append(setting.value)
        elif setting.name in _ROLE_SETTINGS and statement.kind != _SET_KIND:
            wanted.append(_ANY)  # set_config('role', …) with what nobody knows yet
    if not wanted and not any(setting.name in _ROLE_SETTINGS for setting in statement.settings):
        wanted.append(_ANY)
    granted = subject.granted_roles | {subject.role} | _RESET_ROLE
    beyond = next((role for role in wanted if role not in granted), None)
    return "a role that is not known yet" if beyond == _ANY else beyond


def _shown(statement: Statement) -> Effect:
    return statement.effects[0] if statement.effects else Effect(EffectClass.UNKNOWN)
