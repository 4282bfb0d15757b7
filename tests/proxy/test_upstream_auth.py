"""The gateway logs in to real targets by each method, and refuses what is not allowed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.embedded import SUPERUSER, PostgresServer, ServerOptions
from appliance.entities import SslMode, Target
from appliance.errors import ProtocolError
from appliance.identity.scram import KeyCache
from appliance.tls import client_context, server_end_point
from proxy.upstream_auth import Ready, Rejected, UpstreamLogin
from proxy.wire import authentication, backend, codes, notices
from tests.harness.postgres import Database, running_server
from tests.harness.tls_postgres import TlsServer
from tests.proxy.upstream_driver import connected, over_socket, over_transcript
from tests.wire import strategies

SECRET = "secret"
HBA = """
host all by_md5 all md5
host all by_clear all password
host all by_trust all trust
host all nobody all reject
host all all all scram-sha-256
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server(18, ServerOptions(hba=HBA)) as running:
        with running.connect() as admin:
            admin.execute("SET password_encryption = md5")
            admin.execute("CREATE ROLE by_md5 LOGIN PASSWORD 'secret'")
            admin.execute("SET password_encryption = 'scram-sha-256'")
            admin.execute("CREATE ROLE by_clear LOGIN PASSWORD 'Ⅸ secret'")
            admin.execute("CREATE ROLE by_scram LOGIN PASSWORD 'Ⅸ secret'")
            admin.execute("CREATE ROLE by_trust LOGIN")
            admin.execute("SET scram_iterations = 5")
            admin.execute("CREATE ROLE by_five LOGIN PASSWORD 'few'")
        yield running


def login(user: str, secret: str = SECRET, database: str = "postgres") -> UpstreamLogin:
    parameters = {"user": user, "database": database, "application_name": "gatepost test"}
    return UpstreamLogin(parameters, secret, {})


def outcome(server: PostgresServer, request: UpstreamLogin) -> Ready | Rejected:
    with connected(server.port) as sock:
        return over_socket(sock, request)[0]


def test_scram_logs_in_and_collects_what_the_target_says(server: PostgresServer) -> None:
    with connected(server.port) as sock:
        found, derived = over_socket(sock, login("by_scram", "Ⅸ secret"))
        assert isinstance(found, Ready)
        assert derived == 1
        assert found.parameters["server_version"].startswith("18")
        assert found.parameters["application_name"] == "gatepost test"
        assert found.status == codes.IDLE
        assert len(found.secret_key) == 4
        with server.connect() as admin:
            row = admin.execute(
                "SELECT usename::text FROM pg_stat_activity WHERE pid = %s", (found.process_id,)
            ).fetchone()
        assert row == ("by_scram",)


def test_the_second_login_derives_no_key(server: PostgresServer) -> None:
    keys: KeyCache = {}
    request = replace(login("by_scram", "Ⅸ secret"), keys=keys)
    counts = []
    for _ in range(2):
        with connected(server.port) as sock:
            found, derived = over_socket(sock, request)
        assert isinstance(found, Ready)
        counts.append(derived)
    assert counts == [1, 0]


def test_a_password_stored_with_few_iterations_logs_in(server: PostgresServer) -> None:
    assert isinstance(outcome(server, login("by_five", "few")), Ready)


def test_trust_logs_in(server: PostgresServer) -> None:
    assert isinstance(outcome(server, login("by_trust", "")), Ready)


def test_md5_logs_in_only_where_it_is_allowed(server: PostgresServer) -> None:
    refused = outcome(server, login("by_md5"))
    assert isinstance(refused, Rejected)
    assert not refused.from_target
    assert "md5 password, which is off" in refused.message
    assert "allow_md5" in refused.hint
    assert isinstance(outcome(server, replace(login("by_md5"), allow_md5=True)), Ready)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("verified", [False, True])
def test_cleartext_logs_in_only_where_it_is_allowed_over_verified_tls(
    server: PostgresServer, allowed: bool, verified: bool
) -> None:
    request = replace(login("by_clear", "Ⅸ secret"), allow_cleartext=allowed, tls_verified=verified)
    found = outcome(server, request)
    if allowed and verified:
        assert isinstance(found, Ready)
    else:
        assert isinstance(found, Rejected)
        assert "cleartext password, which is off" in found.message
        assert not found.from_target


@pytest.mark.parametrize(
    ("user", "database", "sqlstate", "words"),
    [
        ("by_scram", "postgres", "28P01", "password authentication failed"),
        ("no_such_role", "postgres", "28P01", "password authentication failed"),
        ("nobody", "postgres", "28000", "pg_hba.conf rejects connection"),
        ("by_trust", "no_such_database", "3D000", 'database "no_such_database" does not exist'),
    ],
)
def test_the_targets_own_error_comes_back_as_a_value(
    server: PostgresServer, user: str, database: str, sqlstate: str, words: str
) -> None:
    found = outcome(server, login(user, "wrong", database))
    assert isinstance(found, Rejected)
    assert found.from_target
    assert found.sqlstate == sqlstate
    assert words in found.message


def test_a_wrong_startup_parameter_is_the_targets_error_after_authentication(
    server: PostgresServer,
) -> None:
    request = login("by_trust")
    request = replace(request, parameters={**request.parameters, "no_such_setting": "1"})
    found = outcome(server, request)
    assert isinstance(found, Rejected)
    assert found.sqlstate == "42704"


