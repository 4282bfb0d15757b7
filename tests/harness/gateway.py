"""A real gateway for tests: worker processes before a real target, with a store to look into."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from appliance import sealing
from appliance.clock import SystemClock
from appliance.config import Config, config_from_environment
from appliance.embedded import PostgresServer
from appliance.entities import PolicyRule
from appliance.identity import credentials
from appliance.recording.indexer import Indexer
from appliance.store import grants, groups, identities, rules, snapshots, targets, workers
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.models import GrantRow
from appliance.store.record_models import RecordEventRow, SessionRow, StatementRow, TextRow
from appliance.store.targets import TargetSpec
from appliance.supervisor import PARENT_FD
from tests.harness.polling import eventually
from tests.harness.postgres import Database, fresh_database
from tests.harness.store import migrated

ADMIN = Actor("tests", "system")
ANA, CI = "ana@example.com", "ci-nightly"


class Gateway:
    """Workers, their store, and what tests do with them. ``passwords`` by identity."""

    def __init__(
        self,
        config: Config,
        environment: dict[str, str],
        store: Store,
        database: Database,
        listener: socket.socket,
    ) -> None:
        self.config = config
        self.environment = environment
        self.store = store
        self.database = database
        self.listener = listener
        self._life_read, self._life_write = os.pipe()  # workers end when it does, as with serve
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.passwords: dict[str, str] = {}

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def sealer(self) -> sealing.Sealer:
        return sealing.Sealer(sealing.load_master_key(self.config))

    # -- processes -----------------------------------------------------------------------------

    def start_worker(self, number: int = 1, *, wait: bool = True) -> None:
        """Start a worker and wait until it has the present configuration."""
        fd, life = self.listener.fileno(), self._life_read
        argv = [sys.executable, "-m", "proxy", "--listen-fd", str(fd), "--worker", str(number)]
        log = open(self.config.data_dir / f"worker-{number}.log", "ab")  # noqa: SIM115
        self.processes[number] = subprocess.Popen(
            argv,
            pass_fds=(fd, life),
            env={**self.environment, PARENT_FD: str(life)},
            stdout=log,
            stderr=log,
        )
        log.close()
        if wait:
            self.settle()

    def settle(self) -> None:
        """Wait until every worker decides by what is stored now."""
        version = snapshots.version(self.store)

        def all_have_it() -> bool:
            for number, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"worker {number} ended:\n{self.log(number)}")
            alive = {w.pid: w.version for w in workers.live(self.store, datetime.now(UTC))}
            return all(alive.get(p.pid, -1) >= version for p in self.processes.values())

        eventually(all_have_it, timeout=60, what="the workers' acknowledgement")

    def log(self, number: int = 1) -> str:
        return (self.config.data_dir / f"worker-{number}.log").read_text()

    def kill_worker(self, number: int = 1, how: signal.Signals = signal.SIGKILL) -> int:
        """End a worker and return its exit code."""
        process = self.processes.pop(number)
        process.send_signal(how)
        return process.wait(40)

    def memory_kib(self, number: int = 1, *, peak: bool = False) -> int:
        """Return a worker's resident memory, or its peak since ``forget_peak``; Linux only."""
        wanted = "VmHWM:" if peak else "VmRSS:"
        status = Path(f"/proc/{self.processes[number].pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if wanted in line)

    def forget_peak(self, number: int = 1) -> None:
        """Let the peak of a worker's memory begin anew."""
        Path(f"/proc/{self.processes[number].pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        for number in list(self.processes):
            if self.processes[number].poll() is None:
                self.kill_worker(number)
        self.listener.close()
        os.close(self._life_read)
        os.close(self._life_write)
        self.store.close()

    # -- configuration -------------------------------------------------------------------------

    def add_identity(self, name: str, kind: str, **spec: Any) -> str:
        """Create an identity with a password credential; return the password."""
        now = datetime.now(UTC)
        identities.create(self.store, ADMIN, now, IdentitySpec(name, kind, **spec))
        issued = credentials.issue(self.store, ADMIN, now, self.sealer, name)
        self.passwords[name] = issued.secret
        return issued.secret

    def grant(self, who: str, role: str, target: str = "shop", **spec: Any) -> int:
        now = datetime.now(UTC)
        return grants.create(self.store, ADMIN, now, GrantSpec(who, target, role, **spec))

    def rule(self, name: str, action: str, **conditions: Any) -> None:
        """Add a policy rule and wait until it decides."""
        rule = PolicyRule(name=name, action=action, **conditions)
        rules.create(self.store, ADMIN, datetime.now(UTC), rule)
        self.settle()

    def drop_grants(self) -> None:
        """Remove all grants, without telling anybody: the next change brings it along."""
        with self.store.transaction():
            GrantRow.delete().execute()

    # -- clients -------------------------------------------------------------------------------

    def dsn(self, user: str = ANA, dbname: str = "shop", **more: Any) -> str:
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=self.port,
            user=user,
            dbname=dbname,
            password=self.passwords.get(user, "no such password"),
            **more,
        )

    def connect(
        self, user: str = ANA, dbname: str = "shop", *, autocommit: bool = True, **more: Any
    ) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(user, dbname, **more), autocommit=autocommit)

    # -- the record ----------------------------------------------------------------------------

    def index(self) -> None:
        """Take everything that was journaled into the store."""
        indexer = Indexer(
            self.store,
            self.config.journal_dir,
            SystemClock(),
            sealing.load_signing_key(self.config),
        )
        try:
            while indexer.step():
                pass
        finally:
            indexer.close()

    def statements(self, text: str = "") -> list[dict[str, Any]]:
        """Return the recorded statements whose text contains ``text``, oldest first."""
        self.index()
        with self.store.reading():
            query = (
                StatementRow.select(StatementRow, TextRow, SessionRow)
                .join(TextRow, on=(StatementRow.text_id == TextRow.id))
                .switch(StatementRow)
                .join(SessionRow, on=(StatementRow.session_id == SessionRow.id))
                .order_by(StatementRow.at, StatementRow.seq)
            )
            if text:
                query = query.where(TextRow.text.contains(text))
            return [row for row in query.dicts() if text in row["text"]]

    def sessions(self) -> list[dict[str, Any]]:
        """Return the recorded sessions, oldest first."""
        self.index()
        with self.store.reading():
            return list(SessionRow.select().order_by(SessionRow.started_at, SessionRow.id).dicts())

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the recorded events of one kind, oldest first."""
        self.index()
        with self.store.reading():
            query = RecordEventRow.select().where(RecordEventRow.kind == kind)
            return list(query.order_by(RecordEventRow.at, RecordEventRow.id).dicts())


@contextmanager
def running_gateway(
    database: Database, directory: Path, *, workers: int = 1, **environment: str
) -> Iterator[Gateway]:
    """Run a gateway before ``database`` with ana (people), ci-nightly (ci) and grants for both."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    env = {
        **os.environ,
        "GATEPOST_DATA_DIR": str(directory),
        "GATEPOST_STORE_URL": f"sqlite:///{directory / 'gatepost.db'}",
        "GATEPOST_WORKERS": str(workers),
        "GATEPOST_LOG_FORMAT": "text",
        "GEVENT_LOOP": "libev-cext",
        **environment,
    }
    directory.mkdir(parents=True, exist_ok=True)
    config = config_from_environment(env)
    store = migrated(config.store_url)
    gateway = Gateway(config, env, store, database, listener)
    try:
        _configure(gateway)
        for number in range(1, workers + 1):
            gateway.start_worker(number)
        yield gateway
    finally:
        gateway.stop()


def _configure(gateway: Gateway) -> None:
    now = datetime.now(UTC)
    store, database = gateway.store, gateway.database
    spec = TargetSpec("shop", database.server.host, database.name, database.server.port)
    targets.create(store, ADMIN, now, spec)
    for alias, role in (("ro", database.ro), ("rw", database.rw), ("owner", database.owner)):
        del alias
        targets.put_role(
            store, ADMIN, now, "shop", role.name, sealer=gateway.sealer, secret=role.password
        )
    groups.create(store, ADMIN, now, name="analysts")
    gateway.add_identity(ANA, "human")
    groups.add(store, ADMIN, now, "analysts", ANA)
    gateway.add_identity(CI, "ci", owner=ANA, purpose="nightly export")
    gateway.grant("group:analysts", database.owner.name)
    gateway.grant(f"identity:{CI}", database.owner.name)


@pytest.fixture(scope="module")
def shared_gateway(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with one worker and one database for the tests of a file that change no policy."""
    directory = tmp_path_factory.mktemp("gateway")
    with fresh_database(postgres) as database, running_gateway(database, directory) as running:
        yield running


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with one worker before the test's own database."""
    with running_gateway(database, tmp_path / "gateway") as running:
        yield running
