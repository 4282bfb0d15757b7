"""The demo's mailbox takes mail and shows it, whatever is in it."""

from __future__ import annotations

import smtplib
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from appliance.demo.mail_catcher import MailCatcher


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[MailCatcher]:
    made = MailCatcher(tmp_path / "mail")
    made.start()
    yield made
    made.stop()


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own page
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return str(answer.read().decode())


def test_mail_is_kept_and_shown(catcher: MailCatcher, tmp_path: Path) -> None:
    assert "No mail yet" in page(catcher.url)
    message = EmailMessage()
    message["From"], message["To"] = "gate@example.com", "bo@example.com"
    message["Subject"] = "<b>please</b> decide"
    message.set_content("as text")
    message.add_alternative("<p>as a page</p>", subtype="html")
    with smtplib.SMTP("127.0.0.1", catcher.port, timeout=10) as server:
        server.send_message(message)
    (caught,) = catcher.messages
    assert caught["To"] == "bo@example.com"
    assert (tmp_path / "mail" / "0001.eml").exists()
    listed = page(catcher.url)
    assert "&lt;b&gt;please&lt;/b&gt; decide" in listed and 'href="/1"' in listed
    assert page(f"{catcher.url}/1").strip() == "<p>as a page</p>"
    with pytest.raises(urllib.error.HTTPError):
        page(f"{catcher.url}/2")
