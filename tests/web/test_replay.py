"""The replay of a session: header, timeline, chapters, statements, what a live one adds."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from appliance.entities import PermissionRole
from appliance.recording.masked import MaskedColumn, to_json
from appliance.store.record_models import JournalRow, SessionRow, StatementRow
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, World
from tests.web.recorded import Ran, Recorded, record
from web.replays import CHAPTER
from web.sql import EXTENSION

STARTED = AT - timedelta(hours=1)
RAN = (
    Ran("begin", tag="BEGIN"),
    Ran("select 1/0", state="failed", tag=""),
    Ran("drop table orders", "block", rule="no-ddl"),
    Ran("update t set a = 1", state="withdrawn", tag=""),
    Ran("copy t to stdout", state="sent", tag=""),
)


def one(world: World, *ran: Ran, length: timedelta | None = timedelta(minutes=30)) -> str:
    return record(world.store, Recorded("ci-nightly", STARTED, ran or RAN, length, kind="ci"))


def change(world: World, session: str, seq: int, **values: object) -> None:
    with world.store.transaction():
        StatementRow.update(**values).where(
            (StatementRow.session_id == session) & (StatementRow.seq == seq)
        ).execute()


def test_the_header_says_who_from_where_to_what(admin: Browser, world: World) -> None:
    session = one(world)
    with world.store.transaction():
        SessionRow.update(
            reason="INC-7", tls="TLSv1.3", client="libpq 18", end_reason="client left"
        ).where(SessionRow.id == session).execute()
        JournalRow.create(
            name="test-proxy-1", writer="proxy-1", opened_at=AT, last_hash="ab" * 32, head_at=AT
        )
    text = words(admin.get(f"/sessions/{session}").text)
    for part in (
        "ci-nightly on shop ended",
        "From 10.2.0.7",
        "Client psql libpq 18 TLSv1.3",
        "To shop/shop as app_ro",
        "Reason INC-7",
        "client left",
        "Chain head abababababababab… last signed just now",
        "5 statements 1 refused",
        "30 min long",
    ):
        assert part in text, part


def test_every_statement_has_a_word_for_what_became_of_it(admin: Browser, world: World) -> None:
    page = admin.get(f"/sessions/{one(world)}").text
    marks = re.findall(r'id="s(\d)" class="statement (\w+)"', page)
    assert marks == [
        ("1", "ran"),
        ("2", "failed"),
        ("3", "refused"),
        ("4", "unknown"),
        ("5", "unknown"),
    ]
    text = words(page)
    for word in ("BEGIN", "failed", "refused", "withdrawn", "unknown"):
        assert word in text
    assert "(no-ddl)" not in text and "no-ddl" in text


def test_the_timeline_says_in_words_what_it_shows(admin: Browser, world: World) -> None:
    page = admin.get(f"/sessions/{one(world)}").text
    assert "5 statements on a timeline: 1 ran, 1 failed, 1 refused, 1 withdrawn, 1 unknown" in page
    assert page.count("data-tick=") == 5


def test_long_gaps_are_shortened_and_said(admin: Browser, world: World) -> None:
    session = one(world)
    change(world, session, 5, at=STARTED + timedelta(minutes=20))
    text = words(admin.get(f"/sessions/{session}").text)
    assert "20 min idle" in text
    assert "gaps over 2 s are shortened" in text and "20:00 copy t to stdout" in text


def test_a_statement_shows_parameters_outcome_and_its_place_in_the_record(
    admin: Browser, world: World
) -> None:
    session = one(world, Ran("select a, b from t where a = $1 and b = $2", tag="SELECT 2"))
    change(
        world,
        session,
        1,
        parameters=[
            "O'Hara",
            None,
            {"redacted": True},
            {"hex": "00ff", "oid": 23},
            {"text": "abc", "length": 99_000},
            {"hex": "ffff", "oid": 21},
        ],
        effects=[["select", "public.t"]],
        masked=["public.t.b"],  # as an older version recorded it
        rows=2,
        bytes_out=2048,
    )
    page = admin.get(f"/sessions/{session}/statements/1").text
    world.app.extensions[EXTENSION].planner.close()
    text = words(page)
    for part in (
        "$1 'O'Hara'",
        "$2 NULL",
        "$3 not recorded: it may be a secret",
        "$4 \\x00ff (binary, type 23)",
        "$5 'abc'… (the beginning of 99,000 bytes)",
        "$6 -1 (int2)",
        "select public.t",
        "Masked public.t.b",
        "Answer SELECT 2 2 rows",
        "Record test-proxy-1:1",
    ):
        assert part in text, part
    assert '<span class="kw">SELECT</span>' in page, "laid out and highlighted"
    assert "As it was sent" in text
    assert "Masked: public.t.b" in admin.get(f"/sessions/{session}").text


def test_masked_columns_are_locks_with_their_rules(admin: Browser, world: World) -> None:
    session = one(world, Ran("select card, ssn from t"), Ran("select 1 from t where ssn = '***'"))
    card = MaskedColumn("card", ("public.t.card",), "cards", "partial")
    ssn = MaskedColumn("", ("public.t.ssn",), "ids", "hash")
    change(world, session, 1, masked=to_json((card, ssn)))
    change(world, session, 2, masked=to_json((ssn,)))
    page = admin.get(f"/sessions/{session}").text
    assert 'title="card: rule cards, partial"' in page
    assert 'title="Looked at public.t.ssn: rule ids, hash"' in page
    shown = words(admin.get(f"/sessions/{session}/statements/1").text)
    assert "Masked card public.t.card by cards , partial" in shown
    assert "Looked at public.t.ssn masked by ids" in shown
    assert admin.get(f"/sessions/{session}/next?what=mask&after=1").location.endswith("#s2")
    change(world, session, 1, masked=None)
    change(world, session, 2, masked=None)
    nothing = admin.get(f"/sessions/{session}/next?what=mask").location
    assert "no statement about masked columns" in words(admin.get(nothing).text)


def test_a_refused_statement_names_its_rule(admin: Browser, world: World) -> None:
    session = one(world)
    change(world, session, 3, reason="schema changes go through the pipeline")
    text = words(admin.get(f"/sessions/{session}/statements/3").text)
    assert "schema changes go through the pipeline ( no-ddl )" in text
    part = admin.get(f"/sessions/{session}/statements/3", HX_Request="true").text
    assert "<html" not in part and "/policies#rule-no-ddl" in part
    assert admin.get(f"/sessions/{session}/statements/9").status_code == 404


def test_hostile_texts_and_names_are_shown_as_they_are(admin: Browser, world: World) -> None:
    evil = "<script>alert(1)</script>"
    ran = (Ran(f"select '{evil}'", tag=evil), Ran(evil, "block", rule=evil))
    session = record(
        world.store,
        Recorded(evil, STARTED, ran, target=evil, role=evil, source=evil, application_name=evil),
    )
    change(world, session, 1, parameters=[evil], reason=evil)
    pages = ("", "/statements/1", "/statements/2", "/tail", "/kill")
    shown = [admin.get(f"/sessions/{session}{page}").text for page in pages]
    shown += [
        admin.get(path).text for path in ("/sessions", "/sessions?q=script", "/search?q=script")
    ]
    world.app.extensions[EXTENSION].planner.close()
    for page in shown:
        assert evil not in page and "alert(1)" in page


def test_a_long_session_is_read_by_chapters(admin: Browser, world: World) -> None:
    ran = (*(Ran(f"select {n}") for n in range(CHAPTER)), Ran("drop table t", "block"))
    session = one(world, *ran)
    first = admin.get(f"/sessions/{session}").text
    assert (
        'id="s1"' in first and f'id="s{CHAPTER}"' in first and f'id="s{CHAPTER + 1}"' not in first
    )
    assert "part 1 of 2" in words(first) and f'aria-label="All {CHAPTER + 1} statements"' in first
    second = admin.get(f"/sessions/{session}?chapter=2").text
    assert f'id="s{CHAPTER + 1}"' in second and 'id="s1"' not in second
    asked = admin.get(f"/sessions/{session}?s={CHAPTER + 1}").text
    assert f'id="s{CHAPTER + 1}"' in asked
    beyond = admin.get(f"/sessions/{session}?chapter=99").text
    assert f'id="s{CHAPTER + 1}"' in beyond


@pytest.mark.parametrize(
    ("what", "after", "to"),
    [("error", 0, "s=2#s2"), ("error", 2, "s=2#s2"), ("refusal", 0, "s=3#s3")],
)
def test_the_next_error_or_refusal_is_one_link_away(
    admin: Browser, world: World, what: str, after: int, to: str
) -> None:
    session = one(world)
    answer = admin.get(f"/sessions/{session}/next?what={what}&after={after}")
    assert answer.status_code == 303 and answer.location.endswith(to)


def test_a_session_without_errors_says_so(admin: Browser, world: World) -> None:
    session = one(world, Ran("select 1"))
    answer = admin.get(f"/sessions/{session}/next?what=error&after=1")
    assert "This session has no error." in words(admin.get(answer.location).text)


def test_a_session_without_statements_says_so(admin: Browser, world: World) -> None:
    session = record(world.store, Recorded("a", STARTED, (), timedelta(seconds=1)))
    assert "Nothing was sent" in words(admin.get(f"/sessions/{session}").text)


def test_a_live_session_asks_for_what_is_new_and_what_was_open(
    admin: Browser, world: World
) -> None:
    ran = (Ran("select 1"), Ran("select pg_sleep(60)", state="sent", tag=""))
    session = one(world, *ran, length=None)
    page = admin.get(f"/sessions/{session}").text
    assert f"/sessions/{session}/tail?from=2&amp;known=2" in page
    change(world, session, 2, state="done", tag="SELECT 1")
    with world.store.transaction():
        row = StatementRow.get((StatementRow.session_id == session) & (StatementRow.seq == 1))
        StatementRow.insert(**{**row.__data__, "seq": 3, "tag": "INSERT 0 1"}).execute()
        SessionRow.update(statements=3).where(SessionRow.id == session).execute()
    part = admin.get(f"/sessions/{session}/tail?from=2&known=2", HX_Request="true").text
    assert 'id="s1"' not in part
    assert re.search(r'id="s2"[^>]*hx-swap-oob="true"', part)
    assert 'hx-swap-oob="beforeend:#statements"' in part and "INSERT 0 1" in part
    assert f"/sessions/{session}/tail?from=4&amp;known=3" in part
    assert "3 statements" in words(part)


def test_the_tail_of_a_session_that_ended_asks_no_more(admin: Browser, world: World) -> None:
    part = admin.get(f"/sessions/{one(world)}/tail?from=6&known=5").text
    assert "data-poll" not in part and "The session ended" in words(part)


def test_the_file_runs_again_what_ran_and_comments_what_did_not(
    admin: Browser, world: World
) -> None:
    session = one(world, Ran("select 1;"), Ran("drop\ntable t", "block"), Ran("select $1"))
    change(world, session, 3, parameters=["a\nselect 2"])
    answer = admin.get(f"/sessions/{session}/export.sql")
    assert answer.mimetype == "application/sql"
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("--")]
    assert lines == ["select 1;", "select $1;"]
    assert "-- drop\n-- table t;" in answer.text and "-- $1 = 'a select 2'" in answer.text


def test_the_replay_is_right_on_both_stores(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    ran = tuple(Ran(f"select {n}") for n in range(CHAPTER + 5))
    page = both.signed_in("ada@example.com").get(f"/sessions/{one(both, *ran)}?chapter=2").text
    assert f'id="s{CHAPTER + 5}"' in page and "part 2 of 2" in words(page)