def target_at(tls_server: TlsServer, sslmode: SslMode, *, with_ca: bool = True) -> Target:
    return Target(
        id=1,
        name="shop",
        host="127.0.0.1",
        port=tls_server.server.port,
        database="postgres",
        sslmode=sslmode,
        environment="",
        roles=(),
        catalog_role="",
        sslrootcert=tls_server.ca_text if with_ca else None,
    )


@pytest.mark.parametrize(
    "sslmode", [SslMode.PREFER, SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL]
)
def test_scram_binds_the_channel_to_a_target_with_tls(
    tls_postgres: TlsServer, sslmode: SslMode
) -> None:
    context = client_context(target_at(tls_postgres, sslmode))
    with connected(tls_postgres.server.port, context) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        request = login(SUPERUSER, tls_postgres.server.password)
        request = replace(request, binding=server_end_point(der))
        assert isinstance(over_socket(sock, request)[0], Ready)


def test_a_wrong_channel_binding_is_refused_by_the_target(tls_postgres: TlsServer) -> None:
    context = client_context(target_at(tls_postgres, SslMode.REQUIRE))
    with connected(tls_postgres.server.port, context) as sock:
        request = replace(login(SUPERUSER, tls_postgres.server.password), binding=b"x" * 32)
        found, _ = over_socket(sock, request)
    assert isinstance(found, Rejected)
    assert found.from_target


@pytest.mark.parametrize("sslmode", [SslMode.VERIFY_CA, SslMode.VERIFY_FULL])
def test_a_certificate_of_an_unknown_authority_is_refused(
    tls_postgres: TlsServer, sslmode: SslMode
) -> None:
    context = client_context(target_at(tls_postgres, sslmode, with_ca=False))
    with pytest.raises(ssl.SSLCertVerificationError):
        connected(tls_postgres.server.port, context)


def transcript(
    *answers: bytes, secret: str = SECRET
) -> tuple[Ready | Rejected | None, list[bytes]]:
    return over_transcript(login("app_ro", secret), answers)


OK = authentication.authentication_ok()
SASL = authentication.authentication_sasl(("SCRAM-SHA-256",))
READY = backend.ReadyForQuery(codes.IDLE).encode()


def test_a_target_that_skips_its_own_proof_is_not_believed() -> None:
    with pytest.raises(ProtocolError, match="during login"):
        transcript(SASL, OK)


def test_a_target_that_answers_another_nonce_is_not_believed() -> None:
    challenge = authentication.authentication_sasl_continue(b"r=other,s=c2FsdHNhbHQ=,i=4096")
    found, _ = transcript(SASL, challenge)
    assert isinstance(found, Rejected)
    assert not found.from_target
    assert "nonce" in found.message


def test_no_password_leaves_in_any_form_before_the_exchange_demands_it() -> None:
    md5 = authentication.Authentication(codes.AUTH_MD5_PASSWORD, b"salt").encode()
    clear = authentication.authentication_cleartext_password()
    for asked in (md5, clear):
        found, sent = transcript(asked, secret="s3cret")
        assert isinstance(found, Rejected)
        assert len(sent) == 1
        assert b"s3cret" not in b"".join(sent)


@pytest.mark.parametrize("code", [codes.AUTH_GSS, codes.AUTH_SSPI, codes.AUTH_KERBEROS_V5, 99])
def test_a_method_that_gatepost_does_not_speak_is_named(code: int) -> None:
    found, _ = transcript(authentication.Authentication(code).encode())
    assert isinstance(found, Rejected)
    assert f"authentication method {code}" in found.message
    assert "pg_hba.conf" in found.hint


def test_mechanisms_that_gatepost_does_not_know_are_refused() -> None:
    found, _ = transcript(authentication.authentication_sasl(("OAUTHBEARER",)))
    assert isinstance(found, Rejected)
    assert "SASL mechanisms" in found.message


def test_notices_and_an_absent_key_are_taken_as_they_come() -> None:
    notice = notices.notice_response("maintenance at six")
    status = backend.ParameterStatus(b"TimeZone", b"UTC").encode()
    later = backend.ParameterStatus(b"TimeZone", b"Europe/Oslo").encode()
    found, _ = transcript(notice, OK, status, notice, later, READY)
    assert found == Ready({"TimeZone": "Europe/Oslo"}, 0, b"", (notice,), codes.IDLE)


def test_a_target_that_talks_for_ever_does_not_fill_memory() -> None:
    notice = notices.notice_response("again")
    found, _ = transcript(OK, *([notice] * 1000), READY)
    assert isinstance(found, Ready)
    assert len(found.notices) == 100


def test_a_long_key_is_kept_whole() -> None:
    key = authentication.BackendKeyData(7, b"k" * 32).encode()
    found, _ = transcript(OK, key, READY)
    assert isinstance(found, Ready)
    assert (found.process_id, found.secret_key) == (7, b"k" * 32)


@given(st.lists(strategies.backend_messages, max_size=4), st.booleans())
def test_any_answers_end_in_a_value_or_a_protocol_error(
    answers: list[backend.BackendMessage], accepted: bool
) -> None:
    first = [OK] if accepted else []
    try:
        found, _ = transcript(*first, *(answer.encode() for answer in answers))
    except ProtocolError as error:
        assert error.peer == "upstream"
    else:
        assert found is None or isinstance(found, Ready | Rejected)


def test_the_login_shows_no_secret_when_printed() -> None:
    assert "s3cret" not in repr(login("app_ro", "s3cret"))


def test_a_fresh_role_of_a_database_logs_in(database: Database) -> None:
    with connected(database.server.port) as sock:
        request = login(database.ro.name, database.ro.password, database.name)
        assert isinstance(over_socket(sock, request)[0], Ready)
