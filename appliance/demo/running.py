"""A whole demo: embedded server, shop database, gateway with history; and its removal."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from appliance.clock import OffsetClock
from appliance.demo import history, place, sample
from appliance.demo.deciding import Deciders
from appliance.demo.mail_catcher import MailCatcher
from appliance.demo.process import HOST, Ports, Serve
from appliance.embedded import (
    PostgresServer,
    installation,
    temporary_directory,
    unprivileged,
)
from appliance.entities import IdentityKind
from appliance.errors import Conflict, Unreachable
from appliance.store import accounts, identities, snapshots, workers
from appliance.store.actors import system_actor
from appliance.store.database import open_store
from appliance.store.migrate import migrate

_TAKE_OVER_S = 5.0
_LEFT_S = 1.0
_REMOVED_S = 5.0
_DRAINED_S = 40.0


@dataclass(frozen=True, slots=True)
class Story:
    """What the history came to."""

    sessions: int
    refused: int


class Demo:
    """Use it as a context manager: everything it made is gone afterwards."""

    def __init__(self, ports: Ports, tell: Callable[[str], None], keep: Path | None = None) -> None:
        self.sample = sample.Sample()
        self.tell = tell
        self._kept = keep
        if keep is not None:
            keep.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(keep.iterdir()):
                raise Conflict(f"{keep} is not empty", "name a new directory after --keep")
        self.data_dir = keep or Path(tempfile.mkdtemp(prefix="gatepost-demo-"))
        clock_file = self.data_dir / "clock"
        self.clock = OffsetClock(clock_file)
        self.serve = Serve(
            self.data_dir,
            ports,
            {
                **self.sample.environment(),
                "GATEPOST_CLOCK_FILE": str(clock_file),
                "GATEPOST_APPLY": str(self.data_dir / "gatepost.yml"),
            },
        )
        self.server = PostgresServer(installation(), temporary_directory("gatepost-demo-pg-"))
        self.mail = MailCatcher(self.data_dir / "mail")
        self._place = place.DemoPlace(
            pid=os.getpid(),
            data_dir=str(self.data_dir),
            cluster=str(self.server.data),
            directories=(str(self.server.directory), *(() if keep else (str(self.data_dir),))),
            host=HOST,
            port=ports.gateway,
            url=self.serve.url,
            passwords=self.sample.identities,
        )

    def __enter__(self) -> Demo:
        _clean_up_after_a_killed_one()
        self._place.save()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave servers and directories behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.serve.stop()
        self.mail.stop()
        self.server.stop()
        self.server.remove()
        if self._kept is None:
            _remove(self.data_dir)
        self._place.forget()

    def dsn(self, identity: str, target: str = sample.TARGET, application: str = "") -> str:
        """Return a connection string through the gateway, password included."""
        return self.serve.dsn(identity, self.sample.identities[identity], target, application)

    def start(self) -> None:
        """Bring the target and the gateway up, at the moment when the history begins."""
        self.tell("starting an embedded PostgreSQL with the shop database")
        self.server.start()
        self._make_shop()
        self.mail.start()
        sample.write_configuration(self.data_dir / "gatepost.yml", self.server.port, self.mail.port)
        self.clock.shift_to(self.clock.now() - timedelta(days=history.DAYS, hours=1))
        self._mark_identities()
        self.tell("starting the gateway and the page")
        self.serve.start()
        self._place = replace(self._place, serve_pid=self.serve.pid)
        self._place.save()
        self.serve.wait_until_ready(self.dsn("bo@example.com"))

    def live_through(self) -> Story:
        """Run the history through the gateway, then return to the present."""
        offset_now = self.clock.now()
        self.clock.reset()
        visits = history.plan(self.clock.now())
        self.clock.shift_to(offset_now)
        self.tell(f"living through {history.DAYS} days: {len(visits)} sessions, really executed")
        store = open_store(self.serve.config.store_url)
        deciders = Deciders(store, self.clock)
        try:
            with self.server.connect() as watching:
                refused = history.execute(
                    visits,
                    self.serve,
                    self.sample,
                    self.clock,
                    deciders,
                    lambda: _until_left(watching),
                )
            self.clock.reset()
            deciders.ask_for_access(*sample.ASKS)
        finally:
            self.clock.reset()
            store.close()
        return Story(len(visits), refused)

    def wait_for_workers(self) -> None:
        """Return when every worker decides by the present configuration. Raises: Unreachable."""
        store = open_store(self.serve.config.store_url)
        try:
            version = snapshots.version(store)
            deadline = time.monotonic() + _TAKE_OVER_S
            while any(w.version < version for w in workers.live(store, self.clock.now())):
                if time.monotonic() > deadline:
                    raise Unreachable(f"a worker does not take over version {version}")
                time.sleep(0.05)
        finally:
            store.close()

    def _make_shop(self) -> None:
        with self.server.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(sample.TARGET)))
        with self.server.connect(sample.TARGET) as connection:
            connection.execute(sample.schema().encode())
            for role, password in self.sample.roles.items():
                connection.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(password)
                    )
                )

    def _mark_identities(self) -> None:
        """Make the identities, marked as the demo's, before the file fills them in."""
        store = open_store(self.serve.config.store_url)
        migrate(store)
        by, now = system_actor("demo"), self.clock.now()
        for name, kind in sample.kinds().items():
            spec = identities.IdentitySpec(name, kind)
            identities.create(store, by, now, spec, demo=True)
        identities.create(
            store, by, now, identities.IdentitySpec(sample.ADMIN, IdentityKind.HUMAN), demo=True
        )
        accounts.create(store, by, now, sample.ADMIN, self.sample.admin)
        for name in sample.PEOPLE:  # what they may do on the page is in the file
            password = self.sample.identities[name]
            accounts.create(store, by, now, name, password, permission_roles=frozenset())
        store.close()


def _until_left(watching: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until the gateway has closed its sessions on the target, a second at most."""
    deadline = time.monotonic() + _LEFT_S
    query = (  # the gateway's own connections read the catalog meanwhile
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE usename = ANY(%s) AND application_name NOT LIKE 'gatepost%%'"
    )
    while time.monotonic() < deadline:
        if watching.execute(query, (list(sample.ROLES),)).fetchone() == (0,):
            return
        time.sleep(0.001)


def _clean_up_after_a_killed_one() -> None:
    """End and remove what a demo that was killed outright has left behind."""
    left = place.load()
    if left is None or left.is_alive:
        return
    deadline = time.monotonic() + _DRAINED_S  # its processes drain: they saw their parent go
    while left.serve_pid and place.is_alive(left.serve_pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if Path(left.cluster, "postmaster.pid").exists():
        with contextlib.suppress(OSError):
            # pg_ctl knows by the file whether the process is that cluster's own
            subprocess.run(  # noqa: S603 - our own program
                [installation().program("pg_ctl"), "stop", "-D", left.cluster, "-m", "immediate"],
                capture_output=True,
                check=False,
                timeout=20,
                cwd="/",
                **unprivileged(),
            )
    for directory in left.directories:
        if Path(directory).name.startswith("gatepost-demo-"):
            _remove(Path(directory))
    left.forget()


def _remove(directory: Path) -> None:
    """Delete a directory into which a process that is ending may still write."""
    deadline = time.monotonic() + _REMOVED_S
    shutil.rmtree(directory, ignore_errors=True)
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
        shutil.rmtree(directory, ignore_errors=True)
