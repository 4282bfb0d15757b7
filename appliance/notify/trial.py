"""Try the channels out: a test message, and what ``gatepost doctor`` looks at."""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from appliance.config import Config
from appliance.entities import Settings, Smtp, Webhook
from appliance.errors import GatepostError, NotDelivered
from appliance.mail import Mailer
from appliance.notify import notice
from appliance.notify.courier import post_event
from appliance.notify.mails import MailTemplates, mail
from appliance.notify.secrets import open_password, open_secret, open_url
from appliance.notify.webhook import TIMEOUT_S
from appliance.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one channel: ``ok``, what was seen, and what to do when it is wrong."""

    channel: str
    ok: bool
    detail: str
    hint: str = ""


def send_test(
    settings: Settings, sealer: Sealer, config: Config, now: datetime, receiver: str
) -> list[Tried]:
    """Send a test message on every channel that is set up, past the outbox.

    ``receiver``: the address that the mail goes to; "" = no mail is sent.
    """
    found = []
    if settings.smtp is not None and receiver:
        smtp = settings.smtp
        found.append(_tried("mail", lambda: _mail(smtp, sealer, config, now, receiver)))
    if settings.webhook is not None:
        hook = settings.webhook
        found.append(_tried("webhook", lambda: _post(hook, sealer, config, now)))
    return found


def examine(settings: Settings, sealer: Sealer, config: Config) -> list[Tried]:
    """Look whether each channel that is set up can be reached, without sending anything."""
    found = []
    if settings.smtp is not None:
        smtp = settings.smtp
        found.append(_tried("mail", lambda: _log_in(smtp, sealer, config)))
    if settings.webhook is not None:
        hook = settings.webhook
        found.append(_tried("webhook", lambda: _reach(hook, sealer)))
    return found


def helo_name(public_url: str) -> str:
    """Return the name that this appliance gives itself towards mail servers."""
    return urlsplit(public_url).hostname or "localhost"


def _mail(smtp: Smtp, sealer: Sealer, config: Config, now: datetime, receiver: str) -> str:
    message = mail(
        MailTemplates(),
        notice.test(config.public_url),
        sender=smtp.sender,
        receiver=receiver,
        now=now,
        message_id=f"test-{secrets.token_hex(8)}",
    )
    with Mailer(smtp, open_password(smtp, sealer), helo_name(config.public_url)) as mailer:
        mailer.send(message)
    return f"{smtp.host}:{smtp.port} took a message to {receiver}"


def _post(hook: Webhook, sealer: Sealer, config: Config, now: datetime) -> str:
    told = notice.test(config.public_url)
    delivery = f"test-{secrets.token_hex(8)}"
    status = post_event(hook, sealer, now, delivery, told, None, config.public_url)
    return f"{hook.place} answered {status} to a message for {hook.format.value}"


def _log_in(smtp: Smtp, sealer: Sealer, config: Config) -> str:
    with Mailer(smtp, open_password(smtp, sealer), helo_name(config.public_url)) as mailer:
        mailer.open()
    who = f", logged in as {smtp.user}" if smtp.user else ""
    return f"{smtp.host}:{smtp.port} answers (tls: {smtp.security.value}){who}"


def _reach(hook: Webhook, sealer: Sealer) -> str:
    open_secret(hook, sealer)
    parts = urlsplit(open_url(hook, sealer))
    kind: Callable[..., http.client.HTTPConnection] = (
        http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    )
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        connection.connect()
    except TimeoutError:
        raise NotDelivered(f"{hook.place} did not answer within {TIMEOUT_S} s") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise NotDelivered(f"{hook.place} cannot be reached: {why}") from None
    finally:
        with suppress(OSError):
            connection.close()
    return f"{hook.place} can be reached ({hook.format.value})"


def _tried(channel: str, attempt: Callable[[], str]) -> Tried:
    try:
        return Tried(channel, True, attempt())
    except GatepostError as error:
        return Tried(channel, False, error.message, error.hint)
