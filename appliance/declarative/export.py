"""Write the present configuration as a file that ``apply`` reads back to no change at all."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import yaml

from appliance.entities import (
    Grant,
    Identity,
    IdentityStatus,
    Limits,
    MailSecurity,
    MaskingRule,
    MaskMode,
    PolicyRule,
    ProfileMode,
    Settings,
    Smtp,
    Snapshot,
    Target,
    Webhook,
)
from appliance.identity.spans import seconds, show_expiry, show_span
from appliance.store import credentials, snapshots
from appliance.store.database import Store

_HEAD = """\
# Gatepost's configuration without its secrets: entries without one keep what is stored.
# gatepost apply FILE changes what differs; with --prune it also removes what is not here.
"""


def export(store: Store, now: datetime) -> str:
    """Return the configuration as YAML text."""
    with store.reading(consistent=True):
        snapshot = snapshots.load(store, now)
        waiting = {record.identity for record in credentials.pending(store, now)}
        kept = {
            name: _credentials(store, name, now)
            for name, identity in snapshot.identities.items()
            if identity.credentials or name in waiting
        }
    document = {
        "targets": [_target(target) for target in snapshot.targets.values()],
        "groups": [
            _short({"name": group.name, "claim": group.claim, "members": list(group.members)})
            | ({} if group.members else {"members": []})
            for group in snapshot.groups.values()
        ],
        "identities": [
            _identity(identity, kept.get(name, []))
            for name, identity in snapshot.identities.items()
            if identity.status is not IdentityStatus.RETIRED
        ],
        # what an approver gave for a time is no configuration
        "grants": [_grant(grant) for grant in snapshot.grants if not grant.is_time_boxed],
        "policies": [_policy(rule) for rule in snapshot.rules],
        "masking": [_masking(rule) for rule in snapshot.masking],
        "settings": _settings(snapshot),
    }
    return _HEAD + yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )


_HOLDS = (("timeout", "hold_timeout_s"), ("in_transaction", "hold_in_transaction_s"))


class _Dumper(yaml.SafeDumper):
    """Indent lists below their key, and never write an alias: ``apply`` refuses them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _target(target: Target) -> dict[str, Any]:
    head = {
        "name": target.name,
        "host": target.host,
        "port": target.port,
        "database": target.database,
        "sslmode": target.sslmode.value,
    }
    rest = {
        "environment": target.environment,
        "default_action": target.default_action,
        "allow_md5": target.allow_md5,
        "allow_cleartext": target.allow_cleartext,
        "durability": target.durability.value if target.durability else None,
        "sslrootcert": target.sslrootcert,
        "catalog_role": target.catalog_role,
        "safe_functions": list(target.safe_functions),
    }
    roles = [
        _short(
            {
                "name": role.name,
                "password_env": role.password_env,
                "password_file": role.password_file,
            }
        )
        for role in target.roles
    ]
    return head | {"roles": roles} | _short(rest)


def _identity(identity: Identity, kept: list[dict[str, Any]]) -> dict[str, Any]:
    found = {"name": identity.name, "kind": identity.kind.value} | _short(
        {
            "status": "" if identity.status is IdentityStatus.ACTIVE else identity.status.value,
            "owner": identity.owner,
            "backup_owner": identity.backup_owner,
            "purpose": identity.purpose,
            "environment": identity.environment,
            "application_names": list(identity.application_names),
            "sources": list(identity.sources),
            "expires": show_expiry(identity.expires_at) if identity.expires_at else "",
            "profile": "" if identity.profile is ProfileMode.OFF else identity.profile.value,
            "permission_roles": sorted(role.value for role in identity.permission_roles),
        }
    )
    return found | {"groups": sorted(identity.groups), "credentials": kept}


_KEPT = ("live", credentials.PENDING)


def _credentials(store: Store, name: str, now: datetime) -> list[dict[str, Any]]:
    """Return the live credentials; one whose secret a variable holds is known by that."""
    _, states = credentials.of_identity(store, name)
    live = [state.record for state in states if state.record.state(now) in _KEPT]
    of_variable = [record.secret_env for record in live]
    return [
        _short(
            {
                "password_env": record.secret_env,
                "label": ""
                if of_variable.count(record.secret_env) == 1 and record.secret_env
                else record.label,
                "expires": show_expiry(record.expires_at) if record.expires_at else "",
            }
        )
        for record in live
    ]


