"""What a masked session's client gets beside rows: errors, notices, notifications, settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProtocolError
from appliance.masking.values import MaskPlan
from proxy.scrubbing import Screen
from proxy.wire import backend, codes, frontend
from proxy.wire.backend import BIND_COMPLETE, PARSE_COMPLETE
from proxy.wire.notices import NoticeResponse, error_response, notice_response, parse_error_response
from tests.proxy.playbook import (
    FAILED,
    IDLE,
    OPEN,
    Play,
    bind,
    done,
    error,
    execute,
    parse,
    poisoned,
    query,
)

SYNC = frontend.Sync()
SECRET = "078-05-1120"
IN_REACH = MaskPlan((), scrubs_errors=True)
LOGIN = {"application_name": "psql", "TimeZone": "UTC", "search_path": "public"}


@dataclass(frozen=True)
class Rules:
    safe_functions: tuple[str, ...] = ()


def masked(directory: Path, *safe: str) -> Play:
    """Return a session that some masking rule bites."""
    play = Play(directory)
    play.session.parameters.update(LOGIN)
    play.session.screen.rules = Rules(safe)
    return play


def send(play: Play, *messages: Any) -> Play:
    """Let the client send; the catalog that is asked for says nothing new."""
    play.client(*messages)
    while play.session.commands:
        play.session.commands.clear()
        play.session.resume()
    return play


def reach(play: Play) -> Play:
    """Let what is in flight have masked columns in reach."""
    head = play.session.queue.head
    assert head is not None
    if head.decision is not None:
        head.decision = replace(head.decision, mask=IN_REACH)
    for holder in (head.portal, head.prepared):
        if holder is not None:
            holder.decision = replace(holder.decision, mask=IN_REACH)
    return play


def told(play: Play) -> bytes:
    """Return all bytes that the client got."""
    found = b"".join(bytes(part) for part in play.session.to_client)
    play.session.to_client.clear()
    return found


def unique() -> bytes:
    return error_response(
        "ERROR", "23505", f'duplicate key "{SECRET}"', f"Key (ssn)=({SECRET}) already exists."
    )


def last_outcome(play: Play) -> dict[str, Any]:
    return play.bodies()[-1]


def test_an_error_with_masked_columns_in_reach_keeps_its_code_and_loses_its_values(
    tmp_path: Path,
) -> None:
    play = masked(tmp_path)
    reach(send(play, query("insert into t values (1)"))).target(unique(), IDLE)
    assert last_outcome(play)["sqlstate"] == "23505"
    got = play.received()
    assert (got[0].sqlstate, got[0].severity, got[0].detail) == ("23505", "ERROR", "")
    assert SECRET not in got[0].message and got[1] == IDLE


def test_without_masked_columns_in_reach_an_error_keeps_its_text(tmp_path: Path) -> None:
    play = masked(tmp_path)
    play.client(query("select 1/0")).target(error("22012", "division by zero"), IDLE)
    assert play.received()[0].message == "division by zero"


def test_without_masking_rules_nothing_is_scrubbed(tmp_path: Path) -> None:
    play = Play(tmp_path)
    reach(send(play, query("insert into t values (1)"))).target(unique(), IDLE)
    assert SECRET in play.received()[0].detail


def test_five_characters_of_a_value_in_a_sqlstate_reach_neither_client_nor_record(
    tmp_path: Path,
) -> None:
    play = masked(tmp_path)
    reach(send(play, query("select f()"))).target(error("AB123", SECRET), IDLE)
    assert play.received()[0].sqlstate == "P0001"
    assert last_outcome(play)["sqlstate"] == "P0001"


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
def test_an_error_that_ends_the_session_is_scrubbed_too_and_still_ends_it(
    tmp_path: Path, severity: str
) -> None:
    play = masked(tmp_path)
    reach(send(play, query("select f()")))
    play.target(error_response(severity, "57P01", f"terminating {SECRET}"))
    assert SECRET.encode() not in told(play)
    assert play.session.saw_fatal


def test_what_the_target_says_to_nobody_in_particular_is_scrubbed(tmp_path: Path) -> None:
    play = masked(tmp_path)
    play.target(notice_response(f"trigger saw {SECRET}", SECRET, SECRET, severity="WARNING"))
    play.target(error_response("FATAL", "57P01", f"bye {SECRET}"))
    got = told(play)
    assert SECRET.encode() not in got and got[:1] == b"N" and b"57P01" in got


def test_notices_are_scrubbed_by_the_statement_that_they_come_in(tmp_path: Path) -> None:
    play = masked(tmp_path)
    notice = notice_response(f"saw {SECRET}")
    play.client(query("select 1")).target(notice, done("SELECT 1"), IDLE)
    assert SECRET.encode() in told(play)
    reach(send(play, query("select f(t) from t"))).target(notice, done("SELECT 1"), IDLE)
    assert SECRET.encode() not in told(play)


@pytest.mark.parametrize(
    ("context", "passes"),
    [
        ("", True),
        ("COPY t, line 1, column a: x", True),
        ("PL/pgSQL function f() line 3 at RAISE", False),
        ("COPY t, line 1: x\nSQL function g", False),
        ("SQL statement", False),
    ],
)
def test_code_that_nobody_saw_coming_is_not_heard(
    tmp_path: Path, context: str, passes: bool
) -> None:
    play = masked(tmp_path)
    fields = ((b"S", b"NOTICE"), (b"C", b"00000"), (b"M", b"saw it"), (b"W", context.encode()))
    notice = NoticeResponse(tuple(one for one in fields if one[1])).encode()
    play.client(query("select 1")).target(notice, done("SELECT 1"), IDLE)
    assert (b"saw it" in told(play)) == passes


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_parse_bind_and_execute_are_scrubbed_by_what_they_are_about(
    tmp_path: Path, answered: int
) -> None:
    play = masked(tmp_path)
    play.client(parse("select $1"), bind(b"7"), execute(), SYNC)
    for answer in (PARSE_COMPLETE, BIND_COMPLETE)[:answered]:
        reach(play).target(answer)
    reach(play).target(unique(), IDLE)
    assert SECRET.encode() not in told(play)


def test_a_bind_that_folds_code_over_masked_columns_shows_nothing(tmp_path: Path) -> None:
    play = masked(tmp_path)
    play.client(parse("select 1", b"s"), SYNC)
    reach(play).target(PARSE_COMPLETE, IDLE)
    reach(send(play, bind(statement=b"s"), SYNC)).target(error("22P02", SECRET), IDLE)
    assert SECRET.encode() not in told(play)


def test_what_was_deferred_to_the_end_of_the_transaction_is_scrubbed_there(tmp_path: Path) -> None:
    play = masked(tmp_path)
    play.client(query("begin")).target(done("BEGIN"), OPEN)
    reach(send(play, query("update t set a = 1"))).target(done("UPDATE 1"), OPEN)
    play.client(query("select 1/0")).target(error("22012", "division by zero"), FAILED)
    assert b"division by zero" in told(play)
    send(play, query("commit")).target(unique(), IDLE)
    assert SECRET.encode() not in told(play)
    send(play, query("commit")).target(notice_response("no transaction"), done("COMMIT"), IDLE)
    assert b"no transaction" in told(play), "another transaction has reached nothing"


def test_a_sync_that_commits_what_was_in_reach_is_scrubbed(tmp_path: Path) -> None:
    play = masked(tmp_path)
    play.client(parse("select 1"), bind(), execute(), SYNC)
    for answer in (PARSE_COMPLETE, BIND_COMPLETE):
        reach(play).target(answer)
    reach(play).target(done("UPDATE 1"), unique(), IDLE)
    assert SECRET.encode() not in told(play)


def test_a_refusal_of_the_gateways_own_keeps_its_text(tmp_path: Path) -> None:
    play = masked(tmp_path)
    send(play, query("copy t to program 'x'"))
    reach(play).target(poisoned(play), IDLE)
    got = play.received()[0]
    assert got.sqlstate == "42501" and got.message.startswith("gatepost:")


def test_a_failed_exchange_of_the_gateways_own_is_scrubbed_where_the_client_must_know(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, knows_names=False)
    play.session.screen.rules = Rules()
    play.client(query("begin")).target(done("BEGIN"), OPEN)
    play.client(parse("select 1 from pg_class"))
    play.target(error("57014", f"cancelled {SECRET}"))
    assert SECRET.encode() not in told(play)


def test_a_notification_loses_its_payload_unless_an_admin_vouches_for_pg_notify(
    tmp_path: Path,
) -> None:
    note = backend.NotificationResponse(42, b"orders", SECRET.encode())
    assert masked(tmp_path / "a").target(note).received() == [replace(note, payload=b"")]
    assert masked(tmp_path / "b", "pg_catalog.*").target(note).received() == [note]
    assert Play(tmp_path / "c").target(note).received() == [note]


STATUSES = [
    ("application_name", SECRET, False),
    ("application_name", "psql", True),
    ("TimeZone", SECRET, False),
    ("TimeZone", "ABC5", False),
    ("TimeZone", "Europe/Berlin", True),
    ("TimeZone", "America/Port-au-Prince", True),
    ("TimeZone", "Etc/GMT+5", True),
    ("search_path", f'"{SECRET}"', False),
    ("search_path", '"$user", public', True),
    ("scram_iterations", "780511200", False),
    ("session_authorization", SECRET, False),
    ("client_encoding", "LATIN1", True),
    ("DateStyle", "ISO, DMY", True),
    ("an_extension.setting", SECRET, False),
]


@pytest.mark.parametrize(("name", "value", "passes"), STATUSES)
def test_settings_are_reported_that_code_can_have_put_no_value_into(
    tmp_path: Path, name: str, value: str, passes: bool
) -> None:
    play = masked(tmp_path)
    status = backend.ParameterStatus(name.encode(), value.encode())
    play.target(status)
    assert play.received() == ([status] if passes else [])
    assert play.session.parameters[name] == value, "the gateway itself knows it"


def test_settings_that_the_client_asked_for_or_had_before_are_reported(tmp_path: Path) -> None:
    play = masked(tmp_path)
    status = backend.ParameterStatus(b"application_name", b"nightly 7")
    play.client(query("set application_name = 'nightly 7'"))
    play.target(done("SET"), status, IDLE)
    before = backend.ParameterStatus(b"application_name", b"psql")
    play.target(before, status)
    assert [m for m in play.received() if m.kind == codes.PARAMETER_STATUS] == [
        status, before, status,
    ]  # fmt: skip


def test_what_is_known_of_settings_is_bounded() -> None:
    screen = Screen(Rules())
    for number in range(5000):
        screen.status("application_name", str(number), str(number + 1), frozenset())
    screen.status("search_path", "a" * 10_000_000, "b", frozenset())
    assert len(screen.known) <= 1024
    assert max(len(value) for _, value in screen.known) <= 1024


def test_a_tag_of_no_known_shape_ends_a_masked_session(tmp_path: Path) -> None:
    play = masked(tmp_path)
    with pytest.raises(ProtocolError):
        play.client(query("select 1")).target(done(f"SELECT {SECRET}"), IDLE)
    assert SECRET.encode() not in told(play)


def test_the_result_of_a_fast_path_call_over_masked_columns_is_null(tmp_path: Path) -> None:
    play = Play(tmp_path, fastpath=True)
    play.session.screen.rules = Rules()
    play.client(b"F" + (4 + 4 + 6).to_bytes(4, "big") + (3458).to_bytes(4, "big") + bytes(6))
    reach(play).target(b"V" + (15).to_bytes(4, "big") + (7).to_bytes(4, "big") + b"078-051")
    assert told(play) == b"V\0\0\0\x08\xff\xff\xff\xff"


def test_the_columns_of_a_cursor_that_nobody_knows_have_no_names(tmp_path: Path) -> None:
    play = masked(tmp_path)
    field = backend.FieldDescription(SECRET.encode(), 0, 0, 1043, -1, 780511, 1)
    play.client(frontend.Describe(codes.PORTAL, b"c"))
    play.target(backend.RowDescription((field,)))
    (got,) = play.received()
    assert got.fields == (replace(field, name=b"?column?", type_modifier=-1),)


def test_the_write_ahead_log_reaches_no_masked_session(tmp_path: Path) -> None:
    play = masked(tmp_path)
    with pytest.raises(ProtocolError):
        play.client(query("select 1")).target(backend.CopyResponse(codes.COPY_BOTH_RESPONSE, 0, ()))
    assert not told(play)


def test_every_scrubbed_error_is_a_whole_message(tmp_path: Path) -> None:
    play = masked(tmp_path)
    reach(send(play, query("select f()"))).target(b"E\0\0\0\x05\0", IDLE)
    body = told(play)
    assert parse_error_response(body[5 : 1 + int.from_bytes(body[1:5], "big")]).sqlstate == "P0001"


def test_rows_that_nothing_announced_reach_no_masked_session(tmp_path: Path) -> None:
    row = backend.DataRow((SECRET.encode(),))
    play = masked(tmp_path / "a")
    with pytest.raises(ProtocolError):
        play.client(query("select 1")).target(row)
    assert not told(play)
    late = Play(tmp_path / "b")  # the rule came while the rows were on their way
    late.client(query("select 1"))
    late.session.follow_rules(Rules())  # type: ignore[arg-type]  # what of rules decides here
    assert late.target(row).received() == [row]
