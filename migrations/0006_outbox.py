"""Create the outbox: what people are to be told, until a channel has taken it."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    class OutboxRow(peewee.Model):
        event = peewee.TextField()
        request_id = peewee.BigIntegerField(null=True)
        channel = peewee.TextField()
        receiver = peewee.TextField(default="")
        state = peewee.TextField(default="waiting")
        created_at = peewee.BigIntegerField()
        next_at = peewee.BigIntegerField()
        attempts = peewee.IntegerField(default=0)
        claimed_by = peewee.TextField(default="")
        ended_at = peewee.BigIntegerField(null=True)
        problem = peewee.TextField(default="")

        class Meta:
            database = db
            table_name = "outbox_message"
            indexes = (
                (("state", "channel", "next_at"), False),
                (("request_id", "event", "channel", "receiver"), False),
            )

    db.create_tables([OutboxRow])


def down(migrator, db):
    migrator.migrate(migrator.drop_table("outbox_message"))
