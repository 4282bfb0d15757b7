"""Settings of mail and webhook: kept without showing a secret, tried against real servers."""

from __future__ import annotations

from appliance.notify.secrets import open_password, open_secret, open_url
from appliance.sealing import Sealer, load_master_key
from appliance.store import audit, settings
from tests.harness.mailbox import mailbox
from tests.harness.receiver import receiver
from tests.web.browsing import Browser, words
from tests.web.conftest import World

PAGE = "/settings/notifications"
PASSWORD = "mail-secret-7"
SECRET = "sign-secret-7"
MAIL = {"host": "127.0.0.1", "port": "25", "tls": "none", "from": "gatepost@example.com"}


def save_mail(admin: Browser, **fields: str) -> str:
    """Save the mail server, and return what the next page says."""
    answer = admin.submit(PAGE, MAIL | fields, f"{PAGE}/mail")
    assert answer.status_code == 303, words(answer.text)
    return words(admin.get(PAGE).text)


def save_webhook(admin: Browser, **fields: str) -> str:
    answer = admin.submit(PAGE, {"format": "json"} | fields, f"{PAGE}/webhook")
    assert answer.status_code == 303, words(answer.text)
    return words(admin.get(PAGE).text)


def test_a_password_is_sealed_kept_and_never_shown(admin: Browser, world: World) -> None:
    said = save_mail(admin, user="gate", password=PASSWORD)
    assert "The mail server was saved." in said
    smtp = settings.get(world.store).smtp
    sealer = Sealer(load_master_key(world.config))
    assert smtp and open_password(smtp, sealer) == PASSWORD
    page = admin.get(PAGE).text
    assert PASSWORD not in page and "One is stored, sealed." in words(page)
    save_mail(admin, user="gate", **{"from": "post@example.com"})
    smtp = settings.get(world.store).smtp
    assert smtp and smtp.sender == "post@example.com" and open_password(smtp, sealer) == PASSWORD
    said = save_mail(admin, user="gate", host="localhost")
    assert "Saved, without a password" in said, "another host does not get it"
    smtp = settings.get(world.store).smtp
    assert smtp and smtp.sealed_password is None
    events = audit.find(world.store, action="settings.").items
    assert len(events) == 3 and PASSWORD not in str([event.detail for event in events])
    admin.submit(PAGE, {}, f"{PAGE}/mail/remove")
    assert settings.get(world.store).smtp is None
    assert "was removed with its password" in words(admin.get(PAGE).text)


def test_a_wrong_mail_server_is_said_beside_its_field(admin: Browser, world: World) -> None:
    wrong: tuple[tuple[dict[str, str], str, str], ...] = (
        ({"host": ""}, "host", "expected"),
        ({"port": "many"}, "port", "Expected a port such as 587."),
        ({"port": "70000"}, "port", "expected"),
        ({"port": "0"}, "port", "expected"),
        ({"from": "gatepost"}, "from", "Expected an e-mail address"),
        ({"from": "a@b.c\r\nBcc: x@y.z"}, "from", ""),
        ({"tls": "maybe"}, "tls", "Expected none | starttls | tls"),
        ({"user": "u", "host": "mail.example.com"}, "tls", "would cross the network in clear"),
        ({"user": "u", "password": "x" * 1001}, "password", "Expected 1 to 1000 characters"),
    )
    for change, field, said in wrong:
        answer = admin.submit(PAGE, MAIL | change, f"{PAGE}/mail")
        assert answer.status_code == 422, change
        assert f'id="{field}-error"' in answer.text, change
        assert said.lower() in words(answer.text).lower(), change
        assert "x" * 1001 not in answer.text
    assert settings.get(world.store).smtp is None


def test_a_test_mail_arrives_and_the_page_says_who_took_it(admin: Browser) -> None:
    with mailbox() as box:
        save_mail(admin, port=str(box.port))
        admin.submit(PAGE, {"receiver": "ada@example.com"}, f"{PAGE}/mail/test")
        said = words(admin.get(PAGE).text)
    assert f"127.0.0.1:{box.port} took a message to ada@example.com." in said
    [message] = box.to("ada@example.com")
    assert message["Subject"] == "Gatepost: a test" and message["Reply-To"] is None


