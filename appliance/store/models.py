"""The tables of what is configured: who, where, by which rules (the rest: record_models.py)."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import peewee

from appliance.store.database import CurrentDatabase
from appliance.store.fields import BytesField, JsonField, UtcField

# peewee's stubs know neither implicit ids nor tuples(): its rows are Any to the type checker.
_Model: Any = peewee.Model


class StoreModel(_Model):
    """Bind a table to whichever store is in scope (``CurrentDatabase``)."""

    class Meta:
        database = CurrentDatabase()
        legacy_table_names = False


class SettingRow(StoreModel):
    name = peewee.TextField(primary_key=True)
    value = JsonField()

    class Meta:
        table_name = "setting"


class VersionRow(StoreModel):
    """One row (id 1): grows with every change that decides; also the lock of such changes."""

    version = peewee.BigIntegerField()

    class Meta:
        table_name = "snapshot_version"


class TargetRow(StoreModel):
    name = peewee.TextField(unique=True)
    position = peewee.IntegerField(default=0)
    host = peewee.TextField()
    port = peewee.IntegerField()
    database = peewee.TextField()
    sslmode = peewee.TextField()
    sslrootcert = peewee.TextField(null=True)
    environment = peewee.TextField(default="")
    catalog_role = peewee.TextField(default="")
    default_action = peewee.TextField(null=True)
    allow_md5 = peewee.BooleanField(default=False)
    allow_cleartext = peewee.BooleanField(default=False)
    durability = peewee.TextField(null=True)
    safe_functions = JsonField(default=list)
    created_by = peewee.TextField()
    created_at = UtcField()

    class Meta:
        table_name = "target"


class RoleRow(StoreModel):
    target = peewee.ForeignKeyField(TargetRow, backref="roles", on_delete="CASCADE")
    position = peewee.IntegerField(default=0)
    name = peewee.TextField()
    sealed_secret = BytesField(null=True)
    password_env = peewee.TextField(null=True)
    password_file = peewee.TextField(null=True)
    secret_at = UtcField(null=True)  # when the secret was last set

    class Meta:
        table_name = "upstream_role"
        indexes = ((("target", "name"), True),)


class IdentityRow(StoreModel):
    name = peewee.TextField(unique=True)
    kind = peewee.TextField()
    status = peewee.TextField(default="active")
    owner = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")
    backup_owner = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")
    purpose = peewee.TextField(default="")
    environment = peewee.TextField(default="")
    expires_at = UtcField(null=True)
    application_names = JsonField(default=list)
    sources = JsonField(default=list)
    permission_roles = JsonField(default=list)
    profile = peewee.TextField(default="off")
    demo = peewee.BooleanField(default=False)
    created_by = peewee.TextField()
    created_at = UtcField()
    first_used_at = UtcField(null=True)
    last_used_at = UtcField(null=True)

    class Meta:
        table_name = "identity"


IdentityRow.add_index(
    IdentityRow.index(peewee.fn.LOWER(IdentityRow.name), unique=True, name="identity_lower_name")
)


class GroupRow(StoreModel):
    name = peewee.TextField(unique=True)
    claim = peewee.TextField(null=True)
    created_by = peewee.TextField()
    created_at = UtcField()

    class Meta:
        table_name = "identity_group"


class MembershipRow(StoreModel):
    group = peewee.ForeignKeyField(GroupRow, on_delete="CASCADE")
    identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")

    class Meta:
        table_name = "membership"
        primary_key = peewee.CompositeKey("group", "identity")


class CredentialRow(StoreModel):
    """``secret_print``: keyed hash of the password, to see whether a ``password_env`` changed."""

    identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")
    kind = peewee.TextField(default="password")
    verifier = peewee.TextField()
    secret_print = peewee.TextField(default="")
    secret_env = peewee.TextField(null=True)
    created_by = peewee.TextField()
    created_at = UtcField()
    expires_at = UtcField(null=True)
    rotated_from = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")
    ends_at = UtcField(null=True)
    revoked_at = UtcField(null=True)
    revoked_by = peewee.TextField(default="")
    revoked_reason = peewee.TextField(default="")
    first_used_at = UtcField(null=True)
    last_used_at = UtcField(null=True)
    last_used_from = peewee.TextField(default="")

    class Meta:
        table_name = "credential"


class GrantRow(StoreModel):
    position = peewee.IntegerField()
    who = peewee.TextField()
    target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
    role = peewee.TextField()
    databases = JsonField(default=list)
    sources = JsonField(default=list)
    application_names = JsonField(default=list)
    hours = peewee.TextField(default="")
    expires_at = UtcField(null=True)
    max_session_s = peewee.IntegerField()
    fastpath = peewee.BooleanField(default=False)
    replication = peewee.BooleanField(default=False)
    allow_builtin = JsonField(default=list)
    created_by = peewee.TextField()
    created_at = UtcField()
    is_time_boxed = peewee.BooleanField(default=False)
    request_id = peewee.IntegerField(null=True)  # the access request that it was given for

    class Meta:
        table_name = "access_grant"


class RuleRow(StoreModel):
    """``document``: the rule's conditions and words as one JSON object."""

    position = peewee.IntegerField()
    name = peewee.TextField(unique=True)
    document = JsonField()
    created_by = peewee.TextField()
    created_at = UtcField()
    changed_at = UtcField()

    class Meta:
        table_name = "policy_rule"


