"""Who makes a change, and from where: what every audit event says first."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

VIAS = ("browser", "shell", "file", "system")


@dataclass(frozen=True, slots=True)
class Actor:
    """``via`` is one of ``VIAS``; ``source`` is an address, a file's name or empty."""

    name: str
    via: str
    source: str = ""


def shell_actor() -> Actor:
    """Return the operating system's user, as whom the shell commands act."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's uid without an entry in passwd
        user = "unknown"
    return Actor(name=user, via="shell")


def system_actor(what: str) -> Actor:
    """Return the appliance itself, e.g. ``system_actor("scheduler")``."""
    return Actor(name=what, via="system")
