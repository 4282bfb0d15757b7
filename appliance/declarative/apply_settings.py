"""Apply the ``settings:`` of a file, the mail server and the webhook with their secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.declarative.document import SettingsEntry, SmtpEntry, WebhookEntry
from appliance.entities import Durability
from appliance.errors import Invalid
from appliance.store import channels
from appliance.store import settings as store_settings

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying


def settings(doing: Applying, entry: SettingsEntry | None) -> None:
    """Change what the file says; the rest stays."""
    if entry is None:
        return
    present = store_settings.get(doing.store)
    wanted = replace(
        present,
        default_action=entry.default_action or present.default_action,
        durability=Durability(entry.durability) if entry.durability else present.durability,
        retention_days=entry.retention_days or present.retention_days,
        hold_timeout_s=entry.hold_timeout_s or present.hold_timeout_s,
        hold_in_transaction_s=entry.hold_in_transaction_s or present.hold_in_transaction_s,
        limits=entry.limits_on(present.limits),
    )
    with doing.at("settings"):
        for name in store_settings.put(doing.store, doing.by, doing.now, wanted):
            doing.tell(f"change settings: {name.removesuffix('_s')}")
    if entry.smtp is not None:
        with doing.at(entry.smtp.path):
            _smtp(doing, entry.smtp)
    if entry.webhook is not None:
        with doing.at(entry.webhook.path):
            _webhook(doing, entry.webhook)
    for key in entry.without:
        _remove(doing, key)


def _smtp(doing: Applying, entry: SmtpEntry) -> None:
    spec, password = entry.spec, entry.password
    if spec.password_env is not None:
        # Unset here: serve's environment has it, or what is stored already stays.
        password = doing.options.environ.get(spec.password_env) or None
    told = _relative(
        lambda: channels.put_smtp(
            doing.store, doing.by, doing.now, doing.sealer, spec, password=password
        )
    )
    _tell(doing, "smtp", told)
    present = store_settings.get(doing.store).smtp
    if told and spec.user and present is not None and present.sealed_password is None:
        if spec.password_env is not None:
            whence = f"{spec.password_env} must be set where gatepost serve runs"
        elif spec.password_file is not None:
            whence = f"gatepost serve reads {spec.password_file}"
        else:
            whence = "give it password, password_env or password_file, or set it on the page"
        doing.remarks.append(f"the mail server has no password here: {whence}")


def _webhook(doing: Applying, entry: WebhookEntry) -> None:
    spec, secret = entry.spec, entry.secret
    if entry.url_env is not None:
        url = doing.options.environ.get(entry.url_env) or None
        if url is None and store_settings.get(doing.store).webhook is None:
            raise Invalid(
                "url_env",
                f"the environment variable {entry.url_env} is not set",
                "set it where gatepost apply runs",
            )
        spec = replace(spec, url=url)
    if spec.secret_env is not None:
        secret = doing.options.environ.get(spec.secret_env) or None
    told = _relative(
        lambda: channels.put_webhook(
            doing.store, doing.by, doing.now, doing.sealer, spec, secret=secret
        )
    )
    _tell(doing, "webhook", told)


def _remove(doing: Applying, key: str) -> None:
    remove = channels.put_smtp if key == "smtp" else channels.put_webhook
    if remove(doing.store, doing.by, doing.now, doing.sealer, None):
        doing.tell(f"remove settings: {key}")


def _relative(put: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Run a change whose refusals name ``smtp.host``; here the path says the first part."""
    try:
        return put()
    except Invalid as error:
        field = error.field.rpartition(".")[2]
        raise Invalid(field, error.message, error.hint) from None


def _tell(doing: Applying, key: str, told: tuple[str, ...]) -> None:
    if told == ("added",):
        doing.tell(f"add settings: {key}")
    elif told:
        words = ", ".join("tls" if word == "security" else word for word in told)
        doing.tell(f"change settings: {key} ({words.replace('sender', 'from')})")
