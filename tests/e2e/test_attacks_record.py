"""Attacks on the record: run what is not in it, make it say something else, put secrets into it."""

from __future__ import annotations

import secrets

import pytest

from tests.e2e import raw
from tests.e2e.raw import SYNC, RawClient, bind, execute, frame, parse, query
from tests.harness.gateway import ANA, Gateway


@pytest.fixture
def spy(shared_gateway: Gateway) -> RawClient:
    client = RawClient(shared_gateway.port)
    client.log_in(ANA, shared_gateway.passwords[ANA])
    return client


def told(gateway: Gateway, mark: str) -> list[tuple[str, str, str | None]]:
    """Return (text, state, tag) of the records that have the mark."""
    return [(row["text"], row["state"], row["tag"]) for row in gateway.statements(mark)]


def test_what_execute_runs_is_in_the_record(shared_gateway: Gateway, spy: RawClient) -> None:
    mark = f"m{secrets.token_hex(6)}"
    with spy:
        spy.send(parse(f"SELECT '{mark}'", "hidden"), SYNC)
        spy.until()
        assert raw.values(spy.ask("EXECUTE hidden")) == [mark.encode()]
        assert raw.values(spy.ask("EXECUTE hidden")) == [mark.encode()]
    assert [(text, state) for text, state, _ in told(shared_gateway, mark)] == [
        (f"SELECT '{mark}'", "done")
    ]
    assert [row["state"] for row in shared_gateway.statements("EXECUTE hidden")] == ["done"] * 2


def test_a_portal_that_could_not_be_made_anew_is_still_the_old_one(
    shared_gateway: Gateway, spy: RawClient
) -> None:
    mark = f"m{secrets.token_hex(6)}"
    with spy:
        spy.ask("BEGIN")
        spy.send(parse(f"SELECT '{mark}', 'first'"), bind("p"), SYNC)
        spy.until()
        spy.ask("SAVEPOINT a")
        spy.send(parse(f"SELECT '{mark}', 'second'"), bind("p"), SYNC)
        assert raw.errors(spy.until())[0]["C"] == "42P03"
        spy.ask("ROLLBACK TO a")
        spy.send(execute("p"), SYNC)
        assert raw.values(spy.until()) == [mark.encode()]
    states = {text: state for text, state, _ in told(shared_gateway, mark)}
    assert states == {
        f"SELECT '{mark}', 'first'": "done",
        f"SELECT '{mark}', 'second'": "failed",
    }


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(query("SELECT 'swallowed'"), id="Query"),
        pytest.param(bind() + execute() + SYNC, id="Bind"),
        pytest.param(parse("SELECT 'swallowed'") + SYNC, id="Parse"),
        pytest.param(execute("nothing") + SYNC, id="Execute"),
        pytest.param(raw.describe() + SYNC, id="Describe"),
        pytest.param(frame("C", b"Snothing\0") + SYNC, id="Close"),
    ],
)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_nothing_is_slipped_in_behind_a_copy(
    shared_gateway: Gateway, spy: RawClient, what: bytes, extended: bool
) -> None:
    """The target takes what follows for data; answers after it must not find another question."""
    table = f"t{secrets.token_hex(6)}"
    shared_gateway.database.run(f"CREATE TABLE {table} (v text)")
    start = f"COPY {table} FROM STDIN"
    with spy:
        copy = parse(start) + bind() + execute() + SYNC if extended else query(start)
        spy.send(copy, what, query(f"INSERT INTO {table} VALUES ('after')"))
        came = spy.rest()
    assert b"08P01" in came
    ran = shared_gateway.database.run(f"SELECT v FROM {table}")
    after = [row for row in shared_gateway.statements(table) if "INSERT" in row["text"]]
    assert ran == []
    assert after == []
    assert [row["state"] for row in shared_gateway.statements(start)] in (["sent"], ["failed"])


def test_a_policy_change_reaches_a_portal_that_is_half_read(gateway: Gateway) -> None:
    gateway.database.run("CREATE TABLE t AS SELECT generate_series(1, 9) n")
    with RawClient(gateway.port) as client:
        client.log_in(ANA, gateway.passwords[ANA])
        client.ask("BEGIN")
        client.send(parse("SELECT n FROM t"), bind("p"), execute("p", 2), SYNC)
        assert raw.values(client.until()) == [b"1", b"2"]
        gateway.rule("no-t", "block", who=("kind:human",), tables=("public.t",))
        client.send(execute("p", 2), SYNC)
        came = client.until()
        assert raw.values(came) == []
        assert [error["C"] for error in raw.errors(came)] == ["42501"]
    states = [(row["state"], row["rule"]) for row in gateway.statements("SELECT n FROM t")]
    assert states == [("done", "default"), ("refused", "no-t")]


@pytest.mark.parametrize(
    "text",
    [
        "DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', 'nobody', 'hunter2'); END $$",
        "DO $$ BEGIN EXECUTE 'ALTER ROLE nobody PASSWORD ' || quote_literal('hunter2'); END $$",
        "SELECT format('ALTER USER %I WITH ENCRYPTED PASSWORD %L', 'nobody', 'hunter2')",
        "SELECT 'ALTER ROLE nobody PASSWORD ' || quote_literal('hunter2')",
        "SELECT 'ALTER ROLE nobody PASSWORD/**/''hunter2'''",
        "SELECT 'ALTER ROLE nobody PASSWORD E''hunter2'''",
        "SELECT E'ALTER ROLE nobody PASSWORD \\'hunter2\\''",
        "SELECT 'ALTER ROLE nobody PASSW' 'ORD ''hunter2'''",
        "SELECT 'ALTER ROLE nobody PASSW'\n'ORD ''hunter2'''",
        "SELECT concat_ws(' ', 'ALTER ROLE nobody', 'PASSWORD', quote_literal('hunter2'))",
        "ALTER ROLE nobody/**/PASSWORD--\n'hunter2'",
        "ALTER ROLE nobody PASSWORD U&'\\0068unter2'",
        "ALTER ROLE nobody PASSWORD U&'hunter!0032' UESCAPE '!'",
        "CREATE USER nobody PASSWORD 'hun'\n'ter2'",
    ],
)
def test_a_password_is_in_no_record(shared_gateway: Gateway, spy: RawClient, text: str) -> None:
    mark = f"m{secrets.token_hex(6)}"
    with spy:
        spy.ask(f"{text} /* {mark} */")
    (row,) = shared_gateway.statements(mark)
    for part in ("hunter", "unter2", "ter2"):
        assert part not in row["text"]
