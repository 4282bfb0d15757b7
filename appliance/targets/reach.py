"""The first steps to a target, one socket: its name, its port, its TLS. Each bounded in time."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass

from appliance import tls
from appliance.entities import SslMode, Target
from appliance.errors import Invalid
from appliance.targets.steps import Step, StepFailed

CONNECT_S = 3.0
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_OPTIONAL = (SslMode.ALLOW, SslMode.PREFER)
_TLS = "TLS"
_PORT = "port answers"
_NAME = "name resolves"


@dataclass(frozen=True, slots=True)
class Reached:
    """An address of the target that answers; ``uses_tls``: as its sslmode and its answer say."""

    address: str
    uses_tls: bool


def reach(target: Target, steps: list[Step]) -> Reached:
    """Resolve, connect, and try TLS as the sslmode says; add to ``steps`` what went well.

    Raises: ``StepFailed``.
    """
    if target.host.startswith("/"):
        steps.append(Step(_NAME, True, f"a Unix socket in {target.host}"))
        return Reached("", False)
    addresses = _resolve(target)
    steps.append(Step(_NAME, True, ", ".join(addresses)))
    sock, address = _connect(target, addresses)
    with sock:
        is_offered = _asks_for_tls(target, sock)
        steps.append(Step(_PORT, True, f"{address} port {target.port}"))
        steps.append(_tls(target, sock, is_offered))
    return Reached(address, is_offered)


def _resolve(target: Target) -> list[str]:
    """Return the target's addresses; getaddrinfo knows no time-out, so a thread waits for it."""
    found: list[str] = []
    problem: list[str] = []

    def look() -> None:
        try:
            answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            problem.append(reason or "it is not a name that DNS can have")

    thread = threading.Thread(target=look, name="resolve", daemon=True)
    thread.start()
    thread.join(CONNECT_S)
    if found:
        return found
    why = problem[0] if problem else f"no answer from DNS within {CONNECT_S:.0f} s"
    raise StepFailed(
        _NAME,
        f"{target.host} does not resolve: {why}",
        "Is the host spelt right, and does this machine use the DNS that knows it?",
    )


def _connect(target: Target, addresses: list[str]) -> tuple[socket.socket, str]:
    failed: OSError | None = None
    for address in addresses[:4]:
        try:
            return socket.create_connection((address, target.port), timeout=CONNECT_S), address
        except OSError as error:
            failed = error
    where = f"Port {target.port} on {target.host}"
    if isinstance(failed, TimeoutError):
        raise StepFailed(
            _PORT,
            f"{where} did not answer within {CONNECT_S:.0f} s",
            "Is the host right, and may this machine reach it (firewall, security group, VPN)?",
        )
    if isinstance(failed, ConnectionRefusedError):
        raise StepFailed(
            _PORT,
            f"{where} refused the connection",
            "Is PostgreSQL running there, on this port, with listen_addresses that include it?",
        )
    why = (failed.strerror or "no route") if failed else "no address"
    raise StepFailed(_PORT, f"{where} cannot be reached: {why}", "Check host, port and network.")


def _asks_for_tls(target: Target, sock: socket.socket) -> bool:
    """Return whether the server offers TLS; False also where none is wanted."""
    if target.sslmode is SslMode.DISABLE:
        return False
    sock.settimeout(CONNECT_S)
    try:
        sock.sendall(_SSL_REQUEST)
        answer = sock.recv(1)
    except OSError:
        answer = b""
    if answer in (b"S", b"N"):
        return answer == b"S"
    raise StepFailed(
        _PORT,
        f"port {target.port} on {target.host} does not speak PostgreSQL's protocol",
        "Is this the port of PostgreSQL itself, and not of something in front of it?",
    )


def _tls(target: Target, sock: socket.socket, is_offered: bool) -> Step:
    if is_offered:
        return Step(_TLS, True, _handshake(target, sock))
    if target.sslmode is SslMode.DISABLE:
        return Step(_TLS, True, "not used (sslmode disable)")
    return _no_tls(target)


def _no_tls(target: Target) -> Step:
    if target.sslmode in _OPTIONAL:
        return Step(
            _TLS,
            True,
            f"not offered: the connection is in clear (sslmode {target.sslmode})",
            "Turn on ssl at the server, then set sslmode verify-full.",
        )
    raise StepFailed(
        _TLS,
        f"the server offers no TLS, and sslmode is {target.sslmode}",
        "Turn on ssl at the server, or, on a network that you trust, set sslmode prefer.",
    )


def _handshake(target: Target, sock: socket.socket) -> str:
    """Return what was agreed on. Raises: ``StepFailed``."""
    try:
        context = tls.client_context(target)
        if context is None:
            raise AssertionError("sslmode disable never gets here")
        with context.wrap_socket(sock, server_hostname=target.host) as secured:
            version = secured.version()
    except Invalid as error:
        raise StepFailed(
            _TLS, f"the root certificate cannot be read: {error.message}", "Paste it as PEM."
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise StepFailed(
            _TLS, f"the server's certificate does not verify: {error.verify_message}", _mend(error)
        ) from None
    except (ssl.SSLError, OSError) as error:
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise StepFailed(
            _TLS,
            f"the TLS handshake failed: {why or 'no answer'}",
            "The server's log says more; it needs TLS 1.2 or later.",
        ) from None
    verified = "verified" if tls.is_verified(target) else "the certificate is not verified"
    return f"{version}, {verified}"


def _mend(error: ssl.SSLCertVerificationError) -> str:
    """Say how to mend what OpenSSL found (X509_V_ERR_*)."""
    match error.verify_code:
        case 10:
            return "The certificate has expired: renew it at the server."
        case 9:
            return "The certificate is not valid yet: check the clocks of both machines."
        case 18 | 19 | 20 | 21:
            return "Paste the certificate of the authority that signed it as the root certificate."
        case 62 | 64:
            return "Use the host name that the certificate is for, or sslmode verify-ca."
    return "Check the server's certificate, or paste its authority's as the root certificate."
