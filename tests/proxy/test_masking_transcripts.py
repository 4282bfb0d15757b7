"""Transcripts of masked sessions: what is looked at before it runs, and what never leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.entities import PolicyRule
from appliance.errors import ProtocolError
from appliance.masking.standing import stands
from proxy.wire import backend, codes, frontend
from tests.proxy.masked_play import CARD, CUSTOMERS, VIEW, MaskedPlay, catalog, described, field
from tests.proxy.playbook import FAILED, IDLE, OPEN, bind, done, error, execute, parse, query

PLAIN = "select id, card from customers"
COMPUTED = "select upper(card) from customers"
ROW = backend.DataRow((b"1", CARD))
PLAIN_FIELDS = described(field(b"id", CUSTOMERS, 1), field(b"card", CUSTOMERS, 3))
UPPER = described(field(b"upper"))
FLUSH, SYNC = frontend.Flush(), frontend.Sync()
BOUND = (backend.PARSE_COMPLETE, backend.BIND_COMPLETE)
LOOKED = "PBDPBECCH"


@pytest.fixture
def play(tmp_path: Path) -> MaskedPlay:
    return MaskedPlay(tmp_path)


@pytest.fixture(autouse=True)
def stands_where_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question is tested with real servers; here its answer is a word."""
    monkeypatch.setattr("proxy.masked_run.stands", lambda answer, _depends: answer == b"stands")
    assert not stands(b"stands", ())


def looked_at(play: MaskedPlay, fields: backend.RowDescription = UPPER) -> MaskedPlay:
    """Bring a Query to where it has been looked at."""
    play.client(query(COMPUTED))
    assert play.kinds_sent() == LOOKED
    play.target(*BOUND, fields)
    return play


def test_a_plain_column_is_masked_by_what_the_target_says_of_it(play: MaskedPlay) -> None:
    play.client(query(PLAIN))
    assert play.upstream() == [query(PLAIN)]
    play.target(PLAIN_FIELDS, ROW, ROW, done("SELECT 2"), IDLE)
    assert play.received() == [
        PLAIN_FIELDS,
        *[backend.DataRow((b"1", b"***"))] * 2,
        done("SELECT 2"),
        IDLE,
    ]


def test_an_origin_that_was_not_expected_masks_the_column_as_a_whole(play: MaskedPlay) -> None:
    play.client(query(PLAIN))
    play.target(described(field(b"id", 99999, 1), field(b"card", CUSTOMERS, 2)), ROW)
    *_, row = play.received()
    assert CARD not in row.encode() and row.columns[0] != b"1"


def test_more_columns_than_expected_are_all_masked(play: MaskedPlay) -> None:
    play.client(query(PLAIN))
    play.target(described(*PLAIN_FIELDS.fields, field(b"x")), backend.DataRow((b"1", CARD, CARD)))
    *_, row = play.received()
    assert set(row.columns) <= {b"***", None}


def test_what_is_computed_is_bound_and_asked_about_before_it_runs(play: MaskedPlay) -> None:
    looked_at(play)
    assert play.received() == []
    assert play.records() == [(COMPUTED, "sent")]
    play.answer(answer=b"stands")
    assert play.kinds_sent() == "ECCS"
    assert play.received() == [UPPER]
    play.target(backend.DataRow((CARD,)), done("SELECT 1"))
    assert play.received() == [backend.DataRow((b"***",))]
    play.target(backend.CLOSE_COMPLETE, backend.CLOSE_COMPLETE, IDLE)
    assert play.received() == [done("SELECT 1"), IDLE]
    assert play.records() == [(COMPUTED, "done")]


def test_what_does_not_stand_has_the_catalog_read_and_goes_on_where_it_means_the_same(
    play: MaskedPlay,
) -> None:
    looked_at(play).answer(answer=None)
    assert play.upstream() == []
    play.session.judge.names_are(play.state)
    play.read_catalog(catalog())
    assert play.kinds_sent() == "ECCS"


def test_what_means_something_else_by_now_fails_and_can_be_run_again(play: MaskedPlay) -> None:
    text = "select x from v"
    play.box.catalog = catalog("SELECT id, name AS x FROM customers")
    play.client(query(text))
    assert play.kinds_sent() == LOOKED
    play.target(*BOUND, described(field(b"x", VIEW, 2))).answer(answer=None)  # type: ignore[attr-defined]
    play.session.judge.names_are(play.state)
    play.read_catalog(catalog("SELECT id, card AS x FROM customers"))
    poison, sync = play.upstream()
    assert isinstance(poison, frontend.Execute) and sync == SYNC
    play.target(error("34000", f"portal {poison.portal.decode()} does not exist"), IDLE)
    refused, ready = play.received()
    assert (refused.sqlstate, ready) == ("40001", IDLE)
    assert play.records() == [(text, "refused")]
    play.client(query("select 1"))
    assert play.upstream() == [query("select 1")]


