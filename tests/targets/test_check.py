"""The connection test says exactly what is wrong, and never the password."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from appliance.embedded import ServerOptions
from appliance.entities import SslMode, Target, UpstreamRole
from appliance.errors import Unreachable
from appliance.targets import Step, check, load_catalog
from tests.harness.polling import promised
from tests.harness.postgres import Database, Role, running_server
from tests.harness.tls_postgres import TlsServer

STEPS = ["name resolves", "port answers", "TLS", "password", "database", "catalog readable"]


def target_of(database: Database, role: Role | None = None, /, **changes: object) -> Target:
    role = role or database.ro
    made = Target(
        id=1,
        name="shop",
        host=database.server.host,
        port=database.server.port,
        database=database.name,
        sslmode=SslMode.PREFER,
        environment="",
        roles=(UpstreamRole(role.name),),
        catalog_role="",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def failing(steps: list[Step], name: str) -> Step:
    """Return the last step, which must be the failed one of that name."""
    assert [step.name for step in steps] == STEPS[: STEPS.index(name) + 1]
    assert [step.ok for step in steps] == [True] * (len(steps) - 1) + [False]
    assert steps[-1].hint
    return steps[-1]


@contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """Listen on loopback: answer each connection with some bytes, or (None) with silence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                held.append(peer)
                if answer is not None:
                    peer.recv(8)
                    peer.sendall(answer)
                    peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for peer in held:
                peer.close()


def test_a_good_target_passes_every_step(database: Database) -> None:
    database.run("CREATE TABLE public.orders (id int)")
    steps = check(target_of(database), database.ro.password)
    assert [step.name for step in steps] == STEPS
    assert all(step.ok for step in steps)
    assert steps[2].detail == "not offered: the connection is in clear (sslmode prefer)"
    assert "verify-full" in steps[2].hint
    assert steps[4].detail.startswith(f"{database.name}, PostgreSQL 18")
    assert steps[5].detail == "1 table"


def test_a_good_target_of_an_older_version_passes_too(database16: Database) -> None:
    target = target_of(database16, sslmode=SslMode.DISABLE)
    steps = check(target, database16.ro.password)
    assert all(step.ok for step in steps), steps
    assert steps[2].detail == "not used (sslmode disable)"
    assert ", PostgreSQL 16" in steps[4].detail


def test_a_superuser_is_let_in_with_a_warning(database: Database) -> None:
    server = database.server
    steps = check(target_of(database, Role("postgres", "")), server.password)
    assert steps[3].ok
    assert "superuser" in steps[3].detail
    assert steps[3].hint


def test_a_name_that_does_not_resolve(database: Database) -> None:
    step = failing(check(target_of(database, host="no-such-host.invalid"), "x"), STEPS[0])
    assert step.detail.startswith("no-such-host.invalid does not resolve: ")


@pytest.mark.parametrize("host", ["a" * 300, "exa mple", "..", ""])
def test_a_name_that_dns_cannot_have(database: Database, host: str) -> None:
    steps = check(target_of(database, host=host, port=1), "x")
    assert not steps[-1].ok
    assert steps[-1].name in STEPS[:2]


