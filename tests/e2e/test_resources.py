"""Memory stays bounded whatever the sizes, and idle sessions cost little."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from appliance.embedded import ServerOptions
from tests.e2e import raw
from tests.e2e.raw import RawClient
from tests.harness.gateway import CI, Gateway, running_gateway
from tests.harness.polling import eventually
from tests.harness.postgres import fresh_database, running_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

BIG = 256 << 20
PIECE = b"x" * (1 << 20)
MAY_GROW_KIB = 64 << 10
READY = b"Z\0\0\0\5I"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before a server that logs no statements: their parameters are large here."""
    options = ServerOptions(settings={"max_connections": "340"})
    with (
        running_server(18, options) as server,
        fresh_database(server) as database,
        running_gateway(database, tmp_path_factory.mktemp("gateway")) as running,
    ):
        yield running


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def logged_in(gateway: Gateway, *, tls: bool = False) -> RawClient:
    client = RawClient(gateway.port, timeout_s=120)
    if tls:
        client.start_tls(alpn=True)
    client.log_in(CI, gateway.passwords[CI])
    return client


class Memory:
    """Measures how much a worker's memory peaks above what it is now."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        gateway.forget_peak()
        self._before = gateway.memory_kib()

    @property
    def growth_kib(self) -> int:
        return self._gateway.memory_kib(peak=True) - self._before


def drain(client: RawClient) -> tuple[int, bytes]:
    """Read up to ReadyForQuery; return how many bytes came, and the last of them."""
    size, last = 0, b""
    while not last.endswith(READY):
        chunk = client.read(1 << 20)
        assert chunk, f"the connection ended after {size} bytes: {last!r}"
        size += len(chunk)
        last = (last + chunk)[-200:]
    return size, last


def test_a_value_of_256_mib_comes_out_in_bounded_memory(quiet: Gateway, tls: bool) -> None:
    with logged_in(quiet, tls=tls) as client:
        memory = Memory(quiet)
        client.send(raw.query(f"SELECT repeat('x', {BIG})"))
        size, last = drain(client)
        assert BIG < size < BIG + 200
        assert b"SELECT 1\0" in last
        assert memory.growth_kib < MAY_GROW_KIB
    (row,) = quiet.statements(f"repeat('x', {BIG})")[-1:]
    assert row["bytes_out"] > BIG


def test_a_value_of_256_mib_goes_in_in_bounded_memory(quiet: Gateway, tls: bool) -> None:
    with logged_in(quiet, tls=tls) as client:
        memory = Memory(quiet)
        client.send(raw.parse("SELECT length($1::text) AS big"))
        head = b"\0\0" + struct.pack("!hhi", 0, 1, BIG)
        client.send(b"B" + struct.pack("!I", 4 + len(head) + BIG + 2) + head)
        for _ in range(BIG // len(PIECE)):
            client.send(PIECE)
        client.send(b"\0\0", raw.execute(), raw.SYNC)
        assert raw.values(client.until()) == [str(BIG).encode()]
        assert memory.growth_kib < MAY_GROW_KIB
    (row,) = quiet.statements("AS big")[-1:]
    assert row["parameters"][0].endswith(f"… (cut: {BIG} bytes)")
    assert len(row["parameters"][0]) < 1 << 17
    assert row["state"] == "done"


def test_one_message_of_copy_data_of_256_mib_passes(quiet: Gateway) -> None:
    line = b"x" * 255 + b"\n"
    with logged_in(quiet) as client:
        client.ask("CREATE TEMP TABLE sink (line text)")
        memory = Memory(quiet)
        client.send(raw.query("COPY sink FROM STDIN WHERE false"))
        client.until("G")
        client.send(b"d" + struct.pack("!I", 4 + BIG))
        for _ in range(BIG >> 20):
            client.send(line * 4096)
        client.send(raw.frame("c"))
        answer = client.until()
        assert raw.errors(answer) == []
        assert raw.kinds(answer) == "CZ"
        assert memory.growth_kib < MAY_GROW_KIB


def test_a_reader_that_stops_reading_stops_the_target_and_not_the_others(
    quiet: Gateway, tls: bool
) -> None:
    stuck = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
        f" AND datname = '{quiet.database.name}'"
    )
    with logged_in(quiet, tls=tls) as client, quiet.connect() as other:
        memory = Memory(quiet)
        client.send(
            raw.query("SELECT repeat('x', 1000) FROM generate_series(1, 200000)"),
        )
        eventually(lambda: quiet.database.run(stuck), what="the back-pressure")
        for number in range(50):
            assert other.execute("SELECT %s::int", [number]).fetchone() == (number,)
        assert memory.growth_kib < MAY_GROW_KIB
        size, last = drain(client)
        assert size > 200_000_000
        assert b"SELECT 200000\0" in last
        assert memory.growth_kib < MAY_GROW_KIB


def test_a_flood_of_pipelined_statements_is_answered_in_order(quiet: Gateway) -> None:
    count = 5_000
    with logged_in(quiet) as client, quiet.connect() as other:
        memory = Memory(quiet)

        def flood() -> None:
            client.send(raw.query("SELECT pg_sleep(1)"))
            for number in range(count):
                text = f"SELECT {number} /* {'flood' * 40} */"
                client.send(raw.parse(text), raw.bind(), raw.execute(), raw.SYNC)

        sender = threading.Thread(target=flood)
        sender.start()
        assert other.execute("SELECT 'meanwhile'").fetchone() == ("meanwhile",)
        client.until()
        for number in range(count):
            assert raw.values(client.until()) == [str(number).encode()]
        sender.join()
        assert memory.growth_kib < MAY_GROW_KIB
    flooded = quiet.statements("flood")
    assert len(flooded) == count
    assert {row["state"] for row in flooded} == {"done"}


def test_what_a_client_sends_while_its_target_is_busy_is_not_hoarded(
    quiet: Gateway,
) -> None:
    with logged_in(quiet) as client:
        memory = Memory(quiet)
        client.send(raw.query("SELECT pg_sleep(2)"))
        client.sock.settimeout(0.5)
        message = raw.frame("Q", b"SELECT 1 -- " + b"x" * 50_000 + b"\0")
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < BIG:
                client.send(message)
                sent += len(message)
        assert sent < MAY_GROW_KIB << 10
        assert memory.growth_kib < MAY_GROW_KIB


def test_300_idle_sessions_cost_little_and_all_answer(quiet: Gateway) -> None:
    quiet.kill_worker()
    quiet.start_worker()  # one whose memory nothing has stretched yet
    with ExitStack() as opened:
        first = opened.enter_context(logged_in(quiet))
        first.ask("SELECT 1")
        before = quiet.memory_kib()
        clients = [opened.enter_context(logged_in(quiet)) for _ in range(299)]
        each = (quiet.memory_kib() - before) / len(clients)
        print(f"\n{each:.1f} KiB of memory an idle session")
        for number, client in enumerate(clients):
            client.send(raw.query(f"SELECT {number}"))
        for number, client in enumerate(clients):
            assert raw.values(client.until()) == [str(number).encode()]
        assert each < 100
