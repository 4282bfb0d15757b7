"""Connection strings: each form is read back by what it is for, whatever the name holds."""

from __future__ import annotations

import shlex
import subprocess
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg.conninfo
import pytest

from appliance.identity.startup_options import parse_options
from web.connect import Connection, environment, forms, jdbc, pgpass, psql, uri

NAMES = [
    "ci-nightly",
    "ana@example.com",
    "o'brien@example.com",
    "$HOME`id`!x@example.com",
    "a&b=c?d/e%20#f@example.com",
    "{x}|y~z^@example.com",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_and_libpq_read_the_psql_line_back(name: str) -> None:
    line = psql(Connection("gate.example.com", 6432, "shop/other", name))
    words = shlex.split(line)
    assert words[0] == "psql" and len(words) == 2
    read = psycopg.conninfo.conninfo_to_dict(words[1])
    assert read["user"] == name
    assert (read["dbname"], read["host"], read["port"]) == (
        "shop/other",
        "gate.example.com",
        "6432",
    )
    shown = subprocess.run(
        ["bash", "-c", f"printf %s {line.removeprefix('psql ')}"], capture_output=True, text=True
    )
    assert shown.stdout == words[1]


@pytest.mark.parametrize("name", NAMES)
def test_libpq_reads_the_uri_back(name: str) -> None:
    text = uri(Connection("::1", 6432, "shop/other", name, "p@ss:w/ord?#%"))
    read = psycopg.conninfo.conninfo_to_dict(text)
    assert (read["user"], read["password"]) == (name, "p@ss:w/ord?#%")
    assert (read["dbname"], read["host"], read["sslmode"]) == ("shop/other", "::1", "require")


@pytest.mark.parametrize("name", NAMES)
def test_the_jdbc_url_holds_the_name_as_a_parameter(name: str) -> None:
    text = jdbc(Connection("gate", 6432, "shop/other", name))
    parts = urlsplit(text.removeprefix("jdbc:"))
    assert unquote(parts.path) == "/shop/other" and "+" not in parts.query
    assert parse_qs(parts.query)["user"] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_the_environment_back(name: str) -> None:
    text = environment(Connection("gate", 6432, "shop", name, "it's $ecret"))
    run = subprocess.run(
        ["bash", "-c", f'{text}\nprintf "%s %s" "$PGUSER" "$PGPASSWORD"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == f"{name} it's $ecret"


def test_colons_and_backslashes_are_escaped_in_the_password_file() -> None:
    line = pgpass(Connection("::1", 6432, "shop", "a", "x:y\\z"))
    assert line == "\\:\\:1:6432:shop:a:x\\:y\\\\z"


def test_every_form_has_a_name_and_the_first_is_psql() -> None:
    made = forms(Connection("gate", 6432, "shop", "ana@example.com"))
    assert made[0].text == (
        'psql "host=gate port=6432 dbname=shop user=ana@example.com sslmode=require"'
    )
    assert [form.key for form in made] == ["psql", "uri", "jdbc", "env", "pgpass"]
    assert all(form.label for form in made)


@pytest.mark.parametrize("role", ["app_rw", "two words", "o'brien", "back\\slash", "a=b&c+d%20"])
def test_every_form_asks_for_the_role_by_its_name(role: str) -> None:
    asked = Connection("gate", 6432, "shop", "ana@example.com", role=role)
    line = shlex.split(psql(asked))[1]
    exported = dict(part.split("=", 1) for part in shlex.split(environment(asked)) if "=" in part)
    options = (
        psycopg.conninfo.conninfo_to_dict(line)["options"],
        psycopg.conninfo.conninfo_to_dict(uri(asked))["options"],
        parse_qs(urlsplit(jdbc(asked).removeprefix("jdbc:")).query)["options"][0],
        exported["PGOPTIONS"],
    )
    for text in options:
        [option] = parse_options(str(text))
        assert (option.name, option.value) == ("gatepost.role", role)
