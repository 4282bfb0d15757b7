"""A test client that fills in the forms it was shown, as a browser without script does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser with its cookies."""

    client: FlaskClient

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url="http://localhost:8080", headers=_named(headers))

    def post(self, path: str, data: dict[str, str] | None = None, **headers: str) -> TestResponse:
        """Send a form without looking at a page first; no CSRF token is added."""
        return self.client.post(
            path, data=data or {}, base_url="http://localhost:8080", headers=_named(headers)
        )

    def submit(
        self, page: str, data: dict[str, str], to: str | None = None, **headers: str
    ) -> TestResponse:
        """Open ``page``, take the token of its form, and send the form (to ``to``)."""
        shown = self.get(page)
        assert shown.status_code == 200, (page, shown.status_code, shown.text[:300])
        return self.post(to or page, {"csrf": token_in(shown.text), **data}, **headers)


def token_in(html: str) -> str:
    """Return the CSRF token of a page's first form."""
    found = _CSRF.search(html)
    assert found, "the page has no form"
    return unescape(found[1])


def words(html: str) -> str:
    """Return a page's text on one line, as somebody reads it."""
    parser = _Text()
    parser.feed(html)
    return " ".join(" ".join(parser.parts).split())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skips = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skips += tag in ("script", "style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._skips -= tag in ("script", "style", "title")

    def handle_data(self, data: str) -> None:
        if not self._skips:
            self.parts.append(data)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
