"""A mail on a phone: the decision is one tap away, nothing runs off the side or is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, sync_playwright

from appliance.notify import notice
from appliance.notify.mails import MailTemplates
from tests.harness.chromium import ARGUMENTS, find_chromium
from tests.notify.conftest import URL
from tests.notify.test_formats import REQUEST

LONG = "x" * 300


@pytest.fixture(scope="module")
def phone() -> Iterator[Page]:
    program = find_chromium()
    assert program is not None, "no Chromium starts here"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser.new_page(viewport={"width": 360, "height": 740})
        browser.close()


def test_the_button_is_on_the_first_screen_and_large_enough_for_a_thumb(phone: Page) -> None:
    fetched: list[str] = []
    phone.on("request", lambda request: fetched.append(request.url))
    phone.set_content(MailTemplates().html(notice.asks(REQUEST, URL)))
    button = phone.get_by_role("link", name="Look at it and decide")
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44 and box["y"] + box["height"] < 740
    assert button.get_attribute("href") == f"{URL}/approvals/17"
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    assert fetched == []


def test_whatever_clients_chose_nothing_runs_off_the_side(phone: Page) -> None:
    request = replace(REQUEST, text=f"SELECT {LONG}", reason=LONG, identity=LONG, role=LONG)
    phone.set_content(MailTemplates().html(notice.asks(request, URL)))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
