"""What arrives first on the port: TLS in its ways, other protocols, nonsense."""

from __future__ import annotations

import secrets
import socket
import struct
from typing import Any

import psycopg
import pytest

from tests.e2e.raw import (
    GSSENC_REQUEST,
    SSL_REQUEST,
    RawClient,
    cancel_request,
    frame,
    startup,
    values,
)
from tests.harness.gateway import ANA, CI, Gateway

LONG = "x" * 10_100


def test_libpq_finds_its_way_into_tls(shared_gateway: Gateway) -> None:
    for how in ("sslmode=require", "sslmode=prefer", "sslmode=require sslnegotiation=direct"):
        with psycopg.connect(f"{shared_gateway.dsn()} {how} channel_binding=require") as opened:
            assert opened.pgconn.ssl_in_use, how
            assert opened.execute("SELECT 1").fetchone() == (1,)


def test_the_certificate_verifies_against_the_gateways_own_authority(
    shared_gateway: Gateway,
) -> None:
    found = [
        path
        for path in shared_gateway.config.data_dir.rglob("*.crt")
        if b"BEGIN CERTIFICATE" in path.read_bytes()
    ]
    assert found
    opened = 0
    for path in found:
        try:
            shared_gateway.connect(sslmode="verify-ca", sslrootcert=str(path)).close()
            opened += 1
        except psycopg.OperationalError:
            continue
    assert opened


def test_tls_without_a_protocol_name_is_fine_after_a_request(shared_gateway: Gateway) -> None:
    with RawClient(shared_gateway.port) as client:
        client.start_tls(alpn=False)
        client.log_in(ANA, shared_gateway.passwords[ANA])
        assert values(client.ask("SELECT 1")) == [b"1"]


def test_direct_tls_needs_the_protocols_name(shared_gateway: Gateway) -> None:
    with RawClient(shared_gateway.port) as client:
        client.start_tls(alpn=True, ask=False)
        client.log_in(ANA, shared_gateway.passwords[ANA])
        assert values(client.ask("SELECT 1")) == [b"1"]
    with RawClient(shared_gateway.port) as client:
        client.start_tls(alpn=False, ask=False)
        message = client.message()
        assert message is not None
        assert "without ALPN" in message.fields["M"]
        assert client.message() is None


def test_plaintext_behind_the_request_for_tls_ends_the_connection(shared_gateway: Gateway) -> None:
    """CVE-2021-23214: what was slipped in before encryption must not count as encrypted."""
    with RawClient(shared_gateway.port) as client:
        client.send(SSL_REQUEST + startup(user=CI, database="shop"))
        answer = client.rest()
        assert not answer.startswith(b"S")
        assert b"received unencrypted data after SSL request" in answer
    with RawClient(shared_gateway.port) as client:
        client.send(GSSENC_REQUEST + startup(user=CI, database="shop"))
        assert b"unencrypted data after GSSAPI encryption request" in client.rest()


def test_gss_encryption_is_declined_and_the_login_goes_on(shared_gateway: Gateway) -> None:
    with RawClient(shared_gateway.port, GSSENC_REQUEST) as client:
        assert client.sock.recv(1) == b"N"
        client.start_tls(alpn=True)
        client.log_in(CI, shared_gateway.passwords[CI])
    with RawClient(shared_gateway.port, GSSENC_REQUEST) as client:
        assert client.sock.recv(1) == b"N"
        client.log_in(CI, shared_gateway.passwords[CI])


def test_inside_tls_another_request_for_it_is_declined(shared_gateway: Gateway) -> None:
    with RawClient(shared_gateway.port) as client:
        client.start_tls(alpn=True)
        client.send(SSL_REQUEST)
        assert client.read(1) in (b"N", b"E")  # the server itself answers N


