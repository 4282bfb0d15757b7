"""What policy test, the wire and the record say of a statement under the rules of a file is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime

import psycopg
import pytest

from appliance.declarative.apply import Options, apply
from appliance.declarative.reading import read_document
from appliance.policy.trial import Trial, imagine, try_statement
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from appliance.store import catalogs, masking_coverage, snapshots
from appliance.store.actors import Actor
from tests.harness.gateway import ANA, CI, Gateway
from tests.harness.polling import eventually

FILE = """
masking:
  - name: cards
    target: shop
    columns: [public.customers.card]
    method: partial
    exempt: ["kind:ci"]
  - name: births
    target: shop
    columns: ["*.*.born"]
    method: zero-date
    mode: strict
"""
CARD = "4111111111111111"
SCHEMA = f"""
CREATE TABLE customers (id int, card text, born date, note text);
INSERT INTO customers VALUES (1, '{CARD}', '1990-05-17', 'plain');
CREATE VIEW v AS SELECT id, card AS number FROM customers;
CREATE TABLE orders (id int);
"""


def put(gateway: Gateway, text: str) -> None:
    """Apply a file and wait until the workers have it."""
    document, problems = read_document(text.encode(), "gatepost.yml")
    by, now = Actor("tests", "file"), datetime.now(UTC)
    options = Options(os.environ, prune=True)
    apply(gateway.store, by, now, gateway.sealer, document, problems, options)
    gateway.settle()


@pytest.fixture(scope="module")
def masked(shared_gateway: Gateway) -> Iterator[Gateway]:
    shared_gateway.database.run(SCHEMA)
    put(shared_gateway, FILE)
    yield shared_gateway


def trial(gateway: Gateway, text: str, identity: str = ANA) -> Trial:
    """Judge a text as policy test does."""
    now = datetime.now(UTC)
    snapshot = snapshots.load(gateway.store, now)
    session = imagine(snapshot, identity, "shop")
    stored = catalogs.get(gateway.store, "shop", session.database)
    assert stored is not None
    catalog = Catalog.from_json(stored.data)
    return try_statement(snapshot, session, text, catalog, Parser(), now=now)


STATEMENTS = (
    "SELECT 1 AS one",  # before the worker has read any catalog
    "SELECT id, note FROM customers",
    "SELECT id, card, note FROM customers",
    "SELECT number FROM v",
    "SELECT upper(card) AS shout, born FROM customers",
    "SELECT count(*) AS n, max(card) AS most FROM customers",
    "SELECT c FROM customers c",
    "SELECT id FROM customers WHERE card = 'x'",
    "SELECT id FROM customers WHERE born = '1990-05-17'",
    "CREATE TABLE copy AS SELECT card FROM customers",
    "INSERT INTO orders SELECT length(card) FROM customers",
    "DO 'BEGIN PERFORM card FROM customers; END'",
    "SELECT 2 AS two; SELECT card FROM customers",
    "EXPLAIN SELECT card FROM customers",
    "UPDATE customers SET card = card RETURNING card",
)


def test_policy_test_says_what_the_wire_does_and_the_record_keeps(masked: Gateway) -> None:
    refused: dict[str, str] = {}
    with masked.connect() as session:
        for text in STATEMENTS:
            try:
                session.execute(text.encode())
            except psycopg.errors.InsufficientPrivilege as error:
                refused[text] = error.diag.message_primary or ""
    recorded = iter(masked.statements())
    for text in STATEMENTS:
        said = trial(masked, text)
        row = [next(recorded) for _ in said.facts.statements][-1]
        assert said.verdict.is_allow is (text not in refused), (text, said.verdict, refused)
        assert row["rule"] == said.verdict.rule, text
        if text in refused:
            assert refused[text] == said.message, text
            continue
        shown = [one for one in row["masked"] or () if one["output"]]
        assert [(one["output"], tuple(one["columns"])) for one in shown] == [
            (mask.output, mask.columns) for mask in said.masks
        ], text
    assert refused.keys() == {
        "SELECT id FROM customers WHERE born = '1990-05-17'",
        "CREATE TABLE copy AS SELECT card FROM customers",
        "INSERT INTO orders SELECT length(card) FROM customers",
        "DO 'BEGIN PERFORM card FROM customers; END'",
        "SELECT 2 AS two; SELECT card FROM customers",
    }


def test_exemption_from_one_rule_is_none_from_another(masked: Gateway) -> None:
    with masked.connect(CI) as session:
        row = session.execute("SELECT card, upper(card), born FROM customers").fetchone()
    assert row == (CARD, CARD, date(1, 1, 1))
    (mask,) = trial(masked, "SELECT card, upper(card), born FROM customers", CI).masks
    assert (mask.output, mask.rule, mask.method) == ("born", "births", "zero-date")


def test_a_live_session_follows_what_others_do_to_a_table(masked: Gateway) -> None:
    database = masked.database
    with masked.connect() as session, database.connect() as owner:
        card = session.execute("SELECT card FROM customers").fetchone()
        assert card == ("*" * 12 + "1111",)
        owner.execute("ALTER TABLE customers RENAME card TO harmless")
        owner.execute("ALTER TABLE customers RENAME TO innocent")
        assert session.execute("SELECT harmless FROM innocent").fetchone() == card
        assert session.execute("SELECT number FROM v").fetchone() == card
        owner.execute("CREATE SCHEMA away; ALTER TABLE innocent SET SCHEMA away")
        assert session.execute("SELECT harmless FROM away.innocent").fetchone() == card
        owner.execute("CREATE TABLE away.later (harmless text, card text)")
        owner.execute("DROP VIEW v; DROP TABLE away.innocent")
        owner.execute("ALTER TABLE away.later RENAME TO innocent")
        owner.execute("INSERT INTO away.innocent VALUES (%s, %s)", (CARD, CARD))
        both = "SELECT harmless, card FROM away.innocent"
        with pytest.raises(psycopg.errors.SerializationFailure):  # noticed only as it is to run
            session.execute(both)
        assert session.execute(both).fetchone() == (card[0], CARD)

    def both_are_known() -> bool:
        (cards, *_) = masking_coverage.of_rules(masked.store)
        (place,) = cards.databases
        return "away.innocent.harmless" in {one.column for one in place.columns}

    eventually(both_are_known, what="the resolution by the name that the column had")
