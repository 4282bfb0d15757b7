"""The pages as gunicorn serves them, and the system's Chromium looking at them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from appliance.clock import SystemClock
from appliance.store import accounts
from appliance.store.actors import Actor
from appliance.store.database import Store, open_store
from appliance.store.migrate import migrate
from tests.harness.polling import eventually

CHROMIUM = Path("/usr/bin/chromium")
BY = Actor("test", "shell")


@dataclass(frozen=True, slots=True)
class Served:
    """The running pages: their address, the store behind them, a fresh set-up link."""

    url: str
    store: Store
    setup_path: str


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Pages on a fresh SQLite store, served by the real gunicorn configuration."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}"
        environ = {
            **os.environ,
            "GATEPOST_DATA_DIR": str(tmp_path),
            "GATEPOST_PUBLIC_URL": url,
            "GATEPOST_PROXY_LISTEN": "127.0.0.1:6432",
        }
        store = open_store(f"sqlite:///{tmp_path / 'gatepost.db'}")
        migrate(store)
        token = accounts.setup_link(store, BY, SystemClock().now())
        config = str(files("web") / "gunicorn_conf.py")
        argv = [sys.executable, "-m", "gunicorn", "-c", config]
        process = subprocess.Popen(
            [*argv, "--bind", f"fd://{listener.fileno()}", "web.wsgi:app"],
            env=environ,
            pass_fds=(listener.fileno(),),
            process_group=0,
        )
        try:
            eventually(lambda: _answers(url), 30, "the page answers")
            yield Served(url, store, f"/setup/{token}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            store.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, headless."""
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def desktop(chromium: Browser, served: Served) -> Iterator[Page]:
    """A page of a window on a desk."""
    yield from _page(chromium, served, 1280, 860)


@pytest.fixture
def phone(chromium: Browser, served: Served) -> Iterator[Page]:
    """A page on a phone."""
    yield from _page(chromium, served, 390, 844)


def _page(chromium: Browser, served: Served, width: int, height: int) -> Iterator[Page]:
    context = chromium.new_context(base_url=served.url, viewport={"width": width, "height": height})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    yield page
    context.close()
    unexpected = [text for text in complaints if "status of 4" not in text]
    assert not unexpected, f"the browser complained: {unexpected}"
