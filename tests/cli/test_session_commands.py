"""``gatepost session`` and ``gatepost audit verify`` as a shell user sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.config import config_from_environment
from appliance.recording.journal import Journal
from appliance.recording.recorder import BinaryValue, SessionRecorder, State
from appliance.sealing import load_signing_key
from appliance.store import kills
from appliance.store.database import open_store
from tests.harness import shell
from tests.harness.shell import Done
from tests.harness.store import migrated
from tests.recording.samples import ALLOWED, BLOCKED, records_of, start

Run = Callable[..., Done]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")},
        "GATEPOST_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def gatepost(environ: dict[str, str]) -> Run:
    return partial(shell.gatepost, environ)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


@pytest.fixture
def journal(environ: dict[str, str], clock: ManualClock) -> Iterator[Journal]:
    """A worker's journal of a migrated appliance."""
    config = config_from_environment(environ)
    migrated(config.store_url).close()
    made = Journal.create(config.journal_dir, "proxy-1", clock, load_signing_key(config))
    yield made
    made.close()


@pytest.fixture
def session(journal: Journal, clock: ManualClock) -> str:
    """An ended session of two statements, ten minutes apart."""
    recorder = SessionRecorder(journal, start(journal))
    parameters = ("x'y", None, BinaryValue(b"\x01\xff", 17))
    seq = recorder.statement("select \x1b[2J $1\nfrom t", parameters, ALLOWED, State.SENT)
    recorder.outcome(seq, State.DONE, tag="SELECT 3", rows=3, duration_ms=12.5, bytes_out=9)
    clock.advance(timedelta(minutes=10))
    seq = recorder.statement("drop table t", (), BLOCKED, State.REFUSED)
    recorder.outcome(seq, State.REFUSED, sqlstate="42501")
    recorder.end("client left")
    return recorder.session


def test_show_has_exactly_the_fields_of_the_contract(gatepost: Run, session: str) -> None:
    done = gatepost("session", "show", session, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    statements = found.pop("statements")
    assert found == {
        "id": session, "identity": "ana@example.com", "credential": "c-12", "target": "shop",
        "database": "shop", "role": "app_ro", "source": "10.0.0.7", "application_name": "psql",
        "started": "2026-11-23T12:00:00+00:00", "ended": "2026-11-23T12:10:00+00:00",
        "end_reason": "client left",
    }  # fmt: skip
    assert statements[0] == {
        "seq": 1, "at": "2026-11-23T12:00:00+00:00", "text": "select \x1b[2J $1\nfrom t",
        "parameters": ["x'y", None, {"hex": "01ff", "oid": 17}], "verdict": "allow",
        "rule": "default", "reason": "nothing is stopped", "state": "done", "tag": "SELECT 3",
        "rows": 3, "duration_ms": 12.5, "sqlstate": "", "masked": [],
    }  # fmt: skip
    assert (statements[1]["state"], statements[1]["sqlstate"]) == ("refused", "42501")


def test_a_terminal_is_not_driven_by_what_a_client_sent(gatepost: Run, session: str) -> None:
    for arguments in (("show", session), ("replay", session, "--speed", "1000")):
        done = gatepost("session", *arguments)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout and "\\x1b[2J" in done.stdout


def test_replay_says_the_gaps_it_shortens(gatepost: Run, session: str) -> None:
    done = gatepost("session", "replay", session, "--speed", "100")
    assert "10 min idle" in done.stdout
    assert "[block by no-ddl: schema changes go through the pipeline]" in done.stdout


def test_list_finds_and_filters(gatepost: Run, session: str) -> None:
    assert [one["id"] for one in json.loads(gatepost("session", "list", "--json").stdout)] == [
        session
    ]
    assert json.loads(gatepost("session", "list", "--live", "--json").stdout) == []
    assert session in gatepost("session", "list", "psql").stdout
    assert "No session fits" in gatepost("session", "list", "--identity", "nobody").stdout
    wrong = gatepost("session", "list", "--since", "yesterday")
    assert wrong.returncode == 2 and "expected 2h, 7d" in wrong.stderr


def test_export_gives_the_places_in_the_journal(
    gatepost: Run, session: str, journal: Journal
) -> None:
    found = json.loads(gatepost("session", "export", session).stdout)
    assert found["session"]["journal"] == journal.name
    positions = {record.position for record in records_of(journal.path)}
    assert {statement["position"] for statement in found["statements"]} <= positions


def test_an_unknown_session_is_a_no(gatepost: Run, session: str) -> None:
    for name in ("show", "kill", "export", "replay"):
        done = gatepost("session", name, "nope")
        assert done.returncode == 1
        assert done.stderr == "gatepost: no session has the id nope\n"


def test_an_ended_session_cannot_be_killed(gatepost: Run, session: str) -> None:
    done = gatepost("session", "kill", session)
    assert done.returncode == 1 and "has ended already (client left)" in done.stderr


def test_kill_asks_the_worker_and_says_when_none_answers(
    gatepost: Run, journal: Journal, environ: dict[str, str]
) -> None:
    recorder = SessionRecorder(journal, start(journal))
    done = gatepost("session", "kill", recorder.session, "--reason", "INC-42")
    assert done.returncode == 1 and "is gatepost serve running?" in done.stderr
    store = open_store(config_from_environment(environ).store_url)
    (asked,) = kills.open(store)
    assert (asked.session_id, asked.reason) == (recorder.session, "INC-42")


def test_an_appliance_that_is_not_there_exits_3(gatepost: Run) -> None:
    for arguments in (("session", "list"), ("audit", "verify")):
        done = gatepost(*arguments)
        assert done.returncode == 3 and "there is no store" in done.stderr


def test_verify_says_whole_and_knows_its_heads(
    gatepost: Run, session: str, journal: Journal
) -> None:
    done = gatepost("audit", "verify")
    assert done.returncode == 0 and "whole: every record" in done.stdout
    head = records_of(journal.path)[-1].chain.hex()
    known = gatepost("audit", "verify", "--head", head, "--json")
    assert known.stderr == ""
    found = json.loads(known.stdout)
    assert found["whole"] and found["head_at"].startswith(journal.name)
    other = gatepost("audit", "verify", "--head", "ab" * 32)
    assert other.returncode == 1 and "lies on no chain" in other.stdout
    assert gatepost("audit", "verify", "--head", "xyz").returncode == 2
    assert gatepost("audit", "verify", "--public-key", "cd" * 32).returncode == 1


def test_verify_prints_the_first_broken_record(
    gatepost: Run, session: str, journal: Journal
) -> None:
    journal.close()
    record = records_of(journal.path)[3]
    segment = journal.path / "000001.seg"
    data = bytearray(segment.read_bytes())
    data[(record.position & 0xFFFFFFFF) + 60] ^= 1
    segment.write_bytes(data)
    done = gatepost("audit", "verify")
    assert done.returncode == 1
    offset = record.position & 0xFFFFFFFF
    assert f"BROKEN: {journal.name} 000001.seg byte {offset}: " in done.stdout
