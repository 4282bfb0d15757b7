"""Real clients prove who they are to the start-up and SCRAM code, in plaintext and over TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import psycopg
import pytest

from appliance.config import config_from_environment
from appliance.embedded import Installation
from appliance.identity.scram import ScramClient, make_verifier, mock_verifier
from appliance.tls import ServerTls, server_tls
from proxy.client_auth import AuthFailed, LoginWay, Proved, scram_way
from proxy.startup import Cancel, StartupReceived, StartupRefused
from proxy.wire import authentication, codes
from tests.harness.polling import eventually
from tests.proxy.login_server import LoginServer, login_server

SALT = b"0123456789abcdef"
RIGHT = "Ⅸ right"
VERIFIERS = (make_verifier("old", SALT), make_verifier(RIGHT, SALT))
USER = "ana@example.com"


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    config = config_from_environment({"GATEPOST_DATA_DIR": str(tmp_path)})
    return server_tls(config, datetime.now(UTC))


@pytest.fixture
def plain() -> Iterator[LoginServer]:
    with login_server(VERIFIERS) as server:
        yield server


@pytest.fixture
def encrypted(tls: ServerTls) -> Iterator[LoginServer]:
    with login_server(VERIFIERS, tls) as server:
        yield server


def connect(server: LoginServer, password: str = RIGHT, **options: str | int) -> None:
    psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        user=USER,
        password=password,
        dbname="shop",
        autocommit=True,
        connect_timeout=10,
        **options,  # type: ignore[arg-type]
    ).close()


def proof_of(server: LoginServer) -> tuple[StartupReceived, bool, Proved]:
    (found,) = server.seen
    assert isinstance(found, tuple)
    return found


def test_libpq_logs_in_with_either_of_two_live_passwords(plain: LoginServer) -> None:
    connect(plain, sslmode="disable")
    received, in_tls, proved = proof_of(plain)
    assert received.parameters["user"] == USER
    assert received.parameters["database"] == "shop"
    assert (in_tls, proved.credential_index) == (False, 1)
    plain.seen.clear()
    connect(plain, "old", sslmode="disable")
    assert proof_of(plain)[2].credential_index == 0


def test_libpq_binds_the_channel_over_tls(encrypted: LoginServer) -> None:
    connect(encrypted, sslmode="require", channel_binding="require")
    _, in_tls, proved = proof_of(encrypted)
    assert (in_tls, proved.credential_index) == (True, 1)


def test_libpq_logs_in_over_tls_without_binding_where_it_does_not_want_to(
    encrypted: LoginServer,
) -> None:
    connect(encrypted, sslmode="require", channel_binding="disable")
    assert proof_of(encrypted)[1]


def test_libpq_verifies_the_certificate_against_the_ca_to_download(
    encrypted: LoginServer, tmp_path: Path
) -> None:
    connect(encrypted, sslmode="verify-full", sslrootcert=str(tmp_path / "tls" / "ca.crt"))
    assert proof_of(encrypted)[1]


def test_libpq_begins_with_tls_directly(encrypted: LoginServer) -> None:
    connect(encrypted, sslmode="require", sslnegotiation="direct")
    assert proof_of(encrypted)[1]


def test_libpq_is_told_that_there_is_no_tls_and_goes_on_in_plaintext(plain: LoginServer) -> None:
    connect(plain, sslmode="prefer", gssencmode="prefer")
    assert not proof_of(plain)[1]


@pytest.mark.parametrize(("version", "spoken"), [("3.0", 0), ("3.2", 2), ("latest", 2)])
def test_libpq_negotiates_the_protocol_version(
    plain: LoginServer, version: str, spoken: int
) -> None:
    if psycopg.pq.version() < 180000:
        pytest.skip("needs libpq 18")
    connect(plain, sslmode="disable", max_protocol_version=version)
    assert proof_of(plain)[0].version == codes.PROTOCOL_3_0 | spoken


@pytest.mark.parametrize("password", ["wrong", "ix right "])
def test_libpq_with_a_wrong_password_is_told_so_and_no_more(
    plain: LoginServer, password: str
) -> None:
    with pytest.raises(
        psycopg.OperationalError,
        match=f'FATAL:  gatepost: password authentication failed for user "{USER}"',
    ):
        connect(plain, password, sslmode="disable")
    (failed,) = plain.seen
    assert isinstance(failed, AuthFailed)
    assert (failed.sqlstate, failed.reason) == (
        "28P01",
        "the proof matches no live credential",
    )


def test_an_unknown_identity_sees_what_a_wrong_password_shows() -> None:
    answers = []
    for verifiers in (VERIFIERS, (mock_verifier(b"secret", USER),)):
        with (
            login_server(verifiers) as server,
            pytest.raises(psycopg.OperationalError) as caught,
        ):
            connect(server, "wrong", sslmode="disable")
        answers.append(str(caught.value).replace(str(server.port), "PORT"))
    assert answers[0] == answers[1]


def test_asyncpg_logs_in_over_tls(encrypted: LoginServer) -> None:
    async def log_in() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=encrypted.port,
            user=USER,
            password=RIGHT,
            database="shop",
            ssl="require",
            timeout=10,
        )
        connection.terminate()

    with ThreadPoolExecutor(1) as thread:  # the browser tests leave a loop in this one
        thread.submit(asyncio.run, log_in()).result()
    assert proof_of(encrypted)[1]


@pytest.mark.parametrize("fixture", ["programs", "programs16"])
def test_psql_logs_in(plain: LoginServer, request: pytest.FixtureRequest, fixture: str) -> None:
    programs: Installation = request.getfixturevalue(fixture)
    done = subprocess.run(
        [programs.program("psql"), "-h", "127.0.0.1", "-p", str(plain.port), "-U", USER, "shop"],
        input="\\q\n",
        env={**os.environ, "PGPASSWORD": RIGHT},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert proof_of(plain)[0].parameters["application_name"] == "psql"


def test_a_cancel_of_libpq_arrives_with_the_key_that_was_given(encrypted: LoginServer) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=encrypted.port,
        user=USER,
        password="old",
        dbname="shop",
        sslmode="require",
        autocommit=True,
    ) as connection:
        connection.cancel_safe(timeout=10)
    cancelled = eventually(lambda: [seen for seen in encrypted.seen if isinstance(seen, Cancel)])
    assert cancelled == [Cancel(4711, b"\1\2\3\4")]


def test_a_client_of_http_is_refused_in_words(plain: LoginServer) -> None:
    with socket.create_connection(("127.0.0.1", plain.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n")
        answer = client.recv(1000)
    assert answer.startswith(b"E")
    assert b"invalid length of startup packet" in answer
    assert isinstance(plain.seen[0], StartupRefused)


def talk(way: LoginWay, answers: list[bytes]) -> Proved:
    """Resume a way with the given bodies."""
    try:
        next(way)
        for answer in answers:
            way.send(answer)
    except StopIteration as stop:
        proved: Proved = stop.value
        return proved
    raise AssertionError("the way wants more answers")


def initial(mechanism: str, data: bytes | None) -> bytes:
    return authentication.SASLInitialResponse(mechanism, data).encode()[5:]


def test_a_client_that_waits_to_be_asked_for_its_first_message_is_asked() -> None:
    way = scram_way(USER, VERIFIERS, None)
    assert next(way) == authentication.authentication_sasl(("SCRAM-SHA-256",))
    asked = way.send(initial("SCRAM-SHA-256", None))
    assert asked == authentication.authentication_sasl_continue(b"")
    client = ScramClient("old", ("SCRAM-SHA-256",), {})
    challenge = way.send(client.first())
    assert isinstance(challenge, bytes)
    client.challenge(authentication.parse_authentication(challenge[5:]).data)
    with pytest.raises(StopIteration) as done:
        way.send(client.final())
    proved = done.value.value
    assert proved.credential_index == 0
    assert not proved.ok_sent
    client.verify(authentication.parse_authentication(proved.last[5:]).data)


@pytest.mark.parametrize(
    ("answers", "sqlstate", "words"),
    [
        ([initial("SCRAM-SHA-1", b"n,,n=,r=a")], "08P01", "invalid SASL"),
        ([initial("SCRAM-SHA-1", None)], "08P01", "invalid SASL"),
        ([initial("SCRAM-SHA-256-PLUS", None)], "08P01", "invalid SASL"),
        ([initial("SCRAM-SHA-256", b"")], "08P01", "malformed SCRAM"),
        ([initial("SCRAM-SHA-256", b"n,,n=,r=a"), b""], "08P01", "malformed SCRAM"),
        ([initial("SCRAM-SHA-256", b"n,,n=,r=a"), b"c=biws,r=a,p=AA"], "08P01", "invalid SCRAM"),
    ],
)
def test_an_exchange_that_breaks_the_rules_is_refused(
    answers: list[bytes], sqlstate: str, words: str
) -> None:
    with pytest.raises(AuthFailed, match=words) as caught:
        talk(scram_way(USER, VERIFIERS, None), answers)
    assert caught.value.sqlstate == sqlstate
    assert caught.value.message.startswith("gatepost: ")


def test_a_client_stripped_of_channel_binding_by_somebody_is_refused() -> None:
    with pytest.raises(AuthFailed, match="channel binding negotiation error") as caught:
        talk(scram_way(USER, VERIFIERS, b"h" * 32), [initial("SCRAM-SHA-256", b"y,,n=,r=a")])
    assert caught.value.sqlstate == "28000"
