"""Transcripts of holds: looked at anew, recorded, asked, and every way in which they end."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from appliance.approvals.requests import RequestState, Settlement
from appliance.entities import PolicyRule
from appliance.errors import JournalUnavailable
from proxy import hold_words
from proxy.commands import AwaitDisk, OpenHold, PassCancel, Prepare, Wait
from proxy.decision import Need
from proxy.holds import Hold, Stage
from proxy.refusal import Refusal
from proxy.wire import backend, codes, frontend
from proxy.wire.backend import BIND_COMPLETE, NO_DATA, PARSE_COMPLETE
from tests.proxy.playbook import (
    FAILED,
    IDLE,
    OPEN,
    STATE_ROW,
    Play,
    bind,
    done,
    error,
    execute,
    parse,
    poisoned,
    query,
)

ASK = PolicyRule(name="ears", action="approve", commands=("listen",))
HELD = "listen secrets"
SYNC, FLUSH = frontend.Sync(), frontend.Flush()
MOVED = orjson.dumps({**orjson.loads(STATE_ROW), "path": ["pg_catalog", "aside"]})


def looked(play: Play, row: bytes = STATE_ROW, *, synced: bool = True) -> None:
    """Let names and catalog be read anew."""
    play.answer_exchange(row, synced=synced)
    (command,) = play.session.commands
    assert isinstance(command, Prepare) and command.need is Need.CATALOG
    play.session.commands.clear()
    play.session.resume()


def asked(play: Play, *, synced: bool = True) -> Hold:
    """Go on to where the shell is asked to ask; the store gives number 17."""
    looked(play, synced=synced)
    (command,) = play.session.commands
    assert isinstance(command, OpenHold)
    play.session.commands.clear()
    hold = command.hold
    assert (play.session.wait, hold.stage) == (Wait.HOLD, Stage.ASKING)
    hold.may_still = lambda _verdict, name: "" if name == "bo" else f"{name} may not"
    hold.settlement = Settlement(17, RequestState.WAITING)
    hold.stage = Stage.WAITING
    return hold


def settle(play: Play, hold: Hold, state: RequestState, **more: Any) -> None:
    hold.settled(Settlement(17, state, "bo", "browser", **more))
    play.session.resume()


def approve(play: Play, hold: Hold, *, synced: bool = True) -> None:
    settle(play, hold, RequestState.APPROVED)
    looked(play, synced=synced)


def on_disk(play: Play, *, failed: bool = False) -> None:
    (command,) = play.session.commands
    assert isinstance(command, AwaitDisk)
    play.session.commands.clear()
    play.session.ready_failed = failed
    play.session.resume()


def codes_of(messages: list[Any]) -> list[str]:
    return [m.sqlstate for m in messages if m.kind == codes.ERROR_RESPONSE]


def test_it_is_recorded_durably_with_its_hash_before_anybody_is_asked(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    assert play.upstream() == []
    assert play.records() == [(HELD, "held")]
    (body,) = play.bodies()
    assert hold.meaning is not None
    assert (body["request_hash"], body["durability"]) == (
        hold.meaning.deed.request_hash,
        "durable",
    )
    assert hold.position == play.session.recorder.position


def test_after_the_yes_all_is_looked_at_again_recorded_and_only_then_forwarded(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD), query("select 1"))
    hold = asked(play)
    approve(play, hold)
    assert play.upstream() == []
    assert play.bodies()[-1]["decision"]["outcome"] == "approved"
    on_disk(play)
    assert play.upstream() == [query(HELD), query("select 1")]
    play.target(done("LISTEN"), IDLE, done("SELECT 1"), IDLE)
    assert play.records() == [(HELD, "done"), ("select 1", "done")]
    assert play.session.hold is None


@pytest.mark.parametrize(
    ("state", "sqlstate", "recorded"),
    [
        (RequestState.DENIED, "42501", "refused"),
        (RequestState.TIMEOUT, "57014", "withdrawn"),
        (RequestState.CANCELLED, "57014", "withdrawn"),
        (RequestState.WITHDRAWN, "57014", "withdrawn"),
    ],
)
def test_every_other_end_is_a_poison_with_its_own_words(
    tmp_path: Path, state: RequestState, sqlstate: str, recorded: str
) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD), query("select 1"))
    hold = asked(play)
    settle(play, hold, state, reason="no")
    poison, after = play.upstream()
    assert HELD.encode() not in poison.encode()
    assert after == query("select 1")
    play.target(poisoned(play), IDLE, done("SELECT 1"), IDLE)
    assert codes_of(play.received()) == [sqlstate]
    assert play.records()[0] == (HELD, recorded)
    last = next(b for b in play.bodies() if b.get("decision"))
    assert (last["decision"]["outcome"], last["sqlstate"]) == (state, sqlstate)


def test_the_first_word_counts(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    hold.settled(Settlement(17, RequestState.DENIED, "bo", reason="no"))
    hold.settled(Settlement(17, RequestState.APPROVED, "bo"))
    assert hold.stage is Stage.ENDED
    assert hold.settlement is not None
    assert hold.settlement.state is RequestState.DENIED


def test_another_search_path_is_another_deed(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    settle(play, hold, RequestState.APPROVED)
    looked(play, MOVED)
    play.target(poisoned(play), IDLE)
    (refused, _) = play.received()
    assert refused.sqlstate == "42501"
    assert "search_path changed" in refused.message
    assert play.records() == [(HELD, "refused")]


def test_an_approver_who_may_not_any_more_has_approved_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    hold.settled(Settlement(17, RequestState.APPROVED, "cy"))
    play.session.resume()
    looked(play)
    play.target(poisoned(play), IDLE)
    assert "cy may not" in play.received()[0].message


def test_a_record_of_the_yes_that_the_disk_refuses_lets_nothing_run(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    approve(play, hold)
    on_disk(play, failed=True)
    play.target(poisoned(play), IDLE)
    assert codes_of(play.received()) == ["57P03"]


def test_without_a_journal_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(tmp_path, ASK)

    def full(*_args: object) -> int:
        raise JournalUnavailable("the disk is full")

    monkeypatch.setattr(play.journal, "append", full)
    play.client(query(HELD))
    looked(play)
    assert play.session.commands == []
    play.target(poisoned(play), IDLE)
    assert codes_of(play.received()) == ["57P03"]


def test_where_the_gate_closes_meanwhile_the_yes_does_not_help(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    play.gate.closed = Refusal("57P03", "gatepost: away")
    settle(play, hold, RequestState.APPROVED)
    play.target(poisoned(play), IDLE)
    assert codes_of(play.received()) == ["57P03"]
    assert play.bodies()[-1]["sqlstate"] == "57P03"


def test_a_cancel_while_names_are_looked_at_asks_nobody(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    assert play.session.hold is not None
    play.session.hold.cancel_wanted = True
    play.answer_exchange()
    play.session.commands.clear()
    play.session.resume()
    play.target(poisoned(play), IDLE)
    assert codes_of(play.received()) == ["57014"]
    assert play.session.hold is None


def test_a_cancel_that_lost_to_the_yes_is_for_what_runs_then(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    hold = asked(play)
    approve(play, hold)
    hold.cancel_after = True
    on_disk(play)
    assert play.upstream() == [query(HELD)]
    assert play.session.commands == [PassCancel()]


def test_in_a_failed_transaction_nobody_is_asked(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query("begin"), query("select 1/0"))
    play.target(done("BEGIN"), OPEN, error("22012"), FAILED)
    play.received()
    play.client(query(HELD))
    play.target(poisoned(play), FAILED)
    assert codes_of(play.received()) == ["25P02"]
    play.client(query(f"rollback; {HELD}"))
    play.target(poisoned(play), FAILED)
    assert codes_of(play.received()) == ["42501"]


def test_it_is_held_only_when_all_before_it_is_answered(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query("select 1"), query(HELD))
    assert play.upstream() == [query("select 1")]
    assert play.session.wait is Wait.DRAIN
    play.target(done("SELECT 1"), IDLE)
    asked(play)


# -- the extended protocol -----------------------------------------------------------------------

BATCH: list[Any] = [
    parse(HELD),
    frontend.Describe(codes.STATEMENT, b""),
    bind(),
    execute(),
    SYNC,
]
BATCH_BYTES = b"".join(message.encode() for message in BATCH)


def test_a_batch_is_held_back_from_its_parse_and_forwarded_as_it_came(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(*BATCH)
    hold = asked(play)
    assert play.upstream() == []
    settle(play, hold, RequestState.APPROVED)
    sent = play.upstream()  # up to the Bind, and a look at the names behind it
    assert sent[:2] == BATCH[:2]
    assert [m.kind for m in sent[2:]] == list(b"PBECCH")
    play.target(
        PARSE_COMPLETE,
        backend.ParameterDescription(()),
        NO_DATA,
        PARSE_COMPLETE,
        BIND_COMPLETE,
        backend.DataRow((STATE_ROW,)),
        done("SELECT 1"),
        backend.CLOSE_COMPLETE,
        backend.CLOSE_COMPLETE,
    )
    assert [m.kind for m in play.received()] == list(b"1tn")
    play.session.commands.clear()
    play.session.resume()
    on_disk(play)
    assert play.upstream() == BATCH[2:]
    play.target(BIND_COMPLETE, done("LISTEN"), IDLE)
    assert play.records() == [(HELD, "done")]


def test_a_no_to_a_batch_is_a_bind_that_fails(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(*BATCH, query("select 1"))
    hold = asked(play)
    settle(play, hold, RequestState.DENIED, reason="no")
    assert [m.kind for m in play.upstream()] == list(b"PDBSQ")
    play.target(PARSE_COMPLETE, backend.ParameterDescription(()), NO_DATA)
    play.target(error("26000", f'"{play.session.queue.head.refusal.nonce}"'), IDLE)  # type: ignore[union-attr]
    assert [m.kind for m in play.received()] == list(b"1tnEZ")
    assert play.records()[0] == (HELD, "refused")


@pytest.mark.parametrize("asks", [FLUSH, SYNC])
def test_where_the_client_asks_for_answers_parse_and_describe_go_on(
    tmp_path: Path, asks: frontend.Sync | frontend.Flush
) -> None:
    play = Play(tmp_path, ASK)
    play.client(*BATCH[:2], asks)
    assert play.upstream() == [*BATCH[:2], asks]
    ready = [IDLE] if asks is SYNC else []
    play.target(PARSE_COMPLETE, backend.ParameterDescription(()), NO_DATA, *ready)
    play.client(*BATCH[2:])
    hold = asked(play, synced=asks is SYNC)
    assert hold.in_transaction == (asks is FLUSH)


def test_a_batch_that_comes_in_pieces_is_held_all_the_same(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    for byte in BATCH_BYTES:
        play.session.client_data(memoryview(bytes([byte])))
    asked(play)
    assert play.upstream() == []


def test_a_hold_whose_message_the_target_skips_is_withdrawn(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(*BATCH)
    hold = asked(play)
    settle(play, hold, RequestState.APPROVED)
    play.upstream()
    play.target(error("42601"))  # the Parse that went before it
    play.session.resume()
    play.target(IDLE)
    assert play.session.hold is None
    assert (HELD, "withdrawn") in play.records()


# -- the fast path -------------------------------------------------------------------------------

UNLINK = b"F" + struct.pack("!iIhhiih", 22, 964, 0, 1, 4, 77, 0)
ASK_CALLS = PolicyRule(name="calls", action="approve", commands=("select", "call"))


def test_an_approval_is_no_grant_of_the_fast_path(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK_CALLS)
    play.client(UNLINK)
    assert play.session.hold is None
    play.target(poisoned(play), IDLE)
    (refused, _) = play.received()
    assert "not allowed by the grant" in refused.message


def test_a_fast_path_call_is_held_with_its_arguments(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK_CALLS, fastpath=True)
    play.client(UNLINK)
    hold = asked(play)
    assert play.bodies()[0]["parameters"] != []
    approve(play, hold)
    on_disk(play)
    assert [message.kind for message in play.upstream()] == [ord("F")]


# -- words ---------------------------------------------------------------------------------------


def test_every_line_that_a_client_reads_fits_eighty_columns(tmp_path: Path) -> None:
    play = Play(tmp_path, ASK)
    play.client(query(HELD))
    decision = asked(play).decision
    assert decision is not None
    reason = "writes without a WHERE clause on production need a second pair of eyes " * 2
    verdict = replace(decision.verdict, reason=reason.strip())
    names = tuple(f"person{number}@example.com" for number in range(9))
    settlement = Settlement(17, RequestState.DENIED, names[0], reason="not now")
    ended = [hold_words.ending(replace(settlement, state=state)) for state in RequestState]
    ended += [
        hold_words.try_again(17, verdict, names, 900, "https://gatepost.example.com"),
        hold_words.nobody_can(verdict),
        hold_words.run_again(),
        hold_words.too_large(1 << 20),
        hold_words.store_away(),
    ]
    for refusal in ended:
        for label, text in (("DETAIL:  ", refusal.detail), ("HINT:  ", refusal.hint)):
            assert all(len(line) <= 80 for line in (label + text).splitlines()), text
    assert "and 6 more" in ended[len(RequestState)].detail
