"""What a session asks of its shell, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from proxy.decision import Need


class Wait(Enum):
    """Why the client's next message is not looked at yet."""

    NOTHING = auto()
    DRAIN = auto()  # until everything in flight is answered
    EXCHANGE = auto()  # until an exchange of the gateway's own is answered
    TASK = auto()  # until the shell has done what a command asked for


@dataclass(frozen=True, slots=True)
class Prepare:
    """Ask the shell to do, off the loop, what ``need`` says for the text, then ``resume()``."""

    need: Need
    raw: bytes


@dataclass(frozen=True, slots=True)
class AwaitDisk:
    """Ask the shell to call ``resume()`` when the journal is on disk up to ``position``."""

    position: int


@dataclass(frozen=True, slots=True)
class Work:
    """Ask the shell to call ``run`` off the loop, then ``resume()``."""

    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Yield:
    """Ask the shell to call ``resume()`` soon: other sessions have waited long enough."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Ask the shell to close both sides, once what was queued is sent. ``reason`` is recorded."""

    reason: str


Command = Prepare | AwaitDisk | Work | Yield | Finish
