"""Everybody at once: whoever wins, the store, the record and what ran say the same."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from appliance.approvals.requests import Request, RequestState
from appliance.errors import Conflict
from appliance.store import approvals, kills
from tests.e2e.held import decide
from tests.e2e.raw import RawClient, cancel_request, errors, query
from tests.harness.gateway import ADMIN, CI, Gateway
from tests.harness.polling import eventually

TRIES = int(os.environ.get("GATEPOST_TEST_RACES", "96"))
AT_ONCE = 12
ENDINGS = ("approve", "deny", "cancel", "leave", "kill")


@dataclass(frozen=True, slots=True)
class Try:
    number: int
    request: int
    rivals: tuple[str, ...]
    told: str  # "tag", a SQLSTATE, or "" where the client had left


class Race:
    """One held statement and its rivals, all let go within a few hundredths of a second."""

    def __init__(self, gateway: Gateway, number: int, seed: int) -> None:
        self._gateway, self._number = gateway, number
        chance = random.Random(seed * 100_003 + number)  # noqa: S311
        self._rivals = tuple(chance.sample(ENDINGS, k=chance.choice((1, 2, 2, 3))))
        self._delays = [chance.random() * 0.25 for _ in self._rivals]

    def run(self) -> Try:
        gateway = self._gateway
        text = f"INSERT INTO races VALUES ({self._number})"
        client = RawClient(gateway.port)
        with client, ThreadPoolExecutor(len(self._rivals)) as rivals:
            client.log_in(CI, gateway.passwords[CI])
            client.send(query(text))
            said = client.until("N")[-1].fields["M"]
            request = approvals.get(gateway.store, int(said.rpartition(" ")[2]))
            for name, delay in zip(self._rivals, self._delays, strict=True):
                rivals.submit(self._go, client, name, delay, request).add_done_callback(
                    lambda done: done.result()
                )
            told = self._told(client)
        return Try(self._number, request.id, self._rivals, told)

    def _go(self, client: RawClient, name: str, delay: float, request: Request) -> None:
        gateway = self._gateway
        time.sleep(delay)  # the race itself, not a wait for something
        match name:
            case "approve" | "deny":
                with suppress(Conflict):
                    decide(gateway, request, approve=name == "approve", reason="now")
            case "cancel":
                with RawClient(gateway.port) as other:
                    other.send(cancel_request(client.process_id, client.key))
                    other.rest()
            case "leave":
                client.sock.shutdown(2)
            case "kill":
                now = datetime.now(UTC)
                kills.request(gateway.store, ADMIN, now, request.session_id, "race")

    @staticmethod
    def _told(client: RawClient) -> str:
        with suppress(OSError):
            while (message := client.message()) is not None:
                if message.kind == "E":
                    return errors([message])[0]["C"]
                if message.kind == "C":
                    return "tag"
        return ""


@pytest.fixture
def races(holding: Gateway) -> Gateway:
    holding.database.run("CREATE TABLE IF NOT EXISTS races (n int); TRUNCATE races")
    return holding


def test_exactly_one_wins_and_all_agree_on_which(races: Gateway) -> None:
    seed = random.randrange(1 << 30)  # noqa: S311
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tries = list(pool.map(lambda n: Race(races, n, seed).run(), range(TRIES)))
    eventually(
        lambda: not approvals.find(races.store, "races", state="waiting").items,
        what="an end of every request",
    )
    records = {
        row["text"]: row for row in eventually(lambda: _ended(races), what="an end of every record")
    }
    ran = {int(str(n)) for (n,) in races.database.run("SELECT n FROM races")}
    for one in tries:
        state = approvals.get(races.store, one.request).state
        row = records[f"INSERT INTO races VALUES ({one.number})"]
        what = f"seed {seed}: {one}, {state}, {row['state']}, {row['decision']}"
        assert row["approval_id"] == one.request, what
        assert dict(row["decision"])["outcome"] == state, what
        if one.number in ran:
            assert state is RequestState.APPROVED, what
            assert row["state"] in ("done", "sent"), what  # sent: it left before the answer
        elif row["state"] == "done":
            raise AssertionError(f"not in the table: {what}")
        if one.told == "tag":
            assert one.number in ran, what
        if state is not RequestState.APPROVED:
            assert row["state"] in ("withdrawn", "refused"), what
    won = {approvals.get(races.store, one.request).state for one in tries}
    assert len(won) >= 4, won  # else it was no race


def _ended(gateway: Gateway) -> list[dict[str, Any]]:
    rows = gateway.statements("INSERT INTO races")
    return rows if rows and all(row["state"] != "held" for row in rows) else []
