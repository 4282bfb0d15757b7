"""The channels by which people are told: the mail server and the webhook, secrets sealed."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from appliance.entities import MailSecurity, Smtp, Webhook, WebhookFormat
from appliance.errors import Invalid
from appliance.sealing import Sealer
from appliance.store import names
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import SettingRow

SMTP = "smtp"
WEBHOOK = "webhook"
SECURITIES = tuple(security.value for security in MailSecurity)
FORMATS = tuple(format_.value for format_ in WebhookFormat)
URL_BINDING = "settings:webhook/url"
SECRET_BINDING = "settings:webhook/secret"  # noqa: S105 - a place, no secret
_MAX_URL = 2000
_MAX_SECRET = 1000
# Another place must not receive the password that was given for this one.
_SMTP_PLACE = ("host", "port", "security", "user")


@dataclass(frozen=True, slots=True)
class SmtpSpec:
    """What a form or the file says about the mail server, its password aside."""

    host: str
    sender: str
    port: int = 25
    security: str = "none"
    user: str = ""
    password_env: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """What a form or the file says about the webhook. ``url`` None keeps the stored one."""

    format: str = "json"
    url: str | None = field(default=None, repr=False)
    secret_env: str | None = None
    secret_file: str | None = None


def put_smtp(
    store: Store,
    by: Actor,
    now: datetime,
    sealer: Sealer,
    spec: SmtpSpec | None,
    *,
    password: str | None = None,
) -> tuple[str, ...]:
    """Make the mail server be as ``spec`` says, None = none; return what changed.

    ``password`` None keeps the stored one, unless another host, port, user or protection makes
    it somebody else's, or it is now to come from elsewhere: then it is dropped. "" drops it.
    Raises: Invalid.
    """
    if spec is None:
        return _remove(store, by, now, SMTP)
    spec = checked_smtp(spec)
    _check_secret("smtp.password", password)
    with change(store, by, now) as doing:
        present = _read(SMTP)
        values: dict[str, Any] = asdict(spec) | {"password": (present or {}).get("password")}
        moved = present is not None and any(present[key] != values[key] for key in _SMTP_PLACE)
        binding = smtp_binding(spec.host, spec.port)
        if password:
            same = not moved and _holds(sealer, values["password"], binding, password)
            values["password"] = values["password"] if same else _seal(sealer, password, binding)
        elif moved or password == "" or _has_other_source(present, values, "password"):
            values["password"] = None
        told = _told(present, values)
        if told:
            _write(SMTP, values)
            public = {key: value for key, value in values.items() if key != "password"}
            doing.decides("settings.change", "settings", smtp=public, changed=told)
        return told


def put_webhook(
    store: Store,
    by: Actor,
    now: datetime,
    sealer: Sealer,
    spec: WebhookSpec | None,
    *,
    secret: str | None = None,
) -> tuple[str, ...]:
    """Make the webhook be as ``spec`` says, None = none; return what changed.

    ``secret`` signs the JSON; None keeps the stored one, "" drops it. The address itself is kept
    sealed: who knows Slack's or Teams' may post there. Raises: Invalid.
    """
    if spec is None:
        return _remove(store, by, now, WEBHOOK)
    names.choice("webhook.format", spec.format, FORMATS)
    url = None if spec.url is None else checked_url("webhook.url", spec.url)
    _check_secret("webhook.secret", secret)
    with change(store, by, now) as doing:
        present = _read(WEBHOOK)
        if url is None and present is None:
            raise Invalid("webhook.url", "is missing", "give the address to post to")
        values: dict[str, Any] = {"url": None, "place": "", "secret": None} | (present or {})
        values |= {
            "format": spec.format,
            "secret_env": spec.secret_env,
            "secret_file": spec.secret_file,
        }
        if url is not None and not _holds(sealer, values["url"], URL_BINDING, url):
            values |= {"url": _seal(sealer, url, URL_BINDING), "place": place_of(url)}
        if secret and not _holds(sealer, values["secret"], SECRET_BINDING, secret):
            values["secret"] = _seal(sealer, secret, SECRET_BINDING)
        elif secret == "" or _has_other_source(present, values, "secret"):
            values["secret"] = None
        told = tuple(name for name in _told(present, values) if name != "place")
        if told:
            _write(WEBHOOK, values)
            public = {key: values[key] for key in ("place", "format", "secret_env", "secret_file")}
            doing.decides("settings.change", "settings", webhook=public, changed=told)
        return told


def has_any() -> bool:
    """Return whether anybody can be told at all; for callers inside a store scope."""
    return bool(SettingRow.select().where(SettingRow.name.in_((SMTP, WEBHOOK))).exists())


def smtp_of(stored: dict[str, Any]) -> Smtp | None:
    """Return the mail server of the stored settings."""
    found = stored.get(SMTP)
    return found and Smtp(
        host=found["host"],
        sender=found["sender"],
        port=found["port"],
        security=MailSecurity(found["security"]),
        user=found["user"],
        sealed_password=_bytes(found["password"]),
        password_env=found["password_env"],
        password_file=found["password_file"],
    )


def webhook_of(stored: dict[str, Any]) -> Webhook | None:
    """Return the webhook of the stored settings."""
    found = stored.get(WEBHOOK)
    return found and Webhook(
        place=found["place"],
        sealed_url=_bytes(found["url"]) or b"",
        format=WebhookFormat(found["format"]),
        sealed_secret=_bytes(found["secret"]),
        secret_env=found["secret_env"],
        secret_file=found["secret_file"],
    )


def smtp_binding(host: str, port: int) -> str:
    """Return what the mail server's password is bound to."""
    return f"settings:smtp/{host}:{port}"


