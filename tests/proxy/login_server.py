"""A server that does nothing but log clients in, on blocking sockets: for real clients in tests."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from appliance.errors import ProtocolError
from appliance.tls import ServerTls
from proxy.client_auth import AuthFailed, AwaitOutside, scram_way
from proxy.startup import Answer, Cancel, StartTls, Startup, StartupReceived, StartupRefused
from proxy.wire import authentication, backend, codes, framing


@dataclass(slots=True)
class LoginServer:
    """``seen``: what each connection came to, in order."""

    verifiers: Sequence[str]
    tls: ServerTls | None
    port: int = 0
    seen: list[object] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(10)
            threading.Thread(target=self._guarded, args=(sock,), daemon=True).start()

    def _guarded(self, sock: socket.socket) -> None:
        with suppress(OSError, ProtocolError):
            self._client(sock)
        with suppress(OSError):
            sock.close()

    def _client(self, sock: socket.socket) -> None:
        startup = Startup(offers_tls=self.tls is not None)
        try:
            sock, received = self._start(sock, startup)
            if not isinstance(received, StartupReceived):
                self.seen.append(received)
                _say_goodbye(sock)
                return
            sock.sendall(received.negotiate)
            self._prove(sock, startup, received)
        except StartupRefused as refused:
            self.seen.append(refused)
            sock.sendall(refused.reply)
        except AuthFailed as failed:
            self.seen.append(failed)
            sock.sendall(backend.error_response("FATAL", failed.sqlstate, failed.message))
        sock.close()

    def _start(
        self, sock: socket.socket, startup: Startup
    ) -> tuple[socket.socket, Cancel | StartupReceived | None]:
        if startup.begins_with_tls(sock.recv(1, socket.MSG_PEEK)):
            sock = self._handshake(sock, startup)
        while data := sock.recv(4096):
            match startup.feed(data):
                case Answer(answer):
                    sock.sendall(answer)
                case StartTls(answer):
                    sock.sendall(answer)
                    sock = self._handshake(sock, startup)
                case Cancel() | StartupReceived() as event:
                    return sock, event
        return sock, None

    def _handshake(self, sock: socket.socket, startup: Startup) -> socket.socket:
        assert self.tls is not None
        wrapped = self.tls.context.wrap_socket(sock, server_side=True)
        startup.tls_started(wrapped.selected_alpn_protocol())
        return wrapped

    def _prove(self, sock: socket.socket, startup: Startup, received: StartupReceived) -> None:
        binding = self.tls.binding if self.tls is not None and startup.in_tls else None
        way = scram_way(received.parameters["user"], self.verifiers, binding)
        messages = framing.MessageBuffer(framing.login_rules())
        messages.feed(received.rest)
        answer: bytes | None = None
        try:
            while True:
                step = next(way) if answer is None else way.send(answer)
                assert not isinstance(step, AwaitOutside)
                sock.sendall(step)
                while (message := messages.next()) is None:
                    data = sock.recv(4096)
                    if not data:
                        return
                    messages.feed(data)
                answer = message[1]
        except StopIteration as stop:
            proved = stop.value
        self.seen.append((received, startup.in_tls, proved))
        ready = [
            proved.last,
            authentication.authentication_ok(),
            backend.ParameterStatus(b"server_version", b"18.0").encode(),
            backend.ParameterStatus(b"client_encoding", b"UTF8").encode(),
            backend.ParameterStatus(b"standard_conforming_strings", b"on").encode(),
            backend.BackendKeyData(4711, b"\1\2\3\4").encode(),
            backend.ReadyForQuery(codes.IDLE).encode(),
        ]
        sock.sendall(b"".join(ready))
        with suppress(OSError):
            while sock.recv(4096):
                pass
        _say_goodbye(sock)


def _say_goodbye(sock: socket.socket) -> None:
    """End TLS with close_notify, else libpq reports an unexpected end."""
    with suppress(OSError):
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()
    sock.close()


@contextmanager
def login_server(verifiers: Sequence[str], tls: ServerTls | None = None) -> Iterator[LoginServer]:
    """Serve logins on a free loopback port."""
    server = LoginServer(verifiers, tls)
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(15)
