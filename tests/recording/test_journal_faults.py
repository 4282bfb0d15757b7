"""The journal when things die: its writer, the space on its disk."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.errors import JournalUnavailable
from appliance.recording.adoption import DIED, adopt
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.reading import journals_in
from appliance.recording.recorder import SessionRecorder, State
from appliance.recording.records import Header, Kind, pack_header, place_of, segment_name
from appliance.recording.signing import Signer
from appliance.recording.verify import verify
from appliance.store.database import Store
from tests.harness.polling import eventually
from tests.recording.samples import ALLOWED, bodies_of, records_of, run, start, table

ROOT = Path(__file__).parent.parent.parent


def write_until_killed(directory: Path, moment_s: float, *, mapped: bool = True) -> set[str]:
    """Let a process record and kill it; return what it said it had recorded."""
    said = directory.parent / "said"
    with said.open("wb") as out:
        writer = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.recording.writer"),
                *(str(directory), "65536", "mapped" if mapped else "written"),
            ],
            stdout=out,
            cwd=ROOT,
        )
        try:
            eventually(lambda: said.stat().st_size)
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(moment_s)
        finally:
            writer.kill()
            writer.wait()
    return {line for line in said.read_text().splitlines(keepends=True) if line.endswith("\n")}


@pytest.mark.parametrize("mapped", [True, False])
def test_kill_9_at_random_moments_loses_nothing_that_was_recorded(
    directory: Path, sqlite_store: Store, clock: ManualClock, signer: Signer, mapped: bool
) -> None:
    chance = random.Random(4711)  # noqa: S311 - moments, no secrets
    said: set[str] = set()
    for _ in range(4):
        said |= write_until_killed(directory, chance.uniform(0.0, 0.2), mapped=mapped)
    recorded = {
        f"{body['session']} {body['seq']}\n"
        for path in journals_in(directory)
        for body in bodies_of(path, Kind.STATEMENT)
    }
    assert said and said <= recorded
    indexer = Indexer(sqlite_store, directory, clock, signer)
    while indexer.step():
        pass
    indexer.close()
    stored = table(sqlite_store, "SELECT session_id, seq FROM statement")
    assert {f"{session} {seq}\n" for session, seq in stored} == recorded
    assert len(stored) == len(recorded)
    ends = {row[0] for row in table(sqlite_store, "SELECT end_reason FROM session")}
    assert ends == {DIED}
    report = verify(directory, sqlite_store, public_key=signer.public_key)
    assert report.problems == () and report.unindexed == 0


@pytest.mark.parametrize("torn", [b"\x40\0\0\0", b"\0\0\0\0\x99\x99rest of a record", b"\xff" * 60])
def test_a_torn_tail_is_cut_and_that_is_a_record(
    directory: Path, sqlite_store: Store, clock: ManualClock, signer: Signer, torn: bytes
) -> None:
    write_until_killed(directory, 0.02)
    (path,) = journals_in(directory)
    whole = records_of(path)
    number, used = place_of(whole[-1].end)
    segment = path / segment_name(number)
    with segment.open("r+b") as file:
        file.truncate(used)  # the kill may have left half a record of its own
        file.seek(used)
        file.write(torn)
    indexer = Indexer(sqlite_store, directory, clock, signer)
    while indexer.step():
        pass
    indexer.close()
    (event,) = bodies_of(path, Kind.EVENT)
    assert event["event"] == "journal adopted"
    assert event["cut"]["bytes"] == len(torn.rstrip(b"\0"))
    (kept,) = path.glob("*.torn")
    assert kept.read_bytes() == torn.rstrip(b"\0")
    assert [r.body for r in records_of(path)][: len(whole)] == [r.body for r in whole]
    assert verify(directory, sqlite_store, public_key=signer.public_key).is_whole


def test_a_segment_that_was_begun_but_holds_no_record_is_cut_away(
    directory: Path, sqlite_store: Store, clock: ManualClock, signer: Signer
) -> None:
    write_until_killed(directory, 0.02)
    (path,) = journals_in(directory)
    last = records_of(path)[-1]
    number, used = place_of(last.end)
    os.truncate(path / segment_name(number), used)
    with (path / segment_name(number + 1)).open("wb") as file:
        file.write(pack_header(Header(path.name, number + 1, last.chain)) + bytes(1000))
    indexer = Indexer(sqlite_store, directory, clock, signer)
    while indexer.step():
        pass
    indexer.close()
    assert table(sqlite_store, "SELECT DISTINCT end_reason FROM session") == [(DIED,)]
    assert verify(directory, sqlite_store, public_key=signer.public_key).is_whole


def test_a_journal_that_lost_what_the_store_has_is_not_adopted_but_reported(
    directory: Path, sqlite_store: Store, clock: ManualClock, signer: Signer
) -> None:
    write_until_killed(directory, 0.02)
    (path,) = journals_in(directory)
    reader = Indexer(sqlite_store, directory, clock)  # takes in only
    while reader.step():
        pass
    number, keep = place_of(records_of(path)[-3].end)
    segment = path / segment_name(number)
    os.truncate(segment, keep)
    before = segment.read_bytes()
    indexer = Indexer(sqlite_store, directory, clock, signer)
    while indexer.step():
        pass
    indexer.close()
    assert segment.read_bytes() == before
    problem = verify(directory, sqlite_store, public_key=signer.public_key).problems[0]
    assert problem.where.startswith(path.name)


def test_the_journal_of_a_writer_that_lives_is_left_alone(
    directory: Path, sqlite_store: Store, clock: ManualClock, signer: Signer
) -> None:
    journal = Journal.create(directory, "proxy-1", clock, signer)
    recorder = SessionRecorder(journal, start(journal))
    run(recorder, "select 1")
    indexer = Indexer(sqlite_store, directory, clock, signer)
    while indexer.step():
        pass
    assert not adopt(journal.path, None, sqlite_store, clock, signer)
    assert bodies_of(journal.path, Kind.EVENT) == []
    assert table(sqlite_store, "SELECT ended_at FROM session") == [(None,)]
    journal.close()
    indexer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_full_disk_refuses_statements_and_space_lets_them_go_on(
    small_disk: Path, clock: ManualClock, signer: Signer, mapped: bool
) -> None:
    ballast = small_disk / "ballast"
    journal = Journal.create(
        small_disk / "journal", "proxy-1", clock, signer, segment_bytes=128 << 10, mapped=mapped
    )
    ballast.write_bytes(bytes(400 << 10))
    recorder = SessionRecorder(journal, start(journal))
    seqs = []
    with pytest.raises(JournalUnavailable, match="No space left") as raised:
        for number in range(100_000):
            seqs.append(
                recorder.statement(f"select {number} /* {'x' * 500} */", (), ALLOWED, State.SENT)
            )
    assert "make room" in raised.value.hint
    with pytest.raises(JournalUnavailable):
        journal.event("small")  # what is left of the last segment is for outcomes
    recorder.outcome(seqs[0], State.DONE, tag="SELECT 1")
    assert [body["seq"] for body in bodies_of(journal.path, Kind.OUTCOME)] == [seqs[0]]
    while journal.append_late(Kind.EVENT, b'{"event":"filler"}') is not None:
        continue
    recorder.outcome(seqs[-1], State.DONE, tag="SELECT 1")  # has happened: must not be lost
    recorder.end("client left")
    assert [body["seq"] for body in bodies_of(journal.path, Kind.STATEMENT)] == seqs
    assert bodies_of(journal.path, Kind.END) == []
    ballast.unlink()
    second = SessionRecorder(journal, start(journal))
    assert second.statement("select 1", (), ALLOWED, State.SENT) == 1
    second.end("client left")
    journal.close()
    ends = [body["session"] for body in bodies_of(journal.path, Kind.END)]
    assert ends == [recorder.session, second.session]
    assert [body["seq"] for body in bodies_of(journal.path, Kind.OUTCOME)] == [
        seqs[0],
        seqs[-1],
    ]
    assert [body["seq"] for body in bodies_of(journal.path, Kind.STATEMENT)] == [*seqs, 1]


def test_a_limit_on_file_sizes_is_an_error_not_a_signal(
    directory: Path, clock: ManualClock, signer: Signer
) -> None:
    journal = Journal.create(directory, "proxy-1", clock, signer, segment_bytes=64 << 10)
    eventually(lambda: len(list(journal.path.glob("*.seg"))) == 2)  # the spare one is made
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(JournalUnavailable, match="File too large"):
            while True:
                journal.append(Kind.EVENT, b'{"event":"%s"}' % (b"x" * 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    count = len(bodies_of(journal.path, Kind.EVENT))
    assert count > 60
    journal.event("goes on")
    assert len(bodies_of(journal.path, Kind.EVENT)) == count + 1
    journal.close()
