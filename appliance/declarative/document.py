"""What a configuration file says, checked as far as the file alone can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.entities import Limits, MaskingRule, PolicyRule
from appliance.store.channels import SmtpSpec, WebhookSpec
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec


@dataclass(frozen=True, slots=True)
class RoleEntry:
    path: str
    name: str
    password: str | None = field(default=None, repr=False)
    password_env: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """``roles`` None = the file does not say: the stored ones stay."""

    path: str
    spec: TargetSpec
    roles: tuple[RoleEntry, ...] | None


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """``members`` None = the file does not say."""

    path: str
    name: str
    claim: str | None
    members: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CredentialEntry:
    """With ``password_env`` a secret, with ``label`` the stored credential of that name."""

    path: str
    password_env: str | None
    label: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class IdentityEntry:
    """None = the file does not say: what is stored stays."""

    path: str
    spec: IdentitySpec
    groups: tuple[str, ...] | None
    permission_roles: tuple[str, ...] | None
    status: str | None
    profile: str | None
    credentials: tuple[CredentialEntry, ...] | None


@dataclass(frozen=True, slots=True)
class GrantEntry:
    path: str
    spec: GrantSpec


@dataclass(frozen=True, slots=True)
class RuleEntry:
    path: str
    rule: PolicyRule


@dataclass(frozen=True, slots=True)
class MaskingEntry:
    path: str
    rule: MaskingRule


@dataclass(frozen=True, slots=True)
class SmtpEntry:
    path: str
    spec: SmtpSpec
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WebhookEntry:
    """``spec.url`` and ``url_env`` None = the stored address stays."""

    path: str
    spec: WebhookSpec
    url_env: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SettingsEntry:
    """Only what the file says; ``None`` = the stored value stays. ``without``: what is "off"."""

    default_action: str | None = None
    durability: str | None = None
    retention_days: int | None = None
    hold_timeout_s: int | None = None
    hold_in_transaction_s: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    smtp: SmtpEntry | None = None
    webhook: WebhookEntry | None = None
    without: tuple[str, ...] = ()

    def limits_on(self, present: Limits) -> Limits:
        """Return the present limits with those of the file."""
        values = {name: getattr(present, name) for name in Limits.__dataclass_fields__}
        return Limits(**(values | dict(self.limits)))


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file; a section that is not written is None, and then nothing of it is pruned."""

    targets: tuple[TargetEntry, ...] | None
    groups: tuple[GroupEntry, ...] | None
    identities: tuple[IdentityEntry, ...] | None
    grants: tuple[GrantEntry, ...] | None
    policies: tuple[RuleEntry, ...] | None
    settings: SettingsEntry | None
    masking: tuple[MaskingEntry, ...] | None = None
