"""What calls of PostgreSQL's own functions mean for where values come from."""

from __future__ import annotations

# On the reviewed list of harmless functions, but they show other sessions' texts, samples of
# tables, or what a session stored.
REVEALING = frozenset(
    {
        "pg_stat_get_activity",
        "pg_stat_get_backend_activity",
        "pg_mcv_list_items",
        "pg_prepared_statement",
        "pg_cursor",
        "pg_sequence_last_value_of",
        "pg_get_backend_memory_contexts",
    }
)
# Not on that list, but without any way to show or to keep a value.
HARMLESS = frozenset(
    {
        "pg_sleep",
        "pg_sleep_for",
        "pg_sleep_until",
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_advisory_unlock",
        "pg_advisory_unlock_all",
        "pg_advisory_unlock_shared",
        "pg_advisory_xact_lock",
        "pg_advisory_xact_lock_shared",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
        "pg_try_advisory_xact_lock",
        "pg_try_advisory_xact_lock_shared",
        "pg_cancel_backend",
        "pg_terminate_backend",
        "pg_get_publication_tables",
        "pg_input_is_valid",
        "merge_action",
        "setval",
        "ts_rewrite",
        "json_populate_record",
        "json_populate_recordset",
        "json_to_record",
        "json_to_recordset",
        "jsonb_populate_record",
        "jsonb_populate_record_valid",
        "jsonb_populate_recordset",
        "jsonb_to_record",
        "jsonb_to_recordset",
        "tablesample",
        "normalize",
        "is_normalized",
    }
)
# They keep or send what they are given: only with what is clean.
SENDING = frozenset({"set_config", "pg_notify", "setval", "setseed", "pg_logical_emit_message"})
# Locks are seen by other sessions, sleep is seen by the clock: what they get is sent.
SENDING |= frozenset(name for name in HARMLESS if "advisory" in name or "sleep" in name)
# One column, whatever it is called.
SINGLE = frozenset(
    {
        "generate_series",
        "generate_subscripts",
        "regexp_split_to_table",
        "string_to_table",
        "json_array_elements",
        "json_array_elements_text",
        "jsonb_array_elements",
        "jsonb_array_elements_text",
        "json_object_keys",
        "jsonb_object_keys",
        "regexp_matches",
        "pg_get_keywords_of",
        "now",
        "current_schemas",
    }
)
BOOLEAN_OPERATORS = frozenset(
    [
        "=",
        "<>",
        "!=",
        "<",
        ">",
        "<=",
        ">=",
        "~~",
        "!~~",
        "~~*",
        "!~~*",
        "~",
        "!~",
        "~*",
        "!~*",
        "@>",
        "<@",
        "&&",
        "?",
        "?|",
        "?&",
        "@?",
        "@@",
        "^@",
    ]
)
BOOLEAN_FUNCTIONS = frozenset(
    [
        "starts_with",
        "like",
        "notlike",
        "texteq",
        "textlike",
        "exists",
        "isfinite",
        "isempty",
        "has_table_privilege",
        "has_schema_privilege",
        "pg_input_is_valid",
        "overlaps",
    ]
)
# Relations whose named columns show values or texts that belong to others.
WATCHED: dict[str, frozenset[str]] = {
    "pg_stat_activity": frozenset({"query"}),
    "pg_stat_statements": frozenset({"query"}),
    "pg_prepared_statements": frozenset({"statement"}),
    "pg_cursors": frozenset({"statement"}),
    "pg_largeobject": frozenset({"data"}),
    "pg_file_settings": frozenset({"setting"}),
    "pg_attribute": frozenset({"attmissingval"}),
    "pg_stats": frozenset(
        {
            "most_common_vals",
            "histogram_bounds",
            "most_common_elems",
            "range_bounds_histogram",
            "range_length_histogram",
        }
    ),
    "pg_stats_ext": frozenset({"most_common_vals", "most_common_val_nulls"}),
    "pg_stats_ext_exprs": frozenset(
        {"expr", "most_common_vals", "histogram_bounds", "most_common_elems"}
    ),
    "pg_statistic": frozenset({f"stavalues{number}" for number in range(1, 6)}),
    "pg_statistic_ext_data": frozenset({"stxdmcv", "stxdexpr"}),
    "pg_subscription": frozenset({"subconninfo"}),
}
