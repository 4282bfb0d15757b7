"""Sessions found by what was said in them, replays by chapters, hits of rules: on both stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.errors import NotFound
from appliance.store import rule_use, search, session_replay, session_search
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec, create
from appliance.store.session_search import SessionFilter
from appliance.store.targets import TargetSpec
from appliance.store.targets import create as create_target
from tests.web.recorded import Ran, Recorded, record

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BY = Actor("setup", "shell")
REFUSED = Ran("drop table orders", "block", rule="no-ddl")


def three(store: Store) -> tuple[str, str, str]:
    """Record an ended session of ana, one of ci with a refusal, a live one of bo."""
    ana = Recorded(
        "ana@example.com",
        AT - timedelta(hours=3),
        (Ran("select * from Customers where note = '100%_done'"),),
        timedelta(minutes=5),
        source="10.9.9.9",
    )
    ci = Recorded(
        "ci-nightly",
        AT - timedelta(hours=2),
        (Ran("select 1"), REFUSED),
        timedelta(minutes=1),
        kind="ci",
        target="billing",
        application_name="ci-pipeline-7",
    )
    bo = Recorded("bo@example.com", AT - timedelta(minutes=1), (Ran("select 1"),))
    return record(store, ana), record(store, ci), record(store, bo)


def ids(store: Store, **wanted: object) -> list[str]:
    found = session_search.find(store, SessionFilter(**wanted))  # type: ignore[arg-type]
    return [session.id for session in found.items]


def test_each_filter_narrows_and_the_latest_comes_first(store: Store) -> None:
    ana, ci, bo = three(store)
    assert ids(store) == [bo, ci, ana]
    assert ids(store, identity="ci-nightly") == [ci]
    assert ids(store, target="shop") == [bo, ana]
    assert ids(store, application_name="ci-pipeline-7") == [ci]
    assert ids(store, source="10.9.9.9") == [ana]
    assert ids(store, outcome="refused") == [ci]
    assert ids(store, outcome="clean") == [bo, ana]
    assert ids(store, outcome="failed") == ids(store, outcome="held") == []
    assert ids(store, since=AT - timedelta(hours=2)) == [bo, ci]
    assert ids(store, live=True) == [bo]
    assert ids(store, live=False, target="shop") == [ana]


def test_text_is_looked_for_in_statements_only_where_asked(store: Store) -> None:
    ana, _, _ = three(store)
    assert ids(store, text="customers") == []
    assert ids(store, text="customers", in_statements=True) == [ana]
    assert ids(store, text="100%_DONE", in_statements=True) == [ana], "wildcards mean themselves"
    assert ids(store, text="10%%done", in_statements=True) == []
    assert ids(store, text=ana) == [ana]


def test_the_first_hit_shows_the_part_that_holds_the_text(store: Store) -> None:
    long = "select " + "a, " * 300 + "needle from t"
    session = record(
        store, Recorded("ana@example.com", AT, (Ran("select 1"), Ran(long), Ran(long)))
    )
    hits = session_search.first_hits(store, "NEEDLE", (session, "no-such"))
    assert hits[session].seq == 2 and "needle from t" in hits[session].text
    assert len(hits) == 1
    assert session_search.first_hits(store, "", (session,)) == {}


def test_filters_offer_what_there_is(store: Store) -> None:
    three(store)
    values = session_search.filter_values(store, AT - timedelta(days=1))
    assert values.identities == ("ana@example.com", "bo@example.com", "ci-nightly")
    assert values.targets == ("billing", "shop")
    assert values.application_names == ("ci-pipeline-7", "psql")
    assert session_search.filter_values(store, AT).identities == ()


def test_a_chapter_holds_only_its_statements_and_cuts_long_texts(store: Store) -> None:
    texts = tuple(Ran(f"select {number}, '{'x' * 50}'") for number in range(1, 8))
    session = record(store, Recorded("ana@example.com", AT, texts))
    lines = session_replay.chapter(store, session, 3, 2, 10)
    assert [line.seq for line in lines] == [3, 4]
    assert lines[0].text == "select 3, " and lines[0].is_cut and lines[0].length == 62
    assert session_replay.last_seq(store, session) == 7
    assert session_replay.ended_before(store, session, 3) == AT + timedelta(
        seconds=2, microseconds=1200
    )
    assert session_replay.begun_after(store, session, 4) == AT + timedelta(seconds=5)
    assert session_replay.ended_before(store, session, 1) is None
    assert session_replay.begun_after(store, session, 7) is None


def test_a_statement_that_is_not_there_is_said(store: Store) -> None:
    session = record(store, Recorded("ana@example.com", AT, (Ran("select 1"),)))
    assert session_replay.statement(store, session, 1, 100).text == "select 1"
    with pytest.raises(NotFound, match="has no statement 2"):
        session_replay.statement(store, session, 2, 100)


def test_the_next_error_is_found_and_the_search_goes_round(store: Store) -> None:
    ran = (Ran("a"), Ran("b", state="failed"), REFUSED, Ran("d", state="failed"))
    session = record(store, Recorded("ana@example.com", AT, ran))
    find = session_replay.next_in
    assert find(store, session, 0, session_replay.FAILED) == 2
    assert find(store, session, 2, session_replay.FAILED) == 4
    assert find(store, session, 4, session_replay.FAILED) == 2
    assert find(store, session, 0, session_replay.REFUSED) == 3
    assert find(store, session, 0, ("held",)) is None


def test_the_overview_shows_the_worst_of_each_bar(store: Store) -> None:
    ran = tuple(Ran(f"select {n}") for n in range(4))
    ran += (Ran("x", state="failed"), REFUSED, Ran("y", state="sent"))
    session = record(store, Recorded("ana@example.com", AT, ran))
    bars = session_replay.overview(store, session, 7, 4)
    assert [(bar.first, bar.count, bar.state) for bar in bars] == [
        (1, 2, "done"),
        (3, 2, "done"),
        (5, 2, "refused"),
        (7, 1, "sent"),
    ]
    assert session_replay.overview(store, session, 0, 4) == ()


def test_hits_count_only_what_is_recent_and_the_last_one_is_known(store: Store) -> None:
    record(store, Recorded("a", AT - timedelta(days=100), (REFUSED,), timedelta(minutes=1)))
    old = rule_use.of_rules(store, ["no-ddl", "other"], AT)
    assert old["no-ddl"].hits == 0 and old["no-ddl"].last_at is not None
    assert old["other"].hits == 0 and old["other"].last_at is None
    record(store, Recorded("a", AT - timedelta(days=40), (REFUSED,)))
    record(store, Recorded("a", AT - timedelta(days=1), (REFUSED, REFUSED)))
    now = rule_use.of_rules(store, ["no-ddl"], AT)["no-ddl"]
    assert (now.recent, now.hits, now.capped) == (2, 3, False)
    assert now.last_at == AT - timedelta(days=1) + timedelta(seconds=2)


def test_search_finds_names_ids_and_texts(store: Store) -> None:
    create(store, BY, AT, IdentitySpec("ci-nightly", "ci", purpose="Revenue export"))
    create_target(store, BY, AT, TargetSpec("billing", "db.internal", "pay"))
    _, ci, _ = three(store)
    assert [i.name for i in search.identities(store, "revenue")] == ["ci-nightly"]
    assert [t.name for t in search.targets(store, "internal")] == ["billing"]
    assert [s.id for s in search.sessions(store, ci[:6])] == [ci]
    assert search.sessions(store, ci[:2]) == (), "two characters are no id"
    found = search.statements(store, "SELECT 1")
    assert [(one.identity, one.seq, one.times) for one in found] == [("bo@example.com", 1, 2)]
    assert search.statements(store, "nothing like it") == ()
