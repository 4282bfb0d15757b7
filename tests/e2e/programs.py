"""Run PostgreSQL's own programs, through the gateway or straight at the server."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from appliance.embedded import Installation, PostgresServer
from tests.harness.gateway import ANA, Gateway, running_gateway
from tests.harness.postgres import fresh_database

_TIMEOUT_S = 60
# What may differ between two runs of the same script.
_VARIES = (
    (re.compile(r"server process with PID \d+"), "server process with PID N"),
    (re.compile(r"^(SET|-- Dumped|\\(un)?restrict).*\n", re.MULTILINE), ""),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended."""

    code: int
    out: str
    err: str


def through(gateway: Gateway, user: str = ANA, dbname: str = "shop") -> dict[str, str]:
    """Return the environment in which libpq reaches the gateway."""
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(gateway.port),
        "PGUSER": user,
        "PGPASSWORD": gateway.passwords[user],
        "PGDATABASE": dbname,
    }


def straight(gateway: Gateway, dbname: str = "") -> dict[str, str]:
    """Return the environment in which libpq reaches the target itself, as the database's owner."""
    database = gateway.database
    return {
        "PGHOST": database.server.host,
        "PGPORT": str(database.server.port),
        "PGUSER": database.owner.name,
        "PGPASSWORD": database.owner.password,
        "PGDATABASE": dbname or database.name,
    }


def run(
    programs: Installation,
    name: str,
    *arguments: str,
    where: Mapping[str, str],
    stdin: str = "",
    directory: Path | None = None,
) -> Ran:
    """Run a program without a terminal; nothing of the caller's PG* variables is seen."""
    done = subprocess.run(
        [programs.program(name), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        cwd=directory,
        env=environment(where),
        start_new_session=True,  # no terminal: what asks for a password reads stdin
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def environment(where: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C",
        "TZ": "UTC",
        "PSQLRC": os.devnull,
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "20",
        **where,
    }


def comparable(text: str) -> str:
    """Return an output without what differs from run to run."""
    for pattern, replacement in _VARIES:
        text = pattern.sub(replacement, text)
    return text


@contextmanager
def playing(server: PostgresServer, directory: Path) -> Iterator[Gateway]:
    """Run a gateway to a database whose owner finds the scripts' schema first."""
    with fresh_database(server) as database:
        setting = sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = play, public").format(
            sql.Identifier(database.owner.name), sql.Identifier(database.name)
        )
        with server.connect() as admin:
            admin.execute(setting)
        with running_gateway(database, directory) as running:
            yield running
