"""Add masking: rules, what their columns were resolved to, functions that may be trusted."""

# mypy: ignore-errors

from __future__ import annotations

import peewee


def up(migrator, db):
    # Plain SQL: the migrator would rebuild the table on SQLite, and dropping the old one of
    # "target" would delete, by its foreign keys, all that belongs to targets.
    db.execute_sql('ALTER TABLE "target" ADD COLUMN "safe_functions" TEXT NOT NULL DEFAULT \'[]\'')

    class TargetRow(peewee.Model):
        name = peewee.TextField(unique=True)

        class Meta:
            database = db
            table_name = "target"

    class MaskingRuleRow(peewee.Model):
        position = peewee.IntegerField()
        name = peewee.TextField(unique=True)
        target = peewee.ForeignKeyField(TargetRow, on_delete="CASCADE")
        document = peewee.TextField()
        created_by = peewee.TextField()
        created_at = peewee.BigIntegerField()
        changed_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "masking_rule"

    class ResolutionRow(peewee.Model):
        rule = peewee.ForeignKeyField(MaskingRuleRow, on_delete="CASCADE")
        pattern = peewee.TextField()
        database = peewee.TextField()
        oid = peewee.BigIntegerField()
        attnum = peewee.IntegerField()
        schema = peewee.TextField()
        relation = peewee.TextField()
        column = peewee.TextField()
        is_computed = peewee.BooleanField(default=False)
        added_at = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "masking_resolution"
            indexes = (
                (
                    (
                        "rule",
                        "database",
                        "oid",
                        "attnum",
                        "pattern",
                        "schema",
                        "relation",
                        "column",
                    ),
                    True,
                ),
            )

    db.create_tables([MaskingRuleRow, ResolutionRow])


def down(migrator, db):
    migrator.migrate(migrator.drop_table("masking_resolution"))
    migrator.migrate(migrator.drop_table("masking_rule"))
    db.execute_sql('ALTER TABLE "target" DROP COLUMN "safe_functions"')