class AccountRow(StoreModel):
    """The local sign-in of a human identity; ``password_hash`` is argon2id's."""

    identity = peewee.ForeignKeyField(IdentityRow, unique=True, on_delete="CASCADE")
    password_hash = peewee.TextField()
    created_at = UtcField()
    changed_at = UtcField()

    class Meta:
        table_name = "local_account"


class SetupLinkRow(StoreModel):
    """``token_hash``: SHA-256 of a token that only the receiver of the link has."""

    token_hash = peewee.TextField(unique=True)
    purpose = peewee.TextField()
    created_by = peewee.TextField()
    created_at = UtcField()
    expires_at = UtcField()
    used_at = UtcField(null=True)

    class Meta:
        table_name = "setup_link"


class SignInRow(StoreModel):
    """A browser's session; ``token_hash`` is SHA-256 of the cookie's token."""

    token_hash = peewee.TextField(unique=True)
    identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")
    csrf = peewee.TextField()
    created_at = UtcField()
    seen_at = UtcField()
    expires_at = UtcField(index=True)
    address = peewee.TextField(default="")
    user_agent = peewee.TextField(default="")

    class Meta:
        table_name = "sign_in"


class ThrottleRow(StoreModel):
    """Failures of one key ("login:ana@…", "source:10.0.0.1") and until when it must wait."""

    key = peewee.TextField(primary_key=True)
    failures = peewee.IntegerField()
    last_at = UtcField(index=True)
    blocked_until = UtcField(null=True)

    class Meta:
        table_name = "throttle"


class WorkerRow(StoreModel):
    name = peewee.TextField(primary_key=True)  # unique among all appliances: "HOST/proxy-1"
    pid = peewee.IntegerField()
    started_at = UtcField()
    seen_at = UtcField()
    version = peewee.BigIntegerField()
    sessions = peewee.IntegerField(default=0)

    class Meta:
        table_name = "worker"


class KillRow(StoreModel):
    session_id = peewee.TextField(index=True)
    requested_by = peewee.TextField()
    requested_at = UtcField()
    reason = peewee.TextField(default="")
    done_at = UtcField(null=True, index=True)

    class Meta:
        table_name = "kill_request"


class CatalogRow(StoreModel):
    """What ``appliance.sql.catalog`` read from a target's database, as its JSON, compressed."""

    target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
    database = peewee.TextField()
    digest = peewee.TextField()
    data = BytesField()
    read_at = UtcField()

    class Meta:
        table_name = "catalog"
        primary_key = peewee.CompositeKey("target", "database")


class AuditRow(StoreModel):
    """A change by someone. ``journaled``: where the indexer chained it, NULL = still to do."""

    at = UtcField(index=True)
    actor = peewee.TextField()
    via = peewee.TextField()
    source = peewee.TextField(default="")
    action = peewee.TextField()
    subject = peewee.TextField(default="")
    detail = JsonField(default=dict)
    journaled = peewee.TextField(null=True)

    class Meta:
        table_name = "audit_event"
        indexes = ((("journaled", "id"), False), (("action", "at"), False))


CONFIG_MODELS = (
    SettingRow,
    VersionRow,
    TargetRow,
    RoleRow,
    IdentityRow,
    GroupRow,
    MembershipRow,
    CredentialRow,
    GrantRow,
    RuleRow,
    AccountRow,
    SetupLinkRow,
    SignInRow,
    ThrottleRow,
    WorkerRow,
    KillRow,
    CatalogRow,
    AuditRow,
)
