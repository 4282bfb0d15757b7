"""``audit verify`` finds whatever was changed, removed, added, reordered or swapped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.clock import ManualClock
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.reading import segment_numbers
from appliance.recording.recorder import SessionRecorder, State
from appliance.recording.records import (
    HEADER_BYTES,
    Kind,
    first_chain,
    next_chain,
    segment_name,
)
from appliance.recording.retention import remove_segments
from appliance.recording.signing import Signer
from appliance.recording.verify import Report, verify
from appliance.store.database import Store
from tests.recording.samples import (
    ALLOWED,
    change,
    recorded_journal,
    records_of,
    run,
    start,
    table,
)

NewJournal = Callable[..., Journal]


@pytest.fixture
def journal(
    new_journal: NewJournal,
    sqlite_store: Store,
    directory: Path,
    clock: ManualClock,
    signer: Signer,
) -> Journal:
    return recorded_journal(new_journal, sqlite_store, directory, clock, signer)


@pytest.fixture
def look(sqlite_store: Store, directory: Path, signer: Signer) -> Callable[..., Report]:
    def verified(head: str | None = None) -> Report:
        return verify(directory, sqlite_store, head, public_key=signer.public_key)

    return verified


@contextmanager
def put_back(directory: Path) -> Iterator[None]:
    """Undo what is done to the files inside."""
    kept = directory.with_name("kept")
    shutil.copytree(directory, kept)
    try:
        yield
    finally:
        shutil.rmtree(directory)
        kept.rename(directory)


def test_an_untouched_record_is_whole(journal: Journal, look: Callable[..., Report]) -> None:
    report = look()
    assert report.problems == ()
    assert report.journals == 2 and report.heads >= 6 and report.unindexed == 0


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_flipped_bit_of_a_segment_is_found(
    journal: Journal, directory: Path, look: Callable[..., Report], data: st.DataObject
) -> None:
    files = sorted(directory.glob("*/*.seg"))
    file = data.draw(st.sampled_from(files))
    original = file.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    bit = data.draw(st.integers(0, 7))
    touched = bytearray(original)
    touched[at] ^= 1 << bit
    file.write_bytes(touched)
    try:
        report = look()
    finally:
        file.write_bytes(original)
    assert any(problem.where.startswith(file.parent.name) for problem in report.problems)


def test_every_byte_of_a_header_and_of_the_last_records_counts(
    journal: Journal, look: Callable[..., Report]
) -> None:
    file = journal.path / segment_name(segment_numbers(journal.path)[-1])
    original = file.read_bytes()
    places = [*range(0, HEADER_BYTES, 7), *range(HEADER_BYTES, len(original), 53)]
    try:
        for at in [*places, len(original) - 1]:
            touched = bytearray(original)
            touched[at] ^= 0x01
            file.write_bytes(touched)
            assert not look().is_whole, f"byte {at}"
    finally:
        file.write_bytes(original)
    assert look().is_whole


def cut_out(journal: Journal, kind: Kind, index: int = 0) -> None:
    """Remove one record from its segment, leaving the rest as it is."""
    record = [r for r in records_of(journal.path) if r.kind == kind][index]
    file = journal.path / segment_name(record.position >> 32)
    data = file.read_bytes()
    file.write_bytes(data[: record.position & 0xFFFFFFFF] + data[record.end & 0xFFFFFFFF :])


def repeat(journal: Journal, kind: Kind) -> None:
    """Add a copy of a record after itself."""
    record = next(r for r in records_of(journal.path) if r.kind == kind)
    file = journal.path / segment_name(record.position >> 32)
    data = file.read_bytes()
    first, end = record.position & 0xFFFFFFFF, record.end & 0xFFFFFFFF
    file.write_bytes(data[:end] + data[first:end] + data[end:])


def swap(journal: Journal) -> None:
    """Put two neighbours the other way round."""
    first = next(r for r in records_of(journal.path) if r.kind == Kind.OUTCOME)
    between = next(r for r in records_of(journal.path) if r.position == first.end)
    file = journal.path / segment_name(first.position >> 32)
    data = file.read_bytes()
    a, b, c = first.position & 0xFFFFFFFF, first.end & 0xFFFFFFFF, between.end & 0xFFFFFFFF
    file.write_bytes(data[:a] + data[b:c] + data[a:b] + data[c:])


def swap_segments(journal: Journal) -> None:
    two, three = journal.path / segment_name(2), journal.path / segment_name(3)
    first, second = two.read_bytes(), three.read_bytes()
    two.write_bytes(second)
    three.write_bytes(first)


def rewrite_the_chain(journal: Journal) -> None:
    """Change a record of the last segment and recompute all hashes after it, unsigned."""
    import struct
    import zlib

    number = segment_numbers(journal.path)[-1]
    file = journal.path / segment_name(number)
    data = file.read_bytes()
    records = [r for r in records_of(journal.path) if r.position >> 32 == number]
    before = [r for r in records_of(journal.path) if r.position >> 32 == number - 1][-1].chain
    chain = first_chain(before, data[:HEADER_BYTES])
    made = data[:HEADER_BYTES]
    for record in records:
        body = record.body.replace(b"10.0.0.9", b"10.0.0.8")
        chain = next_chain(chain, record.kind, body)
        rest = chain + body
        made += struct.pack("<IIB", len(body), zlib.crc32(rest), record.kind) + rest
    file.write_bytes(made)


TOUCHED: dict[str, Callable[[Journal], object]] = {
    "a statement removed": lambda j: cut_out(j, Kind.STATEMENT, 5),
    "the first record removed": lambda j: cut_out(j, Kind.JOURNAL),
    "a session's end removed": lambda j: cut_out(j, Kind.END),
    "the last record removed": lambda j: cut_out(j, Kind.HEAD, -1),
    "the close removed": lambda j: cut_out(j, Kind.CLOSE),
    "a record added": lambda j: repeat(j, Kind.STATEMENT),
    "two records swapped": swap,
    "two segments swapped": swap_segments,
    "the first segment removed": lambda j: (j.path / segment_name(1)).unlink(),
    "a middle segment removed": lambda j: (j.path / segment_name(2)).unlink(),
    "the last segment removed": lambda j: max(j.path.glob("*.seg")).unlink(),
    "bytes added at the end": lambda j: max(j.path.glob("*.seg")).open("ab").write(b"more"),
    "the chain recomputed without the key": rewrite_the_chain,
    "the journal removed": lambda j: shutil.rmtree(j.path),
    "all segments removed": lambda j: [file.unlink() for file in j.path.glob("*.seg")],
}


def test_a_touched_journal_is_found(
    journal: Journal,
    directory: Path,
    look: Callable[..., Report],
    subtests: pytest.Subtests,
) -> None:
    for name, touch in TOUCHED.items():
        with subtests.test(name):
            with put_back(directory):
                touch(journal)
                report = look()
            assert not report.is_whole
            assert report.problems[0].where.startswith(journal.name)
    assert look().is_whole


def test_a_head_that_was_witnessed_lies_on_the_chain(
    journal: Journal, look: Callable[..., Report]
) -> None:
    chains = [record.chain.hex() for record in records_of(journal.path)]
    for head in (chains[0], chains[20], chains[-1]):
        report = look(head)
        assert report.is_whole and report.head_at.startswith(journal.name)
    assert look(look().latest_head).is_whole


def test_a_head_that_was_never_written_is_a_problem(
    journal: Journal, look: Callable[..., Report]
) -> None:
    report = look("ab" * 32)
    assert [str(problem) for problem in report.problems] == [
        f"head {'ab' * 32}: lies on no chain of this appliance"
    ]


def test_another_signing_key_is_found(
    journal: Journal, directory: Path, sqlite_store: Store, look: Callable[..., Report]
) -> None:
    other = Signer.from_master_key(b"o" * 32)
    report = verify(directory, sqlite_store, public_key=other.public_key)
    assert "another signing key" in report.problems[0].what


def test_a_journal_removed_with_all_its_rows_is_still_missed(
    journal: Journal, sqlite_store: Store, look: Callable[..., Report]
) -> None:
    shutil.rmtree(journal.path)
    for name in ("session", "statement", "record_event"):
        change(sqlite_store, f"DELETE FROM {name} WHERE journal = '{journal.name}'")
    change(sqlite_store, "DELETE FROM journal WHERE writer = 'proxy-1'")
    change(sqlite_store, "DELETE FROM statement_text")
    report = look()
    assert [str(problem) for problem in report.problems] == [
        f"{journal.name}: another journal vouches for it, but its files are gone"
    ]


def test_segments_that_retention_removed_leave_the_rest_whole(
    journal: Journal, look: Callable[..., Report], signer: Signer
) -> None:
    assert remove_segments(journal.path, 3, signer) == 2
    assert segment_numbers(journal.path)[0] == 3
    assert look().is_whole
    touched = bytearray((journal.path / "removed.head").read_bytes())
    touched[20] ^= 1
    (journal.path / "removed.head").write_bytes(touched)
    assert "no signed head vouches" in look().problems[0].what


def test_a_journal_that_is_being_written_and_half_taken_in_is_whole(
    new_journal: NewJournal,
    sqlite_store: Store,
    directory: Path,
    clock: ManualClock,
    signer: Signer,
    look: Callable[..., Report],
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    open_one = recorder.statement("select pg_sleep(9)", (), ALLOWED, State.SENT)
    run(recorder, "select 1")
    assert look().is_whole and look().unindexed == 5
    indexer = Indexer(sqlite_store, directory, clock, signer)
    while indexer.step():
        pass
    clock.advance(timedelta(seconds=9))
    recorder.outcome(open_one, State.DONE, tag="SELECT 1", rows=1)
    report = look()
    assert report.problems == () and report.unindexed == 1
    assert table(sqlite_store, "SELECT state FROM statement ORDER BY seq") == [("sent",), ("done",)]
    indexer.close()
