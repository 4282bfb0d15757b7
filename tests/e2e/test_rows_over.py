"""``rows_over``: held or refused by the planner's estimate, taken back where that was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from psycopg import errors

from appliance.embedded import Installation, PostgresServer
from tests.e2e import raw
from tests.e2e.held import BO, Client, decide, holding_gateway, waiting
from tests.e2e.programs import run, through
from tests.e2e.raw import RawClient
from tests.harness.gateway import CI, Gateway
from tests.harness.polling import eventually

ROWS, LIMIT = 5000, 1000
# The planner has never seen more than one row of ``lied`` and ``stale``.
SCHEMA = f"""
CREATE TABLE lied (id int, n int) WITH (autovacuum_enabled = false);
INSERT INTO lied VALUES (1, 0); ANALYZE lied;
INSERT INTO lied SELECT i, 0 FROM generate_series(2, {ROWS}) i;
CREATE TABLE stale (LIKE lied) WITH (autovacuum_enabled = false);
INSERT INTO stale VALUES (1, 0); ANALYZE stale;
INSERT INTO stale SELECT i, 0 FROM generate_series(2, {ROWS}) i;
CREATE TABLE orders (id int PRIMARY KEY, n int);
INSERT INTO orders SELECT i, 0 FROM generate_series(1, {ROWS}) i; ANALYZE orders;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE late (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree VALUES (1); INSERT INTO tree SELECT i, 1 FROM generate_series(2, {ROWS}) i;
CREATE FUNCTION odd(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
  BEGIN RETURN $1 % 2 = 1; END $$;
"""
TRIPS = "UPDATE lied SET n = 1 WHERE n = 0"
FAILS = "UPDATE lied SET n = 1 / n WHERE n = 0"  # of itself, with an error like any other
FEW = "UPDATE lied SET n = abs(n) WHERE id <= 3"
EXPORT = "SELECT id FROM lied WHERE n = 0"


@pytest.fixture(scope="module")
def limited(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("limited")
    with holding_gateway(postgres, directory, workers=1) as gateway:
        gateway.database.run(SCHEMA)
        block = ("lied", "late", "tree")
        writes = ("update", "delete", "insert")
        gateway.rule("many", "block", commands=writes, tables=block, rows_over=LIMIT)
        gateway.rule("exports", "block", commands=("select",), tables=block, rows_over=LIMIT)
        careful = {"commands": ("update", "delete"), "tables": ("orders", "stale")}
        gateway.rule("careful", "approve", rows_over=LIMIT, **careful)
        yield gateway


def changed(gateway: Gateway, table: str = "lied") -> object:
    (row,) = gateway.database.run(f"SELECT count(*) FROM {table} WHERE n <> 0")
    return row[0]


def batch(text: str, *values: bytes, name: str = "", rows: int = 0) -> bytes:
    return raw.parse(text, name) + raw.bind("", name, *values) + raw.execute(rows=rows)


# Each is sent in one go, part by part; {x} is the statement that does not succeed.
SHAPES = {
    "a query": ["Q {x}"],
    "a query and the next behind it": ["Q {x}|Q SELECT 1"],
    "in a transaction": ["Q BEGIN", "Q {x}", "Q SELECT 1", "Q ROLLBACK", "Q SELECT 1"],
    "behind a savepoint": [
        "Q BEGIN",
        "Q SAVEPOINT a",
        "Q {x}",
        "Q ROLLBACK TO a",
        "Q SELECT 1",
        "Q COMMIT",
    ],
    "extended": ["B {x}|S"],
    "extended, described": ["P {x}|b|d|e|S"],
    "extended, in a transaction": ["Q BEGIN", "B {x}|S", "B SELECT 1|S", "Q COMMIT"],
    "a pipeline with one sync": ["B UPDATE lied SET n = n WHERE id = 1|B {x}|B SELECT 1|S"],
    "a pipeline with a sync each": ["B SELECT 1|S|B {x}|S|B SELECT 2|S"],
    "flushed": ["B {x}|H", "S"],
    "prepared before": ["P {x}|S", "b|e|S", "Q SELECT 1"],
    "begun within the batch": ["B BEGIN|B {x}|B COMMIT|S", "Q ROLLBACK"],
}


def encoded(part: str, text: str) -> bytes:
    out = b""
    for word in part.replace("{x}", text).split("|"):
        kind, _, rest = word.partition(" ")
        named = {"P": raw.parse(rest, "p"), "b": raw.bind("", "p"), "d": raw.describe()}
        simple = {"e": raw.execute(), "S": raw.SYNC, "H": raw.frame("H")}
        out += {"Q": raw.query(rest), "B": batch(rest), **named, **simple}[kind]
    return out


def played(client: RawClient, shape: list[str], text: str) -> list[tuple[str, bytes]]:
    """Return the answers' kinds, with the status of each ReadyForQuery."""
    found: list[tuple[str, bytes]] = []
    for part in shape:
        client.send(encoded(part, text))
        ready = part.count("Q ") + part.split("|").count("S")
        for _ in range(ready or 1):
            found += [
                (one.kind, one.body if one.kind == "Z" else b"")
                for one in client.until("Z" if ready else "E")
            ]
    return [one for one in found if one[0] != "N"]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_it_fails_in_every_shape_as_any_error_does(limited: Gateway, shape: list[str]) -> None:
    database = limited.database
    with RawClient(database.server.port) as client:
        client.log_in(database.owner.name, database.owner.password, database=database.name)
        genuine = played(client, shape, FAILS)
    with RawClient(limited.port) as client:
        client.log_in(CI, limited.passwords[CI])
        assert played(client, shape, TRIPS) == genuine
        assert raw.values(client.ask("SELECT 7")) == [b"7"]
    assert changed(limited) == 0


def test_what_stays_within_the_limit_looks_as_it_always_did(limited: Gateway) -> None:
    database = limited.database
    texts = (
        FEW,
        "DELETE FROM lied WHERE id = -1",
        "SELECT id, n FROM lied WHERE id < 4 ORDER BY id",
        f"SELECT id FROM lied WHERE id <= {LIMIT}",
        f"SELECT id FROM lied ORDER BY id LIMIT {LIMIT - 1}",
        "SELECT id FROM lied WHERE id < 0",
        "SELECT count(*) FROM lied",
        "SELECT FROM lied WHERE id = 1",
        "SELECT nothing FROM lied",
        "SELECT 1 / n FROM lied WHERE id = 1",
        "INSERT INTO late VALUES (1)",  # fails at its commit
        "INSERT INTO late SELECT -1 WHERE false",
    )
    with RawClient(limited.port) as guarded, RawClient(database.server.port) as direct:
        guarded.log_in(CI, limited.passwords[CI])
        direct.log_in(database.owner.name, database.owner.password, database=database.name)
        for text in texts:
            for sent in (raw.query(text), batch(text) + raw.SYNC):
                answers = []
                for client in (guarded, direct):
                    client.send(sent)
                    answers.append([(one.kind, _body(one)) for one in client.until()])
                assert answers[0] == answers[1], text


def _body(message: raw.Message) -> object:
    if message.kind != "E":
        return message.body
    return {key: message.fields.get(key) for key in "SVCMD"}


def test_the_client_reads_what_happened_and_the_record_has_it(limited: Gateway) -> None:
    text = f"{TRIPS} -- told"
    with limited.connect() as connection:
        with pytest.raises(errors.InsufficientPrivilege) as raised:
            connection.execute(text)
        said = raised.value.diag
        assert said.message_primary == (
            'gatepost: touched 5,000 rows, rule "many" allows 1,000: rolled back'
        )
        with pytest.raises(errors.InsufficientPrivilege, match="would touch 5,000 rows"):
            connection.execute(text)
    assert changed(limited) == 0
    ran, refused = limited.statements("-- told")
    assert (ran["state"], ran["tag"], ran["rows"]) == ("failed", f"UPDATE {ROWS}", ROWS)
    assert (ran["sqlstate"], ran["verdict"]) == ("42501", "allow")
    assert (refused["state"], refused["rule"], refused["tag"]) == ("refused", "many", "")


def test_no_row_above_the_limit_leaves(limited: Gateway) -> None:
    with RawClient(limited.port) as client:
        client.log_in(CI, limited.passwords[CI])
        for sent in (raw.query(f"{EXPORT} -- q"), batch(f"{EXPORT} -- x") + raw.SYNC):
            client.send(sent)
            answers = client.until()
            assert len(raw.values(answers)) == LIMIT
            (error,) = raw.errors(answers)
            assert "would return more than 1,000 rows" in error["M"]
        client.ask("BEGIN")
        client.send(batch(f"{EXPORT} -- part by part", rows=400) + raw.frame("H"))
        assert raw.kinds(client.until("s")).count("D") == 400
        client.send(raw.execute(rows=400) + raw.frame("H"))
        assert raw.kinds(client.until("s")).count("D") == 400
        client.send(raw.execute(rows=400) + raw.SYNC)
        answers = client.until()
        assert raw.kinds(answers) == "D" * 200 + "EZ"
        assert answers[-1].body == b"E"


def test_an_estimate_above_the_limit_is_held_and_the_approver_sees_it(limited: Gateway) -> None:
    with limited.connect() as connection:
        client = Client(connection, "UPDATE orders SET n = n WHERE n < %s -- asked", 5)
        request = waiting(limited, "-- asked")
        assert request.rule == "careful"
        assert request.why == ("update on public.orders would touch 5,000 rows (limit 1,000)")
        assert request.detail["estimate"]["rows"] == ROWS  # type: ignore[index]
        decide(limited, request, approve=True, reason="go on")
        assert client.ended() == f"UPDATE {ROWS}"
    (row,) = limited.statements("-- asked")
    assert (row["state"], row["rule"], row["rows"]) == ("done", "careful", ROWS)


def test_what_was_taken_back_waits_for_a_human_when_it_is_run_again(limited: Gateway) -> None:
    text = "UPDATE stale SET n = 1 WHERE n = 0 -- again"
    with limited.connect() as connection:
        with pytest.raises(errors.InsufficientPrivilege) as raised:
            connection.execute(text)
        assert "without approval: rolled back" in str(raised.value.diag.message_primary)
        assert "Run it again" in str(raised.value.diag.message_hint)
        assert changed(limited, "stale") == 0
        client = Client(connection, text)
        request = waiting(limited, "-- again")
        assert "would touch 5,000 rows" in request.why
        decide(limited, request, approve=True, by=BO, reason="go on")
        assert client.ended() == f"UPDATE {ROWS}"
    assert changed(limited, "stale") == ROWS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("UPDATE orders SET n = 1 WHERE odd(id)", "not a built-in function"),
        ("UPDATE orders SET n = 1 WHERE id = 1 RETURNING id", "RETURNING"),
        (
            "WITH x AS (UPDATE orders SET n = 1 WHERE n = 0) UPDATE orders SET n = 2 WHERE id = 1",
            "WITH",
        ),
        ("UPDATE orders SET n = 1 WHERE id = 1; SELECT 1", "several statements"),
        ("EXPLAIN ANALYZE UPDATE orders SET n = 1 WHERE id = 1", "no estimate"),
    ],
)
def test_what_nobody_can_count_is_held(limited: Gateway, text: str, why: str) -> None:
    with limited.connect() as connection:
        client = Client(connection, text)
        request = waiting(limited, text[:20])
        decide(limited, request, approve=False, reason="no")
        assert isinstance(client.ended(), errors.InsufficientPrivilege)
        assert why in request.why
    assert changed(limited, "orders") == 0


