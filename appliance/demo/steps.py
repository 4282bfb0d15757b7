"""What a walk through the demo is made of: steps, and how they run commands and sessions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from appliance.demo.running import Demo

SOON_S = 10.0


class StepFailed(Exception):
    """A step did not come out as it must; the text says what came instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: ``run`` returns what was seen, or raises."""

    title: str
    run: Callable[[], str]


class Commands:
    """What steps do to a running demo: log in through the gateway, run ``gatepost``."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    def connect(self, identity: str, application: str = "") -> psycopg.Connection[tuple[Any, ...]]:
        dsn = self._demo.dsn(identity, application=application)
        return psycopg.connect(dsn, autocommit=True)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments))

    def run(self, *arguments: str) -> str:
        done = self._demo.serve.run(*arguments)
        if done.returncode:
            raise StepFailed(f"gatepost {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout


def expect(found: object, wanted: object) -> None:
    """Raise StepFailed unless both are equal."""
    if found != wanted:
        raise StepFailed(f"expected {wanted!r}, got {found!r}")


def one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the first row."""
    row = cursor.fetchone()
    if row is None:
        raise StepFailed("no row came")
    return row


def login_error(dsn: str) -> str:
    """Return the error of a login that must fail."""
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as error:
        return " ".join(str(error).split())
    raise StepFailed("the login succeeded")


def ended(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    """Wait for the server to end a session; return its words."""
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        try:
            connection.execute("SELECT 1")
        except psycopg.errors.AdminShutdown as error:
            return f"57P01 {error.diag.message_primary}"
        except psycopg.errors.QueryCanceled:
            continue  # what runs is cancelled first; the end comes right after
        time.sleep(0.05)
    raise StepFailed("the session still lives")
