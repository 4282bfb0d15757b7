"""Create the tables that the indexer fills from the journals."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    class JournalRow(peewee.Model):
        name = peewee.TextField(primary_key=True)
        writer = peewee.TextField()
        appliance = peewee.TextField(default="")
        opened_at = peewee.BigIntegerField()
        closed_at = peewee.BigIntegerField(null=True)
        indexed_offset = peewee.BigIntegerField(default=0)
        records = peewee.BigIntegerField(default=0)
        last_hash = peewee.TextField(default="")
        head_signature = peewee.TextField(default="")
        head_at = peewee.BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "journal"

    db.create_tables([JournalRow])

    class RecordEventRow(peewee.Model):
        kind = peewee.TextField()
        at = peewee.BigIntegerField()
        actor = peewee.TextField(default="")
        subject = peewee.TextField(default="")
        source = peewee.TextField(default="")
        session_id = peewee.TextField(default="")
        detail = peewee.TextField(default="{}")
        journal = peewee.TextField()
        position = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "record_event"
            indexes = (
                (("journal", "position"), True),
                (("at",), False),
                (("kind", "at"), False),
                (("actor", "at"), False),
                (("session_id",), False),
            )

    db.create_tables([RecordEventRow])

    class SessionRow(peewee.Model):
        id = peewee.TextField(primary_key=True)
        identity = peewee.TextField()
        identity_id = peewee.IntegerField(null=True)
        identity_kind = peewee.TextField(default="")
        credential_id = peewee.IntegerField(null=True)
        grant_id = peewee.IntegerField(null=True)
        way = peewee.TextField(default="")
        target = peewee.TextField()
        target_id = peewee.IntegerField(null=True)
        database = peewee.TextField()
        role = peewee.TextField()
        reason = peewee.TextField(default="")
        source = peewee.TextField(default="")
        source_port = peewee.IntegerField(null=True)
        peer = peewee.TextField(default="")
        application_name = peewee.TextField(default="")
        client = peewee.TextField(default="")
        tls = peewee.TextField(default="")
        parameters = peewee.TextField(default="{}")
        policy_version = peewee.BigIntegerField(default=0)
        durability = peewee.TextField(default="")
        started_at = peewee.BigIntegerField()
        ended_at = peewee.BigIntegerField(null=True)
        end_reason = peewee.TextField(default="")
        statements = peewee.IntegerField(default=0)
        refused = peewee.IntegerField(default=0)
        held = peewee.IntegerField(default=0)
        failed = peewee.IntegerField(default=0)
        rows_out = peewee.BigIntegerField(default=0)
        bytes_in = peewee.BigIntegerField(default=0)
        bytes_out = peewee.BigIntegerField(default=0)
        journal = peewee.TextField()
        position = peewee.BigIntegerField(default=0)
        demo = peewee.BooleanField(default=False)

        class Meta:
            database = db
            table_name = "session"
            indexes = (
                (("started_at",), False),
                (("ended_at", "started_at"), False),
                (("identity", "started_at"), False),
                (("target", "started_at"), False),
                (("credential_id", "started_at"), False),
                (("journal",), False),
            )

    db.create_tables([SessionRow])

    class SigningKeyRow(peewee.Model):
        key_id = peewee.TextField(primary_key=True)
        public_key = peewee.TextField()
        created_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "signing_key"

    db.create_tables([SigningKeyRow])

    class StatementRow(peewee.Model):
        session_id = peewee.TextField()
        seq = peewee.IntegerField()
        at = peewee.BigIntegerField()
        identity_id = peewee.IntegerField(null=True)
        text_id = peewee.TextField()
        parameters = peewee.TextField(null=True)
        verdict = peewee.TextField()
        rule = peewee.TextField(default="")
        reason = peewee.TextField(default="")
        effects = peewee.TextField(null=True)
        state = peewee.TextField()
        tag = peewee.TextField(default="")
        rows = peewee.BigIntegerField(null=True)
        duration_ms = peewee.DoubleField(null=True)
        sqlstate = peewee.TextField(default="")
        bytes_out = peewee.BigIntegerField(default=0)
        masked = peewee.TextField(null=True)
        decision = peewee.TextField(null=True)
        approval_id = peewee.IntegerField(null=True)
        request_hash = peewee.TextField(default="")
        durability = peewee.TextField(default="")
        journal = peewee.TextField()
        position = peewee.BigIntegerField()
        outcome_position = peewee.BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "statement"
            primary_key = peewee.CompositeKey("session_id", "seq")
            indexes = (
                (("at",), False),
                (("identity_id", "at"), False),
                (("text_id", "at"), False),
                (("verdict", "at"), False),
                (("state", "at"), False),
                (("rule", "at"), False),
            )

    db.create_tables([StatementRow])

    class TextRow(peewee.Model):
        id = peewee.TextField(primary_key=True)
        text = peewee.TextField()
        fingerprint = peewee.TextField(index=True, default="")

        class Meta:
            database = db
            table_name = "statement_text"

    db.create_tables([TextRow])


def down(migrator, db):
    migrator.migrate(migrator.drop_table("statement_text"))
    migrator.migrate(migrator.drop_table("statement"))
    migrator.migrate(migrator.drop_table("signing_key"))
    migrator.migrate(migrator.drop_table("session"))
    migrator.migrate(migrator.drop_table("record_event"))
    migrator.migrate(migrator.drop_table("journal"))
