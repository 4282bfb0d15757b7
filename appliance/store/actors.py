"""Who makes a change, and from where: what every audit event says first."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

VIAS = ("browser", "shell", "file", "system")


@dataclass(frozen=True, slots=True)
class Actor:
    """``via`` is one of ``VIAS``; ``source`` is an address, a file's name or empty.

    Who acts on the shell in somebody's name has the operating system's user as ``source``.
    """

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


def via_of(by: Actor) -> str:
    """Return how something was done, as evidence says it: "browser", "shell (OS user root)"."""
    return f"shell (OS user {by.source or by.name})" if by.via == "shell" else by.via
