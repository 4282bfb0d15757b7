"""Bind the appliance's listening sockets once, so that its processes can share them."""

from __future__ import annotations

import errno
import socket
import time

from appliance.config import Listen
from appliance.errors import Unreachable

Listener = socket.socket
_BACKLOG = 1024
_RETRY_S = 0.2


def bind(setting: str, listen: Listen, patience_s: float = 0.0) -> Listener:
    """Return a listening socket; port 0 takes a free one.

    ``patience_s``: how long to wait for a port that is still taken, as it is for the moment in
    which the processes of a killed appliance drain. ``setting`` is named in the error.

    Raises: Unreachable.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _bind(setting, listen)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(_RETRY_S)
                continue
            raise _explain(setting, listen, error) from None


def port_of(listener: Listener) -> int:
    """Return the port that a listener got."""
    port: int = listener.getsockname()[1]
    return port


def _bind(setting: str, listen: Listen) -> Listener:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise Unreachable(
            f"cannot listen on {listen}: {error.strerror}", f"set {setting} to HOST:PORT"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(setting: str, listen: Listen, error: OSError) -> Unreachable:
    match error.errno:
        case errno.EADDRINUSE:
            return Unreachable(
                f"port {listen.port} is already taken",
                f"end what listens there, or set {setting} to another HOST:PORT",
            )
        case errno.EACCES:
            return Unreachable(
                f"this account may not listen on port {listen.port}",
                f"ports below 1024 are root's: set {setting} to a higher one",
            )
        case _:
            return Unreachable(
                f"cannot listen on {listen}: {error.strerror}",
                f"set {setting} to an address of this machine",
            )
