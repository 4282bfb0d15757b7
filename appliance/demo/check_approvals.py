"""The walk's steps with a human in them: held, approved, denied, tried again, for a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from appliance.demo import sample
from appliance.demo.deciding import Deciders
from appliance.demo.running import Demo
from appliance.demo.steps import SOON_S, Commands, Step, StepFailed, expect, login_error, one
from appliance.store.database import open_store

_ANA, _BO, _CY, _EVE = sample.PEOPLE
_CI, _BILLING = "ci-nightly", "billing-service"
_NOT_FOR_HER = "a DELETE of everything? Add a WHERE"


class ApprovalWalk:
    """The steps, in an order in which each leaves the shop as the next expects it."""

    def __init__(self, demo: Demo, commands: Commands) -> None:
        self._demo = demo
        self._commands = commands

    def steps(self) -> list[Step]:
        return [
            Step("a DELETE without WHERE is held; bo denies it with a reason", self._denied),
            Step("held again, bo gets a mail and approves it: it runs", self._approved),
            Step("bo cannot approve his own; Ctrl-C takes it back", self._own),
            Step("a machine is refused at once, and passes once after the yes", self._retried),
            Step("eve's request for app_rw is granted, and she works with it", self._access),
            Step("an enforced profile refuses what was never signed", self._profile),
        ]

    def _denied(self) -> str:
        with self._held(_ANA, "DELETE FROM order_items") as (connection, held, number):
            self._decide("deny", number, _BO, "--reason", _NOT_FOR_HER)
            error = _refusal(held)
            if _NOT_FOR_HER not in f"{error.diag.message_primary} {error.diag.message_hint}":
                raise StepFailed(str(error))
            (left,) = one(connection.execute("SELECT count(*) FROM order_items"))
        if not left:
            raise StepFailed("the order items are gone")
        return f"42501 with the reason, and the connection goes on: {left} order items are there"

    def _approved(self) -> str:
        with self._demo.server.connect(sample.TARGET) as direct:
            (rows,) = one(direct.execute("SELECT count(*) FROM reporting.nightly_revenue"))
        with self._held(_ANA, "DELETE FROM reporting.nightly_revenue") as (_, held, number):
            subject = self._mail(_BO, f"[Gatepost {number}]")
            self._decide("approve", number, _BO)
            expect(held.result(SOON_S), f"DELETE {rows}")
        return f'"{subject}"; then DELETE {rows}'

    def _own(self) -> str:
        with self._held(_BO, "UPDATE products SET stock = 0") as (connection, held, number):
            done = self._demo.serve.run("approval", "approve", str(number), "--as", _BO)
            connection.cancel()
            try:
                raise StepFailed(f"it ran: {held.result(SOON_S)}")
            except psycopg.errors.QueryCanceled:
                pass
            expect(done.returncode, 1)
            expect(one(connection.execute("SELECT 1")), (1,))
        shown = self._commands.run("approval", "show", str(number))
        if "cancelled" not in shown:
            raise StepFailed(shown)
        return " ".join(done.stderr.split())

    def _retried(self) -> str:
        text = "DELETE FROM payments WHERE id = -1"
        with self._commands.connect(_BILLING) as connection:
            _refused(connection, text)
            number = self._waiting(_BILLING)
            self._decide("approve", number, _CY)  # bo owns it: not him
            expect(connection.execute(text.encode()).statusmessage, "DELETE 0")
            _refused(connection, text)
        return f"request {number} by cy; the second try: DELETE 0; the third is refused again"

    def _access(self) -> str:
        dsn = psycopg.conninfo.make_conninfo(
            self._demo.dsn(_EVE), options="-c gatepost.role=app_rw"
        )
        login_error(dsn)
        self._decide("approve", self._waiting(_EVE), _BO)
        self._demo.wait_for_workers()
        with psycopg.connect(dsn, autocommit=True) as connection:
            text = "UPDATE customers SET city = city WHERE id = 1"
            expect(connection.execute(text.encode()).statusmessage, "UPDATE 1")
        (given,) = (e for e in self._commands.json("access", "list", "--json") if _is_eves(e))
        return f"refused before; after the yes UPDATE 1, until {_end_of(given)}"

    def _profile(self) -> str:
        self._commands.run("profile", "sign", _CI, "--all", "--as", _ANA)
        self._commands.run("profile", "set", _CI, "enforce", "--as", _ANA)
        try:
            self._demo.wait_for_workers()
            signed = b"SELECT day, revenue FROM revenue_by_day WHERE day = current_date - 1"
            with self._commands.connect(_CI) as connection:
                connection.execute(signed)
                error = _refused(connection, "SELECT card_number FROM customers WHERE id = 1")
        finally:
            self._commands.run("profile", "set", _CI, "learn", "--as", _ANA)
        return f"{error.diag.message_primary}; what ana signed runs"

    @contextmanager
    def _held(
        self, identity: str, text: str
    ) -> Iterator[tuple[psycopg.Connection[tuple[Any, ...]], Future[str | None], int]]:
        """Send a statement that is held: its connection, its coming tag, its number."""
        with self._commands.connect(identity) as connection, ThreadPoolExecutor(1) as waiting:
            held = waiting.submit(lambda: connection.execute(text.encode()).statusmessage)
            try:
                yield connection, held, self._waiting(identity)
            except BaseException:
                connection.cancel()  # or leaving here would wait until the hold times out
                raise

    def _waiting(self, identity: str) -> int:
        store = open_store(self._demo.serve.config.store_url)
        try:
            return Deciders(store, self._demo.clock).waiting(identity)
        finally:
            store.close()

    def _decide(self, word: str, number: int, name: str, *more: str) -> None:
        self._commands.run("approval", word, str(number), "--as", name, *more)

    def _mail(self, receiver: str, subject: str) -> str:
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            for message in self._demo.mail.messages:
                if message["To"] == receiver and subject in message["Subject"]:
                    return str(message["Subject"])
            time.sleep(0.05)
        raise StepFailed(f"no mail {subject} reached {receiver}")


def _refused(
    connection: psycopg.Connection[tuple[Any, ...]], text: str
) -> psycopg.errors.InsufficientPrivilege:
    try:
        connection.execute(text.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        return error
    raise StepFailed(f"it ran: {text}")


def _refusal(held: Future[str | None]) -> psycopg.errors.InsufficientPrivilege:
    try:
        raise StepFailed(f"it ran: {held.result(SOON_S)}")
    except psycopg.errors.InsufficientPrivilege as error:
        return error


def _is_eves(entry: dict[str, Any]) -> bool:
    return _EVE in str(entry.get("identity", "")) + str(entry.get("who", ""))


def _end_of(entry: dict[str, Any]) -> str:
    return str(entry.get("ends_at") or entry.get("expires_at") or entry.get("until"))