def _grant(grant: Grant) -> dict[str, Any]:
    standard = Grant(0, "", "", "")
    values: dict[str, Any] = {
        "databases": list(grant.databases),
        "sources": list(grant.sources),
        "application_names": list(grant.application_names),
        "hours": grant.hours,
        "expires": show_expiry(grant.expires_at) if grant.expires_at else "",
        "max_session": show_span(seconds(grant.max_session_s))
        if grant.max_session_s != standard.max_session_s
        else "",
        "fastpath": grant.fastpath,
        "replication": grant.replication,
        "allow_builtin": sorted(grant.allow_builtin),
    }
    return {"who": grant.who, "target": grant.target, "role": grant.role} | _short(values)


def _policy(rule: PolicyRule) -> dict[str, Any]:
    lists = ("targets", "roles", "commands", "tables", "columns", "functions")
    found: dict[str, Any] = {"name": rule.name, "who": list(rule.who)}
    found |= _short({name: list(getattr(rule, name)) for name in lists})
    found |= _short(
        {
            "application_names": list(rule.application_names),
            "sources": list(rule.sources),
            "hours": rule.hours,
        }
    )
    if rule.rows_over is not None:
        found["rows_over"] = rule.rows_over
    if rule.without_where is not None:
        found["without_where"] = rule.without_where
    found["action"] = rule.action
    found |= _short(
        {
            "approvers": rule.approvers,
            "owner_may_approve": rule.owner_may_approve,
            "timeout": show_span(seconds(rule.timeout_s)) if rule.timeout_s else "",
            "retry": show_span(seconds(rule.retry_s)) if rule.retry_s else "",
            "message": rule.message,
        }
    )
    return found | ({} if rule.enabled else {"enabled": False})


def _masking(rule: MaskingRule) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": rule.name,
        "target": rule.target,
        "columns": list(rule.columns),
        "method": rule.method.value,
    }
    if rule.value is not None:
        found["value"] = rule.value
    if rule.mode is not MaskMode.LENIENT:
        found["mode"] = rule.mode.value
    found |= _short({"exempt": list(rule.exempt)})
    return found | ({} if rule.enabled else {"enabled": False})


def _settings(snapshot: Snapshot) -> dict[str, Any]:
    settings: Settings = snapshot.settings
    found: dict[str, Any] = {
        "default_action": settings.default_action,
        "recording": {
            "durability": settings.durability.value,
            "retention": f"{settings.retention_days}d",
        },
    }
    standard = Settings()
    found |= _short(
        {
            "approvals": {
                name: show_span(seconds(getattr(settings, field)))
                for name, field in _HOLDS
                if getattr(settings, field) != getattr(standard, field)
            },
            "smtp": _smtp(settings.smtp) if settings.smtp else {},
            "webhook": _webhook(settings.webhook) if settings.webhook else {},
            "limits": {
                name: getattr(settings.limits, name)
                for name in Limits.__dataclass_fields__
                if getattr(settings.limits, name) != getattr(standard.limits, name)
            },
        }
    )
    return found


def _smtp(smtp: Smtp) -> dict[str, Any]:
    found = {"host": smtp.host, "port": smtp.port, "from": smtp.sender}
    return found | _short(
        {
            "tls": "" if smtp.security is MailSecurity.NONE else smtp.security.value,
            "user": smtp.user,
            "password_env": smtp.password_env,
            "password_file": smtp.password_file,
        }
    )


def _webhook(webhook: Webhook) -> dict[str, Any]:
    """Return all but the address: whoever knows that of a chat may post there."""
    found = {"format": webhook.format.value}
    return found | _short({"secret_env": webhook.secret_env, "secret_file": webhook.secret_file})


def _short(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what has its default: nothing, "", [] and false."""
    return {name: value for name, value in values.items() if value}
