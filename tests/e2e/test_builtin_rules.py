"""What leads round the gateway is refused on every target, with no rule of anybody's."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from tests.harness.gateway import Gateway

REFUSED = {
    "alter-system": [
        "ALTER SYSTEM SET work_mem = '5MB'",
        "ALTER SYSTEM RESET ALL",
    ],
    "programs": [
        "COPY t FROM PROGRAM 'echo 1'",
        "COPY (SELECT 1) TO PROGRAM 'cat > /tmp/x'",
    ],
    "set-role": [
        "SET ROLE postgres",
        "SET LOCAL ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SET role = 'postgres'",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT set_config('ro' || 'le', 'post' || 'gres', false)",
        "SELECT pg_catalog.set_config(setting_name => 'ROLE', new_value => 'postgres',"
        " is_local => true)",
        "ALTER ROLE {me} SET role = 'postgres'",
    ],
    "server-files": [
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('/etc/passwd', 0, 10)",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT pg_catalog.pg_stat_file('.')",
        'SELECT "pg_catalog"."pg_read_file"(\'/etc/passwd\')',
        "SELECT U&\"pg\\005fread_file\"('/etc/passwd')",
        "WITH x AS (SELECT pg_read_file('/etc/passwd')) SELECT 1",
        "EXPLAIN ANALYZE SELECT pg_read_file('/etc/passwd')",
        "PREPARE p AS SELECT pg_read_file($1)",
        "COPY (SELECT pg_read_file('/etc/passwd')) TO STDOUT",
        "COPY t FROM '/etc/passwd'",
        "COPY t TO '/tmp/x'",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT 1; SELECT pg_read_file('/etc/passwd')",
        "DECLARE c CURSOR FOR SELECT pg_read_file('/etc/passwd')",
    ],
    "passwords": [
        "ALTER ROLE {me} PASSWORD 'x'",
        "ALTER USER CURRENT_USER PASSWORD 'x'",
        "ALTER ROLE {me} ENCRYPTED PASSWORD 'x' VALID UNTIL 'infinity'",
        "ALTER ROLE {me} PASSWORD NULL",
        "CREATE ROLE back_door LOGIN",
        "CREATE USER back_door",
        "ALTER ROLE pg_monitor LOGIN",
    ],
    "role-powers": [
        "ALTER ROLE {me} SUPERUSER",
        "CREATE ROLE back_door BYPASSRLS",
        "GRANT pg_read_server_files TO {me}",
        "GRANT pg_execute_server_program TO public",
    ],
    "load": ["LOAD 'auto_explain'"],
    "foreign-servers": [
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER s",
        "IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public",
        "SELECT dblink_connect('dbname=postgres')",
        "SELECT * FROM dblink('dbname=postgres', 'select 1') AS x(n int)",
    ],
    "subscriptions": [
        "CREATE SUBSCRIPTION s CONNECTION 'host=elsewhere' PUBLICATION p",
        "ALTER SUBSCRIPTION s CONNECTION 'host=elsewhere'",
    ],
    "untrusted-languages": [
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc.so.6', 'system'",
        "DO LANGUAGE plpython3u $$ import os $$",
        "CREATE FUNCTION f() RETURNS int AS 'x' LANGUAGE plperlu",
    ],
    "readable-text": [
        "SELECT 'a\\' || '; DROP TABLE t; --'",
    ],
}


@pytest.mark.parametrize(
    ("rule", "text"),
    [(rule, text) for rule, texts in REFUSED.items() for text in texts],
)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_it_is_refused_by_name_and_nothing_of_it_reaches_the_server(
    shared_gateway: Gateway, connection: psycopg.Connection[Any], rule: str, text: str,
    extended: bool,
) -> None:  # fmt: skip
    text = text.format(me=shared_gateway.database.owner.name)
    server = shared_gateway.database.server
    before = server.log_size()
    if extended and text.startswith("SELECT 1;"):
        pytest.skip("the extended protocol takes one statement")
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        connection.execute(sql.SQL(text), binary=extended)
    diag = caught.value.diag
    assert f"gatepost: blocked by built-in rule {rule}" in str(diag.message_primary)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    (row, *_) = reversed([r for r in shared_gateway.statements() if r["state"] == "refused"])
    assert row["rule"] == f"builtin:{rule}"
    assert not any(
        f"statement: {text}" in line or f": {text}" in line
        for line in server.log(before).splitlines()
    )


@pytest.fixture(scope="module")
def connection(shared_gateway: Gateway) -> psycopg.Connection[Any]:
    shared_gateway.database.run("CREATE TABLE t (line text)")
    return shared_gateway.connect()


@pytest.mark.parametrize(
    "text",
    [
        "RESET ROLE",
        "SET ROLE NONE",
        "SET ROLE {me}",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SELECT set_config('work_mem', '5MB', true)",
        "SELECT lo_create(0)",
        "SELECT current_setting('role')",
        "ALTER ROLE {me} SET work_mem = '5MB'",
        "SELECT E'a\\'b'",
        "SELECT 'a\\b'",
    ],
)
def test_what_leads_nowhere_is_let_through(
    shared_gateway: Gateway, connection: psycopg.Connection[Any], text: str
) -> None:
    connection.execute(text.format(me=shared_gateway.database.owner.name))


def test_a_grant_can_switch_one_of_them_off(gateway: Gateway) -> None:
    gateway.add_identity("operator", "service")
    owner = gateway.database.owner.name
    gateway.grant("identity:operator", owner, allow_builtin=frozenset({"server-files"}))
    gateway.settle()
    with gateway.connect("operator") as connection:
        with pytest.raises(errors.InsufficientPrivilege, match="permission denied for function"):
            connection.execute("SELECT pg_read_file('/etc/passwd')")  # the server's own no
        with pytest.raises(errors.InsufficientPrivilege, match="built-in rule alter-system"):
            connection.execute("ALTER SYSTEM SET work_mem = '5MB'")
