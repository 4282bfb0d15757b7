"""One non-blocking socket of a session, plain or TLS, with readiness watchers of the event loop."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import socket as gevent_socket

from proxy.results import Buffer

READ, WRITE = 1, 2
EOF: Final = 0
WOULD_BLOCK: Final = -1


class Endpoint:
    """A socket that is read and written when the loop says so.

    During the login a greenlet waits for it (``read``, ``write``); afterwards callbacks do.
    """

    __slots__ = (
        "_callbacks",
        "_reader",
        "_sock",
        "_writer",
        "is_closed",
        "is_reading",
        "is_tls",
        "pending",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        self.pending = bytearray()  # what the socket did not take yet
        self.is_closed = False
        self.is_reading = False
        self._callbacks: tuple[Callable[[], None], Callable[[], None]] = (_nothing, _nothing)
        self._reader: Any = None
        self._writer: Any = None

    # -- used by callbacks ---------------------------------------------------------------------

    def fileno(self) -> int:
        return self._sock.fileno()

    def watch(self, on_readable: Callable[[], None], on_writable: Callable[[], None]) -> None:
        """Prepare the callbacks; ``start_reading`` arms the first one."""
        loop = gevent.get_hub().loop
        self._reader = loop.io(self._sock.fileno(), READ)
        self._writer = loop.io(self._sock.fileno(), WRITE)
        self._callbacks = (on_readable, on_writable)

    def start_reading(self) -> None:
        if not self.is_reading and not self.is_closed:
            self.is_reading = True
            self._reader.start(self._callbacks[0])

    def stop_reading(self) -> None:
        if self.is_reading:
            self.is_reading = False
            self._reader.stop()

    def recv_into(self, scratch: memoryview) -> int:
        """Receive; returns the number of bytes, EOF or WOULD_BLOCK. Raises OSError."""
        try:
            return self._sock.recv_into(scratch)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return WOULD_BLOCK
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return EOF

    @property
    def has_buffered(self) -> bool:
        """Return whether TLS holds decrypted bytes that no readiness will announce."""
        return self.is_tls and self._sock.pending() > 0  # type: ignore[attr-defined]

    def send(self, buffers: list[Buffer]) -> None:
        """Send; what the socket does not take now is copied to ``pending``. Raises OSError."""
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        if self.pending:
            self.pending += data
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        if sent < len(data):
            self.pending += memoryview(data)[sent:]
            self._writer.start(self._callbacks[1])

    def send_pending(self) -> bool:
        """Send what is left over; returns True once nothing is. Raises OSError."""
        while self.pending:
            try:
                sent = self._sock.send(self.pending)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            del self.pending[:sent]
        self._writer.stop()
        return True

    def close(self) -> None:
        """Close at once; TLS says so to its peer, else libpq reports an unexpected EOF."""
        if self.is_closed:
            return
        self.is_closed = True
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self.is_reading = False
        self._callbacks = (_nothing, _nothing)
        try:
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.unwrap()
        except (OSError, ValueError):
            pass  # the peer is gone, or has not answered the close: nothing is lost
        self._sock.close()

    # -- used by greenlets during the login ----------------------------------------------------

    @property
    def sock(self) -> socket.socket:
        return self._sock

    def read(self, size: int = 16384) -> bytes:
        """Wait for bytes; b"" at the end. Raises OSError; gevent.Timeout ends the wait."""
        while True:
            try:
                return self._sock.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                gevent_socket.wait_read(self._sock.fileno())
            except ssl.SSLWantWriteError:
                gevent_socket.wait_write(self._sock.fileno())
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def write(self, data: bytes) -> None:
        """Send all, waiting as needed. Raises OSError."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                gevent_socket.wait_write(self._sock.fileno())
            except ssl.SSLWantReadError:
                gevent_socket.wait_read(self._sock.fileno())

    def has_arrived(self) -> bool:
        """Return whether bytes have arrived that nobody has read (plain sockets only)."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def peek(self, size: int) -> bytes:
        """Wait for bytes and leave them where they are (plain sockets only); b"" at the end."""
        while True:
            try:
                return self._sock.recv(size, socket.MSG_PEEK)
            except BlockingIOError:
                gevent_socket.wait_read(self._sock.fileno())

    def start_tls(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        """Do the TLS handshake, waiting as needed; server side unless a host name is given.

        Raises ssl.SSLError, OSError.
        """
        is_server = server_hostname is None
        sock = context.wrap_socket(
            self._sock,
            server_side=is_server,
            server_hostname=server_hostname or None,
            do_handshake_on_connect=False,
        )
        self._sock = sock
        while True:
            try:
                sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                gevent_socket.wait_read(sock.fileno())
            except ssl.SSLWantWriteError:
                gevent_socket.wait_write(sock.fileno())
        self.is_tls = True


def _nothing() -> None:
    """Stand in for a callback that must not come any more."""


def keep_alive(sock: socket.socket) -> None:
    """Send small packets at once, and notice a peer that is gone within about two minutes."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        option = getattr(socket, name, None)  # macOS lacks some of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
