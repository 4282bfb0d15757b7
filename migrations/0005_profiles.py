"""Add statement profiles: a fingerprint to each statement, its use by day, what owners signed."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    # Plain SQL: the migrator would rebuild these tables on SQLite, and dropping the old one of
    # "identity" would delete, by its foreign keys, all that belongs to identities.
    db.execute_sql('ALTER TABLE "identity" ADD COLUMN "profile" TEXT NOT NULL DEFAULT \'off\'')
    # NULL: taken in before there were profiles; fingerprints meant less then, so none is made up
    db.execute_sql('ALTER TABLE "statement" ADD COLUMN "fingerprint" TEXT')

    class IdentityRow(peewee.Model):
        name = peewee.TextField(unique=True)

        class Meta:
            database = db
            table_name = "identity"

    class FingerprintDayRow(peewee.Model):
        identity = peewee.TextField()
        target = peewee.TextField()
        database = peewee.TextField()
        role = peewee.TextField()
        fingerprint = peewee.TextField()
        day = peewee.IntegerField()
        statements = peewee.BigIntegerField()
        refused = peewee.BigIntegerField()
        failed = peewee.BigIntegerField()
        withdrawn = peewee.BigIntegerField()
        first_at = peewee.BigIntegerField()
        last_at = peewee.BigIntegerField()
        text_id = peewee.TextField()
        effects = peewee.TextField(null=True)
        session_id = peewee.TextField()
        seq = peewee.IntegerField()

        class Meta:
            database = db
            table_name = "fingerprint_day"
            primary_key = peewee.CompositeKey(
                "identity", "fingerprint", "day", "target", "database", "role"
            )
            indexes = ((("day",), False),)

    class ProfileEntryRow(peewee.Model):
        identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")
        fingerprint = peewee.TextField()
        text = peewee.TextField()
        effects = peewee.TextField(default="[]")
        count = peewee.BigIntegerField(default=0)
        first_at = peewee.BigIntegerField(null=True)
        last_at = peewee.BigIntegerField(null=True)
        signed_by = peewee.TextField()
        signed_via = peewee.TextField(default="")
        signed_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "profile_entry"
            primary_key = peewee.CompositeKey("identity", "fingerprint")

    db.create_tables([FingerprintDayRow, ProfileEntryRow])


def down(migrator, db):
    migrator.migrate(migrator.drop_table("profile_entry"))
    migrator.migrate(migrator.drop_table("fingerprint_day"))
    db.execute_sql('ALTER TABLE "statement" DROP COLUMN "fingerprint"')
    db.execute_sql('ALTER TABLE "identity" DROP COLUMN "profile"')
