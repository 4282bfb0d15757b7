"""Connections to a target: TCP, TLS as its sslmode says, the login, and cancel requests."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from dataclasses import dataclass

import gevent
import structlog
from gevent import socket as gevent_socket

from appliance import tls
from appliance.entities import SslMode, Target
from appliance.errors import ProtocolError
from appliance.identity.scram import KeyCache
from proxy.endpoint import Endpoint, keep_alive
from proxy.upstream_auth import Derive, Ready, Rejected, UpstreamLogin, log_in
from proxy.wire import framing, initial

log = structlog.get_logger("proxy")

_CONNECT_S = 10.0
_LOGIN_S = 30.0
_CANCEL_S = 5.0
_NO_TLS = (SslMode.DISABLE,)
_TLS_OPTIONAL = (SslMode.ALLOW, SslMode.PREFER)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A session of the target, logged in. ``process_id`` and ``secret_key`` are the target's."""

    target: Target
    endpoint: Endpoint
    address: tuple[socket.AddressFamily, object]
    ready: Ready
    rest: bytes  # what came behind ReadyForQuery already

    @property
    def process_id(self) -> int:
        return self.ready.process_id

    @property
    def secret_key(self) -> bytes:
        return self.ready.secret_key


@dataclass(frozen=True, slots=True)
class Unreached:
    """The target could not be reached, or did not let the gateway in.

    ``rest`` is how PostgreSQL's own error is shown: detail and hint as the target gave them.
    """

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""


def connect(
    target: Target,
    parameters: dict[str, str],
    secret: str,
    keys: KeyCache,
    *,
    is_masked: bool = False,
) -> Upstream | Unreached:
    """Open a session on the target, waiting in the calling greenlet."""
    endpoint: Endpoint | None = None
    messages = framing.MessageBuffer(framing.upstream_rules(1 << 20))
    try:
        with gevent.Timeout(_CONNECT_S, TimeoutError()):
            sock, address = _dial(target)
            endpoint = Endpoint(sock)
            refused = _encrypt(endpoint, target)
            if refused is not None:
                endpoint.close()
                return refused
        login = UpstreamLogin(
            parameters=parameters,
            secret=secret,
            keys=keys,
            binding=_binding(endpoint),
            tls_verified=endpoint.is_tls and tls.is_verified(target),
            allow_md5=target.allow_md5,
            allow_cleartext=target.allow_cleartext,
            is_masked=is_masked,
        )
        with gevent.Timeout(_LOGIN_S, TimeoutError()):
            outcome = _log_in(endpoint, messages, login)
    except TimeoutError:
        if endpoint is not None:
            endpoint.close()
        return _unreached(target, "it did not answer in time")
    except (OSError, ssl.SSLError, ProtocolError) as error:
        if endpoint is not None:
            endpoint.close()
        return _unreached(target, _why(error))
    if isinstance(outcome, Ready):
        return Upstream(target, endpoint, address, outcome, messages.rest)
    endpoint.close()
    if outcome.from_target and outcome.sqlstate.startswith("28"):
        # In the target's words it would read as if the client's own login had failed.
        why = f"it does not let the gateway in as {parameters['user']}: {outcome.message}"
        return _unreached(target, why)
    if outcome.from_target:
        return Unreached(outcome.sqlstate, outcome.message, outcome.detail, outcome.hint)
    return Unreached(
        outcome.sqlstate,
        f"gatepost: target {target.name}: {outcome.message}",
        outcome.detail,
        outcome.hint,
    )


def send_cancel(upstream: Upstream) -> None:
    """Ask the target to cancel what the session runs; best effort, as PostgreSQL's is."""
    if not upstream.secret_key:
        return
    endpoint: Endpoint | None = None
    try:
        with gevent.Timeout(_CANCEL_S, TimeoutError()):
            family, address = upstream.address
            endpoint = Endpoint(_connected(family, address))
            if upstream.endpoint.is_tls and _encrypt(endpoint, upstream.target) is not None:
                return
            request = initial.CancelRequest(upstream.process_id, upstream.secret_key)
            endpoint.write(request.encode())
            while endpoint.read():  # the target closes once the signal is sent
                pass
    except (OSError, ssl.SSLError, TimeoutError) as error:
        log.info("a cancel did not reach the target", target=upstream.target.name, why=_why(error))
    finally:
        if endpoint is not None:
            endpoint.close()


def _dial(target: Target) -> tuple[socket.socket, tuple[socket.AddressFamily, object]]:
    """Connect to the first address of the target that answers. Raises OSError."""
    if target.host.startswith("/"):
        path = os.path.join(target.host, f".s.PGSQL.{target.port}")
        return _connected(socket.AF_UNIX, path), (socket.AF_UNIX, path)
    resolve = gevent.get_hub().threadpool.apply
    found = resolve(socket.getaddrinfo, (target.host, target.port, 0, socket.SOCK_STREAM))
    failure: OSError = OSError("the name has no address")
    for family, _, _, _, address in found:
        try:
            return _connected(family, address), (family, address)
        except OSError as error:
            failure = error
    raise failure


def _connected(family: socket.AddressFamily, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(address)  # type: ignore[arg-type]
        if code in (errno.EINPROGRESS, errno.EAGAIN):
            gevent_socket.wait_write(sock.fileno())
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        keep_alive(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _encrypt(endpoint: Endpoint, target: Target) -> Unreached | None:
    """Do TLS as the sslmode says. Raises OSError, ssl.SSLError."""
    if target.sslmode in _NO_TLS or target.host.startswith("/"):
        return None
    endpoint.write(initial.SSLRequest().encode())
    answer = endpoint.read(1)
    if answer == b"S":
        if endpoint.has_arrived():
            return _unreached(target, "it sent unencrypted data after the TLS request")
        context = tls.client_context(target)
        if context is None:
            raise AssertionError("asked for TLS where the sslmode wants none")
        endpoint.start_tls(context, server_hostname=target.host)
        return None
    if answer == b"N" and target.sslmode in _TLS_OPTIONAL:
        return None
    if answer == b"N":
        return _unreached(target, f"it offers no TLS, and its sslmode is {target.sslmode}")
    return _unreached(target, "it does not speak PostgreSQL's protocol")


def _log_in(
    endpoint: Endpoint, messages: framing.MessageBuffer, login: UpstreamLogin
) -> Ready | Rejected:
    steps = log_in(login)
    try:
        step = next(steps)
        while True:
            if isinstance(step, Derive):
                gevent.get_hub().threadpool.apply(step.run)
                step = steps.send(None)
                continue
            if step:
                endpoint.write(step)
            while (message := messages.next()) is None:
                data = endpoint.read()
                if not data:
                    raise OSError(errno.ECONNRESET, "it closed the connection during the login")
                messages.feed(data)
            step = steps.send(message)
    except StopIteration as done:
        outcome: Ready | Rejected = done.value
        return outcome


def _binding(endpoint: Endpoint) -> bytes | None:
    sock = endpoint.sock
    if not isinstance(sock, ssl.SSLSocket):
        return None
    der = sock.getpeercert(binary_form=True)
    return tls.server_end_point(der) if der else None


def _unreached(target: Target, why: str) -> Unreached:
    return Unreached(
        "08006",
        f"gatepost: target {target.name} cannot be reached: {why}",
        hint="Nothing is wrong with your login. Ask who runs the target, or an admin of Gatepost"
        f" to run: gatepost target check {target.name}",
    )


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not verify: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'handshake error'}"
    if isinstance(error, OSError):
        return (error.strerror or "the connection failed").lower()
    return "it does not speak PostgreSQL's protocol"
