"""What clients are told when the gateway itself has to end a session."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import ProtocolError
from appliance.identity.login import Refused
from proxy.results import RowTooLargeError


@dataclass(frozen=True, slots=True)
class LastWords:
    """A FATAL error, and the ``reason`` that is recorded."""

    sqlstate: str
    message: str
    hint: str
    reason: str

    @classmethod
    def of(cls, refused: Refused) -> LastWords:
        """Return what a session is told that would not be let in any more."""
        return cls(refused.sqlstate, refused.message, refused.hint, refused.reason)


def of_error(error: ProtocolError) -> LastWords:
    """Return what a client is told whose session cannot go on after this."""
    if isinstance(error, RowTooLargeError):
        return row_too_large(error.size)
    return broken_by_client(error.message) if error.peer == "client" else broken_by_target()


def broken_by_client(what: str) -> LastWords:
    return LastWords(
        "08P01",
        f"gatepost: protocol violation: {what}",
        "The client and the gateway do not understand each other; connect again.",
        "protocol violation by the client",
    )


def broken_by_target() -> LastWords:
    return LastWords(
        "08006",
        "gatepost: the target sent something unexpected; the session was ended",
        "Connect again; if it repeats, tell who runs this gateway.",
        "protocol violation by the target",
    )


def internal_error() -> LastWords:
    return LastWords(
        "XX000",
        "gatepost: an internal error ended this session",
        "Connect again; the gateway's log has the details.",
        "internal error",
    )


def target_left(name: str) -> LastWords:
    return LastWords(
        "08006",
        f"gatepost: the target {name} closed the connection",
        "It may be restarting: connect again in a moment.",
        "target connection lost",
    )


def row_too_large(size: int) -> LastWords:
    return LastWords(
        "54000",
        f"gatepost: a row of {size:,} bytes is too large to be masked; the session was ended",
        "Select fewer large columns beside the masked ones, or a part of them with substr().",
        "a row too large to be masked",
    )
