"""The pages as ``gatepost serve`` starts them: gunicorn with its real configuration."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tests.harness.polling import eventually


@dataclass(frozen=True, slots=True)
class Running:
    """A running gunicorn. Closing ``life`` tells it that its parent was killed."""

    url: str
    process: subprocess.Popen[bytes]
    life: int


@contextmanager
def serving(data_dir: Path, **environ: str) -> Iterator[Running]:
    """Serve the pages of a data directory on a free port until the block ends."""
    read_end, write_end = os.pipe()
    scheme = "https" if environ.get("GATEPOST_WEB_TLS") == "on" else "http"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://localhost:{listener.getsockname()[1]}"
        own = {
            "GATEPOST_DATA_DIR": str(data_dir),
            "GATEPOST_PUBLIC_URL": url,
            "GATEPOST_PROXY_LISTEN": "127.0.0.1:6432",
            "GATEPOST_PARENT_FD": str(read_end),
        }
        config = str(files("web") / "gunicorn_conf.py")
        argv = [sys.executable, "-m", "gunicorn", "-c", config]
        process = subprocess.Popen(
            [*argv, "--bind", f"fd://{listener.fileno()}", "web.wsgi:app"],
            env={**os.environ, **own, **environ},
            pass_fds=(listener.fileno(), read_end),
            process_group=0,
        )
        os.close(read_end)
        try:
            eventually(lambda: answers(url, process), 30, "the page answers")
            yield Running(url, process, write_end)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
            if _is_open(write_end):
                os.close(write_end)


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Return whether the page is up."""
    assert process.poll() is None, "gunicorn ended while it started"
    try:
        context = _trusting()
        with urllib.request.urlopen(f"{url}/healthz", timeout=2, context=context) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
