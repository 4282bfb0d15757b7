"""The TLS target verifies against its CA and lets nobody in without TLS."""

from __future__ import annotations

import psycopg
import pytest

from appliance.embedded import PostgresServer, ServerOptions, temporary_directory
from tests.harness import tls_postgres as harness
from tests.harness.tls_postgres import TlsServer


def test_the_certificate_verifies_and_plaintext_is_refused(tls_postgres: TlsServer) -> None:
    dsn = tls_postgres.server.dsn()
    with psycopg.connect(dsn, sslmode="verify-full", sslrootcert=str(tls_postgres.ca)) as good:
        assert good.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(dsn, sslmode="disable")


def test_the_npm_package_can_stand_in() -> None:
    programs = harness._npm_programs()
    if programs is None:
        pytest.skip("npm or its registry is not here")
    directory = temporary_directory()
    harness.write_certificates(directory)
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(directory / "server.crt"),
        "ssl_key_file": str(directory / "server.key"),
    }
    with (
        PostgresServer(programs, directory, ServerOptions(settings)) as server,
        psycopg.connect(server.dsn(), sslmode="require") as connection,
    ):
        assert connection.pgconn.ssl_in_use
