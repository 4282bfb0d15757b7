"""The secrets of the channels, from where the settings say that they are."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.entities import Smtp, Webhook
from appliance.errors import NotFound
from appliance.outside_secrets import outside_secret
from appliance.sealing import Sealer
from appliance.store.channels import SECRET_BINDING, URL_BINDING, smtp_binding


def open_password(
    smtp: Smtp, sealer: Sealer, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return the mail server's password, None where nobody logs in. Raises: GatepostError."""
    if not smtp.user:
        return None
    if smtp.sealed_password is not None:
        return sealer.open(smtp.sealed_password, smtp_binding(smtp.host, smtp.port)).decode()
    found = outside_secret(
        "the mail server's password", smtp.password_env, smtp.password_file, environ
    )
    if found is None:
        raise NotFound(
            f"the mail server's user {smtp.user} has no password", "give it under Settings"
        )
    return found


def open_url(webhook: Webhook, sealer: Sealer) -> str:
    """Return the webhook's address. Raises: SealBroken."""
    return sealer.open(webhook.sealed_url, URL_BINDING).decode()


def open_secret(
    webhook: Webhook, sealer: Sealer, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return the key that signs, None = nothing is signed. Raises: GatepostError."""
    if webhook.sealed_secret is not None:
        return sealer.open(webhook.sealed_secret, SECRET_BINDING).decode()
    return outside_secret("the webhook's secret", webhook.secret_env, webhook.secret_file, environ)