@pytest.mark.parametrize(
    ("version", "options", "spoken", "unknown"),
    [
        (0x30000, {}, None, 0),
        (0x30002, {}, None, 0),
        (0x30003, {}, 0x30002, 0),
        (0x3FFFF, {}, 0x30002, 0),
        (0x30000, {"_pq_.feature": "on"}, 0x30000, 1),
        (0x30002, {"_pq_.a": "1", "_pq_.b": "2"}, 0x30002, 2),
    ],
)
def test_newer_protocols_are_negotiated_down(
    shared_gateway: Gateway, version: int, options: dict[str, str], spoken: int | None, unknown: int
) -> None:
    with RawClient(shared_gateway.port) as client:
        more: dict[str, Any] = options
        client.startup(version, user=CI, database="shop", **more)
        first = client.message()
        assert first is not None
        if spoken is None:
            assert first.kind == "R"
        else:
            assert (first.kind, struct.unpack("!ii", first.body[:8])) == ("v", (spoken, unknown))
            assert [name.encode() in first.body for name in options] == [True] * unknown


@pytest.mark.parametrize(("version", "size"), [(0x30000, 4), (0x30002, 32)])
def test_the_key_for_cancels_has_the_length_of_its_protocol(
    shared_gateway: Gateway, version: int, size: int
) -> None:
    with RawClient(shared_gateway.port) as client:
        client.log_in(CI, shared_gateway.passwords[CI], version)
        assert len(client.key) == size
        assert values(client.ask("SELECT pg_backend_pid()")) == [str(client.process_id).encode()]


def test_libpq_speaks_the_newest_protocol_through_it(shared_gateway: Gateway) -> None:
    with shared_gateway.connect(
        min_protocol_version="3.2", max_protocol_version="latest"
    ) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.pgconn.protocol_version == 3


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 64,
        b"\xff" * 64,
        struct.pack("!I", 10_001) + b"\0\3\0\0",
        struct.pack("!I", 0x7FFFFFFF),
        struct.pack("!I", 4),
        struct.pack("!II", 8, 0x20000),
        struct.pack("!II", 8, 0x30000),
        struct.pack("!II", 8, 80877105),
        startup(0x40000, user=CI, database="shop"),
        startup(user=CI, database="shop")[:-1] + b"x",
        startup(user=CI, database="shop", application_name=LONG),
        startup(database="shop"),
        frame("Q", b"SELECT 1\0"),
        b"\x16\x03\x01\x00\x05hello",
        cancel_request(1, b"abcd"),
        cancel_request(1, b""),
        struct.pack("!II", 12, 80877102) + b"abcd",
    ],
    ids=lambda first: repr(first[:16]),
)
def test_nonsense_gets_one_answer_at_most_and_the_door(
    shared_gateway: Gateway, first: bytes
) -> None:
    with RawClient(shared_gateway.port, first) as client:
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.rest()
        assert len(answer) < 1000
        assert answer[:1] in (b"", b"E", b"\x15")  # nothing, an error, a TLS alert
        if answer[:1] == b"E":
            assert b"gatepost: " in answer
    with shared_gateway.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_start_up_packet_in_single_bytes_is_understood(shared_gateway: Gateway) -> None:
    with RawClient(shared_gateway.port) as client:
        for byte in startup(user=CI, database="shop"):
            client.send(bytes([byte]))
        client.prove(shared_gateway.passwords[CI])
        for byte in frame("Q", b"SELECT 1\0"):
            client.send(bytes([byte]))
        assert values(client.until()) == [b"1"]


def test_a_query_behind_the_last_proof_waits_for_the_session(shared_gateway: Gateway) -> None:
    """A client may send at once what the server reads only after the login."""
    with RawClient(shared_gateway.port) as client:
        marker = secrets.token_hex(4)
        send = client.send
        proofs: list[bytes] = []

        def with_query(*data: bytes) -> None:
            proofs.append(b"".join(data))
            late = frame("Q", f"SELECT '{marker}'\0".encode()) if len(proofs) == 3 else b""
            send(*data, late)

        client.send = with_query  # type: ignore[method-assign]
        client.log_in(CI, shared_gateway.passwords[CI])
        assert values(client.until()) == [marker.encode()]


def test_a_query_before_the_proof_is_no_query(shared_gateway: Gateway) -> None:
    marker = f"early_{secrets.token_hex(4)}"
    with RawClient(shared_gateway.port) as client:
        client.send(startup(user=CI, database="shop"), frame("Q", f"SELECT '{marker}'\0".encode()))
        answer = client.rest()
        assert b"C08P01" in answer
    assert marker not in shared_gateway.database.log()
