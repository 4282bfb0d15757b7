"""A client's first packets: TLS asked for, a cancel, or the start of a session. Pure.

Sources: PostgreSQL's ProcessStartupPacket and ProcessSSLStartup; CVE-2021-23214.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from appliance.errors import ProtocolError
from proxy.wire import codes, initial
from proxy.wire.authentication import NegotiateProtocolVersion
from proxy.wire.framing import Buffer
from proxy.wire.notices import error_response

ALPN = "postgresql"
_LENGTH = struct.Struct("!I")
_TLS_HANDSHAKE = 0x16  # the first byte of a ClientHello; as a length it would be far too long
_OPTION_PREFIX = "_pq_."


class StartupRefused(ProtocolError):
    """The first packets are not ones that a server takes. ``reply``: send it, then close."""

    def __init__(self, message: str, sqlstate: str = "08P01", detail: str = "") -> None:
        super().__init__("client", message)
        self.sqlstate = sqlstate
        self.reply = error_response("FATAL", sqlstate, f"gatepost: {message}", detail)


@dataclass(frozen=True, slots=True)
class Answer:
    """Send ``data`` in clear and go on feeding."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send ``answer``, do the TLS handshake, then call ``tls_started`` and feed what is decrypted.

    ``head``: bytes of the handshake that were already fed (direct TLS only); they belong to TLS.
    """

    answer: bytes
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Pass the cancel on and close without a word; under TLS with close_notify."""

    process_id: int
    secret_key: bytes


@dataclass(frozen=True, slots=True)
class StartupReceived:
    """The client asks for a session.

    ``version``: the one that is spoken from here on. ``parameters``: in the order sent, the last
    of a repeated name; ``user`` is among them, ``database`` too. ``pq_options``: protocol options
    asked for, none of which the gateway knows. ``negotiate``: bytes to send before the
    authentication request, b"" = none. ``rest``: what came behind the packet.
    """

    version: int
    parameters: dict[str, str]
    pq_options: tuple[str, ...]
    negotiate: bytes
    rest: bytes


Event = Answer | StartTls | Cancel | StartupReceived


