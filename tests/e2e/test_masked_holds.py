"""What waits for a human, or for its number of rows, is masked when it runs as anything else is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from appliance.embedded import PostgresServer
from appliance.entities import MaskingRule
from appliance.masking.values import Method
from appliance.store import masking_rules
from tests.e2e.held import decide, holding_gateway, waiting
from tests.harness.gateway import ADMIN, Gateway

CARD = "4929813726507418"


@pytest.fixture(scope="module")
def shop(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with holding_gateway(postgres, tmp_path_factory.mktemp("held"), workers=1) as gateway:
        gateway.database.run(
            f"""CREATE TABLE customers (id int, card text); CREATE TABLE few (id int, card text);
            INSERT INTO few SELECT g, '{CARD}' FROM generate_series(1, 3) g; ANALYZE few"""
        )
        rule = MaskingRule(0, "cards", "shop", ("public.*.card",), Method.REDACT)
        masking_rules.create(gateway.store, ADMIN, datetime.now(UTC), rule)
        gateway.rule("few", "block", commands=("select",), tables=("public.few",), rows_over=3)
        yield gateway


@pytest.fixture
def customers(shop: Gateway) -> Gateway:
    shop.database.run(
        f"TRUNCATE customers; INSERT INTO customers SELECT g, '{CARD}' FROM generate_series(1, 3) g"
    )
    return shop


class Asking(threading.Thread):
    """Runs one statement beside the test."""

    def __init__(self, gateway: Gateway, text: str, *, prepare: bool) -> None:
        super().__init__(daemon=True)
        self.found: Any = None
        self._connection = gateway.connect()
        self._text = text
        self._prepare = prepare
        self.start()

    def run(self) -> None:
        try:
            cursor = self._connection.execute(self._text.encode(), prepare=self._prepare)
            self.found = cursor.fetchall()
        except psycopg.Error as error:
            self.found = error

    def ended(self) -> Any:
        self.join(30)
        self._connection.close()
        return self.found


@pytest.mark.parametrize("prepare", [False, True], ids=["query", "batch"])
def test_what_was_approved_gives_masked_rows(customers: Gateway, prepare: bool) -> None:
    text = "DELETE FROM customers RETURNING id, card, upper(card)"
    asking = Asking(customers, text, prepare=prepare)
    request = waiting(customers, "DELETE FROM customers")
    decide(customers, request, approve=True)
    assert sorted(asking.ended()) == [(n, "***", "***") for n in (1, 2, 3)]
    assert customers.database.run("SELECT count(*) FROM customers") == [(0,)]


def test_few_rows_come_masked_and_too_many_do_not_come(customers: Gateway) -> None:
    text = "SELECT id, upper(card) FROM few"
    with customers.connect() as connection:
        for prepare in (False, True):
            found = connection.execute(text.encode(), prepare=prepare).fetchall()
            assert sorted(found) == [(n, "***") for n in (1, 2, 3)]
        customers.database.run("INSERT INTO few VALUES (4, 'x'); ANALYZE few")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="few"):
            connection.execute(text.encode())
