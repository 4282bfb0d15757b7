"""The demo's own ``gatepost serve``: its settings, its start, its end, and commands beside it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from appliance.config import Config, config_from_environment
from appliance.errors import Unreachable
from appliance.supervisor import PARENT_FD

HOST = "127.0.0.1"
_READY_S = 60.0
_END_S = 45.0
_WORKERS = "2"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo's gateway and page listen."""

    gateway: int
    page: int

    def are_free(self) -> bool:
        """Return whether nothing listened on either a moment ago."""
        return _is_free(self.gateway) and _is_free(self.page)


class Serve:
    """A ``gatepost serve`` child with a data directory and settings of its own."""

    def __init__(self, data_dir: Path, ports: Ports, extra: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.ports = ports
        self.url = f"http://localhost:{ports.page}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEPOST_", "PG"))}
        self.environ = {
            **kept,
            "GATEPOST_DATA_DIR": str(data_dir),
            "GATEPOST_PROXY_LISTEN": f"{HOST}:{ports.gateway}",
            "GATEPOST_WEB_LISTEN": f"{HOST}:{ports.page}",
            "GATEPOST_PUBLIC_URL": self.url,
            "GATEPOST_PROXY_HOST": HOST,
            "GATEPOST_WORKERS": os.environ.get("GATEPOST_WORKERS", _WORKERS),
            "GATEPOST_LOG_FORMAT": "text",
            "PYTHONUNBUFFERED": "1",
            **extra,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._life: int | None = None

    @property
    def log_file(self) -> Path:
        return self.data_dir / "serve.log"

    @property
    def pid(self) -> int:
        """Return the process id of a started ``serve``."""
        if self._process is None:
            raise RuntimeError("serve was not started")
        return self._process.pid

    @property
    def config(self) -> Config:
        """Return the settings as its processes read them."""
        return config_from_environment(self.environ)

    def dsn(self, identity: str, password: str, target: str, application_name: str = "") -> str:
        """Return a connection string through the gateway."""
        return psycopg.conninfo.make_conninfo(
            host=HOST,
            port=self.ports.gateway,
            dbname=target,
            user=identity,
            password=password,
            application_name=application_name or "gatepost-demo",
            connect_timeout=10,
        )

    def start(self) -> None:
        """Start it; ``wait_until_ready`` says when it answers."""
        read, self._life = os.pipe()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "serve"],
                env={**self.environ, PARENT_FD: str(read)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(read,),
                process_group=0,  # Ctrl-C is for the demo, which ends it in order
            )
        os.close(read)

    def wait_until_ready(self, login: str) -> None:
        """Return when the page is healthy and ``login`` (a connection string) succeeds.

        Raises: Unreachable, with the last line of the log.
        """
        deadline = time.monotonic() + _READY_S
        while not (self._page_answers() and self._logs_in(login)):
            if self._process is None or self._process.poll() is not None:
                raise Unreachable(f"the demo's gateway ended: {self._last_words()}")
            if time.monotonic() > deadline:
                raise Unreachable(f"the demo's gateway did not start: {self._last_words()}")
            time.sleep(0.05)

    def wait(self, seconds: float) -> bool:
        """Wait for it to end by itself; return whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Let it drain; kill it when that takes too long."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            if not self.wait(_END_S):
                self._process.kill()  # its children see the pipe's end
                self._process.wait()
        if self._life is not None:
            os.close(self._life)
            self._life = None

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a ``gatepost`` command on the demo's data directory."""
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "appliance", *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _page_answers(self) -> bool:
        page = http.client.HTTPConnection(HOST, self.ports.page, timeout=2)
        try:
            page.request("GET", "/healthz")
            return page.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            page.close()

    @staticmethod
    def _logs_in(login: str) -> bool:
        try:
            with psycopg.connect(login):
                return True
        except psycopg.OperationalError:
            return False

    def _last_words(self) -> str:
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
