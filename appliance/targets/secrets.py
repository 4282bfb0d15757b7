"""The password of an upstream role, from where the configuration says that it is."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.entities import UpstreamRole
from appliance.errors import NotFound
from appliance.outside_secrets import outside_secret
from appliance.sealing import Sealer, upstream_binding


def open_secret(
    role: UpstreamRole, target_id: int, sealer: Sealer, environ: Mapping[str, str] | None = None
) -> str:
    """Return the role's password: the sealed one, else from ``password_env``, ``password_file``.

    Raises: ``GatepostError`` that says which of them is missing, never what is in them.
    """
    if role.sealed_secret is not None:
        binding = upstream_binding(target_id, role.name)
        return sealer.open(role.sealed_secret, binding).decode()
    what = f"the password of role {role.name}"
    found = outside_secret(what, role.password_env, role.password_file, environ)
    if found is None:
        raise NotFound(
            f"role {role.name} has no password",
            "give it one on the target's page, or as password_env or password_file",
        )
    return found
