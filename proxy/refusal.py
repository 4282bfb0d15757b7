"""Refusals that the target itself carries out, so that its state stays what it would be.

A refused text is replaced by a lone string literal: no statement can begin with one, so the raw
parser fails in every transaction state (8-wire-facts.md A). The error is matched by its nonce and
rewritten on the way back.
"""

from __future__ import annotations

import secrets
import textwrap
from dataclasses import dataclass

from proxy.wire.framing import frame
from proxy.wire.notices import rewrite_error

_COLUMNS = 80
DETAIL_LABEL, HINT_LABEL = len("DETAIL:  "), len("HINT:  ")  # what psql puts before them


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no on its way through the target. ``nonce`` is ASCII without quotes or backslashes."""

    sqlstate: str
    message: str
    hint: str = ""
    detail: str = ""
    nonce: str = ""

    def armed(self) -> Refusal:
        """Return the same refusal with a nonce of its own."""
        return Refusal(
            self.sqlstate, self.message, self.hint, self.detail, f"gw:{secrets.token_hex(6)}"
        )


def query(refusal: Refusal) -> bytes:
    """Return the Query that fails in the refused one's place."""
    return frame(ord("Q"), b"'" + refusal.nonce.encode() + b"'\0")


def parse(refusal: Refusal, statement: bytes) -> bytes:
    """Return the Parse that fails in the refused one's place, under the same statement name."""
    return frame(ord("P"), statement + b"\0'" + refusal.nonce.encode() + b"'\0\0\0")


def bind(refusal: Refusal) -> bytes:
    """Return a Bind to a statement that does not exist."""
    return frame(ord("B"), b"\0" + refusal.nonce.encode() + b"\0\0\0\0\0\0\0")


def execute(refusal: Refusal) -> bytes:
    """Return an Execute of a portal that does not exist."""
    return frame(ord("E"), refusal.nonce.encode() + b"\0\0\0\0\0")


def matches(refusal: Refusal, error_body: bytes) -> bool:
    """Return whether this ErrorResponse is the refusal's own."""
    return refusal.nonce.encode() in error_body


def rewrite(refusal: Refusal, error_body: bytes) -> bytes:
    """Return the ErrorResponse that the client gets: severity as sent, the rest ours.

    The message stays on one line, as PostgreSQL's do: programs match it and log it.
    """
    return rewrite_error(
        error_body,
        refusal.sqlstate,
        refusal.message,
        fold(refusal.hint, HINT_LABEL),
        fold(refusal.detail, DETAIL_LABEL),
    )


def fold(text: str, label: int = 0) -> str:
    """Break a text into lines that psql shows whole, keeping the breaks that it has.

    ``label``: the columns that stand before its first line. What is folded already stays so.
    """
    first, *others = text.split("\n")
    return "\n".join([_fill(first, label), *(_fill(line) for line in others)])


def _fill(line: str, label: int = 0) -> str:
    wrapper = textwrap.TextWrapper(
        _COLUMNS,
        initial_indent=" " * label,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.fill(line)[label:]
