"""Read the ``settings:`` of a configuration file."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from appliance.declarative.document import SettingsEntry, SmtpEntry, WebhookEntry
from appliance.declarative.table import Table
from appliance.entities import Durability, Limits
from appliance.errors import Invalid
from appliance.identity.spans import parse_span
from appliance.store import channels, names, settings
from appliance.store.channels import SmtpSpec, WebhookSpec

Entry = TypeVar("Entry")

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")


def read_settings(top: Table) -> SettingsEntry | None:
    """Return what the file says under ``settings:``, None where it says nothing."""
    table = top.table("settings")
    if table is None:
        return None
    for key, what in (
        ("oidc", "sign-in through an identity provider is"),
        ("saml", "sign-in through an identity provider is"),
        ("digest", "the digest is"),
    ):
        table.refuse(key, what)
    default_action = table.text("default_action", one_of(settings.ACTIONS))
    durability, days = _recording(table)
    timeout_s, in_transaction_s = _approvals(table)
    entry = SettingsEntry(
        default_action=default_action,
        durability=durability,
        retention_days=days,
        hold_timeout_s=timeout_s,
        hold_in_transaction_s=in_transaction_s,
        limits=_limits(table),
        smtp=_channel(table, "smtp", _smtp),
        webhook=_channel(table, "webhook", _webhook),
        without=tuple(key for key in ("smtp", "webhook") if _is_off(table, key)),
    )
    table.end_of_keys()
    return entry


def environment_name(path: str, text: str) -> str:
    """Return the name of an environment variable."""
    if not _ENV.fullmatch(text):
        raise Invalid(path, "expected the name of an environment variable")
    return text


def secret_text(path: str, text: str) -> str:
    """Return a secret as typed."""
    if not text or "\0" in text or len(text) > 1000:
        raise Invalid(path, "expected 1 to 1000 characters without NUL")
    return text


def secret_file(path: str, text: str) -> str:
    """Return the name of a file that holds a secret."""
    return names.one_line(path, text)


def one_at_most(table: Table, *keys: str) -> None:
    """Refuse two ways of giving the same secret."""
    given = [key for key in keys if table.has(key)]
    if len(given) > 1:
        table.wrong(Invalid(given[1], f"comes beside {given[0]}: give one of them"))


def one_of(words: tuple[str, ...]) -> Callable[[str, str], str]:
    """Return a check that the text is one of these words."""
    return lambda path, text: names.choice(path, text, words)


def _recording(table: Table) -> tuple[str | None, int | None]:
    recording = table.table("recording")
    if recording is None:
        return None, None
    durability = recording.text("durability", one_of(tuple(d.value for d in Durability)))
    if recording.word("results") not in (None, "off"):
        recording.refuse("results", "recording of results is")
    days = recording.parsed("retention", _days, recording.text("retention"))
    recording.end_of_keys()
    return durability, days


def _approvals(table: Table) -> tuple[int | None, int | None]:
    found = table.table("approvals")
    if found is None:
        return None, None
    spans = [found.parsed(key, _wait, found.text(key)) for key in ("timeout", "in_transaction")]
    found.end_of_keys()
    return spans[0], spans[1]


def _limits(table: Table) -> dict[str, int]:
    limits = table.table("limits")
    if limits is None:
        return {}
    read = {name: limits.number(name) for name in Limits.__dataclass_fields__}
    found = {name: number for name, number in read.items() if number is not None}
    limits.end_of_keys()
    try:
        settings.checked_limits(found)
    except Invalid as error:
        limits.wrong(Invalid(error.field.rpartition(".")[2], error.message, error.hint))
    return found


def _is_off(table: Table, key: str) -> bool:
    return table.is_word(key) and table.word(key) == "off"


def _channel(table: Table, key: str, read: Callable[[Table], Entry]) -> Entry | None:
    if _is_off(table, key):
        return None
    found = table.table(key)
    return None if found is None else read(found)


def _smtp(table: Table) -> SmtpEntry:
    security = table.word("tls") or "none"
    spec = SmtpSpec(
        host=table.text("host", names.host, required=True) or "",
        sender=table.text("from", required=True) or "",
        port=table.number("port") or 25,
        security="none" if security in ("off", "no", "false") else security,
        user=table.text("user") or "",
        password_env=table.text("password_env", environment_name),
        password_file=table.text("password_file", secret_file),
    )
    password = table.text("password", secret_text)
    one_at_most(table, "password", "password_env", "password_file")
    table.end_of_keys()
    if table.has("host") and table.has("from"):
        _check(table, lambda: channels.checked_smtp(spec))
    return SmtpEntry(table.path, spec, password)


def _webhook(table: Table) -> WebhookEntry:
    spec = WebhookSpec(
        format=table.text("format", one_of(channels.FORMATS)) or "json",
        url=table.text("url", channels.checked_url),
        secret_env=table.text("secret_env", environment_name),
        secret_file=table.text("secret_file", secret_file),
    )
    entry = WebhookEntry(
        table.path,
        spec,
        url_env=table.text("url_env", environment_name),
        secret=table.text("secret", secret_text),
    )
    one_at_most(table, "url", "url_env")
    one_at_most(table, "secret", "secret_env", "secret_file")
    table.end_of_keys()
    return entry


def _check(table: Table, check: Callable[[], object]) -> None:
    """Note what the store's own check says; its fields are named ``smtp.host`` and the like."""
    if any(error.field.startswith(f"{table.path}.") for error in table.problems.found):
        return
    try:
        check()
    except Invalid as error:
        table.wrong(Invalid(error.field.rpartition(".")[2], error.message, error.hint))


def _wait(path: str, text: str) -> int:
    seconds = int(parse_span(path, text).total_seconds())
    if not 1 <= seconds <= settings.MAX_HOLD_S:
        raise Invalid(path, f"expected 1s to 7d, got {text}")
    return seconds


def _days(path: str, text: str) -> int:
    span = parse_span(path, text)
    if span % timedelta(days=1) or not 1 <= span.days <= settings.MAX_RETENTION_DAYS:
        raise Invalid(path, f"expected whole days, 1d to {settings.MAX_RETENTION_DAYS}d")
    return span.days
