"""What the mail server and the webhook may be set to, and who sees what of it."""

from __future__ import annotations

import ssl
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from appliance.errors import Invalid, NotDelivered
from appliance.notify import webhook
from appliance.notify.secrets import open_password, open_url
from appliance.sealing import SealBroken, Sealer
from appliance.selfsigned import ensure_certificate
from appliance.store import audit, channels, settings, snapshots
from appliance.store.channels import SmtpSpec, WebhookSpec
from appliance.store.database import Store
from tests.store.conftest import BY, NOW

MAIL = SmtpSpec("mail.example.com", "gate@example.com", 587, "starttls", "gate")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (SmtpSpec("mail.example.com\r\nX", "gate@example.com"), "smtp.host"),
        (SmtpSpec("", "gate@example.com"), "smtp.host"),
        (SmtpSpec("mail.example.com", "gate@example.com\r\nBcc: x@y.z"), "smtp.from"),
        (SmtpSpec("mail.example.com", "Gate <gate@example.com>"), "smtp.from"),
        (SmtpSpec("mail.example.com", "gate"), "smtp.from"),
        (SmtpSpec("mail.example.com", "gate@example.com", 0), "smtp.port"),
        (SmtpSpec("mail.example.com", "gate@example.com", 25, "ssl"), "smtp.tls"),
        (SmtpSpec("mail.example.com", "gate@example.com", 25, "none", "gate"), "smtp.tls"),
        (SmtpSpec("mail.example.com", "g@example.com", 25, "tls", "a\nb"), "smtp.user"),
    ],
)
def test_a_mail_server_that_cannot_be_is_refused(
    sqlite_store: Store, sealer: Sealer, spec: SmtpSpec, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        channels.put_smtp(sqlite_store, BY, NOW, sealer, spec)
    assert caught.value.field == field
    assert settings.get(sqlite_store).smtp is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com/top-secret",
        "file:///etc/passwd",
        "https://",
        "https://user:top-secret@example.com/",
        "https://example.com/#top-secret",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com/a b",
        "https://example.com/\r\nHost: other",
        "https://ex\u0430mple.com/",
    ],
)
def test_an_address_that_cannot_be_is_refused_and_not_repeated(
    sqlite_store: Store, sealer: Sealer, url: str
) -> None:
    with pytest.raises(Invalid) as caught:
        channels.put_webhook(sqlite_store, BY, NOW, sealer, WebhookSpec("json", url))
    assert caught.value.field == "webhook.url"
    assert "secret" not in str(caught.value)


def test_a_password_is_kept_until_the_place_changes_and_never_told(
    sqlite_store: Store, sealer: Sealer
) -> None:
    store = sqlite_store
    assert channels.put_smtp(store, BY, NOW, sealer, MAIL, password="hunter2") == ("added",)
    assert channels.put_smtp(store, BY, NOW, sealer, MAIL, password="hunter2") == ()
    assert channels.put_smtp(store, BY, NOW, sealer, MAIL) == ()
    version = snapshots.version(store)
    elsewhere = SmtpSpec("mail.example.org", "gate@example.com", 587, "starttls", "gate")
    assert channels.put_smtp(store, BY, NOW, sealer, elsewhere) == ("host", "password")
    assert snapshots.version(store) == version + 1
    found = settings.get(store).smtp
    assert found is not None and found.sealed_password is None
    told = " ".join(str(event.detail) for event in audit.find(store).items)
    assert "hunter2" not in told and "mail.example.org" in told


def test_a_password_that_is_to_come_from_elsewhere_replaces_the_stored_one(
    sqlite_store: Store, sealer: Sealer, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("from the file\n")
    channels.put_smtp(sqlite_store, BY, NOW, sealer, MAIL, password="hunter2")
    spec = replace(MAIL, password_file=str(tmp_path / "password"))
    told = channels.put_smtp(sqlite_store, BY, NOW, sealer, spec)
    assert set(told) == {"password", "password_file"}
    found = settings.get(sqlite_store).smtp
    assert found is not None and open_password(found, sealer) == "from the file"
    assert channels.put_smtp(sqlite_store, BY, NOW, sealer, spec) == ()


def test_a_password_moved_to_another_place_does_not_open_there(
    sqlite_store: Store, sealer: Sealer
) -> None:
    channels.put_smtp(sqlite_store, BY, NOW, sealer, MAIL, password="hunter2")
    found = settings.get(sqlite_store).smtp
    assert found is not None and open_password(found, sealer) == "hunter2"
    with pytest.raises(SealBroken):  # somebody wrote into the store
        open_password(replace(found, host="evil.example.com"), sealer)


def test_a_webhook_keeps_its_address_when_only_its_format_changes(
    sqlite_store: Store, sealer: Sealer
) -> None:
    store, url = sqlite_store, "https://hooks.example.com:8443/services/top-secret?token=t0p"
    channels.put_webhook(store, BY, NOW, sealer, WebhookSpec("json", url), secret="key")
    assert channels.put_webhook(store, BY, NOW, sealer, WebhookSpec("slack")) == ("format",)
    found = settings.get(store).webhook
    assert found is not None
    assert (found.place, open_url(found, sealer)) == ("https://hooks.example.com:8443", url)
    everything = repr(found) + " ".join(str(event.detail) for event in audit.find(store).items)
    assert "top-secret" not in everything and "t0p" not in everything
    assert channels.put_webhook(store, BY, NOW, sealer, None) == ("removed",)
    assert channels.put_webhook(store, BY, NOW, sealer, None) == ()


def test_a_receiver_that_cannot_prove_who_it_is_gets_nothing(tmp_path: Path) -> None:
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.path)

    made = ensure_certificate(tmp_path, ("localhost",), NOW)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.raises(NotDelivered, match="certificate verify failed"):
            webhook.post(f"https://localhost:{server.server_address[1]}/secret", b"{}", {})
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert got == []
