"""What the record holds of what clients did: every statement, and how it ended."""

from __future__ import annotations

import resource
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.recording.verify import verify
from tests.e2e import raw
from tests.e2e.raw import RawClient
from tests.harness.gateway import ANA, CI, Gateway
from tests.harness.polling import eventually

Row = dict[str, Any]
Connection = psycopg.Connection[Any]


@contextmanager
def session(gateway: Gateway, user: str = CI) -> Iterator[tuple[RawClient, list[Row]]]:
    """Open a session; fill the list with its recorded statements when it has ended."""
    rows: list[Row] = []
    with RawClient(gateway.port) as client:
        client.log_in(user, gateway.passwords[user])
        yield client, rows
        client.send(raw.TERMINATE)
        client.rest()
    rows += recorded(gateway)


def recorded(gateway: Gateway) -> list[Row]:
    """Return the statements of the session that began last."""
    last = gateway.sessions()[-1]
    assert last["ended_at"] is not None
    return [row for row in gateway.statements() if row["session_id"] == last["id"]]


def brief(rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_each_statement_of_a_script_is_an_entry_with_its_own_outcome(
    shared_gateway: Gateway,
) -> None:
    with session(shared_gateway) as (client, rows):
        client.ask("SELECT 1 AS one;\n SELECT g FROM generate_series(1, 7) g; /* c */ SELECT 1/0; "
                   "SELECT 'never'")  # fmt: skip
        client.ask("BEGIN; SELECT 2; COMMIT")
        client.ask("")
        client.ask("-- nothing here")
        client.ask("SELEC nonsense")
    assert brief(rows, "seq", "state", "tag", "rows", "sqlstate")[:7] == [
        (1, "done", "SELECT 1", 1, ""),
        (2, "done", "SELECT 7", 7, ""),
        (3, "failed", "", None, "22012"),
        (4, "withdrawn", "", None, ""),
        (5, "done", "BEGIN", None, ""),
        (6, "done", "SELECT 1", 1, ""),
        (7, "done", "COMMIT", None, ""),
    ]
    texts = [row["text"].strip() for row in rows]
    assert texts[0] == "SELECT 1 AS one"
    assert texts[1] == "SELECT g FROM generate_series(1, 7) g"
    assert texts[2].endswith("SELECT 1/0")
    assert texts[3:7] == ["SELECT 'never'", "BEGIN", "SELECT 2", "COMMIT"]
    assert (rows[-1]["text"], rows[-1]["state"]) == ("SELEC nonsense", "failed")
    assert rows[-1]["sqlstate"] == "42601"
    assert {row["verdict"] for row in rows} == {"allow"}
    assert all(row["duration_ms"] is not None and row["duration_ms"] > 0 for row in rows[:3])
    assert rows[1]["bytes_out"] > rows[0]["bytes_out"] > 0


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_parameters_are_recorded_as_they_came(shared_gateway: Gateway, binary: bool) -> None:
    marker = secrets.token_hex(4)
    with shared_gateway.connect(CI) as connection:
        marks = "%b, %b, %b, %b" if binary else "%t, %t, %t, %t"
        connection.execute(
            f"SELECT {marks} /* {marker} */",
            [7, "Ünïcode ✓", None, b"\0\xff"],
        )
    (row,) = shared_gateway.statements(marker)
    if binary:
        assert row["parameters"] == [
            {"hex": "0007", "oid": 21},
            {"hex": "Ünïcode ✓".encode().hex(), "oid": 25},
            None,
            {"hex": "00ff", "oid": 17},
        ]
    else:
        assert row["parameters"] == ["7", "Ünïcode ✓", None, "\\x00ff"]


def test_a_long_parameter_is_recorded_in_part_with_its_length(shared_gateway: Gateway) -> None:
    marker = secrets.token_hex(4)
    with shared_gateway.connect(CI) as connection:
        for size in (10_000, 1 << 20):
            found = connection.execute(f"SELECT length(%s) /* {marker} */", ["x" * size])
            assert found.fetchone() == (size,)
    whole, part = shared_gateway.statements(marker)
    assert whole["parameters"] == ["x" * 10_000]
    value = part["parameters"][0]
    assert value.startswith("xxx")
    assert value.endswith("… (cut: 1048576 bytes)")
    assert len(value) < 1 << 17


def test_tags_and_rows_tell_what_happened(shared_gateway: Gateway) -> None:
    shared_gateway.database.run("CREATE TABLE counted (n int)")
    with shared_gateway.connect(CI) as connection:
        connection.execute("INSERT INTO counted SELECT generate_series(1, 50)")
        connection.execute("UPDATE counted SET n = n + 1 WHERE n > %s", [40])
        connection.execute("DELETE FROM counted WHERE n > 45 RETURNING n").fetchall()
        with connection.cursor().copy("COPY counted FROM STDIN") as copy:
            copy.write("1\n2\n3\n")
        with connection.cursor().copy("COPY counted TO STDOUT") as copy:
            assert len(list(copy)) > 1
        connection.execute("MERGE INTO counted USING (VALUES (1)) v(n) ON counted.n = v.n"
                           " WHEN MATCHED THEN DELETE")  # fmt: skip
        connection.execute("BEGIN")
        connection.execute("DECLARE c CURSOR FOR SELECT n FROM counted")
        connection.execute("FETCH 3 FROM c").fetchall()
        connection.execute("MOVE 2 IN c")
        connection.execute("ROLLBACK")
        connection.execute("CREATE TABLE made AS SELECT * FROM counted")
        connection.execute("DROP TABLE made")
    assert brief(recorded(shared_gateway), "tag", "rows", "durability") == [
        ("INSERT 0 50", 50, "written"),
        ("UPDATE 10", 10, "written"),
        ("DELETE 6", 6, "written"),
        ("COPY 3", 3, "written"),
        ("COPY 47", 47, "written"),
        ("MERGE 2", 2, "written"),
        ("BEGIN", None, "written"),
        ("DECLARE CURSOR", None, "written"),
        ("FETCH 3", 3, "written"),
        ("MOVE 2", 2, "written"),
        ("ROLLBACK", None, "written"),
        ("SELECT 45", 45, "durable"),
        ("DROP TABLE", None, "durable"),
    ]
    last = shared_gateway.sessions()[-1]
    assert (last["statements"], last["refused"], last["failed"]) == (13, 0, 0)
    assert last["end_reason"] == "client ended"


def test_a_portal_read_in_pieces_is_one_entry_with_all_its_rows(shared_gateway: Gateway) -> None:
    with session(shared_gateway) as (client, rows):
        client.ask("BEGIN")
        client.send(
            raw.parse("SELECT generate_series(1, 10)"),
            raw.bind("p"),
            *(raw.execute("p", 4), raw.execute("p", 4), raw.FLUSH),
        )
        client.until("s")
        client.until("s")
        client.send(raw.execute("p", 4), raw.SYNC)
        assert len(raw.values(client.until())) == 2
        client.send(raw.bind("q"), raw.execute("q", 4), raw.SYNC)
        client.until()
        client.ask("COMMIT")
    assert brief(rows, "state", "rows") == [
        ("done", None), ("done", 10), ("done", 4), ("done", None),
    ]  # fmt: skip


def test_what_a_pipeline_skipped_is_withdrawn(shared_gateway: Gateway) -> None:
    with session(shared_gateway) as (client, rows):
        for text in ("SELECT 1", "SELECT 1/0", "SELECT 3"):
            client.send(raw.parse(text), raw.bind(), raw.execute())
        client.send(raw.SYNC)
        client.until()
        client.send(raw.parse("SELECT 4"), raw.bind(), raw.execute(), raw.SYNC)
        client.until()
        client.send(raw.parse("SELECT 5"), raw.bind(), raw.SYNC)  # bound, never executed
        client.until()
        client.send(raw.bind("", "nowhere"), raw.execute(), raw.SYNC)
        client.until()
    states = {row["text"]: (row["state"], row["sqlstate"]) for row in rows}
    assert states["SELECT 1"] == ("done", "")
    assert states["SELECT 1/0"] == ("failed", "22012")
    assert states["SELECT 3"] == ("withdrawn", "")
    assert states["SELECT 4"] == ("done", "")
    assert states["SELECT 5"][0] in ("sent", "withdrawn")
    assert states['EXECUTE "nowhere"'] == ("failed", "26000")


def test_a_session_that_breaks_off_leaves_its_last_statement_as_sent(
    shared_gateway: Gateway,
) -> None:
    marker = secrets.token_hex(4)
    with RawClient(shared_gateway.port) as client:
        client.log_in(CI, shared_gateway.passwords[CI])
        client.send(raw.query(f"SELECT pg_sleep(60) /* {marker} */"))
        eventually(lambda: shared_gateway.statements(marker), what="the record")
    row = eventually(
        lambda: [r for r in shared_gateway.sessions()[-1:] if r["ended_at"]], what="the end"
    )[0]
    assert row["end_reason"] in ("client left", "client connection lost")
    (row,) = shared_gateway.statements(marker)
    assert (row["state"], row["outcome_position"]) == ("sent", None)


def test_what_came_before_a_goodbye_is_answered_and_recorded_first(
    shared_gateway: Gateway,
) -> None:
    with RawClient(shared_gateway.port) as client:
        client.log_in(CI, shared_gateway.passwords[CI])
        client.send(raw.query("SELECT pg_sleep(0.3)"), raw.query("SELECT 'last'"), raw.TERMINATE)
        client.until()
        assert raw.values(client.until()) == [b"last"]
        assert client.message() is None
    assert brief(recorded(shared_gateway), "state") == [("done",), ("done",)]


SECRET_TEXTS = (
    "ALTER ROLE CURRENT_USER PASSWORD '{}'",
    "CREATE ROLE somebody LOGIN PASSWORD E'{}'",
    "ALTER USER somebody WITH ENCRYPTED PASSWORD $${}$$ VALID UNTIL 'infinity'",
    "CREATE USER MAPPING FOR public SERVER nowhere OPTIONS (user 'u', password '{}')",
    "SELECT dblink_connect('host=elsewhere password={}')",
    "CREATE SUBSCRIPTION s CONNECTION 'host=elsewhere password={}' PUBLICATION p",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE somebody PASSWORD ''{}'''; END $$",
    "SELECT 1; ALTER ROLE somebody PASSWORD '{}'",
    "ALTER ROLE somebody PASSWORD '{}' nonsense",
)


def test_a_secret_in_a_statement_never_reaches_journal_store_or_log(gateway: Gateway) -> None:
    secret = f"hunter2-{secrets.token_hex(8)}"
    owner = gateway.database.owner.name
    gateway.add_identity("operator", "service")
    everything = frozenset({"passwords", "foreign-servers", "subscriptions"})
    gateway.grant("identity:operator", owner, allow_builtin=everything)
    gateway.settle()
    for user in (ANA, "operator"):
        with gateway.connect(user) as connection:
            for text in SECRET_TEXTS:
                with pytest.raises(psycopg.Error):
                    connection.execute(text.format(secret) + " -- " + user)
                    raise psycopg.Error  # the owner may change its own password
            gateway.database.server.connect().execute(
                f"ALTER ROLE {owner} PASSWORD '{gateway.database.owner.password}'"
            )
    assert len(gateway.statements()) >= 2 * len(SECRET_TEXTS)
    assert gateway.statements(secret) == []
    needle = secret.encode()
    for path in gateway.config.data_dir.rglob("*"):
        if path.is_file():
            assert needle not in path.read_bytes(), path


def test_the_record_verifies_when_all_is_done(gateway: Gateway) -> None:
    with gateway.connect() as connection, pytest.raises(errors.DivisionByZero):
        connection.execute("SELECT 1; SELECT 1/0")
    gateway.kill_worker()
    gateway.index()
    report = verify(gateway.config.journal_dir, gateway.store)
    assert report.is_whole, report.problems
    assert report.records > 5
    assert report.unindexed == 0


def test_what_cannot_be_recorded_does_not_run_and_comes_back_by_itself(gateway: Gateway) -> None:
    """A file size limit stands in for a full disk: no further segment can be made."""
    gateway.database.run("CREATE TABLE t (n int)")
    pid = gateway.processes[1].pid
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with gateway.connect() as connection:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

        def refused(filler: int) -> bool:
            text = f"INSERT INTO t VALUES (1) /* {secrets.token_hex(9)}{'x' * filler} */"
            try:
                connection.execute(text)
            except errors.CannotConnectNow as error:
                return "journal" in str(error)
            return False

        ran = 0
        for filler in (60_000, 2_000, 0):  # until no room is left at all
            while not refused(filler):
                ran += 1
                assert ran < 3000, "the journal took it all"
        assert gateway.database.run("SELECT count(*) FROM t") == [(ran,)]
        with RawClient(gateway.port) as client, pytest.raises(raw.ErrorCame) as caught:
            client.log_in(CI, gateway.passwords[CI])
        assert caught.value.fields["C"] == "57P03"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
        eventually(lambda: not refused(0), what="the journal")
    gateway.connect().close()
    done = [row for row in gateway.statements("INSERT INTO t") if row["state"] == "done"]
    assert gateway.database.run("SELECT count(*) FROM t") == [(len(done),)]