def test_an_error_while_it_is_looked_at_is_the_statements_own(play: MaskedPlay) -> None:
    play.client(query(COMPUTED), query("select 1"))
    play.upstream()
    play.target(error("42703", "column nosuch does not exist"))
    assert play.upstream() == [SYNC]
    play.target(IDLE)
    failed, ready = play.received()
    assert (failed.sqlstate, ready) == ("42703", IDLE)
    assert play.upstream() == [query("select 1")]
    assert play.records()[0] == (COMPUTED, "failed")


def test_an_error_as_it_runs_loses_its_values(play: MaskedPlay) -> None:
    looked_at(play).answer(answer=b"stands")
    play.received()
    play.target(error("22003", f'value "{CARD.decode()}" is out of range'), IDLE)
    failed, ready = play.received()
    assert (failed.sqlstate, ready) == ("22003", IDLE)
    assert CARD not in failed.encode()
    assert play.records() == [(COMPUTED, "failed")]


def test_an_execute_is_looked_at_in_its_batch(play: MaskedPlay) -> None:
    play.client(parse(COMPUTED), bind(), execute(), SYNC)
    assert play.kinds_sent() == "PBDPBECCH"
    play.target(*BOUND, UPPER).answer(answer=b"stands")  # type: ignore[attr-defined]
    assert play.upstream() == [execute(), SYNC]
    play.target(backend.DataRow((CARD,)), done("SELECT 1"), IDLE)
    assert play.received() == [
        *BOUND,
        backend.DataRow((b"***",)),
        done("SELECT 1"),
        IDLE,
    ]


def test_a_portal_in_parts_is_masked_in_every_part(play: MaskedPlay) -> None:
    play.client(parse(PLAIN), bind(portal=b"p"), execute(b"p", 1), execute(b"p", 1), SYNC)
    assert play.kinds_sent() == "PBDEDES"
    play.target(*BOUND, PLAIN_FIELDS, ROW, backend.PORTAL_SUSPENDED)
    play.target(PLAIN_FIELDS, ROW, backend.PORTAL_SUSPENDED, IDLE)
    rows = [message for message in play.received() if message.kind == codes.DATA_ROW]
    assert rows == [backend.DataRow((b"1", b"***"))] * 2


def test_in_a_failed_transaction_the_target_says_no_as_ever(play: MaskedPlay) -> None:
    play.client(query("begin")).target(done("BEGIN"), OPEN)
    play.client(query("select 1")).target(error("22012"), FAILED)
    play.upstream()
    play.received()
    play.client(query(COMPUTED)).target(error("25P02"))
    play.target(FAILED)
    assert [m.sqlstate if m.kind == codes.ERROR_RESPONSE else m for m in play.received()] == [
        "25P02",
        FAILED,
    ]


def test_an_execute_that_fails_as_it_is_described_is_recorded_as_failed(play: MaskedPlay) -> None:
    play.client(parse(PLAIN), bind(), execute(), SYNC)
    play.target(*BOUND, error("25P02"), IDLE)
    assert play.kinds() == "12EZ"
    assert play.records() == [(PLAIN, "failed")]


def test_a_failing_batch_skips_what_is_looked_at_and_what_follows(play: MaskedPlay) -> None:
    play.client(parse(COMPUTED), bind(), execute(), parse("select 2"), bind(), execute(), SYNC)
    play.upstream()
    play.target(backend.PARSE_COMPLETE, error("22P02", "bad parameter"))
    assert play.upstream() == [SYNC]
    play.target(IDLE)
    assert play.kinds() == "1EZ"
    play.client(query("select 1"))
    assert play.upstream() == [query("select 1")]


def test_a_script_that_would_show_a_mask_is_refused_and_says_what_to_do(play: MaskedPlay) -> None:
    play.client(query(f"select 1; {PLAIN}"))
    (poison,) = play.upstream()
    assert b"card" not in poison.query
    assert all(state == "refused" for _, state in play.records())


def test_rows_that_may_not_be_many_are_masked_and_counted(tmp_path: Path) -> None:
    play = MaskedPlay(
        tmp_path, PolicyRule(name="many", action="block", commands=("select",), rows_over=3)
    )
    play.knows_rows(1)
    play.client(query(COMPUTED))
    play.work()
    assert play.kinds_sent() == LOOKED
    play.target(*BOUND, UPPER).answer(answer=b"stands")  # type: ignore[attr-defined]
    assert play.upstream() == [execute(rows=3), FLUSH]
    play.target(*[backend.DataRow((CARD,))] * 3, backend.PORTAL_SUSPENDED)
    assert play.upstream() == [execute(rows=1), FLUSH]
    play.target(done("SELECT 0"), backend.CLOSE_COMPLETE, backend.CLOSE_COMPLETE, IDLE)
    assert play.kinds() == "TDDDCZ"


def test_rows_that_nothing_announced_end_the_session(play: MaskedPlay) -> None:
    play.client(query(PLAIN))
    with pytest.raises(ProtocolError):
        play.target(ROW)
    assert play.received() == []


def test_without_rules_nothing_is_asked_or_described(play: MaskedPlay) -> None:
    play.precedents.masking = None
    play.session.judge.policy_changed()
    play.client(query(COMPUTED), parse(COMPUTED), bind(), execute(), SYNC)
    assert play.kinds_sent() == "QPBES"
