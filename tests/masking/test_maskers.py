"""Every replacement is a value that PostgreSQL itself takes, in text and in binary."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.adapt import Transformer
from psycopg.pq import Format

from appliance.masking.maskers import Dialect, masker, why_not
from appliance.masking.types import type_of
from appliance.masking.values import ColumnMask, Method
from appliance.sql.catalog import Catalog
from appliance.sql.catalog_sql import CATALOG_SQL
from tests.harness.postgres import PostgresServer, fresh_database

KEY = b"k" * 32
TEXT, BINARY = 0, 1
FIXED = {
    "bool": "true",
    "int2": "-7",
    "int4": "123456",
    "int8": "-9223372036854775808",
    "float4": "1.5",
    "float8": "-2.25e10",
    "numeric": "-12345.6700",
    "text": "näää",
    "varchar(3)": "secret",
    "bpchar(6)": "no",
    "name": "x",
    "uuid": "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "bytea": "\\xDEadbeef",
    "date": "1999-12-31",
    "time": "12:34:56.789",
    "timestamp": "1999-12-31 23:59:59.5",
    "timestamptz": "1999-12-31T23:59:59+02:00",
    "inet": "192.0.2.7/24",
    "cidr": "2001:db8::/32",
    "macaddr": "08-00-2b-01-02-03",
    "json": '{"a": ["ä", null]}',
    "jsonb": "[1, 2.5]",
}
# A value of each built-in type; what it is said to be is told by whether it is replaced.
VALUES = {
    "bool": "true",
    "int2": "12345",
    "int4": "411111",
    "int8": "4111111111111111",
    "float4": "41.5",
    "float8": "4111.25",
    "numeric": "411111111.1111",
    "numeric(10,2)": "411111.25",
    "money": "4111",
    "text": "4111111111111111",
    "varchar": "4111111111111111",
    "varchar(5)": "41111",
    "varchar(2)": "41",
    "bpchar": "41111111",
    "bpchar(12)": "41111111",
    "bpchar(1)": "4",
    "name": "holder_of_4111",
    '"char"': "q",
    "bytea": "\\x41114111",
    "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "date": "1974-05-06",
    "time": "12:34:56",
    "timetz": "12:34:56+02",
    "timestamp": "1974-05-06 07:08:09",
    "timestamptz": "1974-05-06 07:08:09+00",
    "interval": "3 days 04:05:06",
    "inet": "198.51.100.7",
    "cidr": "198.51.100.0/24",
    "macaddr": "08:00:2b:01:02:03",
    "macaddr8": "08:00:2b:01:02:03:04:05",
    "json": '{"card": "4111"}',
    "jsonb": '{"card": "4111"}',
    "jsonpath": "$.card",
    "bit": "1",
    "bit(11)": "10101010101",
    "varbit": "101010",
    "varbit(20)": "101010",
    "point": "(4,11)",
    "lseg": "[(4,11),(1,1)]",
    "path": "((4,11),(1,1))",
    "box": "(4,11),(1,1)",
    "polygon": "((4,11),(1,1),(2,2))",
    "line": "{4,11,1}",
    "circle": "<(4,11),1>",
    "tsvector": "'card':1 'holder':2",
    "tsquery": "'card' & 'holder'",
    "oid": "4111",
    "xid": "4111",
    "cid": "4111",
    "xid8": "4111",
    "tid": "(41,11)",
    "pg_lsn": "41/11",
    "pg_snapshot": "795:799:795,797",
    "txid_snapshot": "795:799:795,797",
    "regclass": "pg_class",
    "regtype": "integer",
    "regproc": "now",
    "regprocedure": "length(text)",
    "regoper": "||/",
    "regoperator": "+(integer,integer)",
    "regnamespace": "pg_catalog",
    "regrole": "pg_monitor",
    "regconfig": "english",
    "regdictionary": "simple",
    "regcollation": '"C"',
    "int2vector": "41 11",
    "oidvector": "41 11",
    "int4range": "[4,11)",
    "numrange": "[4,11)",
    "daterange": "[1974-05-06,1974-05-08)",
    "tstzrange": "[1974-05-06 00:00:00+00,1974-05-08 00:00:00+00)",
    "int8multirange": "{[4,11)}",
    "tsmultirange": "{}",
    "int4[]": "{4,11}",
    "text[]": "{4111,1111}",
    "varchar(5)[]": "{41111}",
    "jsonb[]": '{"{}"}',
    "int4range[]": '{"[4,11)"}',
    "public.citext": "Ana@Example.com",
    "public.shout": "4111111111111111",
    "public.louder": "4111111111111111",
    "public.present": "41111111",
    "public.mood[]": "{sad}",
    "public.pair[]": '{"(4,11)"}',
    "public.span": "[4.5,11.5)",
}
ONLY_NULL = {
    "public.mood": "sad",
    "public.pair": "(4,11)",
    "public.careful": "41111111",
    "aclitem": "postgres=r/postgres",
}


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with fresh_database(postgres) as database, postgres.connect(database.name) as connection:
        connection.execute(
            """
            CREATE DOMAIN public.shout AS text;
            CREATE DOMAIN public.louder AS public.shout;
            CREATE DOMAIN public.careful AS text CHECK (value <> '***');
            CREATE DOMAIN public.present AS text NOT NULL;
            CREATE TYPE public.mood AS ENUM ('sad', 'glad');
            CREATE TYPE public.pair AS (a int, b int);
            CREATE TYPE public.span AS RANGE (subtype = float8);
            CREATE TYPE public.citext;  -- as the extension of that name does it
            CREATE FUNCTION citextin(cstring) RETURNS citext
              LANGUAGE internal IMMUTABLE STRICT AS 'textin';
            CREATE FUNCTION citextout(citext) RETURNS cstring
              LANGUAGE internal IMMUTABLE STRICT AS 'textout';
            CREATE FUNCTION citextrecv(internal) RETURNS citext
              LANGUAGE internal STABLE STRICT AS 'textrecv';
            CREATE FUNCTION citextsend(citext) RETURNS bytea
              LANGUAGE internal STABLE STRICT AS 'textsend';
            CREATE TYPE public.citext (INPUT = citextin, OUTPUT = citextout,
              RECEIVE = citextrecv, SEND = citextsend, LIKE = text, CATEGORY = 'S')
            """
        )
        yield connection


@pytest.fixture(scope="module")
def catalog(connection: psycopg.Connection[Any]) -> Catalog:
    row = connection.execute(CATALOG_SQL.encode()).fetchone()
    assert row is not None
    return Catalog.from_json(row[0].encode())


def described(connection: psycopg.Connection[Any], type_name: str) -> tuple[int, int]:
    """Return the OID and modifier by which a type is declared."""
    temporary = sql.SQL("CREATE TEMP TABLE one (v {})").format(sql.SQL(type_name))
    connection.execute(temporary)
    row = connection.execute(
        "SELECT atttypid::int8, atttypmod FROM pg_attribute"
        " WHERE attrelid = 'one'::regclass AND attname = 'v'"
    ).fetchone()
    connection.execute("DROP TABLE one")
    assert row is not None
    return row


def sent(connection: psycopg.Connection[Any], type_name: str, value: bytes, form: int) -> bytes:
    """Return a value as the server sends it, given as text."""
    text = b"SELECT $1::" + type_name.encode()
    result = connection.pgconn.exec_params(text, [value], [0], [TEXT], form)
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    found = result.get_value(0, 0)
    assert found is not None
    return found


def taken(
    connection: psycopg.Connection[Any], type_name: str, oid: int, value: bytes, form: int
) -> str:
    """Return, as text, what the server understands by a value of a type in one format."""
    text = b"SELECT ($1::" + type_name.encode() + b")::text"
    result = connection.pgconn.exec_params(text, [value], [oid], [form], TEXT)
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    return (result.get_value(0, 0) or b"").decode()


def methods(type_name: str) -> list[ColumnMask]:
    masks = [ColumnMask("r", method, "c") for method in Method if method is not Method.FIXED]
    return [*masks, ColumnMask("r", Method.FIXED, "c", FIXED.get(type_name, "4711"))]


@pytest.mark.parametrize("type_name", VALUES)
def test_the_server_takes_every_replacement_as_a_value_of_the_type(
    connection: psycopg.Connection[Any], catalog: Catalog, type_name: str
) -> None:
    oid, typmod = described(connection, type_name)
    binary_is_there = "aclitem" not in type_name
    for mask in methods(type_name):
        for whole in (False, True):
            understood = set()
            for form in (TEXT, BINARY) if binary_is_there else (TEXT,):
                original = sent(connection, type_name, VALUES[type_name].encode(), form)
                replace = masker(
                    mask, oid, catalog, form, KEY, whole=whole, dialect=Dialect(), typmod=typmod
                )
                found = replace(original)
                if mask.method is Method.NULL:
                    assert found is None
                    continue
                assert found is not None, mask.method
                understood.add(taken(connection, type_name, oid, found, form))
                loaded = Transformer(connection).get_loader(oid, Format(form)).load(found)
                assert loaded is not None
                if whole:
                    assert replace(b"") == found  # of the value nothing is left
            assert len(understood) == (mask.method is not Method.NULL), (mask.method, understood)


@pytest.mark.parametrize("type_name", ONLY_NULL)
@pytest.mark.parametrize("form", [TEXT, BINARY])
def test_where_no_value_is_safe_there_is_null(
    connection: psycopg.Connection[Any], catalog: Catalog, type_name: str, form: int
) -> None:
    oid, typmod = described(connection, type_name)
    for mask in methods(type_name):
        for whole in (False, True):
            replace = masker(mask, oid, catalog, form, KEY, whole=whole, typmod=typmod)
            assert replace(ONLY_NULL[type_name].encode()) is None


def test_an_enum_can_be_fixed_to_one_of_its_labels(
    connection: psycopg.Connection[Any], catalog: Catalog
) -> None:
    oid, _ = described(connection, "public.mood")
    glad, angry = (ColumnMask("r", Method.FIXED, "c", label) for label in ("glad", "angry"))
    for form in (TEXT, BINARY):
        found = masker(glad, oid, catalog, form, KEY)(b"sad")
        assert found is not None
        assert taken(connection, "public.mood", oid, found, form) == "glad"
        assert masker(glad, oid, catalog, form, KEY, whole=True)(b"sad") is None
        assert masker(angry, oid, catalog, form, KEY)(b"sad") is None
    assert why_not("fixed", "public.mood", "glad", catalog) == ""
    assert "labels" in why_not("fixed", "public.mood", "angry", catalog)


def test_a_column_of_a_domain_with_a_check_is_null_though_its_rows_are_described_as_text(
    catalog: Catalog,
) -> None:
    mask = ColumnMask("r", Method.PARTIAL, "c")
    assert masker(mask, 25, catalog, TEXT, KEY, declared="public.careful")(b"41111111") is None
    assert masker(mask, 25, catalog, TEXT, KEY, declared="public.louder")(b"4111") == b"***1"


def test_a_type_that_nobody_knows_is_null(catalog: Catalog) -> None:
    for oid in (9, 4_000_000_000):
        replace = masker(ColumnMask("r", Method.PARTIAL, "c"), oid, catalog, TEXT, KEY)
        assert replace(b"4111111111111111") is None


def test_every_built_in_type_is_known_or_null_on_purpose(
    connection: psycopg.Connection[Any], catalog: Catalog
) -> None:
    rows = connection.execute(
        "SELECT oid::int8, typname FROM pg_type"
        " WHERE oid < 10000 AND typtype <> 'c' AND typtype <> 'p'"
    ).fetchall()
    unknown = {name for oid, name in rows if type_of(oid, catalog).kind.value == "unknown"}
    assert unknown == {
        "_pg_attribute", "_pg_class", "_pg_proc", "_pg_type", "aclitem", "gtsvector",
        "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies",
        "pg_mcv_list", "pg_ndistinct", "pg_node_tree",
    }  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", "no such zone"])
@pytest.mark.parametrize("form", [TEXT, BINARY])
def test_a_zero_date_is_a_day_that_clients_have_in_every_time_zone(
    postgres: PostgresServer, zone: str, form: int
) -> None:
    with postgres.connect() as connection:
        known = zone if zone.count(" ") == 0 else "UTC"
        connection.execute(sql.SQL("SET timezone TO {}").format(sql.Literal(known)))
        dialect = Dialect(timezone=zone)
        mask = ColumnMask("r", Method.ZERO_DATE, "c")
        found = masker(mask, 1184, None, form, KEY, dialect=dialect)(b"")
        assert found is not None
        loaded = Transformer(connection).get_loader(1184, Format(form)).load(found)
        assert loaded.date() == dt.date(1, 1, 1)
        assert taken(connection, "timestamptz", 1184, found, form).startswith("0001-01-01 ")


@pytest.mark.parametrize("style", ["ISO, DMY", "SQL, MDY", "SQL, DMY", "Postgres, MDY",
                                   "Postgres, DMY", "German, DMY"])  # fmt: skip
@pytest.mark.parametrize(("type_name", "oid"), [("date", 1082), ("timestamp", 1114),
                                               ("timestamptz", 1184)])  # fmt: skip
def test_dates_are_written_as_the_session_wants_them(
    postgres: PostgresServer, style: str, type_name: str, oid: int
) -> None:
    with postgres.connect() as connection:
        connection.execute(sql.SQL("SET datestyle TO {}").format(sql.Literal(style)))
        connection.execute("SET timezone TO 'UTC'")
        for mask in (
            ColumnMask("r", Method.ZERO_DATE, "c"),
            ColumnMask("r", Method.FIXED, "c", "1999-12-31"),
        ):
            replace = masker(mask, oid, None, TEXT, KEY, dialect=Dialect(date_style=style))
            found = replace(b"")
            assert found is not None
            own = taken(connection, type_name, oid, found, TEXT)
            assert found.decode() == own or type_name == "timestamptz", own
            moment = sent(connection, type_name, found, BINARY)
            assert moment == masker(mask, oid, None, BINARY, KEY)(b"")
