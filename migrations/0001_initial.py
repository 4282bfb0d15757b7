"""Create the tables of what is configured, at snapshot version 1."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    class IdentityRow(peewee.Model):
        name = peewee.TextField(unique=True)
        kind = peewee.TextField()
        status = peewee.TextField(default="active")
        owner = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")
        backup_owner = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")
        purpose = peewee.TextField(default="")
        environment = peewee.TextField(default="")
        expires_at = peewee.BigIntegerField(null=True)
        application_names = peewee.TextField(default="[]")
        sources = peewee.TextField(default="[]")
        permission_roles = peewee.TextField(default="[]")
        demo = peewee.BooleanField(default=False)
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()
        first_used_at = peewee.BigIntegerField(null=True)
        last_used_at = peewee.BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "identity"

    db.create_tables([IdentityRow])
    # names that differ only in letter case would be a trap for approvers
    db.execute_sql('CREATE UNIQUE INDEX "identity_lower_name" ON "identity" (LOWER("name"))')

    class AccountRow(peewee.Model):
        identity = peewee.ForeignKeyField(IdentityRow, unique=True, on_delete="CASCADE")
        password_hash = peewee.TextField()
        created_at = peewee.BigIntegerField()
        changed_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "local_account"

    db.create_tables([AccountRow])

    class AuditRow(peewee.Model):
        at = peewee.BigIntegerField(index=True)
        actor = peewee.TextField()
        via = peewee.TextField()
        source = peewee.TextField(default="")
        action = peewee.TextField()
        subject = peewee.TextField(default="")
        detail = peewee.TextField(default="{}")
        journaled = peewee.TextField(null=True)

        class Meta:
            database = db
            table_name = "audit_event"
            indexes = ((("journaled", "id"), False), (("action", "at"), False))

    db.create_tables([AuditRow])

    class TargetRow(peewee.Model):
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
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "target"

    db.create_tables([TargetRow])

    class CatalogRow(peewee.Model):
        target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
        database = peewee.TextField()
        digest = peewee.TextField()
        data = peewee.BlobField()
        read_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "catalog"
            primary_key = peewee.CompositeKey("target", "database")

    db.create_tables([CatalogRow])

    class CredentialRow(peewee.Model):
        identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")
        kind = peewee.TextField(default="password")
        verifier = peewee.TextField()
        secret_print = peewee.TextField(default="")
        secret_env = peewee.TextField(null=True)
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()
        expires_at = peewee.BigIntegerField(null=True)
        rotated_from = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")
        ends_at = peewee.BigIntegerField(null=True)
        revoked_at = peewee.BigIntegerField(null=True)
        revoked_by = peewee.TextField(default="")
        revoked_reason = peewee.TextField(default="")
        first_used_at = peewee.BigIntegerField(null=True)
        last_used_at = peewee.BigIntegerField(null=True)
        last_used_from = peewee.TextField(default="")

        class Meta:
            database = db
            table_name = "credential"

    db.create_tables([CredentialRow])

    class GrantRow(peewee.Model):
        position = peewee.IntegerField()
        who = peewee.TextField()
        target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
        role = peewee.TextField()
        databases = peewee.TextField(default="[]")
        sources = peewee.TextField(default="[]")
        application_names = peewee.TextField(default="[]")
        hours = peewee.TextField(default="")
        expires_at = peewee.BigIntegerField(null=True)
        max_session_s = peewee.IntegerField()
        fastpath = peewee.BooleanField(default=False)
        replication = peewee.BooleanField(default=False)
        allow_builtin = peewee.TextField(default="[]")
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "access_grant"

    db.create_tables([GrantRow])

    class GroupRow(peewee.Model):
        name = peewee.TextField(unique=True)
        claim = peewee.TextField(null=True)
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "identity_group"

    db.create_tables([GroupRow])

    class KillRow(peewee.Model):
        session_id = peewee.TextField(index=True)
        requested_by = peewee.TextField()
        requested_at = peewee.BigIntegerField()
        reason = peewee.TextField(default="")
        done_at = peewee.BigIntegerField(index=True, null=True)

        class Meta:
            database = db
            table_name = "kill_request"

    db.create_tables([KillRow])

    class MembershipRow(peewee.Model):
        group = peewee.ForeignKeyField(GroupRow, on_delete="CASCADE")
        identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")

        class Meta:
            database = db
            table_name = "membership"
            primary_key = peewee.CompositeKey("group", "identity")

    db.create_tables([MembershipRow])

    class RoleRow(peewee.Model):
        target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
        position = peewee.IntegerField(default=0)
        name = peewee.TextField()
        sealed_secret = peewee.BlobField(null=True)
        password_env = peewee.TextField(null=True)
        password_file = peewee.TextField(null=True)
        secret_at = peewee.BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "upstream_role"
            indexes = ((("target", "name"), True),)

    db.create_tables([RoleRow])

    class RuleRow(peewee.Model):
        position = peewee.IntegerField()
        name = peewee.TextField(unique=True)
        document = peewee.TextField()
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()
        changed_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "policy_rule"

    db.create_tables([RuleRow])

    class SettingRow(peewee.Model):
        name = peewee.TextField(primary_key=True)
        value = peewee.TextField()

        class Meta:
            database = db
            table_name = "setting"

    db.create_tables([SettingRow])

    class SetupLinkRow(peewee.Model):
        token_hash = peewee.TextField(unique=True)
        purpose = peewee.TextField()
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()
        expires_at = peewee.BigIntegerField()
        used_at = peewee.BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "setup_link"

    db.create_tables([SetupLinkRow])

    class SignInRow(peewee.Model):
        token_hash = peewee.TextField(unique=True)
        identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")
        csrf = peewee.TextField()
        created_at = peewee.BigIntegerField()
        seen_at = peewee.BigIntegerField()
        expires_at = peewee.BigIntegerField(index=True)
        address = peewee.TextField(default="")
        user_agent = peewee.TextField(default="")

        class Meta:
            database = db
            table_name = "sign_in"

    db.create_tables([SignInRow])

    class ThrottleRow(peewee.Model):
        key = peewee.TextField(primary_key=True)
        failures = peewee.IntegerField()
        last_at = peewee.BigIntegerField(index=True)
        blocked_until = peewee.BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "throttle"

    db.create_tables([ThrottleRow])

    class VersionRow(peewee.Model):
        version = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "snapshot_version"

    db.create_tables([VersionRow])

    class WorkerRow(peewee.Model):
        name = peewee.TextField(primary_key=True)
        pid = peewee.IntegerField()
        started_at = peewee.BigIntegerField()
        seen_at = peewee.BigIntegerField()
        version = peewee.BigIntegerField()
        sessions = peewee.IntegerField(default=0)

        class Meta:
            database = db
            table_name = "worker"

    db.create_tables([WorkerRow])
    VersionRow.insert(id=1, version=1).execute()


def down(migrator, db):
    migrator.migrate(migrator.drop_table("worker"))
    migrator.migrate(migrator.drop_table("snapshot_version"))
    migrator.migrate(migrator.drop_table("throttle"))
    migrator.migrate(migrator.drop_table("sign_in"))
    migrator.migrate(migrator.drop_table("setup_link"))
    migrator.migrate(migrator.drop_table("setting"))
    migrator.migrate(migrator.drop_table("policy_rule"))
    migrator.migrate(migrator.drop_table("upstream_role"))
    migrator.migrate(migrator.drop_table("membership"))
    migrator.migrate(migrator.drop_table("kill_request"))
    migrator.migrate(migrator.drop_table("identity_group"))
    migrator.migrate(migrator.drop_table("access_grant"))
    migrator.migrate(migrator.drop_table("credential"))
    migrator.migrate(migrator.drop_table("catalog"))
    migrator.migrate(migrator.drop_table("target"))
    migrator.migrate(migrator.drop_table("audit_event"))
    migrator.migrate(migrator.drop_table("local_account"))
    migrator.migrate(migrator.drop_table("identity"))
