"""What hides is stopped all the same, and what tools really send is not: both run for real.

Every row of the corpora is a statement that PostgreSQL runs. Of the obfuscated ones, straight on
the server, the aim is seen to be reached; through a gateway it is refused, and nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.embedded import PostgresServer
from appliance.entities import PolicyRule
from appliance.store import rules
from tests.e2e import raw
from tests.e2e.raw import SYNC, Message, RawClient, bind, execute, frame, parse, query
from tests.harness.gateway import ADMIN, ANA, CI, Gateway, running_gateway
from tests.harness.postgres import fresh_database

FIXTURES = Path(__file__).parent.parent / "fixtures" / "policy"
CORPUS = yaml.safe_load((FIXTURES / "obfuscation.yaml").read_text())
SECRET = b"SECRET"
# Everything that a row with the aim "change" may change, as one hash.
WATCH = """
SELECT pg_catalog.md5(pg_catalog.concat(
  (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM pay.cards t),
  (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM public.orders t),
  (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM public.customers t),
  (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM public.scratch t),
  (SELECT string_agg(concat(relnamespace, relname, relowner, relacl, relnatts, relhasrules,
     relhastriggers), '|' ORDER BY c.oid) FROM pg_class c JOIN pg_namespace n
     ON n.oid = relnamespace WHERE c.oid >= 16384 AND nspname !~ '^pg_'),
  (SELECT string_agg(concat(a.attrelid, attname, attacl, attisdropped), '|'
     ORDER BY attrelid, attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
     JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid >= 16384 AND nspname !~ '^pg_'),
  (SELECT string_agg(concat(proname, prosrc, proacl), '|' ORDER BY oid) FROM pg_proc
     WHERE oid >= 16384),
  (SELECT string_agg(concat(tgname, tgenabled), '|' ORDER BY oid) FROM pg_trigger),
  (SELECT string_agg(concat(polname, polrelid), '|' ORDER BY oid) FROM pg_policy),
  (SELECT string_agg(concat(objoid, description), '|' ORDER BY objoid) FROM pg_description
     WHERE objoid >= 16384),
  (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_event_trigger),
  (SELECT count(*) FROM pg_operator), (SELECT count(*) FROM pg_type),
  (SELECT count(*) FROM pg_statistic_ext),
  (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_auth_members),
  (SELECT string_agg(nspname, '|' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_')
))"""
RESTORE = """
SET session_replication_role = replica;
DELETE FROM pay.cards; DELETE FROM ONLY pay.cards_old;
INSERT INTO pay.cards VALUES (1, 'SECRET 4711', 1), (2, 'SECRET 4712', 2);
INSERT INTO pay.cards_old VALUES (3, 'SECRET 4713', 1);
SET session_replication_role = DEFAULT"""


@dataclass(frozen=True, slots=True)
class Row:
    """One statement, what it aims at, and which rule must stop it."""

    sql: str
    aim: str
    rule: str
    who: str
    before: tuple[str, ...] = ()
    simple: bool = False
    commits: bool = False
    data: str = ""
    undo: str = ""


def rows(group: dict[str, Any]) -> Iterator[Row]:
    for entry in group["rows"]:
        row = {"sql": entry} if isinstance(entry, str) else dict(entry)
        who = CI if row.pop("as", group.get("as", "ana")) == "ci" else ANA
        row["before"] = tuple(row.get("before", ()))
        yield Row(**{"aim": group["aim"], "rule": group["rule"], "who": who, **row})


ROWS = [list(rows(group)) for group in CORPUS["groups"]]


class World:
    """The database, the gateway before it, and a connection that looks whether all is as it was."""

    def __init__(self, gateway: Gateway, watcher: RawClient) -> None:
        self.gateway = gateway
        self.watcher = watcher
        self.straight = _straight(gateway)
        self.untouched = self.state()

    def state(self, client: RawClient | None = None) -> bytes | None:
        """Return the watched state; None where it cannot even be asked for."""
        found = raw.values((client or self.watcher).ask(WATCH))
        return found[0] if found else None

    def through(self, who: str) -> RawClient:
        client = RawClient(self.gateway.port)
        client.log_in(who, self.gateway.passwords[who])
        return client

    def text(self, row: Row) -> str:
        return row.sql.replace("{db}", self.gateway.database.name)


def _straight(gateway: Gateway) -> RawClient:
    database = gateway.database
    client = RawClient(database.server.port)
    client.log_in(database.owner.name, database.owner.password, database=database.name)
    return client


@pytest.fixture(scope="module")
def world(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("obfuscation")
    with fresh_database(postgres) as database:
        with postgres.connect() as admin:  # so that nothing but the gateway stops anything
            admin.execute(f'ALTER ROLE "{database.owner.name}" SUPERUSER'.encode())
        database.run(CORPUS["schema"])
        with running_gateway(database, directory) as gateway:
            for rule in CORPUS["rules"]:
                conditions: dict[str, Any] = {
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in rule.items()
                    if key not in ("name", "action")
                }
                made = PolicyRule(name=rule["name"], action=rule["action"], **conditions)
                rules.create(gateway.store, ADMIN, datetime.now(UTC), made)
            gateway.settle()
            with _straight(gateway) as watcher:
                found = World(gateway, watcher)
                with found.straight:
                    yield found
            with database.connect() as connection:
                connection.execute("DROP PUBLICATION IF EXISTS pub")


def run(client: RawClient, text: str, *, extended: bool = False, data: str = "") -> list[Message]:
    """Run a text to its end; give a COPY its rows."""
    if extended:
        client.send(parse(text), bind(), execute(), SYNC)
    else:
        client.send(query(text))
    found: list[Message] = []
    while not found or found[-1].kind != "Z":
        message = client.message()
        assert message is not None, f"the connection ended after {found}"
        found.append(message)
        if message.kind == "G":
            client.send(frame("d", data.encode()), frame("c"))
    return found


def shown(messages: list[Message]) -> bytes:
    """Return all that a client could read: rows, copied data, notices, errors."""
    return b"\n".join(message.body for message in messages if message.kind in "DdNE")


def fault_of_direct(world: World, row: Row) -> str:
    """Run a row straight on the server; return why it is no evasion at all, or ""."""
    client = world.straight
    steps = row.before if row.commits else ("BEGIN", *row.before)
    try:
        for step in steps:
            if wrong := raw.errors(client.ask(step)):
                return f"before: {wrong[0]['M']}"
        found = run(client, world.text(row), data=row.data)
        errors = raw.errors(found)
        if row.aim == "read":
            return "" if SECRET in shown(found) else f"shows nothing {errors}"
        if errors or row.aim == "completes":
            return f"fails: {errors[0]['M']}" if errors else ""
        client.ask("RESET SESSION AUTHORIZATION; RESET ROLE; SET search_path = public")
        return "" if world.state(client) != world.untouched else "changes nothing"
    finally:
        client.ask("ROLLBACK")
        client.ask("DISCARD ALL")
        if row.commits:
            world.watcher.ask(row.undo or RESTORE)


def faults_through_gateway(world: World, row: Row) -> Iterator[str]:
    """Run a row through the gateway, by both protocols; yield what is not as it must be."""
    with world.through(row.who) as client:
        for step in row.before:
            refusals = [e for e in raw.errors(client.ask(step)) if e["C"] == "42501"]
            if refusals:
                yield f"before: {refusals[0]['M']} {refusals[0].get('H')}"
                return
        for extended in (False,) if row.simple else (False, True):
            found = run(client, world.text(row), extended=extended, data=row.data)
            errors = raw.errors(found)
            way = "extended: " if extended else ""
            if SECRET in b"".join(m.body for m in found if m.kind in "DdN"):
                yield f"{way}it shows the secret"
            if [e["C"] for e in errors] != ["42501"]:
                yield f"{way}it is not refused: {[e['M'] for e in errors]}"
            elif row.rule not in (said := f"{errors[0]['M']} {errors[0].get('H', '')}"):
                yield f"{way}it is refused by another rule: {said}"


@pytest.mark.parametrize("group", ROWS, ids=lambda g: f"{g[0].aim}-{g[0].rule or 'builtin'}")
def test_what_hides_is_stopped_and_would_have_worked(world: World, group: list[Row]) -> None:
    wrong = []
    for row in group:
        fault = fault_of_direct(world, row)
        faults = [f"directly {fault}"] if fault else []
        faults += faults_through_gateway(world, row)
        if row.aim == "change" and world.state() != world.untouched:
            faults.append("it happened")
            world.untouched = world.state()
        wrong += [f"{row.sql}\n    {fault}" for fault in faults]
    assert not wrong, f"{len(wrong)} wrong\n" + "\n".join(wrong)
    assert world.state() == world.untouched


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    texts = [(row.sql, row.before) for group in ROWS for row in group]
    assert len(texts) >= 200
    assert len(set(texts)) == len(texts)


# -- what tools really send ------------------------------------------------------------------------

TOOLS = yaml.safe_load((FIXTURES / "tools.yaml").read_text())["tools"]


def requests_of(statement: str | dict[str, Any], world: World) -> tuple[str, bytes]:
    """Return a statement's text and the bytes that send it as its tool does."""
    entry = {"sql": statement} if isinstance(statement, str) else statement
    database = world.gateway.database
    text = entry["sql"].replace("{db}", database.name).replace("{owner}", database.owner.name)
    if "parameters" not in entry:
        return text, query(text)
    given = [str(value).replace("{db}", database.name).encode() for value in entry["parameters"]]
    return text, parse(text) + raw.bind("", "", *given) + raw.describe() + execute() + SYNC


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool["tool"])
def test_what_a_tool_sends_is_let_through_and_runs(world: World, tool: dict[str, Any]) -> None:
    wrong = []
    with world.through(ANA) as client:
        for statement in tool["statements"]:
            text, data = requests_of(statement, world)
            client.send(data)
            if errors := raw.errors(client.until()):
                wrong.append(f"{text[:300]}\n    {errors[0]['C']} {errors[0]['M']}")
    assert not wrong, f"{len(wrong)} wrong\n" + "\n".join(wrong)


def test_there_are_many_tools_and_statements() -> None:
    assert len(TOOLS) >= 12
    assert sum(len(tool["statements"]) for tool in TOOLS) >= 200
