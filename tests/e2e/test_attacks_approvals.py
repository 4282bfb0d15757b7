"""What somebody who knows the source would try: approved is one thing, another one would run."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from appliance.approvals.requests import RequestState
from appliance.store import approvals
from appliance.store.approval_room import MOST
from tests.e2e import raw
from tests.e2e.held import Client, decide, left, settled, state_of, waiting
from tests.e2e.raw import RawClient
from tests.harness.gateway import CI, Gateway
from tests.store.approving import machine

# (what there is, what is held, what somebody else does before the yes)
CHANGES = {
    "a trigger": (
        "",
        "DELETE FROM bait",
        "CREATE FUNCTION taken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN DELETE FROM prey; RETURN OLD; END$$;"
        " CREATE TRIGGER t BEFORE DELETE ON bait FOR EACH ROW EXECUTE FUNCTION taken()",
    ),
    "what a trigger's function calls": (
        "CREATE FUNCTION inner_one() RETURNS void LANGUAGE plpgsql AS $$BEGIN END$$;"
        " CREATE FUNCTION outer_one() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM inner_one(); RETURN OLD; END$$;"
        " CREATE TRIGGER t BEFORE DELETE ON bait FOR EACH ROW EXECUTE FUNCTION outer_one()",
        "DELETE FROM bait",
        "CREATE OR REPLACE FUNCTION inner_one() RETURNS void LANGUAGE plpgsql AS"
        " $$BEGIN DELETE FROM prey; END$$",
    ),
    "row-level security switched off": (
        "ALTER TABLE bait ENABLE ROW LEVEL SECURITY; ALTER TABLE bait FORCE ROW LEVEL SECURITY;"
        " CREATE POLICY p ON bait USING (n = 1)",
        "DELETE FROM bait",
        "ALTER TABLE bait DISABLE ROW LEVEL SECURITY",
    ),
    "columns that changed their names": (
        "",
        "UPDATE bait SET n = m",
        "ALTER TABLE bait RENAME n TO x; ALTER TABLE bait RENAME m TO n;"
        " ALTER TABLE bait RENAME x TO m",
    ),
    "a cast's function": (
        "CREATE TYPE odd AS (i int);"
        " CREATE FUNCTION as_odd(int) RETURNS odd LANGUAGE sql AS 'SELECT ROW($1)::odd';"
        " CREATE CAST (int AS odd) WITH FUNCTION as_odd(int)",
        "UPDATE bait SET n = (5::odd).i",
        "CREATE OR REPLACE FUNCTION as_odd(int) RETURNS odd LANGUAGE sql AS 'SELECT ROW(666)::odd'",
    ),
    "a cascade": (
        "ALTER TABLE bait ADD PRIMARY KEY (n); CREATE TABLE refers (n int)",
        "DELETE FROM bait",
        "ALTER TABLE refers ADD FOREIGN KEY (n) REFERENCES bait ON DELETE CASCADE",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_somebody_changed_before_the_yes_is_not_what_was_approved(
    orders: Gateway, name: str
) -> None:
    before, text, meanwhile = CHANGES[name]
    run = orders.database.run
    run(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
        " CREATE TABLE bait (n int, m int); INSERT INTO bait VALUES (1, 2), (3, 4);"
        " CREATE TABLE prey (n int); INSERT INTO prey VALUES (1)"
    )
    run(before or "SELECT 1")
    with orders.connect() as connection:
        client = Client(connection, f"{text} -- {name}")
        request = waiting(orders, f"-- {name}")
        run(meanwhile)
        decide(orders, request, approve=True)
        assert "what was approved is not what would run now" in str(client.ended())
    settled(orders, request, RequestState.APPROVED)
    assert state_of(orders, request) is RequestState.APPROVED
    assert len(run("SELECT n FROM prey")) == 1
    assert run("SELECT n, m FROM bait WHERE n IN (1, 3) ORDER BY 1") or "RENAME" in meanwhile


def test_the_approver_is_shown_what_would_run_not_only_what_was_typed(orders: Gateway) -> None:
    """By search_path, SET ROLE and EXECUTE a text says little of what it does."""
    orders.database.run(
        "CREATE SCHEMA IF NOT EXISTS aside; CREATE TABLE IF NOT EXISTS aside.orders (id int)"
    )
    with orders.connect() as connection:
        connection.execute("SET search_path = aside")
        text = "PREPARE harmless AS DELETE FROM orders AS dblink RETURNING 'x'"
        prepares = Client(connection, text)
        decide(orders, waiting(orders, "PREPARE harmless"), approve=True)
        assert prepares.ended() == "PREPARE"
        client = Client(connection, "EXECUTE harmless")
        request = waiting(orders, "EXECUTE harmless")
        decide(orders, request, approve=False, reason="no")
        assert "denied" in str(client.ended())
    assert ("delete", "aside.orders") in request.effects
    assert request.detail["prepared"] == [
        "PREPARE harmless AS DELETE FROM orders AS dblink RETURNING '***'"
    ]
    assert request.detail["hides_values"] is True
    assert "acting_role" not in request.detail


def test_one_identity_cannot_bury_what_others_ask(orders: Gateway) -> None:
    orders.database.run("CREATE TABLE IF NOT EXISTS later (n int)")
    now = datetime.now(UTC)
    others = approvals.find(orders.store, identity=CI, state="waiting").total
    for number in range(MOST - 1 - others):
        ask = machine(f"-- number {number}", expires_at=now + timedelta(minutes=5))
        approvals.ask(orders.store, now, ask)
    with orders.connect(CI) as program, orders.connect() as connection:
        told: list[psycopg.Error] = []
        for number in range(2):
            with pytest.raises(psycopg.Error) as refused:
                program.execute(f"DELETE FROM later -- number last {number}")
            told.append(refused.value)
        assert [error.sqlstate for error in told] == ["42501", "53400"]
        assert f"{MOST} requests of {CI} wait already" in str(told[-1])
        assert "Nothing was run. Have some of them decided" in str(told[-1])
        assert program.execute("SELECT 1").fetchone() == (1,)
        client = Client(connection, "DELETE FROM orders -- somebody else")
        decide(orders, waiting(orders, "-- somebody else"), approve=True)
        assert client.ended() == "DELETE 42"
    asked = approvals.find(orders.store, "-- number", size=100).items
    assert len(asked) == MOST - others
    for request in asked:
        decide(orders, request, approve=False, reason="enough")


@pytest.mark.parametrize("is_query", [True, False])
def test_a_text_that_is_too_large_to_look_at_is_refused(orders: Gateway, is_query: bool) -> None:
    text = f"DELETE FROM orders /* {'x' * (1 << 20)} */ -- huge"
    with RawClient(orders.port) as client:
        client.log_in(CI, orders.passwords[CI])
        extended = raw.parse(text) + raw.bind() + raw.execute() + raw.SYNC
        client.send(raw.query(text) if is_query else extended)
        (error,) = raw.errors(client.until())
        assert "is too large to be looked at" in error["M"]
        client.send(raw.query("SELECT 1"))
        assert not raw.errors(client.until())
    assert not approvals.find(orders.store, "-- huge").items
    assert left(orders) == 42


def test_what_was_approved_at_its_bind_is_looked_at_again_when_it_runs_late(
    orders: Gateway,
) -> None:
    """Meanwhile somebody can replace what it calls: a portal waits as long as its client likes."""
    orders.database.run(
        "CREATE OR REPLACE FUNCTION mark() RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN RETURN 'approved'; END$$"
    )
    with RawClient(orders.port) as client:
        client.log_in(CI, orders.passwords[CI])
        for portal, note in (("late", "approved"), ("later", "replaced")):
            client.send(raw.query("BEGIN"))
            client.until()
            text = f"UPDATE orders SET note = mark() -- {portal}"
            client.send(raw.parse(text), raw.bind(portal), raw.FLUSH)
            decide(orders, waiting(orders, f"-- {portal}"), approve=True)
            client.until("2")
            if note == "replaced":
                orders.database.run(
                    "CREATE OR REPLACE FUNCTION mark() RETURNS text LANGUAGE plpgsql AS"
                    " $$BEGIN RETURN 'replaced'; END$$"
                )
            time.sleep(1.2)  # later than what goes without another look
            client.send(raw.execute(portal), raw.SYNC)
            failed = raw.errors(client.until())
            assert bool(failed) is (note == "replaced"), failed
            client.send(raw.query("COMMIT"))
            client.until()
    assert "what was approved is not what would run now" in failed[0]["M"]
    assert orders.database.run("SELECT DISTINCT note FROM orders") == [("approved",)]
