"""Run the upstream login over a blocking socket, or against a transcript, in tests."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from proxy.upstream_auth import Derive, Ready, Rejected, UpstreamLogin, log_in
from proxy.wire import framing, initial


def over_socket(sock: socket.socket, login: UpstreamLogin) -> tuple[Ready | Rejected, int]:
    """Return the outcome, and how often a key had to be derived."""
    steps = log_in(login)
    messages = framing.MessageBuffer(framing.upstream_rules())
    derived = 0
    try:
        step = next(steps)
        while True:
            if isinstance(step, Derive):
                step.run()
                derived += 1
                step = steps.send(None)
                continue
            sock.sendall(step)
            while (message := messages.next()) is None:
                data = sock.recv(65536)
                if not data:
                    raise EOFError("the target closed the connection")
                messages.feed(data)
            step = steps.send(message)
    except StopIteration as stop:
        outcome: Ready | Rejected = stop.value
        return outcome, derived


def over_transcript(
    login: UpstreamLogin, answers: Sequence[bytes]
) -> tuple[Ready | Rejected | None, list[bytes]]:
    """Answer with whole messages; return the outcome (None = it wants more) and what was sent."""
    steps = log_in(login)
    sent: list[bytes] = []
    try:
        step = next(steps)
        for answer in answers:
            while isinstance(step, Derive):
                step.run()
                step = steps.send(None)
            sent.append(step)
            step = steps.send((answer[0], answer[5:]))
    except StopIteration as stop:
        return stop.value, sent
    if not isinstance(step, Derive):
        sent.append(step)
    return None, sent


def connected(
    port: int, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> socket.socket:
    """Connect to a server on loopback, over TLS where a context is given."""
    sock = socket.create_connection((host, port), timeout=10)
    if context is None:
        return sock
    sock.sendall(initial.SSLRequest().encode())
    assert sock.recv(1) == b"S"
    return context.wrap_socket(sock, server_hostname=host)