class Startup:
    """Fed with what a client sends, says what to do next.

    ``offers_tls``: whether there is a certificate. After ``Cancel`` and ``StartupReceived`` it is
    done. A connection that ends before anything came was a health check: not worth a word.
    """

    def __init__(self, *, offers_tls: bool) -> None:
        self._offers_tls = offers_tls
        self._data = b""
        self._fed = False
        self._is_direct = False
        self._in_tls = False
        self._ssl_done = False
        self._gss_done = False

    @property
    def in_tls(self) -> bool:
        """Return whether TLS was started."""
        return self._in_tls

    def begins_with_tls(self, peeked: bytes) -> bool:
        """Return whether the connection begins with TLS, with no word before it (direct TLS).

        For a shell whose TLS reads the socket itself: give it bytes that were only peeked at, and
        if true do the handshake and call ``tls_started``. Otherwise ``feed`` finds out by itself.
        """
        if self._fed or not self._offers_tls or peeked[:1] != bytes((_TLS_HANDSHAKE,)):
            return False
        self._fed = self._is_direct = True
        return True

    def feed(self, data: Buffer) -> Event | None:
        """Take bytes as they came; return the next event, None = more bytes are needed.

        Raises:
            StartupRefused: with the reply that the client gets before it is shut out.
        """
        self._data += data
        if self._data and not self._fed:
            self._fed = True
            if self._data[0] == _TLS_HANDSHAKE and self._offers_tls:
                return self._begin_direct_tls()
        body = self._packet()
        if body is None:
            return None
        try:
            packet = initial.parse(body)
        except ProtocolError as error:
            raise StartupRefused(error.message) from None
        match packet:
            case initial.SSLRequest() if not self._ssl_done:
                return self._ssl_request()
            case initial.GSSENCRequest() if not self._gss_done:
                self._gss_done = True
                self._nothing_behind("GSSAPI encryption request")
                return Answer(b"N")
            case initial.CancelRequest():
                return Cancel(packet.process_id, packet.secret_key)
            case initial.StartupMessage():
                return self._session(packet)
        code = codes.SSL_REQUEST if isinstance(packet, initial.SSLRequest) else codes.GSSENC_REQUEST
        raise _unsupported(code)

    def tls_started(self, alpn: str | None) -> None:
        """Note that the handshake succeeded. ``alpn``: the protocol that both agreed on.

        Raises:
            StartupRefused: direct TLS without ALPN: another protocol's client (RFC 9325, ALPACA).
        """
        self._in_tls = True
        if alpn != ALPN and (self._is_direct or alpn is not None):
            raise StartupRefused(
                "received direct SSL connection request without ALPN protocol negotiation extension"
            )

    def _begin_direct_tls(self) -> StartTls:
        head, self._data = self._data, b""
        self._is_direct = True
        return StartTls(b"", head)

    def _packet(self) -> bytes | None:
        """Cut the next packet's body off the data. Lengths are judged before the body came."""
        if len(self._data) < _LENGTH.size:
            return None
        length: int = _LENGTH.unpack_from(self._data)[0]
        if not 4 <= length - _LENGTH.size <= codes.MAX_STARTUP_PACKET:
            raise StartupRefused(
                "invalid length of startup packet", detail="This port speaks PostgreSQL only."
            )
        if len(self._data) < length:
            return None
        body, self._data = self._data[_LENGTH.size : length], self._data[length:]
        return body

    def _ssl_request(self) -> Event:
        if self._in_tls or not self._offers_tls:
            self._ssl_done = True
            self._nothing_behind("SSL request")
            return Answer(b"N")
        self._ssl_done = self._gss_done = True
        self._nothing_behind("SSL request")
        return StartTls(b"S")

    def _nothing_behind(self, request: str) -> None:
        """Refuse bytes slipped in before encryption, which would be taken for encrypted ones."""
        if self._data:
            raise StartupRefused(
                f"received unencrypted data after {request}",
                detail="This could be either a client-software bug or evidence of an attempted"
                " man-in-the-middle attack.",
            )

    def _session(self, packet: initial.StartupMessage) -> StartupReceived:
        if packet.version >> 16 != codes.PROTOCOL_LATEST >> 16:
            raise _unsupported(packet.version)
        version = min(packet.version, codes.PROTOCOL_LATEST)
        parameters = {_name(name): _value(name, value) for name, value in packet.parameters}
        asked = tuple(name for name in parameters if name.startswith(_OPTION_PREFIX))
        for name in asked:
            del parameters[name]
        if not parameters.get("user"):
            raise StartupRefused("no PostgreSQL user name specified in startup packet", "28000")
        if not parameters.get("database"):
            parameters["database"] = parameters["user"]
        negotiate = b""
        if asked or packet.version > codes.PROTOCOL_LATEST:
            names = tuple(name.encode() for name in asked)
            negotiate = NegotiateProtocolVersion(version, names).encode()
        return StartupReceived(version, parameters, asked, negotiate, self._data)


def _name(name: bytes) -> str:
    try:
        return name.decode("ascii")
    except UnicodeDecodeError:
        raise StartupRefused("a startup parameter's name is not ASCII", "22021") from None


def _value(name: bytes, value: bytes) -> str:
    """Return a value as the text that is judged, recorded and passed on: one and the same."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if name == b"application_name":  # PostgreSQL, too, replaces what is not ASCII in it
            return value.decode("ascii", "replace")
    raise StartupRefused(
        f"the startup parameter {_name(name)} is not valid UTF-8",
        "22021",
        "Gatepost reads user, database and option values as UTF-8.",
    )


def _unsupported(code: int) -> StartupRefused:
    newest = codes.PROTOCOL_LATEST
    message = (
        f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}:"
        f" server supports {newest >> 16}.0 to {newest >> 16}.{newest & 0xFFFF}"
    )
    refused = StartupRefused(message, "0A000")
    if code >> 16 < 3:  # what such a client can read: a letter and a line
        refused.reply = b"EFATAL:  gatepost: " + message.encode() + b"\n\0"
    return refused
