"""The nouns of the domain as frozen values: what the store holds and the gateway decides by."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from appliance.masking.values import Method


class IdentityKind(StrEnum):
    HUMAN = "human"
    SERVICE = "service"
    CI = "ci"
    BOT = "bot"
    AGENT = "agent"


class IdentityStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"  # by us
    DISABLED = "disabled"  # at the identity provider
    RETIRED = "retired"


class PermissionRole(StrEnum):
    """What someone may do in the web UI."""

    ADMIN = "admin"
    APPROVER = "approver"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    USER = "user"


class ProfileMode(StrEnum):
    """What the statement profile of a non-human identity does."""

    OFF = "off"
    LEARN = "learn"  # what it runs is shown to its owner as a proposal
    ENFORCE = "enforce"  # what the owner has not signed is refused


class SslMode(StrEnum):
    """libpq's words."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class Durability(StrEnum):
    """How safe a record is before its statement runs."""

    WRITTEN = "written"  # survives kill -9 of every process
    DURABLE = "durable"  # survives power loss


class MaskMode(StrEnum):
    """What may be done with a masked column."""

    LENIENT = "lenient"  # compared and grouped by, too
    STRICT = "strict"  # only shown as it is


@dataclass(frozen=True, slots=True)
class UpstreamRole:
    """A database role on a target that the gateway logs in as.

    ``sealed_secret`` opens with the master key, bound to ``(target.id, name)``; None when the
    password comes from ``password_env`` / ``password_file`` of ``serve``'s environment.
    """

    name: str
    sealed_secret: bytes | None = field(default=None, repr=False)
    password_env: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A registered PostgreSQL server + database.

    ``safe_functions``: patterns ("schema.name") of code whose output shows nothing masked.
    """

    id: int
    name: str
    host: str
    port: int
    database: str
    sslmode: SslMode
    environment: str
    roles: tuple[UpstreamRole, ...]
    catalog_role: str  # "" = the first role
    sslrootcert: str | None = None  # PEM text
    default_action: str | None = None  # "allow" | "block" | "approve"; None = the settings'
    allow_md5: bool = False
    allow_cleartext: bool = False
    durability: Durability | None = None
    safe_functions: tuple[str, ...] = ()

    def role(self, name: str) -> UpstreamRole | None:
        """Return the upstream role called ``name``."""
        return next((role for role in self.roles if role.name == name), None)

    @property
    def reader(self) -> UpstreamRole | None:
        """Return the role that reads the target's catalogs."""
        return self.role(self.catalog_role) or (self.roles[0] if self.roles else None)


@dataclass(frozen=True, slots=True)
class Credential:
    """One way for an identity to log in. ``verifier`` is PostgreSQL's own SCRAM-SHA-256 form."""

    id: int
    kind: str  # "password"; "federated" follows
    verifier: str = field(repr=False)
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    ends_at: datetime | None = None  # rotated: the old secret lives until here
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Return whether it opens sessions at ``now``."""
        return self.revoked_at is None and not any(
            end is not None and end <= now for end in (self.expires_at, self.ends_at)
        )

    @property
    def label(self) -> str:
        """Return the short name that people see: c-12."""
        return f"c-{self.id}"


@dataclass(frozen=True, slots=True)
class Identity:
    """A human or non-human that may log in.

    ``application_names`` (globs) and ``sources`` (CIDRs) are EXPECTED: others make a finding, no
    refusal. ``expires_at`` is exclusive: the first moment at which it has ended.
    """

    id: int
    name: str
    kind: IdentityKind
    status: IdentityStatus = IdentityStatus.ACTIVE
    owner: str | None = None
    backup_owner: str | None = None
    purpose: str = ""
    environment: str = ""
    expires_at: datetime | None = None
    application_names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    permission_roles: frozenset[PermissionRole] = frozenset()
    credentials: tuple[Credential, ...] = ()
    profile: ProfileMode = ProfileMode.OFF
    demo: bool = False

    @property
    def is_human(self) -> bool:
        return self.kind is IdentityKind.HUMAN

    def is_active(self, now: datetime) -> bool:
        """Return whether it may log in at all at ``now``."""
        return self.status is IdentityStatus.ACTIVE and (
            self.expires_at is None or now < self.expires_at
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may open sessions on which target as which upstream role; conditions are ENFORCED.

    ``is_time_boxed``: given by an approver for a time; its role must be asked for by name.
    """

    id: int
    who: str  # "identity:NAME" | "group:NAME" | "kind:KIND" | "*"
    target: str
    role: str
    databases: tuple[str, ...] = ()  # () = the target's own database only; "*" = any
    sources: tuple[str, ...] = ()  # CIDRs
    application_names: tuple[str, ...] = ()  # globs
    hours: str = ""
    expires_at: datetime | None = None
    max_session_s: int = 12 * 3600
    fastpath: bool = False
    replication: bool = False
    allow_builtin: frozenset[str] = frozenset()
    is_time_boxed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    claim: str | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """What happens to an effect. An empty tuple means "any"; every condition must hold.

    ``tables`` and ``functions`` are patterns as in the contract ("schema.name", ``*`` in a part).
    ``hours``: as in grants, "" = always. ``rows_over``: only where it touches more rows than that.
    ``owner_may_approve``: the owner of a non-human requester counts as an approver like others.
    """

    name: str
    action: str  # "allow" | "block" | "approve"
    who: tuple[str, ...] = ("*",)
    targets: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    application_names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    hours: str = ""
    without_where: bool | None = None
    rows_over: int | None = None
    approvers: str | None = None  # "group:NAME" | "identity:NAME"; None = the permission role
    owner_may_approve: bool = False
    timeout_s: int | None = None  # None = the settings'
    retry_s: int | None = None  # None = held live; else refused at once, passes once in that time
    message: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class MaskingRule:
    """How columns of a target are shown to all but those who are exempt.

    ``columns``: patterns of three parts ("public.customers.card_number"), case-sensitive, ``*``
    within a part. ``value``: of the method fixed. ``exempt``: ``who`` words.
    """

    id: int
    name: str
    target: str
    columns: tuple[str, ...]
    method: Method
    value: str | None = None
    mode: MaskMode = MaskMode.LENIENT
    exempt: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a pattern of a rule was once resolved to, for good: a rename does not shake it off.

    ``schema``, ``relation``, ``column``: its name then; the name alone counts too, for what is
    dropped and made anew. ``is_computed``: generated or filled from a column that the rule means.
    """

    rule: str
    oid: int
    attnum: int
    pattern: str = ""
    schema: str = ""
    relation: str = ""
    column: str = ""
    is_computed: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients may ask of the gateway; PostgreSQL's own are the ceiling."""

    login_time_s: int = 60
    message_bytes: int = 1 << 30
    connections: int = 10_000
    connections_per_identity: int = 500
    connections_per_source: int = 1_000
    store_grace_s: int = 60
    drain_s: int = 25


class MailSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class WebhookFormat(StrEnum):
    """What the receiver of the webhook reads."""

    JSON = "json"
    SLACK = "slack"
    TEAMS = "teams"


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail server that takes the appliance's mail; without ``user`` nobody logs in to it.

    ``sealed_password`` opens with the master key; see ``appliance/store/channels.py``.
    """

    host: str
    sender: str  # the From address
    port: int = 25
    security: MailSecurity = MailSecurity.NONE
    user: str = ""
    sealed_password: bytes | None = field(default=None, repr=False)
    password_env: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events are posted. The address is a secret too: Slack's and Teams' let anybody post.

    ``place``: scheme and host, for people. ``sealed_secret`` is the key of the JSON's signature.
    """

    place: str
    sealed_url: bytes = field(repr=False)
    format: WebhookFormat = WebhookFormat.JSON
    sealed_secret: bytes | None = field(default=None, repr=False)
    secret_env: str | None = None
    secret_file: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The ``settings:`` of the declarative configuration."""

    default_action: str = "allow"
    durability: Durability = Durability.WRITTEN
    retention_days: int = 400
    hold_timeout_s: int = 600
    hold_in_transaction_s: int = 120  # an open transaction has locks: at most so long
    limits: Limits = field(default_factory=Limits)
    smtp: Smtp | None = None  # changed through store/channels.py
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides, at one version: what workers log people in and judge by.

    ``profiles``: the signed fingerprints of each identity whose profile is enforced, by name.
    ``resolutions``: what masking rules were resolved to, by (target name, database).
    Built by ``appliance.store.snapshots.load()``; replaced whole, never changed.
    """

    version: int
    settings: Settings
    targets: dict[str, Target]
    identities: dict[str, Identity]
    groups: dict[str, Group]
    grants: tuple[Grant, ...]  # in the order of the page / file
    rules: tuple[PolicyRule, ...]  # in order, without the built-in ones; disabled ones included
    profiles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    masking: tuple[MaskingRule, ...] = ()  # in order, disabled ones included
    resolutions: Mapping[tuple[str, str], tuple[Resolution, ...]] = field(default_factory=dict)


def who_matches(who: str, identity: Identity) -> bool:
    """Return whether a ``who`` word of the contract names this identity."""
    kind, _, name = who.partition(":")
    match kind:
        case "*":
            return True
        case "identity":
            return name == identity.name
        case "group":
            return name in identity.groups
        case "kind":
            return name == identity.kind
    return False


def address_in(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether an IP address lies in one of the CIDRs (IPv4 in IPv6 form counts as IPv4)."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)
