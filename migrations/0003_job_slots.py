"""Create the table by which timed jobs are claimed: one row, one run."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    class JobSlotRow(peewee.Model):
        job = peewee.TextField()
        slot = peewee.BigIntegerField()
        claimed_at = peewee.BigIntegerField()
        claimed_by = peewee.TextField()
        finished_at = peewee.BigIntegerField(null=True)
        outcome = peewee.TextField(default="")

        class Meta:
            database = db
            table_name = "job_slot"
            primary_key = peewee.CompositeKey("job", "slot")

    db.create_tables([JobSlotRow])


def down(migrator, db):
    migrator.migrate(migrator.drop_table("job_slot"))
