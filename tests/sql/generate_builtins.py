"""Writes appliance/sql/data/builtins.json from the embedded PostgreSQL 18 and 16.

Run it with ``python -m tests.sql.generate_builtins`` after an upgrade of the embedded package, and
review the difference: every name is judged here, once, by someone.
"""

from __future__ import annotations

import json
from pathlib import Path

import appliance.sql
from tests.harness.postgres import running_server

PATH = Path(appliance.sql.__file__).parent / "data" / "builtins.json"

# Pure but for the checks of the domains that they may convert to.
CASTING = frozenset(
    [
        "json_populate_record",
        "json_populate_recordset",
        "jsonb_populate_record",
        "jsonb_populate_record_valid",
        "jsonb_populate_recordset",
        "json_to_record",
        "json_to_recordset",
        "jsonb_to_record",
        "jsonb_to_recordset",
    ]
)
# Functions marked immutable or stable that run code or text after all.
NOT_PURE = frozenset(
    [
        "domain_in",
        "domain_recv",
        "array_in",
        "array_recv",
        "record_in",
        "record_recv",
        "range_in",
        "range_recv",
        "multirange_in",
        "multirange_recv",
        "pg_input_is_valid",
        "pg_input_error_info",
        "pg_get_publication_tables",
    ]
)
NOT_PURE_PREFIXES = ("table_to_xml", "schema_to_xml", "database_to_xml", "cursor_to_xml", "fmgr_")
# Volatile functions that neither write nor read anything but the clock, dice, sizes and counters.
HARMLESS = frozenset(
    [
        "array_sample",
        "array_shuffle",
        "bernoulli",
        "system",
        "clock_timestamp",
        "currval",
        "gen_random_uuid",
        "lastval",
        "nextval",
        "random",
        "random_normal",
        "timeofday",
        "txid_status",
        "uuidv4",
        "uuidv7",
        "pg_blocking_pids",
        "pg_collation_actual_version",
        "pg_database_collation_actual_version",
        "pg_database_size",
        "pg_indexes_size",
        "pg_is_in_recovery",
        "pg_is_wal_replay_paused",
        "pg_jit_available",
        "pg_last_committed_xact",
        "pg_last_wal_receive_lsn",
        "pg_last_wal_replay_lsn",
        "pg_last_xact_replay_timestamp",
        "pg_current_wal_flush_lsn",
        "pg_current_wal_insert_lsn",
        "pg_current_wal_lsn",
        "pg_notification_queue_usage",
        "pg_partition_ancestors",
        "pg_partition_tree",
        "pg_relation_size",
        "pg_sequence_last_value",
        "pg_table_size",
        "pg_tablespace_size",
        "pg_total_relation_size",
        "pg_xact_commit_timestamp",
        "pg_xact_status",
        "pg_get_wait_events",
        "pg_lock_status",
        "pg_prepared_xact",
        "pg_isolation_test_session_is_blocked",
        "setseed",
    ]
)
HARMLESS_PREFIXES = ("pg_stat_get_",)
# Functions after which names, settings or the reading of texts may be different.
STATEFUL = frozenset(
    [
        "set_config",
        "query_to_xml",
        "query_to_xmlschema",
        "query_to_xml_and_xmlschema",
        "cursor_to_xml",
        "cursor_to_xmlschema",
        "ts_stat",
        "ts_rewrite",
        "pg_reload_conf",
        "pg_extension_config_dump",
        "pg_import_system_collations",
        "pg_replication_origin_session_setup",
        "tsvector_update_trigger",
        "tsvector_update_trigger_column",
        "suppress_redundant_updates_trigger",
        "unique_key_recheck",
        "plpgsql_call_handler",
        "plpgsql_inline_handler",
        "plpgsql_validator",
        "pg_stop_making_pinned_objects",
        "dsnowball_init",
        "amvalidate",
    ]
)
STATEFUL_PREFIXES = ("binary_upgrade_", "RI_FKey_", "pg_restore_", "pg_clear_")
# Of versions 12 to 15, gone since.
OLD_NAMES = frozenset(
    [
        "pg_start_backup",
        "pg_stop_backup",
        "pg_is_in_backup",
        "pg_backup_start_time",
        "pg_xact_status",
        "pg_stat_get_bgwriter_timed_checkpoints",
        "pg_stat_get_bgwriter_requested_checkpoints",
        "pg_stat_get_buf_written_backend",
        "pg_stat_get_buf_fsync_backend",
        "pg_stat_get_checkpoint_write_time",
        "pg_stat_get_checkpoint_sync_time",
        "opaque_in",
        "opaque_out",
        "pg_lsn",
        "abstime_in",
    ]
)


def builtins_of(major: int) -> dict[str, bool]:
    """Return the built-in functions: name -> whether any of that name is volatile."""
    query = """
        SELECT p.proname, bool_or(p.provolatile = 'v')
        FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace GROUP BY 1"""
    with running_server(major) as server, server.connect() as connection:
        rows = connection.execute(query).fetchall()
    return {str(name): bool(is_volatile) for name, is_volatile in rows}


def build() -> dict[str, list[str]]:
    """Return the four lists: pure, casting, other, stateful."""
    old, new = builtins_of(16), builtins_of(18)
    volatile = {name: old.get(name, False) or new.get(name, False) for name in {*old, *new}}
    for name in OLD_NAMES:
        volatile.setdefault(name, True)
    lists: dict[str, list[str]] = {"pure": [], "casting": [], "other": [], "stateful": []}
    for name in sorted(volatile):
        lists[judge(name, volatile[name])].append(name)
    return lists


def judge(name: str, is_volatile: bool) -> str:
    """Return the list that a built-in belongs to."""
    if name in CASTING:
        return "casting"
    if name in STATEFUL or name in NOT_PURE or name.startswith(STATEFUL_PREFIXES):
        return "stateful"
    if name.startswith(NOT_PURE_PREFIXES):
        return "stateful"
    if not is_volatile or name in HARMLESS or name.startswith(HARMLESS_PREFIXES):
        return "pure"
    return "other"


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1) + "\n")
