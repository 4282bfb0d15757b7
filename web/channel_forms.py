"""The forms of the mail server and the webhook: what is stored, what was typed. No secret shown."""

from __future__ import annotations

from appliance.entities import MailSecurity, Settings, WebhookFormat
from appliance.errors import GatepostError
from appliance.store.channels import SmtpSpec, WebhookSpec
from web.forms import Form, read_form

SECURITY_WORDS = (
    (MailSecurity.STARTTLS.value, "STARTTLS: begins in clear, usual on port 587"),
    (MailSecurity.TLS.value, "TLS from the first byte, usual on port 465"),
    (MailSecurity.NONE.value, "none: only on this machine or a network that you trust"),
)
FORMAT_WORDS = (
    (WebhookFormat.JSON.value, "plain JSON, signed when there is a secret"),
    (WebhookFormat.SLACK.value, "Slack"),
    (WebhookFormat.TEAMS.value, "Microsoft Teams"),
)
_MAIL = ("host", "port", "tls", "user", "from", "forget_password")
_MAIL_FIELDS = {"sender": "from", "security": "tls"}
_WEBHOOK = ("url", "format", "forget_secret")


def mail_form(settings: Settings) -> Form:
    """Return the form of the mail server as it is stored, or of one still to be set up."""
    stored = settings.smtp
    if stored is None:
        blank = {"host": "", "port": "587", "tls": "starttls", "user": "", "from": ""}
        return Form(blank | {"password": "", "forget_password": ""})
    return Form(
        {
            "host": stored.host,
            "port": str(stored.port),
            "tls": stored.security.value,
            "user": stored.user,
            "from": stored.sender,
            "password": "",
            "forget_password": "",
        }
    )


def webhook_form(settings: Settings) -> Form:
    """Return the form of the webhook; its address is a secret too and stays empty."""
    stored = settings.webhook
    format_ = stored.format if stored else WebhookFormat.JSON
    return Form({"url": "", "format": format_.value, "secret": "", "forget_secret": ""})


def read_mail() -> Form:
    """Read the form of the mail server as it was sent."""
    return read_form(*_MAIL, secrets=("password",))


def read_webhook() -> Form:
    """Read the form of the webhook as it was sent."""
    return read_form(*_WEBHOOK, secrets=("secret",))


def mail_spec(form: Form, settings: Settings) -> SmtpSpec | None:
    """Return the mail server that the form says; None with errors beside fields."""
    port = form.value("port")
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        form.refuse("port", "Expected a port such as 587.")
        return None
    stored = settings.smtp
    keeps = stored is not None and secret_of(form, "password") is None
    return SmtpSpec(
        host=form.value("host"),
        sender=form.value("from"),
        port=int(port),
        security=form.value("tls"),
        user=form.value("user"),
        password_env=stored.password_env if stored and keeps else None,
        password_file=stored.password_file if stored and keeps else None,
    )


def webhook_spec(form: Form, settings: Settings) -> WebhookSpec:
    """Return the webhook that the form says; an empty address keeps the stored one."""
    stored = settings.webhook
    keeps = stored is not None and secret_of(form, "secret") is None
    return WebhookSpec(
        format=form.value("format"),
        url=form.optional("url"),
        secret_env=stored.secret_env if stored and keeps else None,
        secret_file=stored.secret_file if stored and keeps else None,
    )


def secret_of(form: Form, name: str) -> str | None:
    """Return the secret to store: None keeps the present one, "" drops it."""
    if form.is_on(f"forget_{name}"):
        return ""
    return form.value(name) or None


def take(form: Form, error: GatepostError) -> None:
    """Put an error of the store beside its field."""
    form.take(error, _MAIL_FIELDS)
