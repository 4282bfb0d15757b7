"""Attacks by those who have no password: what they learn, and whom they keep out."""

from __future__ import annotations

import resource
from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg
import pytest

from appliance.entities import Limits, Settings
from appliance.store import settings
from tests.e2e.raw import ErrorCame, RawClient
from tests.harness.gateway import ADMIN, CI, Gateway
from tests.harness.polling import eventually


def limit(gateway: Gateway, **limits: int) -> None:
    settings.put(gateway.store, ADMIN, datetime.now(UTC), Settings(limits=Limits(**limits)))
    gateway.settle()


def answer(gateway: Gateway, user: str, password: str) -> dict[str, str]:
    with RawClient(gateway.port) as client, pytest.raises(ErrorCame) as caught:
        client.log_in(user, password)
    return caught.value.fields


def test_only_who_proved_the_password_learns_that_an_identity_is_busy(gateway: Gateway) -> None:
    limit(gateway, connections_per_identity=1)
    with gateway.connect(CI):
        known, unknown = answer(gateway, CI, "guess"), answer(gateway, "ci-nobody", "guess")
        assert known["C"] == unknown["C"] == "28P01"
        assert known["M"].replace(CI, "X") == unknown["M"].replace("ci-nobody", "X")
        assert answer(gateway, CI, gateway.passwords[CI])["C"] == "53300"


def test_one_address_cannot_take_all_places_with_logins_that_never_end(gateway: Gateway) -> None:
    limit(gateway, connections_per_source=5, connections=50)
    with ExitStack() as silent:
        clients = [silent.enter_context(RawClient(gateway.port)) for _ in range(20)]
        shut_out = 0
        for client in clients[5:]:  # shut at once, without waiting for the login's time to end
            client.sock.settimeout(5)
            shut_out += client.read() == b""
        assert shut_out == 15

    def gets_in() -> bool:
        try:
            gateway.connect(CI).close()
        except psycopg.OperationalError:
            return False
        return True

    eventually(gets_in, what="a place")


def test_a_worker_without_descriptors_waits_and_recovers(gateway: Gateway) -> None:
    pid = gateway.processes[1].pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (60, before[1]))
    with ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(RawClient(gateway.port))
        eventually(
            lambda: gateway.log().count("cannot be accepted") >= 2, what="the worker's complaint"
        )
        assert gateway.log().count("cannot be accepted") < 50
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    with gateway.connect(CI) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
