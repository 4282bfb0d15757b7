"""The one tree of errors that Gatepost raises on purpose."""

from __future__ import annotations


class GatepostError(Exception):
    """Say what was expected, what came, and what to do next, in one line each.

    ``message`` and ``hint`` never hold a secret or a value from a row.
    ``exit_code`` is what the console script ends with (contract: 1 no, 2 usage, 3 unreachable).
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class NotFound(GatepostError):
    """A name or id that the store does not know."""


class Conflict(GatepostError):
    """The change contradicts what is stored: a taken name, a lost race."""


class NotAllowed(GatepostError):
    """Somebody may not do this, whatever their other rights are; the message says why."""


class Invalid(GatepostError):
    """A value that cannot be; ``field`` is its dotted path (``targets[0].port``)."""

    exit_code = 2

    def __init__(self, field: str, message: str, hint: str = "", *, where: str = "") -> None:
        super().__init__(message, hint)
        self.field = field
        self.where = where  # "FILE:LINE" when it came from a file

    def __str__(self) -> str:
        head = f"{self.where}: {self.field}" if self.where else self.field
        return f"{head}: {super().__str__()}"


class Unreachable(GatepostError):
    """The store or a target cannot be reached now."""

    exit_code = 3


class StoreUnavailable(Unreachable):
    """The store did not answer; nothing was changed."""


class JournalUnavailable(GatepostError):
    """A record could not be written, so what it describes must not happen."""

    exit_code = 3


class ProtocolError(GatepostError):
    """A peer broke the PostgreSQL wire protocol; ``peer`` is "client" or "upstream"."""

    def __init__(self, peer: str, message: str) -> None:
        super().__init__(message)
        self.peer = peer


class NotDelivered(Unreachable):
    """A channel did not take a message. ``is_final``: trying again cannot help."""

    def __init__(self, message: str, hint: str = "", *, is_final: bool = False) -> None:
        super().__init__(message, hint)
        self.is_final = is_final
