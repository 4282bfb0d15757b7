"""The pages as gunicorn serves them, and the system's Chromium looking at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from appliance.clock import SystemClock
from appliance.store import accounts
from appliance.store.actors import Actor
from appliance.store.database import Store
from tests.browser.emptying import make_empty
from tests.harness.chromium import find_chromium
from tests.harness.store import migrated
from tests.web.serving import serving

BY = Actor("test", "shell")
_PATIENCE_MS = 20_000  # playwright's own 5 s are too few on a busy machine


@dataclass(frozen=True, slots=True)
class Served:
    """The running pages: their address, the store behind them, a fresh set-up link."""

    url: str
    store: Store
    setup_path: str


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Store]]:
    """Pages on a SQLite store, served by the real gunicorn configuration: one for all tests."""
    folder = tmp_path_factory.mktemp("pages")
    store = migrated(f"sqlite:///{folder / 'gatepost.db'}")
    with serving(folder) as running:
        yield running.url, store
    store.close()


@pytest.fixture
def served(pages: tuple[str, Store]) -> Served:
    """The pages with nothing in their store but a fresh set-up link."""
    url, store = pages
    make_empty(store)
    token = accounts.setup_link(store, BY, SystemClock().now())
    return Served(url, store, f"/setup/{token}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A Chromium, headless: the system's, or one that could be installed."""
    found = find_chromium()
    if found is None:
        pytest.skip("there is no Chromium here, and none could be installed")
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(found), args=["--no-sandbox", "--disable-dev-shm-usage"]
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


@pytest.fixture
def still(chromium: Browser, served: Served) -> Iterator[Page]:
    """A page on which nothing moves, for looking at it from all sides."""
    with chromium.new_context(base_url=served.url, reduced_motion="reduce") as context:
        page = context.new_page()
        refused: list[str] = []
        page.on(
            "console", lambda m: refused.append(m.text) if "Content Security" in m.text else None
        )
        yield page
    assert not refused


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
