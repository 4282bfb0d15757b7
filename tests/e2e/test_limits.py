"""Nobody holds up anybody else: limits, guessing, silence."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from appliance.entities import Limits, Settings
from appliance.store import settings
from tests.e2e.raw import SSL_REQUEST, ErrorCame, RawClient, startup, values
from tests.harness.gateway import ADMIN, ANA, CI, Gateway, running_gateway
from tests.harness.polling import eventually, promised
from tests.harness.postgres import Database


def limit(gateway: Gateway, **limits: int) -> None:
    settings.put(gateway.store, ADMIN, datetime.now(UTC), Settings(limits=Limits(**limits)))
    gateway.settle()


def refused_with(gateway: Gateway, user: str, first: bytes = b"") -> dict[str, str]:
    with RawClient(gateway.port, first) as client, pytest.raises(ErrorCame) as caught:
        client.log_in(user, gateway.passwords[user])
    return caught.value.fields


@pytest.mark.parametrize(
    ("which", "words", "others_get_in"),
    [
        ("connections_per_identity", f'too many connections of "{CI}"', True),
        ("connections_per_source", "too many connections from your address", False),
        ("connections", "too many connections on this gateway", False),
    ],
)
def test_connections_over_a_limit_are_refused_until_others_end(
    gateway: Gateway, which: str, words: str, others_get_in: bool
) -> None:
    limit(gateway, **{which: 2})
    with gateway.connect(CI), gateway.connect(CI) as second:
        fields = refused_with(gateway, CI)
        assert fields["C"] == "53300"
        assert words in fields["M"]
        if others_get_in:
            gateway.connect(ANA).close()
        else:
            assert refused_with(gateway, ANA)["C"] == "53300"
        assert second.execute("SELECT 1").fetchone() == (1,)

    def has_place() -> bool:
        try:
            gateway.connect(CI).close()
        except psycopg.OperationalError:
            return False
        return True

    eventually(has_place, what="a free place")
    refused = gateway.events("login refused")
    assert {event["detail"]["sqlstate"] for event in refused} == {"53300"}


def test_silent_clients_do_not_delay_a_login(gateway: Gateway) -> None:
    beginnings = [
        b"",
        b"\0",
        SSL_REQUEST[:7],
        SSL_REQUEST,
        startup(user=CI, database="shop")[:-3],
        startup(user=CI, database="shop"),
        b"\x16\x03\x01",
    ]
    with ExitStack() as silent:
        for number in range(56):
            first = beginnings[number % len(beginnings)]
            silent.enter_context(RawClient(gateway.port, first))
        started = time.monotonic()
        for _ in range(5):
            with gateway.connect(CI) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        assert time.monotonic() - started < promised(4)
    with gateway.connect(CI) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_login_that_takes_too_long_is_over(gateway: Gateway) -> None:
    limit(gateway, login_time_s=2)
    with (
        RawClient(gateway.port) as silent,
        RawClient(gateway.port, startup(user=CI, database="shop")) as half,
        RawClient(gateway.port, SSL_REQUEST) as encrypting,
    ):
        started = time.monotonic()
        for client in (silent, half, encrypting):
            client.rest()
        assert 1 < time.monotonic() - started < promised(10)
    with gateway.connect(CI) as connection:  # a session may be silent as long as it likes
        with RawClient(gateway.port) as client:
            client.log_in(CI, gateway.passwords[CI])
            client.sock.settimeout(2.5)
            with pytest.raises(TimeoutError):
                client.message()
        assert connection.execute("SELECT 1").fetchone() == (1,)


# -- guessing ----------------------------------------------------------------------------------


@pytest.fixture
def balanced(database: Database, tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(
        database,
        tmp_path / "gateway",
        GATEPOST_PROXY_PROTOCOL_FROM="127.0.0.0/8",
        GATEPOST_PLAINTEXT_FROM="0.0.0.0/0,::/0",
    ) as running:
        yield running


def version_1(address: str) -> bytes:
    family = "TCP6" if ":" in address else "TCP4"
    return f"PROXY {family} {address} {address} 40000 5432\r\n".encode()


def guess(gateway: Gateway, user: str, address: str, password: str) -> float:
    """Try a password; return how long the answer took."""
    started = time.monotonic()
    with RawClient(gateway.port, version_1(address)) as client:
        try:
            client.log_in(user, password)
        except ErrorCame as refused:
            assert refused.fields["C"] == "28P01"
    return time.monotonic() - started


def test_guessing_gets_slower_for_its_source_and_its_identity_only(balanced: Gateway) -> None:
    for _ in range(6):
        guess(balanced, CI, "10.0.0.1", "wrong")
    assert guess(balanced, CI, "10.0.0.1", "wrong") >= 0.5  # the same
    assert guess(balanced, "somebody", "10.0.0.1", "wrong") >= 0.5  # the same source
    assert guess(balanced, CI, "10.9.9.9", "wrong") >= 0.5  # the same identity
    right = balanced.passwords
    assert guess(balanced, ANA, "10.0.0.2", right[ANA]) < 0.5  # others
    assert guess(balanced, CI, "10.0.0.3", right[CI]) >= 0.5  # it knows, and is let in
    assert guess(balanced, CI, "10.0.0.3", right[CI]) < 0.5  # and is not suspected any more
    assert len(balanced.events("login refused")) == 9


# -- the PROXY protocol ------------------------------------------------------------------------

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(address: str, port: int, *, more: bytes = b"") -> bytes:
    is_6 = ":" in address
    family = socket.AF_INET6 if is_6 else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = packed + packed + struct.pack("!HH", port, 5432) + more
    return V2 + struct.pack("!BBH", 0x21, 0x21 if is_6 else 0x11, len(body)) + body


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("header", "source"),
    [
        (version_1("203.0.113.9"), "203.0.113.9"),
        (version_1("2001:db8::9"), "2001:db8::9"),
        (version_2("203.0.113.9", 40000), "203.0.113.9"),
        (version_2("2001:db8::9", 40000, more=b"\x04\0\x03abc"), "2001:db8::9"),
    ],
)
def test_the_real_address_is_what_decides_and_what_is_recorded(
    balanced: Gateway, header: bytes, source: str, tls: bool
) -> None:
    with RawClient(balanced.port, header) as client:
        if tls:
            client.start_tls(alpn=True)
        client.log_in(CI, balanced.passwords[CI])
        assert values(client.ask("SELECT 1")) == [b"1"]
    session = balanced.sessions()[-1]
    assert (session["source"], session["source_port"]) == (source, 40000)
    assert session["peer"] == "127.0.0.1"


def test_a_header_in_pieces_is_understood(balanced: Gateway) -> None:
    header = version_2("203.0.113.9", 40000)
    with RawClient(balanced.port) as client:
        for start in range(0, len(header), 5):
            client.send(header[start : start + 5])
        client.log_in(CI, balanced.passwords[CI])
    assert balanced.sessions()[-1]["source"] == "203.0.113.9"


@pytest.mark.parametrize(
    "header",
    [b"", b"PROXY TCP4 nonsense\r\n", V2 + b"\x21\x11\0\1x", b"PROXY " + b"x" * 200],
    ids=["none", "wrong", "short", "long"],
)
def test_without_a_header_nobody_gets_in_from_there(balanced: Gateway, header: bytes) -> None:
    with RawClient(balanced.port, header) as client:
        with suppress(OSError):  # the door may be shut already
            client.send(startup(user=CI, database="shop"))
            client.sock.shutdown(socket.SHUT_WR)
        assert b"R\0\0\0" not in client.rest()


def test_a_header_from_elsewhere_is_nonsense(shared_gateway: Gateway) -> None:
    with RawClient(shared_gateway.port, version_1("203.0.113.9")) as client:
        client.send(startup(user=CI, database="shop"))
        assert client.rest()[:1] == b"E"


def test_a_health_check_leaves_no_trace(balanced: Gateway) -> None:
    local = V2 + struct.pack("!BBH", 0x20, 0, 0)
    for first in (b"", b"PROXY UNKNOWN\r\n", local):
        RawClient(balanced.port, first).sock.close()
    with RawClient(balanced.port, local) as client:
        client.log_in(CI, balanced.passwords[CI])
    (session,) = balanced.sessions()
    assert session["source"] == "127.0.0.1"
    found: list[Any] = balanced.events("login refused")
    assert found == []
    assert "Traceback" not in balanced.log()
