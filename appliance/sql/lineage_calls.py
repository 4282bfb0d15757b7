"""What calls of PostgreSQL's own functions and reads of its catalogs mean for masked values.

Every name here is one of a real server; a test compares them. A built-in function gives away only
what it is given where it is on the reviewed list of pure ones (data/builtins.json) or in HARMLESS,
and not in REVEALING; every other one is refused to whoever has a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import orjson

from appliance.sql.builtins import Builtins
from appliance.sql.taint import words_of

# On the list of pure functions, but they show other sessions' texts, what statements said, what
# is on pages, or what a session stored.
REVEALING = frozenset(
    {
        "pg_stat_get_activity",
        "pg_stat_get_backend_activity",
        "pg_cursor",
        "pg_prepared_statement",
        "pg_show_all_settings",  # code may have stored one there; pg_settings is watched
    }
)
# Not on that list, but without any way to show or to keep a value of a row.
HARMLESS = frozenset(
    {
        "brin_summarize_new_values",
        "brin_summarize_range",
        "brin_desummarize_range",
        "gin_clean_pending_list",
        "json_populate_record",
        "json_populate_recordset",
        "json_to_record",
        "json_to_recordset",
        "jsonb_populate_record",
        "jsonb_populate_record_valid",
        "jsonb_populate_recordset",
        "jsonb_to_record",
        "jsonb_to_recordset",
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_advisory_unlock",
        "pg_advisory_unlock_all",
        "pg_advisory_unlock_shared",
        "pg_advisory_xact_lock",
        "pg_advisory_xact_lock_shared",
        "pg_cancel_backend",
        "pg_control_checkpoint",
        "pg_control_init",
        "pg_control_recovery",
        "pg_control_system",
        "pg_export_snapshot",
        "pg_get_loaded_modules",
        "pg_get_multixact_members",
        "pg_get_publication_tables",
        "pg_get_sequence_data",
        "pg_get_wal_replay_pause_state",
        "pg_get_wal_resource_managers",
        "pg_input_error_info",
        "pg_input_is_valid",
        "pg_notify",
        "pg_safe_snapshot_blocking_pids",
        "pg_show_replication_origin_status",
        "pg_sleep",
        "pg_sleep_for",
        "pg_sleep_until",
        "pg_stat_clear_snapshot",
        "pg_stat_force_next_flush",
        "pg_stat_have_stats",
        "pg_terminate_backend",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
        "pg_try_advisory_xact_lock",
        "pg_try_advisory_xact_lock_shared",
        "set_config",
        "setval",
    }
)
# They keep or send what they are given, are seen by other sessions or by the clock, or let it be
# asked for again: only with what is clean.
SENDING = frozenset(
    {"nextval", "pg_notify", "random", "random_normal", "set_config", "setseed", "setval"}
)
SENDING |= frozenset(name for name in HARMLESS if "advisory" in name or "sleep" in name)
SENDING |= frozenset({"pg_cancel_backend", "pg_terminate_backend"})
# Users' functions that run a text, here or elsewhere: what they do is in no body.
FOREIGN = ("dblink", "postgres_fdw_", "pg_background", "plv8_", "lo_", "pg_file_", "pg_read_")
BOOLEAN_OPERATORS = words_of(
    "= <> != < > <= >= ~~ !~~ ~~* !~~* ~ !~ ~* !~* @> <@ && ? ?| ?& @? @@ ^@ -|- &< &> << >>"
) - {"<<", ">>", "&&"}  # shifts of integers; of two tsqueries && makes one
EQUALITY = frozenset({"=", "<>", "!="})
BOOLEAN_FUNCTIONS = frozenset(
    {
        "bool_and",
        "bool_or",
        "every",
        "has_schema_privilege",
        "has_table_privilege",
        "isempty",
        "isfinite",
        "jsonb_exists",
        "jsonb_path_exists",
        "jsonb_path_match",
        "like",
        "notlike",
        "overlaps",
        "pg_input_is_valid",
        "regexp_like",
        "starts_with",
        "texteq",
        "textlike",
    }
)
# Settings whose value nobody but the server and the client's own SET decides.
PLAIN_SETTING = frozenset("abcdefghijklmnopqrstuvwxyz_")
# Relations whose named columns show values or texts that belong to others, in any schema.
WATCHED: dict[str, frozenset[str]] = {
    "pg_stat_activity": frozenset({"query"}),
    "pg_stat_statements": frozenset({"query"}),
    "pg_prepared_statements": frozenset({"statement"}),
    "pg_cursors": frozenset({"statement"}),
    "pg_backend_memory_contexts": frozenset({"ident"}),
    "pg_largeobject": frozenset({"data"}),
    "pg_attribute": frozenset({"attmissingval"}),
    "pg_stats": frozenset(
        {
            "most_common_vals",
            "histogram_bounds",
            "most_common_elems",
            "range_bounds_histogram",
        }
    ),
    "pg_stats_ext": frozenset({"most_common_vals", "most_common_val_nulls"}),
    "pg_stats_ext_exprs": frozenset({"most_common_vals", "histogram_bounds", "most_common_elems"}),
    "pg_statistic": frozenset({f"stavalues{number}" for number in range(1, 6)}),
    "pg_statistic_ext_data": frozenset({"stxdmcv", "stxdexpr"}),
}


def gives_only_what_it_is_given(name: str, builtins: Builtins) -> bool:
    """Return whether a built-in function shows no stored value but those among its arguments."""
    return name not in REVEALING and (name in HARMLESS or builtins.is_harmless(name))


def is_plain_setting(name: str) -> bool:
    """Return whether a setting is one of the server's own, not one that code made up."""
    word = name.lower()
    return PLAIN_SETTING.issuperset(word) and word not in ("", "application_name")


@dataclass(frozen=True, slots=True)
class Shapes:
    """What built-in functions give in FROM.

    ``sets``: perhaps many rows. ``tables``: names of columns. ``open``: columns not known.
    """

    sets: frozenset[str]
    tables: dict[str, tuple[str, ...]]
    open: frozenset[str]


@cache
def shapes() -> Shapes:
    """Return the shapes; tests/sql/generate_shapes.py made them."""
    lists = orjson.loads(files("appliance.sql").joinpath("data/shapes.json").read_bytes())
    return Shapes(
        frozenset(lists["sets"]),
        {name: tuple(columns) for name, columns in lists["tables"].items()},
        frozenset(lists["open"]),
    )
