"""The journal: what was appended is there, in order, chained, in segments."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import JournalUnavailable
from appliance.recording.journal import Journal
from appliance.recording.journal_files import lock_journal
from appliance.recording.reading import segment_numbers
from appliance.recording.records import (
    GENESIS,
    Header,
    Kind,
    TornRecord,
    head_message,
    pack_header,
    unpack_header,
    unpack_record,
)
from appliance.recording.signing import Signer, signature_holds
from tests.harness.polling import eventually
from tests.recording.samples import bodies_of, records_of

NewJournal = Callable[..., Journal]


def test_a_segment_header_is_read_back_as_it_was_written() -> None:
    header = Header("proxy-1-ä", 7, b"\x07" * 32)
    assert unpack_header(pack_header(header)) == header


def test_a_segment_that_was_not_begun_has_no_header() -> None:
    assert unpack_header(bytes(512)) is None


@pytest.mark.parametrize("at", [0, 4, 9, 13, 20, 60, 511])
def test_a_header_with_another_byte_is_refused(at: int) -> None:
    block = bytearray(pack_header(Header("proxy-1", 1, GENESIS)))
    block[at] ^= 0x40
    with pytest.raises(TornRecord):
        unpack_header(bytes(block))


def test_zeros_are_no_record_and_an_unfinished_one_is_torn() -> None:
    assert unpack_record(bytes(100), 0, 0) is None
    with pytest.raises(TornRecord):
        unpack_record(b"\x05\0\0\0" + bytes(20), 0, 0)


@pytest.mark.parametrize("mapped", [True, False])
def test_appended_records_are_read_back_in_order(new_journal: NewJournal, mapped: bool) -> None:
    journal = new_journal(mapped=mapped)
    ends = [journal.append(Kind.EVENT, b'{"event":"%d"}' % n) for n in range(500)]
    found = [record for record in records_of(journal.path) if record.kind == Kind.EVENT]
    assert [record.body for record in found] == [b'{"event":"%d"}' % n for n in range(500)]
    assert [record.end for record in found] == ends == sorted(ends)
    assert journal.position == ends[-1]


@pytest.mark.parametrize("mapped", [True, False])
def test_records_go_on_in_further_segments_and_full_ones_are_cut(
    new_journal: NewJournal, mapped: bool
) -> None:
    journal = new_journal(mapped=mapped)
    for number in range(300):
        journal.append(Kind.EVENT, b'{"event":"x","n":%d,"pad":"%s"}' % (number, b"." * 900))
    journal.close()
    assert len(segment_numbers(journal.path)) > 3
    assert [body["n"] for body in bodies_of(journal.path, Kind.EVENT)] == list(range(300))
    for segment in journal.path.glob("*.seg"):
        data = segment.read_bytes()
        assert len(data) <= 64 << 10 and data[-1:] != b"\0"


def test_a_record_larger_than_a_segment_gets_a_segment_of_its_own(new_journal: NewJournal) -> None:
    journal = new_journal()
    journal.append(Kind.EVENT, b'{"event":"%s"}' % (b"x" * (200 << 10)))
    journal.append(Kind.EVENT, b'{"event":"small"}')
    journal.close()
    assert [len(body["event"]) for body in bodies_of(journal.path, Kind.EVENT)] == [200 << 10, 5]


def test_a_record_over_the_limit_is_refused_and_nothing_is_written(new_journal: NewJournal) -> None:
    journal = new_journal()
    before = journal.position
    with pytest.raises(JournalUnavailable, match="larger"):
        journal.append(Kind.EVENT, b"x" * (9 << 20))
    assert journal.position == before
    journal.append(Kind.EVENT, b'{"event":"goes on"}')


def test_a_journal_begins_with_who_writes_it_and_ends_closed_and_signed(
    new_journal: NewJournal, signer: Signer
) -> None:
    journal = new_journal("proxy-3")
    journal.event("something", actor="ana")
    journal.close()
    kinds = [record.kind for record in records_of(journal.path)]
    assert kinds == [Kind.JOURNAL, Kind.EVENT, Kind.CLOSE, Kind.HEAD]
    first = bodies_of(journal.path, Kind.JOURNAL)[0]
    assert (first["journal"], first["writer"]) == (journal.name, "proxy-3")
    assert first["key"] == signer.public_key.hex()
    assert first["appliance"] == (journal.path.parent / "appliance").read_text().strip()
    head = bodies_of(journal.path, Kind.HEAD)[0]
    message = head_message(journal.name, head["position"], bytes.fromhex(head["head"]))
    assert signature_holds(signer.public_key, bytes.fromhex(head["signature"]), message)
    assert head["head"] == records_of(journal.path)[2].chain.hex()


def test_a_closed_journal_takes_nothing_more(new_journal: NewJournal) -> None:
    journal = new_journal()
    journal.close()
    journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.event("late")
    assert len(records_of(journal.path)) == 3


def test_nobody_else_can_write_a_journal_while_its_writer_lives(new_journal: NewJournal) -> None:
    journal = new_journal()
    assert lock_journal(journal.path) is None
    journal.close()
    free = lock_journal(journal.path)
    assert free is not None
    os.close(free)


def test_a_waiter_is_told_once_its_record_is_on_the_medium(new_journal: NewJournal) -> None:
    journal = new_journal()
    told: list[JournalUnavailable | None] = []
    position = journal.event("important")
    journal.when_durable(position, told.append)
    eventually(lambda: told)
    assert told == [None]
    assert journal.durable_position >= position


def test_what_nobody_waits_for_is_synced_too(new_journal: NewJournal) -> None:
    journal = new_journal()
    position = journal.event("ordinary")
    eventually(lambda: journal.durable_position >= position)


def test_a_mistaken_callback_does_not_end_the_syncing(new_journal: NewJournal) -> None:
    journal = new_journal()

    def mistake(_: JournalUnavailable | None) -> None:
        raise RuntimeError("mine")

    journal.when_durable(journal.event("one"), mistake)
    told: list[JournalUnavailable | None] = []
    journal.when_durable(journal.event("two"), told.append)
    eventually(lambda: told)


def test_a_medium_that_refuses_a_sync_refuses_records_until_it_takes_one_again(
    new_journal: NewJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal()
    journal.event("before")
    eventually(lambda: journal.durable_position == journal.position)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    told: list[JournalUnavailable | None] = []
    lost = journal.event("lost, perhaps")
    journal.when_durable(lost, told.append)
    eventually(lambda: told)
    assert isinstance(told[0], JournalUnavailable)
    with pytest.raises(JournalUnavailable, match="Input/output error"):
        journal.event("refused")
    monkeypatch.undo()
    after = journal.event("goes on")
    journal.when_durable(after, told.append)
    eventually(lambda: len(told) == 2)
    assert told[1] is None
    journal.when_durable(lost, told.append)
    eventually(lambda: len(told) == 3)
    assert isinstance(told[2], JournalUnavailable)  # what was lost is never promised
    journal.close()
    events = [body["event"] for body in bodies_of(journal.path, Kind.EVENT)]
    assert events == ["before", "lost, perhaps", "journal sync failed", "goes on"]


def test_a_forked_child_has_no_journal_and_does_not_keep_the_lock(new_journal: NewJournal) -> None:
    journal = new_journal()
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            journal.event("from the child")
            os.write(ready_write, b"wrote")
        except JournalUnavailable:
            os.write(ready_write, b"refused")
        signal.pause()
    try:
        assert os.read(ready_read, 20) == b"refused"
        journal.event("from the parent")
        journal.close()
        free = lock_journal(journal.path)
        assert free is not None
        os.close(free)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready_read)
        os.close(ready_write)
    assert [body["event"] for body in bodies_of(journal.path, Kind.EVENT)] == ["from the parent"]


def test_sessions_left_open_are_ended_when_their_worker_ends(new_journal: NewJournal) -> None:
    journal = new_journal()
    journal.sessions.update({"one", "two"})
    journal.close()
    ends = bodies_of(journal.path, Kind.END)
    assert [(body["session"], body["reason"]) for body in ends] == [
        ("one", "worker ended"),
        ("two", "worker ended"),
    ]


def test_a_directory_that_cannot_be_made_says_what_to_do(
    tmp_path: Path, clock: object, signer: Signer
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable, match="journal cannot be written") as raised:
        Journal.create(tmp_path / "file" / "journal", "proxy-1", clock, signer)  # type: ignore[arg-type]
    assert "permissions" in raised.value.hint
