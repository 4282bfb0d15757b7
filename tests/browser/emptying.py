"""Empty a store between tests, so that one running server serves them all."""

from __future__ import annotations

from appliance.store.database import Store

_KEPT = frozenset({"schema_migration", "snapshot_version"})


def make_empty(store: Store) -> None:
    """Delete every row of a migrated SQLite store; numbers begin at 1 again."""
    with store.transaction():
        database = store.database
        database.execute_sql("PRAGMA defer_foreign_keys = ON")
        for table in database.get_tables():
            if table not in _KEPT:
                database.execute_sql(f'DELETE FROM "{table}"')
        database.execute_sql("UPDATE snapshot_version SET version = version + 1")