def test_what_the_mail_server_refuses_is_said_in_its_words(admin: Browser) -> None:
    with mailbox() as box:
        box.refuse["ada@example.com"] = "550 5.1.1 no such mailbox here"
        save_mail(admin, port=str(box.port))
        admin.submit(PAGE, {"receiver": "ada@example.com"}, f"{PAGE}/mail/test")
        said = words(admin.get(PAGE).text)
        assert "The test did not arrive:" in said and "no such mailbox here" in said
        for odd in ("", "nobody", "a@b.c, d@e.f", "a@b.c\r\nBcc: x@y.z"):
            admin.submit(PAGE, {"receiver": odd}, f"{PAGE}/mail/test")
            said = words(admin.get(PAGE).text)
            assert "Expected an e-mail address" in said or "did not arrive" in said, odd
        assert box.messages == []
    admin.submit(PAGE, {"receiver": "ada@example.com"}, f"{PAGE}/mail/test")
    said = words(admin.get(PAGE).text)
    assert "cannot be reached: Connection refused" in said


def test_a_webhook_is_posted_to_and_its_address_and_secret_are_never_shown(
    admin: Browser, world: World
) -> None:
    with receiver() as hook:
        said = save_webhook(admin, url=hook.url("/token-8"), secret=SECRET)
        assert f"Posts to http://127.0.0.1:{hook.port}." in said
        assert "token-8" not in said and SECRET not in admin.get(PAGE).text
        admin.submit(PAGE, {}, f"{PAGE}/webhook/test")
        assert f"http://127.0.0.1:{hook.port} answered 200 to a message for json." in words(
            admin.get(PAGE).text
        )
        [posted] = hook.posted
        assert posted.path == "/token-8" and posted.json["event"] == "test"
        assert "X-Gatepost-Signature" in posted.headers
        save_webhook(admin, format="slack")
        admin.submit(PAGE, {}, f"{PAGE}/webhook/test")
        assert hook.posted[1].path == "/token-8" and "blocks" in str(hook.posted[1].json)
        hook.answers = [403]
        admin.submit(PAGE, {}, f"{PAGE}/webhook/test")
        said = words(admin.get(PAGE).text)
        assert "The test did not arrive:" in said and "403" in said and "token-8" not in said
    stored = settings.get(world.store).webhook
    sealer = Sealer(load_master_key(world.config))
    assert stored and open_url(stored, sealer).endswith("/token-8")
    assert open_secret(stored, sealer) == SECRET
    save_webhook(admin, forget_secret="on")
    stored = settings.get(world.store).webhook
    assert stored and stored.sealed_secret is None
    admin.submit(PAGE, {}, f"{PAGE}/webhook/remove")
    assert settings.get(world.store).webhook is None


def test_a_wrong_webhook_is_said_beside_its_field(admin: Browser, world: World) -> None:
    wrong: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "http://a b"}, "url"),
        ({"url": "http://user:pass@example.com/"}, "url"),
        ({"url": "https://example.com/", "format": "pigeon"}, "format"),
        ({"url": "https://example.com/", "secret": "x" * 1001}, "secret"),
    )
    for change, field in wrong:
        answer = admin.submit(PAGE, {"format": "json"} | change, f"{PAGE}/webhook")
        assert answer.status_code == 422 and f'id="{field}-error"' in answer.text, change
        assert "user:pass" not in answer.text
    assert settings.get(world.store).webhook is None


def test_without_a_channel_there_is_nothing_to_test(admin: Browser) -> None:
    for part, said in (("mail", "There is no mail server yet"), ("webhook", "no webhook yet")):
        admin.submit(PAGE, {"receiver": "ada@example.com"}, f"{PAGE}/{part}/test")
        assert said in words(admin.get(PAGE).text)