def checked_smtp(spec: SmtpSpec) -> SmtpSpec:
    """Return the spec with its values in canonical form. Raises: Invalid."""
    names.choice("smtp.tls", spec.security, SECURITIES)
    sender = spec.sender.strip()
    if "@" not in sender:
        raise Invalid("smtp.from", "expected an e-mail address", "e.g. gatepost@example.com")
    if spec.user and spec.security == MailSecurity.NONE and not _is_here(spec.host):
        raise Invalid(
            "smtp.tls", "a password would cross the network in clear", "set starttls or tls"
        )
    return SmtpSpec(
        host=names.host("smtp.host", spec.host),
        sender=names.identity_name("smtp.from", sender),
        port=names.port("smtp.port", spec.port),
        security=spec.security,
        user=names.one_line("smtp.user", spec.user, most=320),
        password_env=spec.password_env,
        password_file=spec.password_file,
    )


def checked_url(path: str, url: str) -> str:
    """Return an http or https address; its text never appears in the refusal. Raises: Invalid."""
    url = url.strip()
    hint = "e.g. https://hooks.example.com/gatepost"
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(path, "expected an http or https address", hint)
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:  # also what urlsplit says about a port that is none
        raise Invalid(path, "expected an http or https address", hint) from None
    if parts.username is not None or parts.fragment:
        raise Invalid(path, "must have neither a user name nor a #part", hint)
    return url


def place_of(url: str) -> str:
    """Return scheme, host and port: what people may see of the address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _remove(store: Store, by: Actor, now: datetime, name: str) -> tuple[str, ...]:
    with change(store, by, now) as doing:
        if not SettingRow.delete().where(SettingRow.name == name).execute():
            return ()
        doing.decides("settings.change", "settings", **{name: None})
        return ("removed",)


def _check_secret(path: str, secret: str | None) -> None:
    if secret and ("\0" in secret or len(secret) > _MAX_SECRET):
        raise Invalid(path, f"expected 1 to {_MAX_SECRET} characters without NUL")


def _has_other_source(present: dict[str, Any] | None, values: dict[str, Any], name: str) -> bool:
    """Return whether a secret now comes from a variable or file that it did not come from."""
    sources = (f"{name}_env", f"{name}_file")
    before = present or {}
    return any(values[key] and values[key] != before.get(key) for key in sources)


def _told(present: dict[str, Any] | None, values: dict[str, Any]) -> tuple[str, ...]:
    if present is None:
        return ("added",)
    return tuple(name for name, value in values.items() if present.get(name) != value)


def _read(name: str) -> dict[str, Any] | None:
    row = SettingRow.get_or_none(SettingRow.name == name)
    return None if row is None else dict(row.value)


def _write(name: str, values: dict[str, Any]) -> None:
    SettingRow.insert(name=name, value=values).on_conflict(
        conflict_target=[SettingRow.name], update={SettingRow.value: values}
    ).execute()


def _seal(sealer: Sealer, secret: str, binding: str) -> str:
    return base64.b64encode(sealer.seal(secret.encode(), binding)).decode()


def _holds(sealer: Sealer, sealed: str | None, binding: str, secret: str) -> bool:
    return sealed is not None and sealer.holds(_bytes(sealed) or b"", binding, secret.encode())


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
