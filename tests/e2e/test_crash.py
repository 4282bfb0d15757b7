"""kill -9 of workers under load: what ran is in the record, what is in it as done has run."""

from __future__ import annotations

import random
import re
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from appliance.recording.verify import verify
from tests.harness.gateway import CI, Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import Database

KILLS = 20
WORKERS = 3
MARKER = re.compile(r"mark-\d-\d+-[0-9a-f]{8}")
Connection = psycopg.Connection[Any]


class Client:
    """One thread that inserts marker after marker, whatever happens to its connection."""

    def __init__(self, gateway: Gateway, number: int) -> None:
        self.acknowledged: set[str] = set()
        self.tried = 0
        self._gateway = gateway
        self._number = number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        insert = (self._simple, self._extended, self._pipeline, self._script)[self._number % 4]
        while not self._stop.is_set():
            try:
                with self._gateway.connect(CI, connect_timeout=5) as connection:
                    while not self._stop.is_set():
                        self.acknowledged.update(insert(connection))
            except psycopg.OperationalError:
                continue  # its worker was killed: the next one takes over

    def _marks(self, count: int) -> Iterator[str]:
        for _ in range(count):
            self.tried += 1
            yield f"mark-{self._number}-{self.tried}-{secrets.token_hex(4)}"

    def _simple(self, connection: Connection) -> list[str]:
        (mark,) = self._marks(1)
        connection.execute(f"INSERT INTO marks VALUES ('{mark}')")
        return [mark]

    def _extended(self, connection: Connection) -> list[str]:
        (mark,) = self._marks(1)
        connection.execute("INSERT INTO marks VALUES (%s)", [mark])
        return [mark]

    def _pipeline(self, connection: Connection) -> list[str]:
        marks = list(self._marks(5))
        with connection.pipeline():
            for mark in marks:
                connection.execute("INSERT INTO marks VALUES (%s)", [mark])
        return marks

    def _script(self, connection: Connection) -> list[str]:
        marks = list(self._marks(3))
        script = "; ".join(f"INSERT INTO marks VALUES ('{mark}')" for mark in marks)
        connection.execute(f"BEGIN; {script}; COMMIT")
        return marks


def marks_in(rows: list[dict[str, Any]]) -> set[str]:
    return {mark for row in rows for mark in MARKER.findall(f"{row['text']} {row['parameters']}")}


def test_nothing_that_ran_is_missing_and_nothing_is_done_that_did_not_run(
    database: Database, tmp_path: Path
) -> None:
    database.run("CREATE TABLE marks (m text)")
    chance = random.Random()  # noqa: S311 - any moment will do
    pause = threading.Event()
    with running_gateway(database, tmp_path / "gateway", workers=WORKERS) as gateway:
        clients = [Client(gateway, number) for number in range(4)]
        for _ in range(KILLS):
            pause.wait(chance.uniform(0.0, 0.5))
            number = chance.choice(list(gateway.processes))
            before = sum(client.tried for client in clients)
            assert gateway.kill_worker(number) == -signal.SIGKILL
            gateway.start_worker(number, wait=False)
            eventually(lambda b=before: sum(c.tried for c in clients) > b, timeout=30)  # type: ignore[misc]
        for client in clients:
            client.stop()
        gateway.settle()  # also the worker that was started last
        for number in list(gateway.processes):
            assert gateway.kill_worker(number, signal.SIGTERM) == 0
        eventually(lambda: not others(database), what="the end of the target's sessions")
        ran = set(MARKER.findall(database.log()))
        rows = gateway.statements("marks")
        by_state = {
            state: marks_in([row for row in rows if row["state"] == state])
            for state in ("done", "sent", "failed", "withdrawn")
        }
        recorded = set().union(*by_state.values())
        acknowledged = set().union(*(client.acknowledged for client in clients))
        kept = {str(row[0]) for row in database.run("SELECT m FROM marks")}
        assert len(acknowledged) > 20 * KILLS
        assert ran <= recorded
        assert kept <= ran
        assert by_state["done"] <= ran
        assert acknowledged <= kept
        assert acknowledged <= by_state["done"] | by_state["sent"]
        report = verify(gateway.config.journal_dir, gateway.store)
        assert report.is_whole, report.problems
        assert report.unindexed == 0
        sessions = gateway.sessions()
        assert all(session["ended_at"] is not None for session in sessions)
        assert "worker ended unexpectedly" in {session["end_reason"] for session in sessions}


def others(database: Database) -> list[tuple[object, ...]]:
    return database.run(
        "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        f" AND datname = '{database.name}'"
    )
