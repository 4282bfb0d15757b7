"""Secrets are taken out of texts before they are recorded; nothing else is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.recording.redact import redact

SECRET = [
    "alter role ana password 's3cr3t'",
    "ALTER USER ana WITH ENCRYPTED PASSWORD\n\t's3cr3t' VALID UNTIL '2027-01-01'",
    "create role x login password E's3cr3t\\n'",
    "create role x password $$s3cr3t$$",
    "create role x password $t$s3cr3t$t$",
    "create role x password U&'\\0073s3cr3t'",
    "alter role x /* password */ password /* of x */ -- really\n 's3cr3t'",
    "alter role x password 's3c'\n'r3t s3cr3t'",
    'alter role x password "s3cr3t"',
    "alter role x password s3cr3t",
    "alter role x password 's3cr3t",
    "create user mapping for ana server s options (user 'a', password 's3cr3t')",
    "CREATE USER  /* */ MAPPING FOR ana SERVER s OPTIONS (token 's3cr3t')",
    "select dblink_connect('c', 'host=h password=s3cr3t')",
    "select * from dblink('s3cr3t', 'select 1') as t(a int)",
    "select U&\"dblin\\006B\"('s3cr3t')",
    "create subscription s connection 'host=h password=s3cr3t' publication p",
    "alter subscription s connection 'host=h user=s3cr3t'",
    "alter system set primary_conninfo = 'host=h password=s3cr3t'",
    "select 'postgresql://ana:s3cr3t@host/db'",
    "copy t from program 'PGPASSWORD=s3cr3t psql -c x'",
    "do $$ begin execute 'alter role x password ''s3cr3t'''; end $$",
    "do $body$ begin alter role x password 's3cr3t'; end $body$",
    "create function f() returns void as 'alter role x password ''s3cr3t''' language sql",
    "update users set password = 's3cr3t' where id = 1",
    "insert into t values (1); alter role x password 's3cr3t'; select 2",
    "create server s foreign data wrapper w options (host 'h', passwd 's3cr3t')",
    "set role x; alter role x password 'a\\' || 's3cr3t'",
]

UNTOUCHED = [
    "select 1",
    "select password from users",
    "select 'the password of the day'",
    "alter role x password null",
    "alter role x valid until '2027-01-01'",
    "create table users (id int, password text default null)",
    "select * from connections where url = 'https://example.com/a'",
    "comment on column users.password is 'hashed by the application'",
    "grant select (password) on users to x",
    "select $$ nothing secret $$, 'connection' from t",
    "insert into user_mapping values ('a')",
]


@pytest.mark.parametrize("text", SECRET)
def test_a_secret_is_replaced(text: str) -> None:
    clean, secret = redact(text)
    assert "s3cr3t" not in clean
    assert secret


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert redact(text) == (text, False)


def test_only_the_literal_is_replaced() -> None:
    clean, _ = redact("alter role ana with password 'x y' valid until '2027-01-01' -- why")
    assert clean == "alter role ana with password '***' valid until '2027-01-01' -- why"


def test_a_password_given_as_a_parameter_makes_the_parameters_secret() -> None:
    text = "update users set password = $1"
    assert redact(text) == (text, True)


def test_other_options_of_a_user_mapping_lose_their_values_too() -> None:
    clean, _ = redact("alter user mapping for a server s options (set user 'bo')")
    assert clean == "alter user mapping for a server s options (set user '***')"


@given(st.text(alphabet="paswordPASWORD'\"$\\ \n/*-eEuU&x1(=)", max_size=80))
def test_any_text_is_taken_and_what_is_left_is_clean_or_the_same(text: str) -> None:
    clean, secret = redact(text)
    assert secret or clean == text


@given(st.text(min_size=3, alphabet="abcdefgh0123456789", max_size=20), st.sampled_from(SECRET))
def test_any_secret_is_replaced(value: str, pattern: str) -> None:
    clean, _ = redact(pattern.replace("s3cr3t", f"zq{value}qz"))
    assert f"zq{value}qz" not in clean


HOSTILE = {
    "a long word": "SELECT 'passw', '" + "x" * 200_000 + "'",
    "a word over and over": "SELECT '" + "passw" * 40_000 + "'",
    "words": "SELECT '" + "passwpassw " * 20_000 + "'",
    "colons": "SELECT 'passw ://" + ":" * 200_000 + "'",
    "addresses": "SELECT 'passw " + "://a:b" * 40_000 + "'",
    "spaces": "SELECT 'password" + " " * 200_000 + "'",
    "role words": "SELECT 'passw" + "alter " * 40_000 + "'",
    "bodies in bodies": "SELECT 'passw', "
    + "".join(f"$a{n}$ " for n in range(3_000))
    + "".join(f" $a{n}$" for n in reversed(range(3_000))),
    "bodies with passwords": "SELECT "
    + "".join(f"$a{n}$ passw " for n in range(3_000))
    + "".join(f" $a{n}$" for n in reversed(range(3_000))),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_makes_it_slow(text: str) -> None:
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 1.5
