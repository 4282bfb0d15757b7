"""The ways to the same server: direct, through Gatepost, through PgBouncer."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import yaml
from psycopg import sql

from appliance.demo.process import Ports, Serve
from appliance.embedded import (
    PostgresServer,
    ServerOptions,
    free_port,
    hand_over,
    installation,
    temporary_directory,
    unprivileged,
)

DATABASE = "bench"
USER = "bench"
RULES = 20


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the server. ``processes`` are those whose CPU time it costs; direct has none."""

    name: str
    port: int
    user: str
    password: str
    processes: tuple[psutil.Process, ...] = ()

    def cpu_s(self) -> float:
        """Return the user and system time that its processes have used so far."""
        used = 0.0
        for process in self.processes:
            times = process.cpu_times()
            used += times.user + times.system
        return used

    def environment(self) -> dict[str, str]:
        """Return what libpq programs need to take this way."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": DATABASE,
            "PGSSLMODE": "disable",
        }


@contextlib.contextmanager
def all_ways(workers: int) -> Iterator[list[Way]]:
    """Start the server and whatever can stand before it; yield the ways, direct first."""
    options = ServerOptions(settings={"shared_buffers": "256MB", "max_connections": "300"})
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            PostgresServer(installation(18), temporary_directory("gatepost-bench-pg-"), options)
        )
        password = prepare(server)
        direct = Way("direct", server.port, USER, password)
        subprocess.run(
            [server.programs.program("pgbench"), "-i", "-q", "-s", "10"],
            env=direct.environment(),
            check=True,
            capture_output=True,
        )
        ways = [direct]
        ways.append(stack.enter_context(gatepost(server, password, workers)))
        if shutil.which("pgbouncer"):
            ways.append(stack.enter_context(_pgbouncer(server, password)))
        yield ways


def prepare(server: PostgresServer) -> str:
    """Make the role and its database; return the role's password."""
    password = "bench-" + os.urandom(6).hex()
    with server.connect() as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(USER), sql.Literal(password)
            )
        )
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(DATABASE), sql.Identifier(USER)
            )
        )
    return password


@contextlib.contextmanager
def gatepost(
    server: PostgresServer, password: str, workers: int, masking: tuple[dict[str, object], ...] = ()
) -> Iterator[Way]:
    """Run the appliance as it is shipped: recording `written`, twenty rules that all are asked.

    ``masking``: rules as a configuration file has them.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="gatepost-bench-"))
    configuration = data_dir / "gatepost.yml"
    settings = _configuration(server.port) | {"masking": list(masking)}
    configuration.write_text(yaml.safe_dump(settings))
    serve = Serve(
        data_dir,
        Ports(free_port(), free_port()),
        {
            "GATEPOST_APPLY": str(configuration),
            "GATEPOST_WORKERS": str(workers),
            "BENCH_PASSWORD": password,
        },
    )
    try:
        serve.start()
        serve.wait_until_ready(serve.dsn(USER, password, DATABASE))
        proxies = tuple(
            process
            for process in psutil.Process(serve.pid).children(recursive=True)
            if process.cmdline()[1:3] == ["-m", "proxy"]
        )
        yield Way("gatepost", serve.ports.gateway, USER, password, proxies)
    finally:
        serve.stop()
        shutil.rmtree(data_dir, ignore_errors=True)


def _configuration(port: int) -> dict[str, object]:
    return {
        "targets": [
            {
                "name": DATABASE,
                "host": "127.0.0.1",
                "port": port,
                "database": DATABASE,
                "sslmode": "disable",
                "environment": "production",
                "roles": [{"name": USER, "password_env": "BENCH_PASSWORD"}],
            }
        ],
        "identities": [
            {
                "name": USER,
                "kind": "service",
                "environment": "production",
                "credentials": [{"password_env": "BENCH_PASSWORD"}],
            }
        ],
        "grants": [{"who": f"identity:{USER}", "target": DATABASE, "role": USER}],
        "policies": [
            {
                "name": f"rule-{number}",
                "who": ["*"],
                "commands": ["delete", "truncate", "ddl"],
                "tables": [f"public.protected_{number}"],
                "action": "block",
            }
            for number in range(RULES)
        ],
    }


@contextlib.contextmanager
def _pgbouncer(server: PostgresServer, password: str) -> Iterator[Way]:
    """Run PgBouncer in session mode, SCRAM on both sides, as it is usually deployed."""
    directory = temporary_directory("gatepost-bench-pgbouncer-")
    port = free_port()
    users, settings = directory / "users.txt", directory / "pgbouncer.ini"
    users.write_text(f'"{USER}" "{password}"\n')
    settings.write_text(
        f"""[databases]
{DATABASE} = host=127.0.0.1 port={server.port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = session
default_pool_size = 100
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
"""
    )
    for path in (directory, users, settings):
        hand_over(path)
    program = shutil.which("pgbouncer") or "pgbouncer"
    process = subprocess.Popen(
        [program, "--quiet", str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        **unprivileged(),
    )
    way = Way("pgbouncer", port, USER, password, (psutil.Process(process.pid),))
    try:
        _wait_for(way)
        yield way
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(way: Way, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with psycopg.connect(
                host="127.0.0.1",
                port=way.port,
                user=way.user,
                password=way.password,
                dbname=DATABASE,
            ):
                return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
