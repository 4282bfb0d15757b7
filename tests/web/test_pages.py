"""Every page opens, empty and filled."""

from __future__ import annotations

import pytest

from tests.web.browsing import Browser

PAGES = (
    "/",
    "/targets",
    "/targets/new",
    "/identities",
    "/identities/new",
    "/groups",
    "/groups/new",
    "/grants/new",
    "/settings",
    "/settings/accounts",
    "/audit",
    "/me",
)


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_page_opens_and_says_what_to_do_next(admin: Browser, path: str) -> None:
    shown = admin.get(path)
    assert shown.status_code == 200, shown.text
