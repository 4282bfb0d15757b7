"""What a session asks of its shell, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from proxy.decision import Need

if TYPE_CHECKING:
    from proxy.holds import Hold


class Wait(Enum):
    """Why the client's next message is not looked at yet."""

    NOTHING = auto()
    DRAIN = auto()  # until everything in flight is answered
    EXCHANGE = auto()  # until an exchange of the gateway's own is answered
    TASK = auto()  # until the shell has done what a command asked for
    HOLD = auto()  # until a human has decided


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
class OpenHold:
    """Ask the shell to ask humans about a statement, and to tell the session how it ends."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class PassCancel:
    """Ask the shell to cancel what was just forwarded: the client wanted that while it waited."""


@dataclass(frozen=True, slots=True)
class Yield:
    """Ask the shell to call ``resume()`` soon: other sessions have waited long enough."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Ask the shell to close both sides, once what was queued is sent. ``reason`` is recorded."""

    reason: str


Command = Prepare | AwaitDisk | Work | OpenHold | PassCancel | Yield | Finish
