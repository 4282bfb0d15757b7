"""Who is in the demo: its people and machines, their passwords, and the file that sets it up."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

TARGET = "shop"
PEOPLE = ("ana@example.com", "bo@example.com", "cy@example.com", "eve@example.com")
MACHINES = (
    "ci-nightly",
    "billing-service",
    "report-bot",
    "support-agent",
    "legacy-export",
    "inventory-sync",
)
ADMIN = "admin@example.com"
ROLES = ("app_ro", "app_rw")
# A request for access that waits when the demo begins: who, where, as what, why.
ASKS = ("eve@example.com", TARGET, "app_rw", "TICKET-4711: correct a customer's address")


@dataclass(frozen=True, slots=True)
class Sample:
    """The secrets of one demo: made anew each time, they end with it."""

    identities: Mapping[str, str] = field(
        default_factory=lambda: {name: _password() for name in (*PEOPLE, *MACHINES)}
    )
    roles: Mapping[str, str] = field(
        default_factory=lambda: {name: secrets.token_urlsafe(18) for name in ROLES}
    )
    admin: str = field(default_factory=lambda: _password())

    def environment(self) -> dict[str, str]:
        """Return the variables that the sample configuration reads its passwords from."""
        named = {**self.identities, **self.roles}
        return {variable(name): password for name, password in named.items()}


def variable(name: str) -> str:
    """Return the environment variable of an identity or role: ``DEMO_CI_NIGHTLY``."""
    return "DEMO_" + name.partition("@")[0].upper().replace("-", "_")


def kinds() -> dict[str, str]:
    """Return the kind of each identity in the sample configuration."""
    return {entry["name"]: entry["kind"] for entry in _configuration()["identities"]}


def write_configuration(path: Path, port: int, mail_port: int) -> None:
    """Write the sample configuration for a target and a mail server on these ports."""
    configuration = _configuration()
    configuration["targets"][0]["port"] = port
    configuration["settings"]["smtp"]["port"] = mail_port
    path.write_text(yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True))


def schema() -> str:
    """Return the SQL that makes the shop database."""
    return (files("appliance.demo") / "shop.sql").read_text()


def _configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((files("appliance.demo") / "gatepost.yml").read_text())
    return loaded


def _password() -> str:
    """Return something short enough to type: 60 bits, in three parts."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(3))
