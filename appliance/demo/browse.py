"""The least of a browser: follow the page to its sign-in form, fill it in, see who one is."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar

from appliance.errors import GatepostError

_TIMEOUT_S = 15


@dataclass(slots=True)
class _Form:
    action: str
    values: dict[str, str] = field(default_factory=dict)
    name_field: str = ""
    password_field: str = ""


class _Forms(HTMLParser):
    """Collect the forms of a page with the fields that a sign-in needs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(_Form(values.get("action", "")))
        elif tag == "input" and self.found and values.get("name"):
            form, name = self.found[-1], values["name"]
            match values.get("type", "text"):
                case "hidden":
                    form.values[name] = values.get("value", "")
                case "password":
                    form.password_field = form.password_field or name
                case "text" | "email":
                    form.name_field = form.name_field or name


def sign_in(url: str, name: str, password: str) -> str:
    """Sign in as a user would; return what was seen. Raises: GatepostError."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page, address = _open(opener, url)
    forms = _Forms()
    forms.feed(page)
    form = next((f for f in forms.found if f.password_field and f.name_field), None)
    if form is None:
        raise GatepostError(f"{address} shows no sign-in form")
    form.values |= {form.name_field: name, form.password_field: password}
    data = urllib.parse.urlencode(form.values).encode()
    page, landed = _open(opener, urllib.parse.urljoin(address, form.action), data, address)
    if landed == address or name not in page:
        raise GatepostError(f"signing in as {name} ended at {landed}")
    return f"signed in at {address}, landed on {urllib.parse.urlsplit(landed).path}"


def _open(
    opener: urllib.request.OpenerDirector, url: str, data: bytes | None = None, referrer: str = ""
) -> tuple[str, str]:
    request = urllib.request.Request(url, data, {"Referer": referrer} if referrer else {})  # noqa: S310 - our own page
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return answer.read().decode(), answer.geturl()
    except urllib.error.HTTPError as error:
        raise GatepostError(f"{url} answered {error.code}") from None
