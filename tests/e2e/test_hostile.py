"""No statement ends or stalls a worker: each gets a verdict or an error, others do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.e2e import raw
from tests.e2e.hostile import HOSTILE
from tests.e2e.raw import RawClient
from tests.harness.gateway import ANA, CI, Gateway
from tests.harness.polling import eventually, promised


class Bystander:
    """A session that asks for 1 all the time and notes its longest wait."""

    def __init__(self, gateway: Gateway) -> None:
        self.longest_s = 0.0
        self.answers = 0
        self.failure: BaseException | None = None
        self._gateway = gateway
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def begin(self) -> None:
        """Forget the waits so far; return when the next answer is there."""
        self.longest_s, before = 0.0, self.answers
        eventually(lambda: self.answers > before or self.failure, what="an answer")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        try:
            with self._gateway.connect(ANA) as connection:
                while not self._stop.wait(0.01):
                    started = time.monotonic()
                    assert connection.execute("SELECT 1").fetchone() == (1,)
                    self.longest_s = max(self.longest_s, time.monotonic() - started)
                    self.answers += 1
        except (psycopg.Error, AssertionError) as error:
            self.failure = error


@pytest.fixture(scope="module")
def guarded(shared_gateway: Gateway) -> Gateway:
    """A gateway that has something to decide about every statement."""
    shared_gateway.database.run("CREATE TABLE t (a int)")
    shared_gateway.rule("no-ddl", "block", who=("kind:ci",), commands=("ddl",))
    shared_gateway.rule("no-secrets", "block", tables=("public.secrets",))
    return shared_gateway


@pytest.fixture(scope="module")
def bystander(guarded: Gateway) -> Iterator[Bystander]:
    found = Bystander(guarded)
    yield found
    found.stop()


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_statement_gets_an_answer_and_nobody_else_waits(
    guarded: Gateway, bystander: Bystander, name: str, extended: bool
) -> None:
    text = HOSTILE[name]()
    bystander.begin()
    worker = guarded.processes[1].pid
    with RawClient(guarded.port, timeout_s=60) as client:
        client.log_in(CI, guarded.passwords[CI])
        client.ask("SET statement_timeout = '10s'")
        if extended:
            message = raw.frame("P", b"\0" + text + b"\0\0\0")
            client.send(message, raw.bind(), raw.execute(), raw.SYNC)
        else:
            client.send(raw.frame("Q", text + b"\0"))
        answer = client.until()
        assert set(raw.kinds(answer)) & set("ECI"), "neither done nor refused"
        assert raw.values(client.ask("SELECT 'alive'")) == [b"alive"]
    longest_s = bystander.longest_s
    bystander.begin()  # it still gets answers
    assert bystander.failure is None
    assert max(longest_s, bystander.longest_s) < promised(1)  # the bystander itself may be late
    assert guarded.processes[1].poll() is None
    assert guarded.processes[1].pid == worker
    assert "Traceback" not in guarded.log()
    files = guarded.config.journal_dir.rglob("*")
    assert sum(file.stat().st_size for file in files if file.is_file()) < 1 << 30


def test_statements_that_cannot_be_known_do_not_slip_past_a_rule(guarded: Gateway) -> None:
    """What is too deep to be read is unknown: refused where any rule might say no."""
    with guarded.connect(CI) as connection:
        for text in (
            "SELECT " + "+".join(["1"] * 50_000) + " FROM secrets",
            "/*" * 5_000 + "*/" * 5_000 + " DROP TABLE t",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(text)


def test_the_record_has_the_hostile_ones_too(guarded: Gateway) -> None:
    with guarded.connect(CI) as connection:
        text = "SELECT length('" + "y" * (2 << 20) + "')"
        connection.execute(text)
    found: list[dict[str, Any]] = guarded.statements("yyyy")
    assert found[-1]["state"] == "done"
    assert len(found[-1]["text"]) > 1000
