"""Create the tables of approvals; a grant may be time-boxed, given by a request."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    class ApprovalRow(peewee.Model):
        kind = peewee.TextField()
        state = peewee.TextField()
        identity = peewee.TextField()
        identity_kind = peewee.TextField(default="")
        owner = peewee.TextField(null=True)
        credential_id = peewee.IntegerField(null=True)
        target = peewee.TextField(default="")
        environment = peewee.TextField(default="")
        database = peewee.TextField(default="")
        role = peewee.TextField(default="")
        source = peewee.TextField(default="")
        application_name = peewee.TextField(default="")
        reason = peewee.TextField(default="")
        text = peewee.TextField(default="")
        parameters = peewee.TextField(default="[]")
        effects = peewee.TextField(default="[]")
        fingerprint = peewee.TextField(default="")
        rule = peewee.TextField(default="")
        why = peewee.TextField(default="")
        approvers = peewee.TextField(default="[]")
        owner_may_approve = peewee.BooleanField(default=False)
        eligible = peewee.TextField(default="[]")
        session_id = peewee.TextField(default="")
        seqs = peewee.TextField(default="[]")
        worker = peewee.TextField(default="")
        request_hash = peewee.TextField(default="")
        deed_hash = peewee.TextField(default="")
        created_at = peewee.BigIntegerField()
        expires_at = peewee.BigIntegerField()
        retry_s = peewee.IntegerField(null=True)
        retry_until = peewee.BigIntegerField(null=True)
        used_at = peewee.BigIntegerField(null=True)
        decided_at = peewee.BigIntegerField(null=True)
        decided_by = peewee.TextField(default="")
        decided_via = peewee.TextField(default="")
        decision_reason = peewee.TextField(default="")
        detail = peewee.TextField(default="{}")

        class Meta:
            database = db
            table_name = "approval_request"
            indexes = (
                (("state", "expires_at"), False),
                (("identity", "created_at"), False),
                (("deed_hash", "state"), False),
                (("session_id",), False),
                (("created_at",), False),
            )

    class PreApprovalRow(peewee.Model):
        identity = peewee.TextField()
        target = peewee.TextField()
        fingerprint = peewee.TextField()
        uses = peewee.IntegerField(null=True)
        uses_left = peewee.IntegerField(null=True)
        until = peewee.BigIntegerField(null=True)
        reason = peewee.TextField(default="")
        created_by = peewee.TextField()
        created_via = peewee.TextField(default="")
        created_at = peewee.BigIntegerField()
        used_at = peewee.BigIntegerField(null=True)
        revoked_at = peewee.BigIntegerField(null=True)
        revoked_by = peewee.TextField(default="")
        revoked_reason = peewee.TextField(default="")

        class Meta:
            database = db
            table_name = "pre_approval"
            indexes = (
                (("identity", "target", "fingerprint"), False),
                (("created_at",), False),
            )

    db.create_tables([ApprovalRow, PreApprovalRow])
    migrator.migrate(
        migrator.add_column("access_grant", "is_time_boxed", peewee.BooleanField(default=False)),
        migrator.add_column("access_grant", "request_id", peewee.IntegerField(null=True)),
    )


def down(migrator, db):
    migrator.migrate(
        migrator.drop_column("access_grant", "request_id"),
        migrator.drop_column("access_grant", "is_time_boxed"),
        migrator.drop_table("pre_approval"),
        migrator.drop_table("approval_request"),
    )
