"""The ways in which a client proves who it is, each a generator without sockets.

A way yields what to do next and is resumed with the answer; it returns ``Proved`` or raises
``AuthFailed``. The shell's loop is the same for all of them:

    step = next(way)
    while True:
        bytes          -> send them, receive one message, resume with the body of its 'p'
        AwaitOutside   -> send its data, wait for its event (a browser's sign-in, minutes later),
                          resume with what that brought
    Proved             -> send ``last``, then AuthenticationOk unless ``ok_sent``

Anything but 'p' while a way waits for one is a protocol error (``framing.login_rules``).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from appliance.errors import GatepostError
from appliance.identity.scram import ScramFailed, ScramServer
from proxy.wire.authentication import (
    authentication_sasl,
    authentication_sasl_continue,
    authentication_sasl_final,
    parse_sasl_initial_response,
)


@dataclass(frozen=True, slots=True)
class AwaitOutside:
    """Send ``data``, then wait for something that does not come over this connection.

    ``event`` names it to the shell. The way has sent AuthenticationOk and a notice by itself:
    libpq takes nothing but authentication messages before it.
    """

    data: bytes
    event: str


@dataclass(frozen=True, slots=True)
class Proved:
    """The client is who it says. ``credential_index``: which of the credentials given proved it.

    ``last``: bytes that close the exchange, sent before AuthenticationOk.
    """

    credential_index: int
    last: bytes = b""
    ok_sent: bool = False


class AuthFailed(GatepostError):
    """The proof failed. ``message`` is for the client, ``reason`` for the record only."""

    def __init__(
        self, message: str, reason: str, sqlstate: str = "28P01", detail: str = ""
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.detail = detail
        self.reason = reason


LoginWay = Generator[bytes | AwaitOutside, bytes, Proved]


def scram_way(user: str, verifiers: Sequence[str], binding: bytes | None) -> LoginWay:
    """Ask for SCRAM-SHA-256, under TLS with the choice of -PLUS.

    ``verifiers``: of the live credentials in order, or the one of ``mock_verifier``: it takes the
    same path and time, and nobody passes. ``binding``: ``tls.server_end_point`` of the own
    certificate, None on a plaintext connection or where the certificate has no such hash.
    """
    server = ScramServer(verifiers, binding)
    try:
        answer = yield authentication_sasl(server.mechanisms)
        initial = parse_sasl_initial_response(answer)
        first = initial.data
        if first is None:  # the client wants to be asked once more
            _check_offered(server, initial.mechanism)
            first = yield authentication_sasl_continue(b"")
        answer = yield authentication_sasl_continue(server.first(initial.mechanism, first))
        last, index = server.final(answer)
    except ScramFailed as failed:
        raise _refused(user, failed) from None
    return Proved(index, authentication_sasl_final(last))


def _check_offered(server: ScramServer, mechanism: str) -> None:
    if mechanism not in server.mechanisms:
        raise ScramFailed("client selected an invalid SASL authentication mechanism")


def _refused(user: str, failed: ScramFailed) -> AuthFailed:
    if failed.sqlstate == "28P01":
        return password_failed(user, "the proof matches no live credential")
    return AuthFailed(f"gatepost: {failed.message}", failed.message, failed.sqlstate, failed.detail)


def password_failed(user: str, reason: str) -> AuthFailed:
    """Return the one answer to wrong, expired, revoked and unknown credentials."""
    return AuthFailed(f'gatepost: password authentication failed for user "{user}"', reason)
