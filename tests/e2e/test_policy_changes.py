"""Rules decide from the next statement on, also in sessions and statements opened before them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.entities import PolicyRule
from appliance.store import rules
from tests.e2e import raw
from tests.e2e.raw import RawClient
from tests.harness.gateway import ADMIN, ANA, CI, Gateway
from tests.harness.polling import eventually, promised

Connection = psycopg.Connection[Any]


def add_rule(gateway: Gateway, name: str, action: str = "block", **conditions: Any) -> float:
    """Add a rule without waiting for anybody; return when (monotonic)."""
    rule = PolicyRule(name=name, action=action, **conditions)
    rules.create(gateway.store, ADMIN, datetime.now(UTC), rule)
    return time.monotonic()


def test_a_new_rule_reaches_a_live_session_within_two_seconds(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    with gateway.connect() as connection:
        connection.execute("DELETE FROM t WHERE n = 7")
        added = add_rule(gateway, "no-deletes", commands=("delete",))

        def refused() -> bool:
            try:
                connection.execute("DELETE FROM t WHERE n = 7")
            except errors.InsufficientPrivilege:
                return True
            return False

        eventually(refused, timeout=promised(2), what="the refusal")
        assert time.monotonic() - added < promised(2)
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_statement_prepared_long_ago_is_refused_at_its_bind(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)")
    with RawClient(gateway.port) as client:
        client.log_in(CI, gateway.passwords[CI])
        client.send(
            raw.parse("DELETE FROM t WHERE n = $1", "gone"), raw.describe("S", "gone"), raw.SYNC
        )
        client.until()
        client.send(raw.bind("", "gone", b"1"), raw.execute(), raw.SYNC)
        assert raw.kinds(client.until()) == "2CZ"
        gateway.rule("no-deletes", "block", commands=("delete",))
        client.send(raw.bind("", "gone", b"2"), raw.execute(), raw.SYNC)
        (error,) = raw.errors(client.until())
        assert error["C"] == "42501"
        assert "no-deletes" in error["M"]
        assert raw.values(client.ask("SELECT n FROM t")) == [b"2"]
    done, refused = gateway.statements("DELETE FROM t")
    assert (done["state"], done["tag"], done["parameters"]) == ("done", "DELETE 1", ["1"])
    assert (refused["state"], refused["rule"]) == ("refused", "no-deletes")
    assert refused["parameters"] == ["2"]


def test_execute_of_what_was_prepared_by_sql_is_refused_too(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    with gateway.connect() as connection:
        connection.execute("PREPARE gone (int) AS DELETE FROM t WHERE n = $1")
        connection.execute("EXECUTE gone (7)")
        gateway.rule("no-deletes", "block", commands=("delete",))
        for text in ("EXECUTE gone (1)", "EXPLAIN ANALYZE EXECUTE gone (1)"):
            with pytest.raises(errors.InsufficientPrivilege, match="no-deletes"):
                connection.execute(text)
        with pytest.raises(errors.InsufficientPrivilege, match="no-deletes"):
            connection.execute("PREPARE again AS DELETE FROM t")
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_rule_taken_away_lets_the_same_statement_run(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t (n int)")
    with gateway.connect() as connection:
        gateway.rule("no-deletes", "block", commands=("delete",))
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("DELETE FROM t")
        rules.delete(gateway.store, ADMIN, datetime.now(UTC), "no-deletes")
        gateway.settle()
        connection.execute("DELETE FROM t")


def test_a_rule_that_wants_an_approval_refuses_where_nobody_can_give_it(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    gateway.rule("bulk", "approve", commands=("delete", "update"), without_where=True)
    with gateway.connect() as connection:
        for text in ("DELETE FROM t", "UPDATE t SET n = 2 WHERE true"):
            with pytest.raises(errors.InsufficientPrivilege) as caught:
                connection.execute(text)
            message = caught.value.diag.message_primary
            assert message is not None
            assert message.startswith("gatepost: needs an approval, and nobody can give it: ")
        connection.execute("DELETE FROM t WHERE n = 7")
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
    refused = [row for row in gateway.statements() if row["state"] == "refused"]
    assert [(row["verdict"], row["rule"], row["sqlstate"]) for row in refused] == [
        ("hold", "bulk", "42501")
    ] * 2


WAYS: dict[str, Callable[[Connection], Any]] = {
    "by name": lambda c: c.execute("SELECT * FROM salaries"),
    "by schema": lambda c: c.execute("SELECT amount FROM public.salaries LIMIT 1"),
    "quoted": lambda c: c.execute('TABLE "salaries"'),
    "through a view": lambda c: c.execute("SELECT * FROM well_paid"),
    "through a view on a view": lambda c: c.execute("SELECT count(*) FROM very_well_paid"),
    "through its parent": lambda c: c.execute("SELECT * FROM payments"),
    "in a sub-select": lambda c: c.execute("SELECT 1 WHERE EXISTS (SELECT FROM salaries)"),
    "in a CTE": lambda c: c.execute("WITH s AS (SELECT * FROM salaries) SELECT * FROM s"),
    "by COPY": lambda c: c.execute("COPY salaries TO STDOUT"),
    "by COPY of a query": lambda c: c.execute("COPY (SELECT * FROM well_paid) TO STDOUT"),
    "prepared": lambda c: c.execute("SELECT * FROM salaries WHERE amount > %s", [1]),
    "by EXPLAIN ANALYZE": lambda c: c.execute("EXPLAIN ANALYZE SELECT * FROM salaries"),
    "by a cursor": lambda c: c.execute("DECLARE x CURSOR WITH HOLD FOR SELECT * FROM salaries"),
    "by RETURNING": lambda c: c.execute("UPDATE salaries SET who = who RETURNING amount"),
    "through a new temporary view": lambda c: (
        c.execute("CREATE TEMP VIEW mine AS SELECT * FROM salaries"),
        c.execute("SELECT * FROM mine"),
    ),
    "through a view of the own transaction": lambda c: (
        c.execute("BEGIN"),
        c.execute("CREATE VIEW fresh AS SELECT * FROM well_paid"),
        c.execute("SELECT * FROM fresh"),
    ),
    "under another name in the own transaction": lambda c: (
        c.execute("BEGIN"),
        c.execute("ALTER TABLE salaries RENAME TO innocent"),
        c.execute("SELECT * FROM innocent"),
    ),
    "after a change of the search_path": lambda c: (
        c.execute("SET search_path = elsewhere, public"),
        c.execute("SELECT * FROM salaries"),
    ),
}


def test_a_rule_on_a_table_holds_for_every_way_to_it(gateway: Gateway) -> None:
    gateway.database.run(
        "CREATE TABLE payments (who text, amount int);"
        "CREATE TABLE salaries () INHERITS (payments);"
        "INSERT INTO salaries VALUES ('ana', 4711);"
        "CREATE VIEW well_paid AS SELECT * FROM salaries WHERE amount > 10;"
        "CREATE VIEW very_well_paid AS SELECT who FROM well_paid WHERE amount > 100;"
        "CREATE SCHEMA elsewhere"
    )
    gateway.rule("salaries", "block", tables=("public.salaries",))
    for name, way in WAYS.items():
        with gateway.connect(ANA) as connection:
            assert connection.execute("SELECT * FROM pg_class LIMIT 1").fetchone()
            with pytest.raises(errors.InsufficientPrivilege) as caught:
                way(connection)
                pytest.fail(f"{name}: let through")
            assert '"salaries"' in str(caught.value), name


def test_a_table_of_the_same_name_elsewhere_is_another_one(gateway: Gateway) -> None:
    gateway.database.run(
        "CREATE TABLE salaries (n int); CREATE SCHEMA elsewhere;"
        "CREATE TABLE elsewhere.salaries (n int); INSERT INTO elsewhere.salaries VALUES (7)"
    )
    gateway.rule("salaries", "block", tables=("public.salaries",))
    with gateway.connect() as connection:
        assert connection.execute("SELECT n FROM elsewhere.salaries").fetchone() == (7,)
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT n FROM salaries")
        with connection.pipeline():
            connection.execute("SET search_path = elsewhere")
            assert connection.execute("SELECT n FROM salaries").fetchone() == (7,)
        assert connection.execute("SELECT n FROM salaries").fetchone() == (7,)
        with pytest.raises(errors.InsufficientPrivilege), connection.pipeline():
            connection.execute("SELECT set_config('search_path', 'public', false)")
            connection.execute("SELECT n FROM salaries")


def test_a_table_made_by_another_session_is_known_to_the_rules(gateway: Gateway) -> None:
    gateway.rule("secrets", "block", commands=("select",), tables=("public.secret_*",))
    with gateway.connect() as connection:
        connection.execute("SELECT count(*) FROM pg_class")
        gateway.database.run(
            "CREATE TABLE secret_plans (n int); CREATE VIEW innocent AS TABLE secret_plans"
        )
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM secret_plans")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM innocent")
