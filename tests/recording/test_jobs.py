"""The child processes: they work, drain on SIGTERM, and end when their parent has gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.clock import ManualClock, SystemClock
from appliance.config import config_from_environment
from appliance.errors import Unreachable
from appliance.recording.journal import Journal
from appliance.scheduling import Job, Scheduler
from appliance.sealing import load_signing_key
from appliance.store import housekeeping, sessions
from appliance.store.actors import system_actor
from appliance.store.database import Store, open_store
from tests.harness.polling import eventually
from tests.harness.store import migrated
from tests.recording.samples import change, session_of, table

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    found = {n: v for n, v in os.environ.items() if not n.startswith("GATEPOST_")}
    found["GATEPOST_DATA_DIR"] = str(tmp_path / "data")
    migrated(config_from_environment(found).store_url).close()
    return found


@contextmanager
def child(kind: str, environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a job; yield it and the write end of the pipe that its parent holds.

    What it logs is in ``log_of``, and shown when the test fails.
    """
    life_read, life_write = os.pipe()
    log = log_of(environ, kind)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance.jobs", kind],
            env={**environ, "GATEPOST_PARENT_FD": str(life_read)},
            pass_fds=(life_read,),
            cwd=ROOT,
            stderr=file,
        )
    os.close(life_read)
    try:
        yield process, life_write
    finally:
        process.kill()
        process.wait()
        sys.stderr.write(log.read_text())


def log_of(environ: dict[str, str], kind: str) -> Path:
    return Path(environ["GATEPOST_DATA_DIR"]).with_name(f"{kind}.log")


def test_the_indexer_takes_in_what_is_written_while_it_runs(environ: dict[str, str]) -> None:
    config = config_from_environment(environ)
    store = open_store(config.store_url)
    with child("indexer", environ) as (process, life):
        journal = Journal.create(
            config.journal_dir, "proxy-1", SystemClock(), load_signing_key(config)
        )
        first = session_of(journal, 3)
        eventually(lambda: sessions.find(store, first, live=False).items)
        second = session_of(journal, 5)
        journal.close()
        process.send_signal(signal.SIGTERM)  # what is written before the end is taken in
        assert process.wait(30) == 0
        os.close(life)
    assert sessions.get(store, second).statements == 5
    rows = table(store, "SELECT writer FROM journal WHERE closed_at IS NOT NULL ORDER BY writer")
    assert rows == [("indexer",), ("proxy-1",)]


@pytest.mark.parametrize("kind", ["indexer", "scheduler"])
def test_a_job_ends_when_its_parent_has_gone(environ: dict[str, str], kind: str) -> None:
    with child(kind, environ) as (process, life):
        os.close(life)
        assert process.wait(30) == 0


@pytest.mark.parametrize(("kind", "name"), [("indexer", "audit_event"), ("scheduler", "job_slot")])
def test_a_job_waits_for_a_store_that_is_away(
    environ: dict[str, str], kind: str, name: str
) -> None:
    store = open_store(config_from_environment(environ).store_url)
    change(store, f"ALTER TABLE {name} RENAME TO away")
    log = log_of(environ, kind)
    with child(kind, environ) as (process, life):
        eventually(lambda: "nothing is lost meanwhile" in log.read_text())
        change(store, f"ALTER TABLE away RENAME TO {name}")
        eventually(lambda: re.search("works again|job done", log.read_text()))
        os.close(life)
        assert process.wait(30) == 0


def test_an_unknown_job_is_a_usage_error(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "appliance.jobs", "nothing"],
        env=environ, cwd=ROOT, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2 and b"usage" in done.stderr


@pytest.fixture
def moved_clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


def test_each_slot_of_a_job_runs_once_among_many_schedulers(
    store: Store, moved_clock: ManualClock
) -> None:
    ran: list[str] = []

    def job(name: str) -> Callable[[], str]:
        return lambda: ran.append(name) or "fine"  # type: ignore[func-returns-value]

    schedulers = [
        Scheduler(store, moved_clock, (Job("purge", timedelta(hours=1), job(name)),))
        for name in "abc"
    ]
    for _ in range(5):
        for scheduler in schedulers:
            scheduler.step()
        moved_clock.advance(timedelta(minutes=30))
    assert len(ran) == 3  # 12:00, 13:00, 14:00
    last = housekeeping.last_run(store, "purge")
    assert last is not None and last.outcome == "fine" and last.finished_at is not None


def test_a_job_that_fails_stops_no_other_and_says_why(
    store: Store, moved_clock: ManualClock
) -> None:
    def unreachable() -> str:
        raise Unreachable("port 5432 did not answer")

    def defect() -> str:
        raise KeyError("secret value")

    jobs = (
        Job("one", timedelta(hours=1), unreachable),
        Job("two", timedelta(hours=1), defect),
        Job("three", timedelta(hours=1), lambda: "fine"),
    )
    assert Scheduler(store, moved_clock, jobs).step() == 3
    outcomes = [housekeeping.last_run(store, name) for name in ("one", "two", "three")]
    assert [run.outcome for run in outcomes if run] == [
        "port 5432 did not answer", "defect: KeyError", "fine",
    ]  # fmt: skip


def test_purge_removes_what_has_expired_and_nothing_else(
    store: Store, moved_clock: ManualClock
) -> None:
    from appliance.store import throttles, workers
    from appliance.store.changes import change

    now = moved_clock.now()
    throttles.failed(store, now - timedelta(days=2), ("source 10.0.0.1",))
    throttles.failed(store, now, ("source 10.0.0.2",))
    workers.beat(store, now - timedelta(hours=2), workers.Beat("host/proxy-1", 1, 1, 0))
    workers.beat(store, now, workers.Beat("host/proxy-2", 2, 1, 0))
    with change(store, system_actor("test"), now - timedelta(days=900)) as doing:
        doing.note("old", "event")
    housekeeping.purge(store, now)
    assert table(store, "SELECT name FROM worker") == [("host/proxy-2",)]
    assert table(store, "SELECT key FROM throttle") == [("source 10.0.0.2",)]
    assert table(store, "SELECT action FROM audit_event") == [("old",)]
