"""Refusals that the target itself carries out, so that its state stays what it would be.

A refused text is replaced by a lone string literal: no statement can begin with one, so the raw
parser fails in every transaction state (8-wire-facts.md A). The error is matched by its nonce and
rewritten on the way back.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from proxy.wire.framing import frame
from proxy.wire.notices import rewrite_error


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
    """Return the ErrorResponse that the client gets: severity as sent, the rest ours."""
    return rewrite_error(
        error_body, refusal.sqlstate, refusal.message, refusal.hint, refusal.detail
    )
