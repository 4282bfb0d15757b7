"""The options of a start-up packet mean to the gateway what they mean to PostgreSQL itself."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from appliance.identity.login_request import LoginRequest, parse_startup
from tests.harness.postgres import Database

NAMES = ("search_path", "work_mem", "a.b", "c.d", "enable_seqscan", "application_name")
TEXTS = (
    "",
    "  ",
    "-c search_path=app",
    "-csearch_path=app",
    "--search_path=app",
    "--search-path=app",
    "-c search-path=app",
    "-c SEARCH_PATH=app",
    "-c a.b=1\\ 2",
    "-c a.b=1\\\\2",
    "-c a.b=x\\",
    "-c a.b=\\\\\\ x",
    "-c\ta.b=1\n-c\vc.d=2\f",
    "-c a.b='1 2'",
    "-c a.b='quoted'",
    "-c a.b=",
    "-c a.b==",
    "-c a.b=x=y",
    "-c a.b=1 -c a.b=2",
    "-S 2048",
    "-S2048",
    "-fs",
    "-f s -c a.b=1",
    "-c application_name=early",
    "-c a.b=ümläut",
    "-c a.b=\u00a0nbsp\u2003em",
    "\\-c a\\.b=1",
    "-c 'a.b=1'",
    "-c",
    "-c a.b",
    "--a.b",
    "-",
    "--",
    "-c a.b=1 --",
    "-- a",
    "-Z",
    "-S",
    "stray",
    "-c a.b=1 stray",
    "stray -c a.b=1",
    "-c user=x",
    "-c no_such_parameter=1",
    "-c ab-c.d=1",
    "-ac a.b=1",
)


def settings(database: Database, options: str) -> list[object] | None:
    """Connect straight to the server; return what came of the settings, None if it refused."""
    conninfo = make_conninfo(database.dsn(), options=options)
    try:
        with psycopg.connect(conninfo) as connection:
            query = "SELECT " + ", ".join(f"current_setting('{name}', true)" for name in NAMES)
            row = connection.execute(query.encode()).fetchone()
            return list(row or ())
    except psycopg.OperationalError:
        return None


def difference(database: Database, text: str) -> str:
    """Return how the gateway's reading of ``options`` differs from the server's, "" if not."""
    straight = settings(database, text)
    outcome = parse_startup({"user": "ana", "database": "shop", "options": text}, "::1", True)
    if not isinstance(outcome, LoginRequest):
        return "" if straight is None else f"refused: {outcome.message}"
    upstream = dict(outcome.upstream_parameters)
    options = upstream.pop("options", "")
    for name, value in upstream.items():  # libpq has no plain parameters but its own
        options += f" -c {name}=" + value.replace("\\", "\\\\").replace(" ", "\\ ")
    through = settings(database, options)
    if through != straight:
        return f"{through}, not {straight}"
    told = {name.lower(): value for name, value in outcome.settings}
    judged = {name: told[name] for name in ("a.b", "c.d", "search_path") if name in told}
    was_set = dict(zip(NAMES, straight or (), strict=False))
    wrong = [name for name, value in judged.items() if was_set.get(name, value) != value]
    return f"judged otherwise than set: {wrong}" if wrong else ""


def test_what_is_judged_and_sent_on_is_what_the_server_would_have_set(database: Database) -> None:
    found = {text: difference(database, text) for text in TEXTS}
    assert {text: words for text, words in found.items() if words} == {}
    assert sum(settings(database, text) is None for text in TEXTS) > 10  # both kinds are there
