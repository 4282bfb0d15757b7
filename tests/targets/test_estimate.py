"""Row estimates by a real planner, which runs nothing of a user's own meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from appliance.approvals.requests import Estimate
from appliance.embedded import PostgresServer
from appliance.recording.parameters import BinaryValue, CutValue, Parameter
from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from appliance.targets import load_catalog
from appliance.targets.estimate import Estimator, estimate
from tests.harness.polling import promised
from tests.harness.postgres import Database, fresh_database
from tests.targets.test_check import target_of

SCHEMA = """
CREATE TABLE orders (id int PRIMARY KEY, total numeric, note text DEFAULT 'x');
INSERT INTO orders SELECT n, n, 'x' FROM generate_series(1, 5000) n;
CREATE TABLE items (order_id int REFERENCES orders, n int);
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200);
INSERT INTO parts SELECT n FROM generate_series(0, 199) n;
CREATE TABLE ran (what text);
CREATE FUNCTION spy(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
  BEGIN RAISE LOG 'the spy ran'; RETURN n; END $$;
CREATE TABLE spied (id int DEFAULT spy(1), n int);
CREATE TABLE checked (n int CHECK (spy(n) = n));
CREATE TABLE indexed (n int); CREATE INDEX ON indexed (spy(n));
CREATE TABLE guarded (n int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (n = spy(1));
CREATE TABLE ruled (n int); CREATE RULE r AS ON DELETE TO ruled DO ALSO DELETE FROM items;
CREATE VIEW plain AS SELECT id, total FROM orders;
CREATE VIEW spying AS SELECT id, spy(1) AS s FROM orders;
CREATE VIEW over_spying AS SELECT * FROM spying;
CREATE FUNCTION on_update() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE LOG 'the spy ran'; RETURN new; END $$;
CREATE TABLE watched (n int); INSERT INTO watched SELECT generate_series(1, 40);
CREATE TRIGGER t BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION on_update();
CREATE SCHEMA other; CREATE TABLE other.orders (id int);
INSERT INTO other.orders SELECT generate_series(1, 70);
ANALYZE;
CREATE TABLE new (n int); INSERT INTO new SELECT generate_series(1, 200);
CREATE TABLE newest (n int);
"""


@dataclass(frozen=True, slots=True)
class World:
    database: Database
    catalog: Catalog

    def ask(
        self,
        text: str,
        *parameters: Parameter,
        path: tuple[str, ...] = ("pg_catalog", "public"),
        types: tuple[int, ...] = (),
        **changes: object,
    ) -> Estimate:
        role = self.database.rw
        facts = resolve(
            Parser().parse(text), self.catalog, NameContext(path, role.name, frozenset())
        )
        target = target_of(self.database, role, **changes)
        name, secret = self.database.name, role.password
        return estimate(target, name, role.name, secret, path, text, parameters, facts, types)


def made(server: PostgresServer) -> Iterator[World]:
    with fresh_database(server) as database:
        database.run(SCHEMA)
        target = target_of(database, database.owner)
        yield World(database, load_catalog(target, database.name, database.owner.password))


@pytest.fixture(scope="module", params=[18, 16])
def world(
    request: pytest.FixtureRequest, postgres: PostgresServer, postgres16: PostgresServer
) -> Iterator[World]:
    yield from made({18: postgres, 16: postgres16}[request.param])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("UPDATE orders SET total = 0", 5000),
        ("DELETE FROM orders", 5000),
        ("UPDATE orders SET total = 0 WHERE id = 7", 1),
        ("SELECT * FROM orders", 5000),
        ("SELECT count(*) FROM orders", 1),
        ("SELECT * FROM orders LIMIT 20", 20),
        ("INSERT INTO items VALUES (1, 1), (2, 2), (3, 3)", 3),
        ("INSERT INTO items SELECT id, 1 FROM orders", 5000),
        ("UPDATE plain SET total = 0", 5000),
        ("DELETE FROM parts", 200),
        ("UPDATE orders SET total = 0 FROM parts WHERE parts.n = 7 AND orders.id = parts.n", 1),
        (
            "MERGE INTO items USING orders ON order_id = id "
            "WHEN NOT MATCHED THEN INSERT VALUES (id, 1)",
            5000,
        ),
        ("INSERT INTO orders VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET total = 2", 1),
        ("UPDATE watched SET n = 0", 40),
        ("DELETE FROM orders WHERE id IN (SELECT order_id FROM items)", None),
    ],
)
def test_the_number_is_that_of_the_rows_changed_or_returned(
    world: World, text: str, rows: int | None
) -> None:
    found = world.ask(text)
    assert found.why == ""
    assert found.rows is not None and (rows is None or found.rows == rows)


def test_parameters_are_taken_as_they_came(world: World) -> None:
    text = "UPDATE orders SET total = 0 WHERE id < $1"
    assert world.ask(text, "10").rows == pytest.approx(10, abs=5)
    assert world.ask(text, b"4000").rows == pytest.approx(4000, abs=50)
    binary = BinaryValue((2500).to_bytes(4), 23)
    assert world.ask(text, binary, types=(23,)).rows == pytest.approx(2500, abs=50)
    assert world.ask("DELETE FROM orders WHERE total < $1", "10", types=(1700,)).rows
    assert world.ask(text, None).rows is not None
    assert "too large" in world.ask(text, CutValue("1", 70_000)).why
    assert world.ask(text, "ten").rows is None


def test_a_small_table_that_was_never_analysed_is_taken_for_what_it_is(world: World) -> None:
    assert 200 <= (world.ask("SELECT * FROM new").rows or 0) <= 300
    assert 200 <= (world.ask("DELETE FROM new").rows or 0) <= 300
    assert world.ask("UPDATE newest SET n = 1").rows == 0
    assert world.ask("INSERT INTO newest VALUES (1), (2)").rows == 2


def test_names_are_looked_up_in_the_sessions_search_path(world: World) -> None:
    assert world.ask("SELECT * FROM orders", path=("other", "pg_catalog", "public")).rows == 70
    assert world.ask("SELECT * FROM orders", path=("pg_temp_3", "pg_catalog", "other")).rows == 70


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT spy(1)", "not a built-in function"),
        ("UPDATE orders SET total = spy(1)", "not a built-in function"),
        ("SELECT * FROM spying", "not a built-in function"),
        ("SELECT * FROM over_spying", "not a built-in function"),
        ("INSERT INTO spied (n) VALUES (1)", "code of its own"),
        ("DELETE FROM checked", "code of its own"),
        ("UPDATE indexed SET n = 1", "code of its own"),
        ("SELECT * FROM guarded", "code of its own"),
        ("DELETE FROM ruled", "code of its own"),
        ("WITH d AS (DELETE FROM items RETURNING *) SELECT * FROM d", "on the way"),
        ("DELETE FROM items RETURNING n", "RETURNING"),
        ("SELECT * FROM orders; SELECT 1", "not one statement"),
        ("TRUNCATE items", "not a statement that the planner"),
        ("EXPLAIN ANALYZE DELETE FROM items", "not a statement that the planner"),
        ("COPY orders TO STDOUT", "not a statement that the planner"),
        ("SELECT * INTO made FROM orders", "makes something new"),
        ("SELECT * FROM nowhere", "not in the target's catalog"),
        ("SELECT pg_read_file('x')", "server_file"),
        ("UPDATE pg_temp.t SET n = 1", "not in the target's catalog"),
    ],
)
def test_what_planning_could_run_or_no_tag_counts_has_none(
    world: World, text: str, why: str
) -> None:
    found = world.ask(text)
    assert found.rows is None
    assert why in found.why


def test_no_code_of_a_user_ran(world: World) -> None:
    """All of the above has been asked by now, or not: the server's log knows."""
    for text in ("INSERT INTO spied (n) VALUES (1)", "SELECT spy(1)", "UPDATE watched SET n = 0"):
        world.ask(text)
    assert "LOG:  the spy ran" not in world.database.log()


def test_it_waits_for_no_lock_and_for_no_silent_server(world: World) -> None:
    with world.database.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE items")
        began = time.monotonic()
        found = world.ask("DELETE FROM items")
        assert time.monotonic() - began < promised(1.5)
        assert (found.rows, "lock" in found.why) == (None, True)
    assert "refused the connection" in world.ask("SELECT * FROM orders", port=1).why


def test_a_search_path_that_is_not_known_gives_none(world: World) -> None:
    facts = resolve(Parser().parse("SELECT 1"), world.catalog, NameContext(None, "x", None))
    target, role = target_of(world.database), world.database.ro
    arguments = (target, world.database.name, role.name, role.password)
    assert "search_path" in Estimator().ask(*arguments, None, "SELECT 1", (), facts).why
    assert Estimator().ask(*arguments, ("public",), "SELECT 1", (), facts).rows == 1
