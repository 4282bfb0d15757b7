"""The password of an upstream role, from where the configuration says that it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from appliance.entities import UpstreamRole
from appliance.errors import GatepostError, NotFound
from appliance.sealing import Sealer, upstream_binding

_MAX_BYTES = 4096


def open_secret(
    role: UpstreamRole, target_id: int, sealer: Sealer, environ: Mapping[str, str] | None = None
) -> str:
    """Return the role's password: the sealed one, else from ``password_env``, ``password_file``.

    Raises: ``GatepostError`` that says which of them is missing, never what is in them.
    """
    if role.sealed_secret is not None:
        binding = upstream_binding(target_id, role.name)
        return sealer.open(role.sealed_secret, binding).decode()
    if role.password_env:
        secret = (os.environ if environ is None else environ).get(role.password_env, "")
        if secret:
            return secret
        raise NotFound(
            f"the password of role {role.name} should be in {role.password_env}, which is not set",
            f"set {role.password_env} in the environment of gatepost serve",
        )
    if role.password_file:
        return _from_file(role.name, Path(role.password_file))
    raise NotFound(
        f"role {role.name} has no password",
        "give it one on the target's page, or as password_env or password_file",
    )


def _from_file(role: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise GatepostError(
            f"the password file of role {role} cannot be read: {why}",
            f"make {path} readable for gatepost serve",
        ) from None
    if not text:
        raise NotFound(f"the password file of role {role} is empty", f"write it to {path}")
    return text
