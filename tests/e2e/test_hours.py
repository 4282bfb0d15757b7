"""Rules with hours come and go in live sessions, by the gateway's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.clock import OffsetClock
from tests.e2e import raw
from tests.e2e.raw import RawClient
from tests.harness.gateway import CI, Gateway, running_gateway
from tests.harness.polling import eventually, promised
from tests.harness.postgres import Database


@pytest.fixture
def clock(tmp_path: Path) -> OffsetClock:
    return OffsetClock(tmp_path / "clock")


@pytest.fixture
def gateway(database: Database, tmp_path: Path, clock: OffsetClock) -> Iterator[Gateway]:
    del clock  # it has made the file
    file = str(tmp_path / "clock")
    with running_gateway(database, tmp_path / "gateway", GATEPOST_CLOCK_FILE=file) as running:
        yield running


def around_now() -> str:
    """Return an hour before to an hour after now, as a rule says it."""
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    return f"daily {now - hour:%H:%M}-{now + hour:%H:%M} UTC"


def runs(connection: psycopg.Connection[Any], text: str) -> bool:
    try:
        connection.execute(text)
    except errors.InsufficientPrivilege:
        return False
    return True


def test_a_rule_stops_what_it_stops_in_its_hours_only(gateway: Gateway, clock: OffsetClock) -> None:
    gateway.database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    gateway.rule("no-deletes", "block", commands=("delete",), hours=around_now())
    text = "DELETE FROM t WHERE n = 7"
    with gateway.connect() as connection, RawClient(gateway.port) as client:
        assert not runs(connection, text)
        clock.shift_to(datetime.now(UTC) + timedelta(hours=2))
        eventually(lambda: runs(connection, text), timeout=promised(2), what="the end of the hours")
        client.log_in(CI, gateway.passwords[CI])
        client.send(raw.parse(text, "gone"), raw.bind("", "gone"), raw.execute(), raw.SYNC)
        assert raw.kinds(client.until()) == "12CZ"
        clock.reset()
        eventually(lambda: not runs(connection, text), timeout=promised(2), what="the hours' begin")
        client.send(raw.bind("", "gone"), raw.execute(), raw.SYNC)
        (error,) = raw.errors(client.until())
        assert (error["C"], "no-deletes" in error["M"]) == ("42501", True)
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
    rules = [row["rule"] for row in gateway.statements(text)]
    assert set(rules) == {"no-deletes", "default"}
    assert rules.count("no-deletes") >= 3


def test_what_a_rule_allows_ends_with_its_hours(gateway: Gateway, clock: OffsetClock) -> None:
    gateway.database.run("CREATE TABLE t (n int)")
    gateway.rule("office", "allow", commands=("insert",), hours=around_now())
    gateway.rule("nothing-else", "block", commands=("insert",))
    with gateway.connect() as connection:
        assert runs(connection, "INSERT INTO t VALUES (1)")
        clock.shift_to(datetime.now(UTC) + timedelta(hours=2))
        eventually(
            lambda: not runs(connection, "INSERT INTO t VALUES (2)"),
            timeout=promised(2),
            what="the end of the hours",
        )
