"""Refusals that the target itself carries out, so that its state stays what it would be.

A refused text is replaced by a lone string literal: no statement can begin with one, so the raw
parser fails in every transaction state (8-wire-facts.md A). The error is matched by its nonce and
rewritten on the way back.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass

_LENGTH = struct.Struct("!i")


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


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + _LENGTH.pack(len(body) + 4) + body


def query(refusal: Refusal) -> bytes:
    """Return the Query that fails in the refused one's place."""
    return _message(b"Q", b"'" + refusal.nonce.encode() + b"'\0")


def parse(refusal: Refusal, statement: bytes) -> bytes:
    """Return the Parse that fails in the refused one's place, under the same statement name."""
    return _message(b"P", statement + b"\0'" + refusal.nonce.encode() + b"'\0\0\0")


def bind(refusal: Refusal) -> bytes:
    """Return a Bind to a statement that does not exist."""
    return _message(b"B", b"\0" + refusal.nonce.encode() + b"\0\0\0\0\0\0\0")


def execute(refusal: Refusal) -> bytes:
    """Return an Execute of a portal that does not exist."""
    return _message(b"E", refusal.nonce.encode() + b"\0\0\0\0\0")


def copy_fail(refusal: Refusal) -> bytes:
    """Return the CopyFail that ends a COPY FROM STDIN in the middle."""
    return _message(b"f", refusal.nonce.encode() + b"\0")


def matches(refusal: Refusal, error_body: bytes) -> bool:
    """Return whether this ErrorResponse is the refusal's own."""
    return refusal.nonce.encode() in error_body


def rewrite(refusal: Refusal, error_body: bytes) -> bytes:
    """Return the ErrorResponse that the client gets: severity as sent, the rest ours."""
    fields = [field for field in error_body.split(b"\0") if field[:1] in (b"S", b"V")]
    fields.append(b"C" + refusal.sqlstate.encode())
    fields.append(b"M" + refusal.message.encode())
    if refusal.detail:
        fields.append(b"D" + refusal.detail.encode())
    if refusal.hint:
        fields.append(b"H" + refusal.hint.encode())
    return _message(b"E", b"\0".join(fields) + b"\0\0")
