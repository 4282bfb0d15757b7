"""The secrets of the channels, from where the settings say that they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from appliance.entities import Smtp, Webhook
from appliance.errors import GatepostError, NotFound
from appliance.sealing import Sealer
from appliance.store.channels import SECRET_BINDING, URL_BINDING, smtp_binding

_MAX_BYTES = 4096


def open_password(
    smtp: Smtp, sealer: Sealer, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return the mail server's password, None where nobody logs in. Raises: GatepostError."""
    if not smtp.user:
        return None
    if smtp.sealed_password is not None:
        return sealer.open(smtp.sealed_password, smtp_binding(smtp.host, smtp.port)).decode()
    found = _elsewhere("the mail server's password", smtp.password_env, smtp.password_file, environ)
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
    return _elsewhere("the webhook's secret", webhook.secret_env, webhook.secret_file, environ)


def _elsewhere(
    what: str, variable: str | None, file: str | None, environ: Mapping[str, str] | None
) -> str | None:
    if variable:
        found = (os.environ if environ is None else environ).get(variable, "")
        if found:
            return found
        raise NotFound(
            f"{what} should be in {variable}, which is not set",
            f"set {variable} in the environment of gatepost serve",
        )
    return _from_file(what, Path(file)) if file else None


def _from_file(what: str, path: Path) -> str:
    try:
        with path.open("rb") as opened:
            text = opened.read(_MAX_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise GatepostError(
            f"the file of {what} cannot be read: {why}",
            f"make {path} readable for gatepost serve",
        ) from None
    if not text:
        raise NotFound(f"the file of {what} is empty", f"write it to {path}")
    return text