def test_psql_goes_on_after_it(limited: Gateway, programs: Installation) -> None:
    script = f"\\set VERBOSITY verbose\n{FEW};\n{TRIPS} -- psql\n;\n{FEW};\n"
    out = run(programs, "psql", "-X", where=through(limited), stdin=script)
    assert out.out.count("UPDATE 3") == 2
    assert 'ERROR:  42501: gatepost: touched 5,000 rows, rule "many" allows' in out.err


def test_a_psycopg_pipeline_fails_where_it_should(limited: Gateway) -> None:
    with limited.connect() as connection, connection.pipeline() as pipeline:
        before = connection.execute(FEW)
        trips = connection.execute(f"{TRIPS} AND id > %s", (0,))
        after = connection.execute(FEW)
        with pytest.raises(errors.InsufficientPrivilege):
            pipeline.sync()
        with pytest.raises(psycopg.Error):
            after.fetchall()
        pipeline.sync()
        assert (before.statusmessage, trips.statusmessage) == ("UPDATE 3", None)
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert changed(limited) == 0


def test_asyncpg_prepares_it_and_goes_on(limited: Gateway) -> None:
    async def work() -> str:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=limited.port,
            user=CI,
            password=limited.passwords[CI],
            database="shop",
            ssl=False,
        )
        try:
            statement = await connection.prepare("UPDATE lied SET n = n WHERE id <= $1")
            await statement.fetch(3)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await statement.fetch(ROWS)
            await statement.fetch(3)
            return str(statement.get_statusmsg())
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the browser tests leave a loop in this one
        assert thread.submit(asyncio.run, work()).result() == "UPDATE 3"


def test_a_guarded_statement_can_be_cancelled(limited: Gateway) -> None:
    with limited.connect() as connection:
        client = Client(connection, "SELECT pg_sleep(20) FROM lied WHERE id = 1 -- slept")
        asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        eventually(lambda: limited.database.run(asleep), what="the sleep")
        connection.cancel_safe()
        assert isinstance(client.ended(), errors.QueryCanceled)
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_rows_that_a_foreign_key_takes_along_are_not_counted_by_the_tag(limited: Gateway) -> None:
    with limited.connect(CI) as connection:
        with pytest.raises(errors.InsufficientPrivilege, match="ON DELETE"):
            connection.execute("DELETE FROM tree WHERE id = 1")
        connection.execute("UPDATE tree SET up = NULL WHERE id = 2")
    assert limited.database.run("SELECT count(*) FROM tree") == [(ROWS,)]
