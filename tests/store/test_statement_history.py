"""The dry run: what a proposed policy would have done to what is in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from appliance.clock import ManualClock
from appliance.embedded import PostgresServer
from appliance.entities import PolicyRule, ProfileMode, Snapshot
from appliance.policy.history import Difference, DryRun
from appliance.policy.proposal import with_profile, with_rules
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.sql.catalog import CATALOG_SQL, Catalog
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from appliance.store import catalogs, snapshots
from appliance.store.database import Store
from appliance.store.statement_history import Limits, Work, run
from tests.harness.postgres import fresh_database
from tests.store.conftest import NOW
from tests.store.profiled import BEGIN, ONE_STORE, Recorder, recorder_in

NO_DDL = PolicyRule("no-ddl", "block", commands=("ddl",))
NAMES = NameContext(("pg_catalog", "public"), "app_ro", frozenset(), {})


TABLES = """
create table orders (id int, day int, paid bool, total int);
create table customers (id int);
create table old (id int);
create table new (id int);
create table a (id int);
create schema archive;
create table archive.orders (id int);
"""


@dataclass(slots=True)
class Past:
    """Records statements with the fingerprints that the gateway gives them."""

    store: Store
    clock: ManualClock
    recorder: Recorder
    catalog: Catalog

    def ran(self, *texts: str, path: tuple[str, ...] = ("pg_catalog", "public"), **how: Any) -> str:
        names = NameContext(path, "app_ro", frozenset(), {})
        marks = [(text, self.mark(text, names)) for text in texts]
        return self.recorder.ran(*marks, **{"verdict": self.verdict(texts[0], names)} | how)

    def verdict(self, text: str, names: NameContext) -> Verdict:
        (statement,) = resolve(Parser().parse(text), self.catalog, names).statements
        decided = [EffectDecision(one, Action.ALLOW, "default") for one in statement.effects]
        return Verdict(Action.ALLOW, "default", "", decisions=tuple(decided))

    def mark(self, text: str, names: NameContext = NAMES) -> str:
        return resolve(Parser().parse(text), self.catalog, names).statements[0].fingerprint


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer) -> Iterator[Catalog]:
    with fresh_database(postgres) as database:
        database.run(TABLES)
        ((data,),) = database.run(CATALOG_SQL)
        yield Catalog.from_json(str(data).encode())


@pytest.fixture
def past(shop: Store, tmp_path: Path, catalog: Catalog) -> Iterator[Past]:
    catalogs.put(shop, NOW, "shop", "shop", catalog.to_json())
    clock = ManualClock(NOW)
    recorder = recorder_in(shop, tmp_path, clock)
    yield Past(shop, clock, recorder, catalog)
    recorder.journal.close()


def tried(
    past: Past,
    *rules: PolicyRule,
    present: tuple[PolicyRule, ...] = (),
    limits: Limits | None = None,
    proposed: Snapshot | None = None,
) -> DryRun:
    snapshot = with_rules(snapshots.load(past.store, past.clock.now()), present)
    return run(
        past.store,
        past.clock.now(),
        snapshot,
        proposed or with_rules(snapshot, rules),
        Parser(),
        limits=limits,
    )


def test_a_new_rule_shows_what_it_would_have_stopped_with_an_example(past: Past) -> None:
    past.ran(*[f"select {number} from orders" for number in range(40)])
    past.clock.advance(timedelta(days=1))
    dropped = past.ran("drop table orders", "drop table orders")
    found = tried(past, NO_DDL)
    (one,) = found.differences
    assert (one.now.action, one.now.rule) == ("allow", "default")
    assert (one.then.action, one.then.rule) == ("block", "no-ddl")
    assert (one.recorded.text, one.recorded.count) == ("drop table orders", 2)
    assert (one.recorded.session_id, one.recorded.seq) == (dropped, 2)
    assert (one.recorded.identity, one.recorded.role) == ("ci-nightly", "app_ro")
    assert one.recorded.last_at == past.clock.now() and one.is_stricter
    assert one.effects == (("ddl", "public.orders"),)
    assert (found.total, found.judged, found.changed, found.is_complete) == (42, 42, 2, True)
    assert found.count("block") == 2 and found.count("hold") == 0


@ONE_STORE
def test_rules_taken_away_reordered_and_switched_off_count_too(past: Past) -> None:
    past.ran("drop table orders", "delete from orders")
    off = replace(NO_DDL, enabled=False)
    allow = PolicyRule("all", "allow")
    for present, proposed in (((NO_DDL,), ()), ((NO_DDL,), (off,)), ((NO_DDL, allow), (allow,))):
        (one,) = tried(past, *proposed, present=present).differences
        assert (one.now.action, one.then.action, one.is_stricter) == ("block", "allow", False)
    (one,) = tried(past, NO_DDL, allow, present=(allow, NO_DDL)).differences
    assert (one.now.rule, one.then.rule) == ("all", "no-ddl")
    assert tried(past, NO_DDL, present=(NO_DDL,)).differences == ()
    assert tried(past, replace(off, message="x"), present=(off,)).differences == ()


@ONE_STORE
def test_only_the_last_thirty_days_count(past: Past) -> None:
    past.ran("drop table old")
    past.clock.advance(timedelta(days=32))
    past.ran("drop table new")
    found = tried(past, NO_DDL)
    assert [one.recorded.text for one in found.differences] == ["drop table new"]
    assert found.total == 1


def test_hours_are_judged_by_the_time_of_each_run(past: Past) -> None:
    past.ran("drop table a")  # 12:00
    past.clock.advance(timedelta(hours=10))
    past.ran("drop table a")  # 22:00
    past.clock.advance(timedelta(hours=1))
    past.ran("drop table a", "drop table a")
    found = tried(past, replace(NO_DDL, hours="20:00-06:00"))
    (one,) = found.differences
    assert (one.recorded.count, found.changed, found.judged) == (3, 3, 4)
    assert tried(past, replace(NO_DDL, hours="01:00-02:00")).differences == ()


@ONE_STORE
def test_rows_over_goes_by_the_rows_that_were_recorded(past: Past) -> None:
    text = "update orders set paid = true where day = 1"
    past.ran(text, rows=5)
    past.ran(text, text, rows=5000)
    bulk = PolicyRule("bulk", "approve", commands=("update",), rows_over=1000)
    found = tried(past, bulk)
    (one,) = found.differences
    assert (one.then.action, one.recorded.count, one.recorded.rows) == ("hold", 2, 5000)
    assert found.judged == found.total == 3
    assert tried(past, replace(bulk, rows_over=9000)).differences == ()


@ONE_STORE
def test_application_names_and_sources_are_told_apart(past: Past) -> None:
    text = "drop table orders"
    past.ran(text, application_name="psql")
    past.ran(text, text, application_name="ci-export", source="10.9.0.1")
    (one,) = tried(past, replace(NO_DDL, application_names=("psql",))).differences
    assert (one.recorded.count, one.recorded.application_name) == (1, "psql")
    (one,) = tried(past, replace(NO_DDL, sources=("10.9.0.0/16",))).differences
    assert (one.recorded.count, one.recorded.source) == (2, "10.9.0.1")


@ONE_STORE
def test_a_profile_would_have_refused_what_is_not_signed(past: Past) -> None:
    signed = "select count(*) from orders"
    past.ran(signed, signed, "select 1 from customers")
    past.ran("begin", verdict=BEGIN)
    past.ran("drop table customers", identity="bo@example.com")
    snapshot = snapshots.load(past.store, past.clock.now())
    proposed = with_profile(snapshot, "ci-nightly", ProfileMode.ENFORCE, {past.mark(signed)})
    found = tried(past, proposed=proposed)
    (one,) = found.differences
    assert (one.recorded.text, one.then.rule) == ("select 1 from customers", "profile")
    assert (found.changed, found.judged, found.total) == (1, 5, 5)
    assert found.moves == {("allow", "allow"): 3, ("allow", "block"): 1}


@ONE_STORE
def test_what_cannot_be_judged_is_said(past: Past) -> None:
    past.ran("execute p1", "drop table orders", identity="ci-nightly")
    past.ran("drop table orders", identity="gone@example.com")
    found = tried(past, NO_DDL)
    assert [one.recorded.identity for one in found.differences] == ["ci-nightly"]
    assert {one.why for one in found.unjudged} == {
        "there is no identity gone@example.com any more",
        'what "p1" was prepared for is not known',
    }


@ONE_STORE
def test_what_was_dropped_since_is_judged_as_it_was_understood_then(past: Past) -> None:
    past.ran("drop table customers")
    past.ran("select id from customers where total(id) > 1")
    gone = orjson.loads(past.catalog.to_json())
    gone["relations"] = [row for row in gone["relations"] if "customers" not in row]
    catalogs.put(past.store, NOW, "shop", "shop", orjson.dumps(gone))
    rule = PolicyRule("hands-off", "block", tables=("public.customers",))
    found = tried(past, rule)
    assert [one.recorded.text for one in found.differences] == ["drop table customers"]
    assert [one.why for one in found.unjudged] == [
        "relation customers is not in the target's catalog"
    ]


def test_a_search_path_of_the_session_says_what_bare_names_mean(past: Past) -> None:
    set_ = {"options": "-c search_path=archive,pg_catalog"}
    past.ran("select * from orders", path=("archive", "pg_catalog"), parameters=set_)
    past.ran("select * from orders where id = 1")
    rule = PolicyRule("archive", "block", tables=("archive.*",))
    found = tried(past, rule)
    assert [one.recorded.text for one in found.differences] == ["select * from orders"]
    assert found.differences[0].effects[0] == ("select", "archive.orders")


@pytest.mark.parametrize("rule", [NO_DDL, replace(NO_DDL, hours="00:00-23:59")])
def test_it_is_bounded_and_says_how_far_it_came(past: Past, rule: PolicyRule) -> None:
    for number in range(12):
        past.ran(f"create table t{number} (x int)")
        past.clock.advance(timedelta(hours=1))
    found = tried(past, rule, limits=Limits(groups=5))
    assert [one.recorded.text[13:16] for one in sorted_by_time(found)] == [
        "t11", "t10", "t9 ", "t8 ", "t7 ",
    ]  # fmt: skip
    assert (found.total, found.judged, found.is_complete) == (12, 5, False)
    assert found.back_to is not None and found.back_to < past.clock.now() - timedelta(hours=4)
    nothing = tried(past, rule, limits=Limits(seconds=0.0))
    assert (nothing.total, nothing.judged, nothing.is_complete) == (12, 0, False)


@ONE_STORE
def test_others_have_their_turn_while_it_works(past: Past) -> None:
    past.ran(*["select 1" + ", 2" * number for number in range(300)])
    turns: list[int] = []
    asides: list[object] = []

    def aside(work: object) -> object:
        asides.append(work)
        return work()  # type: ignore[operator]

    snapshot = snapshots.load(past.store, NOW)
    run(
        past.store, NOW, snapshot, with_rules(snapshot, (NO_DDL,)), Parser(),
        work=Work(aside=aside, breathe=lambda: turns.append(1)),
    )  # fmt: skip
    assert len(turns) > 5 and len(asides) >= 3


def sorted_by_time(found: DryRun) -> list[Difference]:
    moments: dict[datetime, Difference] = {one.recorded.last_at: one for one in found.differences}
    return [moments[at] for at in sorted(moments, reverse=True)]
