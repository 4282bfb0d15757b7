"""A connection of the gateway's own to a target, and what its failures mean."""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import make_conninfo

from appliance import tls
from appliance.entities import SslMode, Target
from appliance.targets.reach import CONNECT_S, Reached
from appliance.targets.steps import StepFailed

Connection = psycopg.Connection[tuple[object, ...]]
PASSWORD = "password"  # noqa: S105 - a step's name
DATABASE = "database"
_APPLICATION = "gatepost"
_SERVER_WORDS = re.compile(r"(?:FATAL|ERROR|PANIC):\s+(.*)")
_PREFIX = re.compile(r"^(?:connection failed: )?connection to server (?:at|on) .*? failed: ")

# What the server (or libpq) says -> the step that failed, and how to mend it. {role} {database}.
_ADVICE: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed",
        PASSWORD,
        "Wrong password, or no such role: ALTER ROLE {role} PASSWORD '…' at the server, "
        "then give it here.",
    ),
    (r"no password supplied", PASSWORD, "Give the password of role {role}."),
    (
        r"role .* does not exist",
        PASSWORD,
        "CREATE ROLE {role} LOGIN PASSWORD '…' at the server, or use a role that is there.",
    ),
    (r"not permitted to log in", PASSWORD, "ALTER ROLE {role} LOGIN at the server."),
    (
        r"no pg_hba.conf entry|pg_hba.conf rejects",
        PASSWORD,
        "Add a line to the server's pg_hba.conf: host {database} {role} ADDRESS scram-sha-256.",
    ),
    (
        r"authentication method requirement",
        PASSWORD,
        "Set password_encryption = 'scram-sha-256' and the password again, or allow md5 or "
        "cleartext on this target.",
    ),
    (
        r"(Peer|Ident|GSSAPI|LDAP|PAM|RADIUS|Certificate|certificate).* authentication failed",
        PASSWORD,
        "Let role {role} log in with scram-sha-256: a line in the server's pg_hba.conf.",
    ),
    (
        r"database .* does not exist",
        DATABASE,
        "Is the name spelt right? CREATE DATABASE {database} at the server, or choose another.",
    ),
    (
        r"permission denied for database",
        DATABASE,
        "GRANT CONNECT ON DATABASE {database} TO {role} at the server.",
    ),
    (
        r"not currently accepting connections",
        DATABASE,
        "ALTER DATABASE {database} ALLOW_CONNECTIONS.",
    ),
    (
        r"too many (clients|connections)|remaining connection slots",
        DATABASE,
        "All connections of the server or the role are in use: wait, or raise the limit.",
    ),
    (r"is (starting up|shutting down|in recovery)", DATABASE, "Wait a moment and test again."),
)


@contextmanager
def connected(
    target: Target, role: str, database: str, secret: str, reached: Reached
) -> Iterator[Connection]:
    """Open a connection over the address and the TLS that were found good.

    Raises: ``StepFailed`` when the server does not let us in.
    """
    with _root_certificate(target, reached) as root:
        try:
            parameters = _parameters(target, role, database, secret, reached, root)
            connection = psycopg.connect(make_conninfo("", **parameters), autocommit=True)
        except psycopg.Error as error:
            raise _failed(error, role, database, secret) from None
    try:
        yield connection
    finally:
        connection.close()


def said(error: psycopg.Error, secret: str) -> str:
    """Return what the server said, in one line, without the password."""
    text = error.diag.message_primary or str(error)
    words = _SERVER_WORDS.search(text)
    line = words[1] if words else _PREFIX.sub("", text).strip().split("\n")[0]
    return line.replace(secret, "***") if len(secret) >= 4 else line


def _failed(error: psycopg.Error, role: str, database: str, secret: str) -> StepFailed:
    text = str(error)
    for pattern, step, hint in _ADVICE:
        if re.search(pattern, text):
            return StepFailed(step, said(error, secret), hint.format(role=role, database=database))
    if isinstance(error, psycopg.errors.ConnectionTimeout) or "timeout expired" in text:
        return StepFailed(
            PASSWORD,
            f"the server took more than {CONNECT_S:.0f} s to log {role} in",
            "Is the server overloaded, or something in front of it asleep?",
        )
    return StepFailed(PASSWORD, said(error, secret), "The server's log says more.")


def _parameters(
    target: Target, role: str, database: str, secret: str, reached: Reached, root: str
) -> dict[str, str | int]:
    """Return libpq's parameters; each that the environment could set is set here."""
    mode = target.sslmode.value if reached.uses_tls else SslMode.DISABLE.value
    if reached.uses_tls and not tls.is_verified(target):
        mode = SslMode.REQUIRE.value
    methods = ["scram-sha-256", "none"]
    methods += ["md5"] if target.allow_md5 else []
    methods += ["password"] if target.allow_cleartext and tls.is_verified(target) else []
    found: dict[str, str | int] = {
        "host": target.host,
        "port": target.port,
        "user": role,
        "dbname": database,
        "password": secret,
        "passfile": "/dev/null",
        "options": "",
        "sslmode": mode,
        "sslcertmode": "disable",
        "gssencmode": "disable",
        "require_auth": ",".join(methods),
        "target_session_attrs": "any",
        "connect_timeout": int(CONNECT_S),
        "application_name": _APPLICATION,
        "client_encoding": "UTF8",
    }
    if reached.address:
        found["hostaddr"] = reached.address
    if root:
        found["sslrootcert"] = root
    return found


@contextmanager
def _root_certificate(target: Target, reached: Reached) -> Iterator[str]:
    """Yield a file with the authorities to trust, as libpq wants it; "" = verify nothing."""
    if not (reached.uses_tls and tls.is_verified(target)):
        yield ""
        return
    if target.sslrootcert is None:
        yield ssl.get_default_verify_paths().cafile or "system"
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(target.sslrootcert)
        file.flush()
        yield file.name
