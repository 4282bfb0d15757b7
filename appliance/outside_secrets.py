"""Secrets that the configuration does not hold: they lie in a variable, or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from appliance.errors import GatepostError, NotFound

_MAX_BYTES = 4096


def outside_secret(
    what: str,
    variable: str | None,
    file: str | None,
    environ: Mapping[str, str] | None = None,
) -> str | None:
    """Return the secret, None where neither is named. ``what`` says what it is, to people.

    Raises: GatepostError that says where it is missing, never what is in it.
    """
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
            f"the file with {what} cannot be read: {why}",
            f"make {path} readable for gatepost serve",
        ) from None
    if not text:
        raise NotFound(f"the file with {what} is empty", f"write it to {path}")
    return text
