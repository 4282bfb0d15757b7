"""Every built-in function of real servers is judged for masking; no name of one is invented."""

from __future__ import annotations

import time

import pytest

from appliance.embedded import PostgresServer
from appliance.sql.builtins import builtins
from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.lineage import lineage
from appliance.sql.lineage_calls import (
    BOOLEAN_FUNCTIONS,
    HARMLESS,
    REVEALING,
    SENDING,
    WATCHED,
    gives_only_what_it_is_given,
    shapes,
)
from appliance.sql.native import PgQuery

# What must never count as giving only what it is given: it reads rows, files, texts or others.
DANGEROUS = """
    query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema
    table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema
    database_to_xml database_to_xmlschema ts_stat ts_rewrite lo_get loread lo_put lowrite lo_open
    lo_from_bytea lo_import lo_export lo_create lo_unlink pg_read_file pg_read_binary_file pg_ls_dir
    pg_ls_waldir pg_stat_file pg_stat_get_activity pg_stat_get_backend_activity current_query
    pg_logical_slot_get_changes pg_logical_slot_peek_changes pg_logical_emit_message pg_cursor
    pg_prepared_statement pg_get_backend_memory_contexts pg_hba_file_rules pg_rotate_logfile
    pg_backup_start pg_promote pg_reload_conf pg_switch_wal pg_create_restore_point
    pg_replication_origin_create pg_create_logical_replication_slot pg_extension_config_dump
    pg_import_system_collations
""".split()  # noqa: SIM905 - a list of names reads better as words


def names_of(server: PostgresServer) -> dict[str, str]:
    """Return the functions of a server: name -> the most volatile of them."""
    with server.connect() as connection:
        rows = connection.execute(
            "SELECT proname, max(provolatile::text) FROM pg_proc"
            " WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1"
        ).fetchall()
    return {str(name): str(volatility) for name, volatility in rows}


@pytest.fixture(scope="module")
def known(postgres: PostgresServer, postgres16: PostgresServer) -> dict[str, str]:
    return names_of(postgres16) | names_of(postgres)


def test_every_function_of_a_server_is_judged(known: dict[str, str]) -> None:
    assert not set(known) - builtins().names


def test_no_name_is_invented(known: dict[str, str]) -> None:
    listed = REVEALING | HARMLESS | SENDING | BOOLEAN_FUNCTIONS | shapes().sets | shapes().open
    assert not (listed | set(shapes().tables)) - set(known)
    assert not set(DANGEROUS) - set(known)


def test_nothing_dangerous_passes(known: dict[str, str]) -> None:
    judged = builtins()
    passing = {name for name in known if gives_only_what_it_is_given(name, judged)}
    assert not passing & set(DANGEROUS)
    for part in ("pg_read_", "pg_ls_", "lo_", "_to_xml", "pg_logical_slot", "pg_restore_"):
        assert not {name for name in passing if part in name}


def test_every_volatile_function_that_passes_was_read_by_someone(known: dict[str, str]) -> None:
    judged = builtins()
    passing = {
        name
        for name, volatility in known.items()
        if volatility == "v" and gives_only_what_it_is_given(name, judged)
    }
    assert not passing - HARMLESS - judged.pure


def test_every_watched_relation_has_its_columns(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'pg_catalog'::regnamespace"
        ).fetchall()
    there = {(str(relation), str(column)) for relation, column in rows}
    wanted = {
        (relation, column)
        for relation, columns in WATCHED.items()
        if relation != "pg_stat_statements"  # an extension's
        for column in columns
    }
    assert not wanted - there


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "unnest((" * 28 + "ssn" + ")::text[])" * 28 + " FROM customers",
        "SELECT " + "((SELECT " * 20 + "ssn" + ")).*" * 20 + " FROM customers",
        "WITH RECURSIVE r AS (" * 12 + "SELECT 1" + " UNION ALL SELECT 1 FROM r) TABLE r" * 12,
        "SELECT 1 WHERE " + "(" * 60 + "true" + " OR ssn = 'x')" * 60,
        "SELECT * FROM " + "(SELECT * FROM " * 40 + "customers" + ") s" * 40,
    ],
)
def test_a_nested_statement_is_not_read_again_and_again(text: str) -> None:
    tables = (
        b'{"relations":[[20000,"public","customers","r",0,[[1,"id","int4"],[2,"ssn","text"]]]]}'
    )
    names = NameContext(("pg_catalog", "public"), "app", frozenset())
    started = time.process_time()
    lineage(text, Catalog.from_json(tables), names, PgQuery(holds_lock=True))
    assert time.process_time() - started < 3
