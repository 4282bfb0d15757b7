"""A session as records: what is written for what happens in it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from appliance.clock import ManualClock
from appliance.entities import Durability
from appliance.errors import JournalUnavailable
from appliance.recording.journal import Journal
from appliance.recording.masked import MaskedColumn, from_json
from appliance.recording.parameters import MAX_PARAMETER_BYTES, BinaryValue, CutValue, recorded
from appliance.recording.recorder import (
    Decision,
    SessionRecorder,
    State,
    new_session_id,
    prepare,
)
from appliance.recording.records import TEXT_PART_CHARS, Kind
from tests.recording.samples import ALLOWED, BLOCKED, HELD, bodies_of, records_of, run, start

NewJournal = Callable[..., Journal]


def test_a_statement_is_in_the_journal_before_statement_returns(new_journal: NewJournal) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    seq = recorder.statement("select 1", (), ALLOWED, State.SENT, fingerprint="aa")
    assert seq == 1
    assert recorder.position == records_of(journal.path)[-1].end
    (body,) = bodies_of(journal.path, Kind.STATEMENT)
    assert body == {
        "session": recorder.session,
        "seq": 1,
        "at": 1795435200000000,
        "sha": sha256(b"select 1").hexdigest(),
        "text": "select 1",
        "state": "sent",
        "fingerprint": "aa",
        "verdict": {
            "action": "allow",
            "rule": "default",
            "reason": "nothing is stopped",
            "effects": [["select", "public.orders"]],
        },
    }


def test_a_session_begins_with_who_from_where_to_what(new_journal: NewJournal) -> None:
    journal = new_journal()
    SessionRecorder(journal, start(journal, reason="INC-42", peer="10.0.0.1", tls="TLSv1.3 X"))
    (body,) = bodies_of(journal.path, Kind.START)
    expected = {
        "identity": "ana@example.com", "credential": 12, "target": "shop", "database": "shop",
        "role": "app_ro", "source": "10.0.0.7", "source_port": 50123, "peer": "10.0.0.1",
        "reason": "INC-42", "tls": "TLSv1.3 X", "durability": "written",
    }  # fmt: skip
    assert {name: body[name] for name in expected} == expected


def test_an_outcome_follows_and_the_end_signs_the_head(new_journal: NewJournal) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    seq = recorder.statement("select 1", (), ALLOWED, State.SENT)
    masked = MaskedColumn("ssn", ("public.p.ssn",), "ids", "hash")
    recorder.outcome(seq, State.FAILED, duration_ms=1.23456, sqlstate="22012", masked=(masked,))
    recorder.end("client left", bytes_in=10, bytes_out=20)
    kinds = [record.kind for record in records_of(journal.path)]
    assert kinds[1:] == [Kind.START, Kind.STATEMENT, Kind.OUTCOME, Kind.END, Kind.HEAD]
    (outcome,) = bodies_of(journal.path, Kind.OUTCOME)
    assert (outcome["state"], outcome["sqlstate"]) == ("failed", "22012")
    assert outcome["duration_ms"] == 1.235
    assert from_json(outcome["masked"]) == (masked,)
    assert bodies_of(journal.path, Kind.END)[0]["bytes_out"] == 20


def test_a_text_is_written_once_in_a_segment_and_again_in_the_next(new_journal: NewJournal) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    other = SessionRecorder(journal, start(journal))
    for _ in range(400):
        run(recorder, "select 1 from orders")
        run(other, "select 1 from orders")
    by_segment: dict[int, int] = {}
    for record in records_of(journal.path):
        has_text = b'"text":"select 1 from orders"' in record.body
        by_segment[record.position >> 32] = by_segment.get(record.position >> 32, 0) + has_text
    assert len(by_segment) > 3
    assert set(by_segment.values()) == {1}


def test_a_very_long_text_is_written_whole_in_parts_before_its_statement(
    new_journal: NewJournal,
) -> None:
    journal = new_journal(segment_bytes=1 << 20)
    recorder = SessionRecorder(journal, start(journal))
    text = "select '" + "ä" * (2 * TEXT_PART_CHARS) + "'"
    recorder.statement(prepare(text), (), ALLOWED, State.SENT)
    parts = bodies_of(journal.path, Kind.TEXT)
    assert [part["part"] for part in parts] == [0, 1, 2]
    assert "".join(part["text"] for part in parts) == text
    kinds = [record.kind for record in records_of(journal.path)]
    assert kinds.index(Kind.STATEMENT) > kinds.index(Kind.TEXT)
    (statement,) = bodies_of(journal.path, Kind.STATEMENT)
    assert statement["sha"] == sha256(text.encode()).hexdigest() and "text" not in statement


def test_secrets_are_neither_in_the_text_nor_in_the_parameters(new_journal: NewJournal) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    recorder.statement("alter role x password 's3cr3t'", (), BLOCKED, State.REFUSED)
    recorder.statement("select dblink_connect($1)", ("s3cr3t", None), BLOCKED, State.REFUSED)
    journal.close()
    assert all(b"s3cr3t" not in file.read_bytes() for file in journal.path.glob("*.seg"))
    second = bodies_of(journal.path, Kind.STATEMENT)[1]
    assert second["parameters"] == [{"redacted": True}, None]


@pytest.mark.parametrize("text", ["select '\udcff'", "select '\x00'", "select '\U0001f600'", ""])
def test_odd_texts_are_recorded_and_never_an_error(new_journal: NewJournal, text: str) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal, application_name="\udc80odd"))
    recorder.statement(text, ("\ud800", b"\xff\xfe"), ALLOWED, State.SENT)
    (body,) = bodies_of(journal.path, Kind.STATEMENT)
    assert body["sha"] == sha256(body["text"].encode()).hexdigest()
    assert body["parameters"] == ["\\ud800", "\\xff\\xfe"]


def test_a_held_statement_is_released_by_a_decision_that_is_a_record(
    new_journal: NewJournal,
) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    seq = recorder.statement(
        "delete from orders", (), HELD, State.HELD, request_hash="ab" * 32, approval=7,
        durability=Durability.DURABLE,
    )  # fmt: skip
    recorder.sent(seq, Decision(7, "bo@example.com", "approved", "browser", "looks right"))
    recorder.outcome(seq, State.DONE, tag="DELETE 42", rows=42)
    (statement,) = bodies_of(journal.path, Kind.STATEMENT)
    assert (statement["approval"], statement["durability"]) == (7, "durable")
    released, done = bodies_of(journal.path, Kind.OUTCOME)
    assert released["decision"]["approver"] == "bo@example.com"
    assert (released["state"], done["state"]) == ("sent", "done")


def test_a_statement_that_cannot_be_recorded_gets_no_number(new_journal: NewJournal) -> None:
    journal = new_journal()
    recorder = SessionRecorder(journal, start(journal))
    journal.close()
    with pytest.raises(JournalUnavailable):
        recorder.statement("select 1", (), ALLOWED, State.SENT)
    recorder.outcome(1, State.DONE)  # what has happened never raises
    recorder.end("worker ended")
    assert bodies_of(journal.path, Kind.STATEMENT) == []


def test_parameters_are_bounded_and_say_how_long_they_were() -> None:
    big = "é" * MAX_PARAMETER_BYTES
    found = recorded(
        ["small", None, BinaryValue(b"\x00\x01", 17), big, "after", BinaryValue(b"x", 0)]
    )
    assert found[:3] == ["small", None, {"hex": "0001", "oid": 17}]
    cut = found[3]
    assert isinstance(cut, dict) and cut["length"] == 2 * MAX_PARAMETER_BYTES
    assert len(str(cut["text"]).encode()) <= MAX_PARAMETER_BYTES
    assert found[4:] == [{"text": "", "length": 5}, {"hex": "", "oid": 0, "length": 1}]


def test_a_value_that_came_cut_says_so_too() -> None:
    found = recorded([CutValue("abc", 500), CutValue(BinaryValue(b"\x01", 17), 9), "later"])
    assert found == [
        {"text": "abc", "length": 500},
        {"hex": "01", "oid": 17, "length": 9},
        {"text": "", "length": 5},
    ]


def test_session_ids_sort_by_time_and_differ(clock: ManualClock) -> None:
    from datetime import timedelta

    first = {new_session_id(clock) for _ in range(1000)}
    clock.advance(timedelta(seconds=1))
    later = new_session_id(clock)
    assert len(first) == 1000 and max(first) < later
    assert all(len(one) == 16 and one.isalnum() for one in first)
