"""Verifiers against PostgreSQL's own: what it stores, and what it lets in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from appliance.embedded import PostgresServer
from appliance.identity.scram import make_verifier, parse_verifier

ODD_PASSWORDS = [
    "plain",
    "two words",
    " leading and trailing ",
    "quote'back\\slash\"",
    "tab\tand\x01control",
    "Bjørn",
    "naïve\u0301",  # decomposed: normalized to one character
    "Ⅸ ﬁ ²",  # compatibility characters: IX fi 2
    "soft\u00adhyphen",  # mapped to nothing
    "no\u00a0break\u2003space",  # mapped to spaces
    "zero\u200bwidth",  # in both tables: PostgreSQL makes it a space
    "joiner\u200dx\ufe0f",
    "\u00ad",  # nothing is left: taken raw
    "ø\x01control",  # prohibited: taken raw
    "private\ue000use",
    "unassigned\u0221in 3.2",
    "new emoji 🫠",
    "old \U0001d4b3 math",
    "\u0627\u0628",  # right to left alone
    "\u0627a\u0628",  # mixed directions: prohibited
    "\u06271",  # must end right to left too
    "한국어 パスワード ﾊﾟｽ",
    "\u212b \u1e9b\u0323",
    "x" * 200,
    "ü" * 500,
]


@pytest.fixture(params=["postgres", "postgres16"])
def admin(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    server: PostgresServer = request.getfixturevalue(request.param)
    with server.connect() as connection:
        yield connection


@pytest.fixture
def role(admin: psycopg.Connection[tuple[object, ...]]) -> Iterator[str]:
    name = f"scram_{secrets.token_hex(4)}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    yield name
    admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def set_password(admin: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> str:
    """Let the server take a password, or a verifier as it is; return what it stores."""
    admin.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
    )
    row = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,)).fetchone()
    assert row is not None
    return str(row[0])


def test_every_odd_password_gives_the_verifier_that_the_server_stores(
    admin: psycopg.Connection[tuple[object, ...]], role: str
) -> None:
    for password in ODD_PASSWORDS:
        stored = set_password(admin, role, password)
        known = parse_verifier(stored)
        assert make_verifier(password, known.salt, known.iterations) == stored, repr(password)


def test_the_servers_other_iteration_counts_are_read(
    admin: psycopg.Connection[tuple[object, ...]], role: str
) -> None:
    admin.execute("SET scram_iterations = 17")
    stored = set_password(admin, role, "few")
    known = parse_verifier(stored)
    assert known.iterations == 17
    assert make_verifier("few", known.salt, 17) == stored


@pytest.mark.parametrize("password", ["plain", "Ⅸ ø\u00ad", "private\ue000use"])
def test_a_verifier_of_ours_lets_libpq_in(
    admin: psycopg.Connection[tuple[object, ...]], role: str, password: str
) -> None:
    verifier = make_verifier(password)
    assert set_password(admin, role, verifier) == verifier
    info = admin.info
    with psycopg.connect(
        host="127.0.0.1", port=info.port, dbname="postgres", user=role, password=password
    ) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (role,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1", port=info.port, dbname="postgres", user=role, password="wrong"
        )