def test_a_port_where_nothing_listens(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    step = failing(check(target_of(database, port=port), "x"), STEPS[1])
    assert step.detail == f"Port {port} on 127.0.0.1 refused the connection"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
def test_a_port_of_something_else(database: Database, answer: bytes | None) -> None:
    began = time.monotonic()
    with listener(answer) as port:
        step = failing(check(target_of(database, port=port), "x"), STEPS[1])
    assert "does not speak PostgreSQL's protocol" in step.detail
    assert time.monotonic() - began < promised(6)


def test_a_port_of_something_else_without_tls(database: Database) -> None:
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        steps = check(target_of(database, port=port, sslmode=SslMode.DISABLE), "x")
    assert not steps[-1].ok
    assert steps[-1].hint


def test_a_server_that_never_answers_the_login(database: Database) -> None:
    began = time.monotonic()
    with listener(None) as port:
        steps = check(target_of(database, port=port, sslmode=SslMode.DISABLE), "x")
    assert not failing(steps, "password").ok
    assert time.monotonic() - began < promised(6)


@pytest.mark.parametrize("mode", [SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL])
def test_tls_that_is_not_offered(database: Database, mode: SslMode) -> None:
    step = failing(check(target_of(database, sslmode=mode), database.ro.password), "TLS")
    assert step.detail == f"the server offers no TLS, and sslmode is {mode}"


def test_a_wrong_password_is_not_in_any_text(database: Database) -> None:
    steps = check(target_of(database), "wrong-secret-4711")
    step = failing(steps, "password")
    assert step.detail == f'password authentication failed for user "{database.ro.name}"'
    assert f"ALTER ROLE {database.ro.name} PASSWORD" in step.hint
    assert "wrong-secret-4711" not in str(steps)


def test_a_password_that_is_the_roles_name_is_not_shown(database: Database) -> None:
    steps = check(target_of(database), database.ro.name)
    assert failing(steps, "password").detail.endswith('for user "***"')


def test_a_missing_password(database: Database) -> None:
    step = failing(check(target_of(database), ""), "password")
    assert step.detail
    assert database.ro.name in step.hint


def test_a_role_that_does_not_exist_looks_like_a_wrong_password(database: Database) -> None:
    step = failing(check(target_of(database, Role("nobody", "x")), "some-secret"), "password")
    assert "no such role" in step.hint


def test_a_role_that_may_not_log_in(database: Database) -> None:
    with database.server.connect() as admin:
        admin.execute(f"ALTER ROLE {database.ro.name} NOLOGIN".encode())
    step = failing(check(target_of(database), database.ro.password), "password")
    assert "not permitted to log in" in step.detail
    assert step.hint == f"ALTER ROLE {database.ro.name} LOGIN at the server."


def test_a_target_without_a_role(database: Database) -> None:
    step = failing(check(target_of(database, roles=()), "x"), "password")
    assert step.detail == "the target has no upstream role"


def test_a_database_that_is_not_there(database: Database) -> None:
    target = target_of(database, database="gone")
    step = failing(check(target, database.ro.password), "database")
    assert step.detail == 'database "gone" does not exist'


def test_a_database_that_the_role_may_not_enter(database: Database) -> None:
    with database.server.connect() as admin:
        admin.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC".encode())
    step = failing(check(target_of(database), database.ro.password), "database")
    assert step.detail == f'permission denied for database "{database.name}"'
    assert step.hint.startswith(f"GRANT CONNECT ON DATABASE {database.name} TO")


def test_another_role_and_database_can_be_tested(database: Database) -> None:
    target = target_of(database, database="gone")
    steps = check(target, database.rw.password, role=database.rw.name, database=database.name)
    assert all(step.ok for step in steps), steps


def test_a_server_whose_rules_leave_the_role_out_says_so() -> None:
    options = ServerOptions(hba="host all postgres all scram-sha-256\n")
    with running_server(18, options) as server:
        role = Role("app_ro", "some-secret")
        made = target_of(Database(server, "postgres", role, role, role), role)
        step = failing(check(made, role.password), "password")
    assert "no pg_hba.conf entry" in step.detail
    assert "scram-sha-256" in step.hint


# -- TLS ---------------------------------------------------------------------------------------


def tls_target(tls: TlsServer, mode: SslMode, ca: str | None, host: str = "localhost") -> Target:
    role = Role("postgres", tls.server.password)
    made = target_of(Database(tls.server, "postgres", role, role, role), role)
    return replace(made, host=host, sslmode=mode, sslrootcert=ca)


@pytest.mark.parametrize("mode", [SslMode.PREFER, SslMode.REQUIRE])
def test_tls_without_a_check_of_the_certificate_is_said(
    tls_postgres: TlsServer, mode: SslMode
) -> None:
    steps = check(tls_target(tls_postgres, mode, None), tls_postgres.server.password)
    assert all(step.ok for step in steps), steps
    assert "the certificate is not verified" in steps[2].detail


@pytest.mark.parametrize("mode", [SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL])
def test_a_certificate_that_verifies(tls_postgres: TlsServer, mode: SslMode) -> None:
    target = tls_target(tls_postgres, mode, tls_postgres.ca_text)
    steps = check(target, tls_postgres.server.password)
    assert all(step.ok for step in steps), steps
    assert steps[2].detail.endswith(", verified")


def test_a_certificate_of_an_unknown_authority(tls_postgres: TlsServer) -> None:
    target = tls_target(tls_postgres, SslMode.VERIFY_FULL, None)
    step = failing(check(target, tls_postgres.server.password), "TLS")
    assert "does not verify" in step.detail
    assert "root certificate" in step.hint


def test_a_certificate_for_another_name(tls_postgres: TlsServer) -> None:
    target = tls_target(tls_postgres, SslMode.VERIFY_FULL, tls_postgres.ca_text, "127.0.0.2")
    steps = check(target, tls_postgres.server.password)
    assert not steps[-1].ok
    if steps[-1].name == "TLS":  # the server may listen on 127.0.0.1 only
        assert "host name" in steps[-1].hint


def test_a_root_certificate_that_is_none(tls_postgres: TlsServer) -> None:
    target = tls_target(tls_postgres, SslMode.VERIFY_CA, "not a PEM")
    step = failing(check(target, tls_postgres.server.password), "TLS")
    assert "root certificate" in step.detail


def test_a_server_that_wants_tls_says_so_to_those_without(tls_postgres: TlsServer) -> None:
    target = tls_target(tls_postgres, SslMode.DISABLE, None)
    step = failing(check(target, tls_postgres.server.password), "password")
    assert "no pg_hba.conf entry" in step.detail


# -- the catalog -------------------------------------------------------------------------------


def test_the_catalog_is_read_as_the_catalog_role(database: Database) -> None:
    database.run("CREATE TABLE public.orders (id int, total numeric)")
    catalog = load_catalog(target_of(database), database.name, database.ro.password)
    relation = catalog.relation("public", "orders")
    assert relation is not None
    assert relation.columns is not None
    assert [column.name for column in relation.columns] == ["id", "total"]
    assert catalog.database == database.name
    assert catalog.role == database.ro.name


def test_nothing_of_the_roles_own_settings_takes_part(database: Database) -> None:
    database.run("CREATE SCHEMA evil; CREATE TABLE evil.pg_class (oid oid); CREATE TABLE t ()")
    with database.server.connect() as admin:
        admin.execute(f"ALTER ROLE {database.ro.name} SET search_path = evil, pg_catalog".encode())
    catalog = load_catalog(target_of(database), database.name, database.ro.password)
    assert catalog.relation("evil", "pg_class") is not None
    assert catalog.relation("public", "t") is not None


def test_a_catalog_that_cannot_be_read_says_why(database: Database) -> None:
    with pytest.raises(Unreachable) as raised:
        load_catalog(target_of(database), database.name, "wrong-secret-4711")
    assert "target shop: password authentication failed" in raised.value.message
    assert "wrong-secret-4711" not in str(raised.value)
    assert raised.value.exit_code == 3
