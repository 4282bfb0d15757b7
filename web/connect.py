"""The lines that connect a client: psql, URI, JDBC, .pgpass, environment; each rightly escaped."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from appliance import runfile
from appliance.config import Config
from appliance.identity.startup_options import join_words

# What may stand inside the shell's double quotes without meaning anything to a shell.
_TAME = re.compile(r"[A-Za-z0-9 @%+=:,./_'-]*")
_BARE = re.compile(r"[^\s'\\]+")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and as whom to connect. ``password`` None leaves it to the client to ask.

    ``role``: the upstream role to ask for; "" lets the first standing grant decide.
    """

    host: str
    port: int
    dbname: str
    user: str
    password: str | None = None
    sslmode: str = "require"
    role: str = ""

    @property
    def options(self) -> str:
        """Return libpq's ``options``, "" where none are needed."""
        return join_words(["-c", f"gatepost.role={self.role}"]) if self.role else ""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a connection down."""

    key: str
    label: str
    text: str
    note: str = ""


def forms(connection: Connection) -> tuple[Form, ...]:
    """Return every form of a connection, the one for psql first."""
    return (
        Form("psql", "psql", psql(connection)),
        Form("uri", "URI", uri(connection), "For most drivers and tools: DATABASE_URL"),
        Form("jdbc", "JDBC", jdbc(connection), "DBeaver, IDEs, Java"),
        Form("env", "Environment", environment(connection), "For scripts and CI"),
        Form("pgpass", ".pgpass", pgpass(connection), "A line for ~/.pgpass, mode 0600"),
    )


def psql(connection: Connection) -> str:
    """Return the psql command of the contract, without the password: psql asks for it."""
    pairs = (
        ("host", connection.host),
        ("port", str(connection.port)),
        ("dbname", connection.dbname),
        ("user", connection.user),
        ("sslmode", connection.sslmode),
        *((("options", connection.options),) if connection.role else ()),
    )
    line = " ".join(f"{name}={_conninfo(value)}" for name, value in pairs)
    return f'psql "{line}"' if _TAME.fullmatch(line) else f"psql {shlex.quote(line)}"


def uri(connection: Connection) -> str:
    """Return libpq's URI, every part percent-encoded."""
    user = quote(connection.user, safe="")
    if connection.password is not None:
        user += ":" + quote(connection.password, safe="")
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    dbname = quote(connection.dbname, safe="")
    query = urlencode(_asked(connection), quote_via=quote)
    return f"postgresql://{user}@{host}:{connection.port}/{dbname}?{query}"


def jdbc(connection: Connection) -> str:
    """Return pgJDBC's URL."""
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    values = {"user": connection.user}
    if connection.password is not None:
        values["password"] = connection.password
    query = urlencode(values | _asked(connection), quote_via=quote)
    dbname = quote(connection.dbname, safe="")
    return f"jdbc:postgresql://{host}:{connection.port}/{dbname}?{query}"


def environment(connection: Connection) -> str:
    """Return lines for a shell that set libpq's variables."""
    values = {
        "PGHOST": connection.host,
        "PGPORT": str(connection.port),
        "PGDATABASE": connection.dbname,
        "PGUSER": connection.user,
        "PGPASSWORD": connection.password,
        "PGSSLMODE": connection.sslmode,
        "PGOPTIONS": connection.options or None,
    }
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in values.items() if value is not None
    )


def pgpass(connection: Connection) -> str:
    """Return a line of libpq's password file; ``:`` and ``\\`` are escaped there."""
    password = connection.password if connection.password is not None else "PASSWORD"
    parts = (connection.host, str(connection.port), connection.dbname, connection.user, password)
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in parts)


def _asked(connection: Connection) -> dict[str, str]:
    """Return what a URL's query says."""
    asked = {"sslmode": connection.sslmode}
    return asked | {"options": connection.options} if connection.role else asked


def _conninfo(value: str) -> str:
    if value and _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def to_target(
    config: Config, target: str, identity: str, *, password: str | None = None, role: str = ""
) -> Connection:
    """Return the connection of an identity to a target through this gateway."""
    running = runfile.load(config.run_dir)
    port = running.port if running is not None else config.proxy_listen.port
    return Connection(config.proxy_host, port, target, identity, password, role=role)
