"""A relay between a client and a server that keeps every byte the client was sent."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

_CHUNK = 1 << 16


class Relay:
    """Listens on a port of its own and leads each connection to ``port``. Context manager.

    ``received``: what clients were sent since the last ``rewind``, of all connections, each
    connection's bytes together. A byte is kept before it is passed on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tapes: list[bytearray] = []
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._ended = False

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def received(self) -> bytes:
        return b"".join(bytes(tape) for tape in self._tapes)

    def rewind(self) -> None:
        """Forget what came so far; connections that are open stay open."""
        self._tapes = []
        for near, far in self._pairs:
            near.close()
            far.close()
        self._pairs = []

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.rewind()

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._behind)
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tape = bytearray()
            self._tapes.append(tape)
            self._pairs.append((near, far))
            threading.Thread(target=_pump, args=(far, near, tape), daemon=True).start()
            threading.Thread(target=_pump, args=(near, far, None), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, tape: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            if tape is not None:
                tape += chunk
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
