"""The gateway's login to a target, as a client: a generator without sockets.

It yields bytes to send or work to do, is resumed with the target's messages, and returns
``Ready`` or ``Rejected``. The shell's loop:

    step = next(login)
    while True:
        bytes   -> send them (b"" = nothing), resume with (kind, body) of the next message
        Derive  -> call ``run()`` where blocking is allowed (PBKDF2), resume with None
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from appliance.errors import ProtocolError
from appliance.identity.scram import KeyCache, ScramClient, ScramFailed
from appliance.masking import errors
from proxy.wire import backend, codes
from proxy.wire.authentication import (
    Authentication,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
    parse_authentication,
    parse_backend_key_data,
)
from proxy.wire.initial import StartupMessage
from proxy.wire.notices import ErrorResponse, parse_error_response, parse_notice_response

_MAX_NOTICES = 100  # a server that goes on for ever must not fill memory


@dataclass(frozen=True, slots=True, repr=False)
class UpstreamLogin:
    """Who logs in to the target, and what the target may ask for.

    ``parameters``: the start-up parameters, ``user`` and ``database`` among them. ``binding``:
    ``tls.server_end_point`` of the target's certificate, None without TLS. ``tls_verified``: the
    certificate was checked (verify-ca, verify-full): only then may a cleartext password go out.
    ``is_masked``: what a login trigger says may hold values that the client must not see.
    """

    parameters: Mapping[str, str]
    secret: str
    keys: KeyCache
    binding: bytes | None = None
    tls_verified: bool = False
    allow_md5: bool = False
    allow_cleartext: bool = False
    is_masked: bool = False


@dataclass(frozen=True, slots=True)
class Derive:
    """PBKDF2 has to run: a few milliseconds of CPU, once per role and salt."""

    client: ScramClient

    def run(self) -> None:
        """Do the work; may run in another thread."""
        self.client.derive()


@dataclass(frozen=True, slots=True)
class Ready:
    """The target is ready for queries.

    ``parameters``: what ParameterStatus reported, the last value of each, in order. ``process_id``
    and ``secret_key`` are 0 and b"" where the target gave none (poolers). ``notices``: whole
    messages to pass to the client. ``status``: of ReadyForQuery.
    """

    parameters: dict[str, str]
    process_id: int
    secret_key: bytes
    notices: tuple[bytes, ...]
    status: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The login failed. ``from_target``: in the target's own words, else in Gatepost's."""

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    from_target: bool = False


UpstreamMessage = tuple[int, bytes]
LoginSteps = Generator[bytes | Derive, UpstreamMessage | None, Ready | Rejected]


def log_in(login: UpstreamLogin) -> LoginSteps:
    """Log in to a target that was just connected to, TLS done.

    Raises:
        ProtocolError: what answers does not speak the protocol.
    """
    try:
        rejected = yield from _authenticate(login)
    except ScramFailed as failed:
        return Rejected("08006", failed.message, failed.detail)
    if rejected is not None:
        return rejected
    return (yield from _settle(login.is_masked))


def _authenticate(
    login: UpstreamLogin,
) -> Generator[bytes | Derive, UpstreamMessage | None, Rejected | None]:
    """Return None at AuthenticationOk."""
    pairs = tuple((name.encode(), value.encode()) for name, value in login.parameters.items())
    reply = StartupMessage(codes.PROTOCOL_3_0, pairs).encode()
    while True:
        kind, body = _message((yield reply))
        reply = b""
        match kind:
            case codes.AUTHENTICATION:
                asked = parse_authentication(body)
            case codes.ERROR_RESPONSE:
                return rejection(parse_error_response(body))
            case codes.NOTICE_RESPONSE | codes.NEGOTIATE_PROTOCOL_VERSION:
                continue
            case _:
                raise _unexpected(kind)
        match asked.code:
            case codes.AUTH_OK:
                return None
            case codes.AUTH_SASL:
                return (yield from _scram(login, asked))
            case codes.AUTH_MD5_PASSWORD if login.allow_md5:
                reply = PasswordMessage(_md5(login, asked.salt)).encode()
            case codes.AUTH_CLEARTEXT_PASSWORD if login.allow_cleartext and login.tls_verified:
                reply = PasswordMessage(login.secret.encode()).encode()
            case _:
                return _not_allowed(asked.code)


def _scram(
    login: UpstreamLogin, asked: Authentication
) -> Generator[bytes | Derive, UpstreamMessage | None, Rejected | None]:
    """Run the exchange; AuthenticationOk counts only after the target's own proof."""
    client = ScramClient(login.secret, asked.mechanisms, login.keys, login.binding)
    reply = SASLInitialResponse(client.mechanism, client.first()).encode()
    answer = yield from _authentication(reply, codes.AUTH_SASL_CONTINUE)
    if isinstance(answer, Rejected):
        return answer
    client.challenge(answer)
    if client.needs_derivation:
        yield Derive(client)
    answer = yield from _authentication(
        SASLResponse(client.final()).encode(), codes.AUTH_SASL_FINAL
    )
    if isinstance(answer, Rejected):
        return answer
    client.verify(answer)
    answer = yield from _authentication(b"", codes.AUTH_OK)
    return answer if isinstance(answer, Rejected) else None


def _authentication(
    reply: bytes, expected: int
) -> Generator[bytes, UpstreamMessage | None, bytes | Rejected]:
    """Send ``reply``, return the data of the Authentication message that must follow."""
    while True:
        kind, body = _message((yield reply))
        reply = b""
        if kind == codes.ERROR_RESPONSE:
            return rejection(parse_error_response(body))
        if kind == codes.AUTHENTICATION:
            answer = parse_authentication(body)
            if answer.code == expected:
                return answer.data
        if kind != codes.NOTICE_RESPONSE:
            raise _unexpected(kind)


@dataclass(slots=True)
class _Collected:
    parameters: dict[str, str] = field(default_factory=dict)
    process_id: int = 0
    secret_key: bytes = b""
    notices: list[bytes] = field(default_factory=list)


def _settle(is_masked: bool) -> Generator[bytes, UpstreamMessage | None, Ready | Rejected]:
    """Collect what comes between AuthenticationOk and ReadyForQuery."""
    found = _Collected()
    while True:
        kind, body = _message((yield b""))
        match kind:
            case codes.PARAMETER_STATUS:
                status = backend.parse_parameter_status(body)
                found.parameters[_text(status.name)] = _text(status.value)
            case codes.BACKEND_KEY_DATA:
                key = parse_backend_key_data(body)
                found.process_id, found.secret_key = key.process_id, key.secret_key
            case codes.NOTICE_RESPONSE:
                if len(found.notices) < _MAX_NOTICES:
                    found.notices.append(parse_notice_response(body).encode())
            case codes.ERROR_RESPONSE:
                body = errors.scrub(bytes(body), is_error=True) if is_masked else body
                return rejection(parse_error_response(body))
            case codes.READY_FOR_QUERY:
                ready = backend.parse_ready_for_query(body)
                notices = tuple(found.notices)
                return Ready(
                    found.parameters, found.process_id, found.secret_key, notices, ready.status
                )
            case codes.NEGOTIATE_PROTOCOL_VERSION:
                continue
            case _:
                raise _unexpected(kind)


def rejection(error: ErrorResponse) -> Rejected:
    """Return a target's error with the fields that a client may see."""
    return Rejected(
        error.sqlstate or "08006", error.message, error.detail, error.hint, from_target=True
    )


def _not_allowed(code: int) -> Rejected:
    match code:
        case codes.AUTH_MD5_PASSWORD:
            return Rejected(
                "08006",
                "the target asks for an md5 password, which is off for it",
                hint="Give the upstream role a SCRAM password (password_encryption ="
                " scram-sha-256), or set allow_md5 on the target.",
            )
        case codes.AUTH_CLEARTEXT_PASSWORD:
            return Rejected(
                "08006",
                "the target asks for a cleartext password, which is off for it",
                hint="Use scram-sha-256 in the target's pg_hba.conf, or set allow_cleartext on the"
                " target together with sslmode verify-ca or verify-full.",
            )
        case _:
            return Rejected(
                "08006",
                f"the target asks for authentication method {code}, which Gatepost does not speak",
                hint="Use scram-sha-256 for the gateway's address in the target's pg_hba.conf.",
            )


def _md5(login: UpstreamLogin, salt: bytes) -> bytes:
    inner = _md5_hex(login.secret.encode() + login.parameters["user"].encode())
    return b"md5" + _md5_hex(inner + salt)


def _md5_hex(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()


def _message(received: UpstreamMessage | None) -> UpstreamMessage:
    if received is None:
        raise TypeError("expected the target's next message")
    return received


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _unexpected(kind: int) -> ProtocolError:
    return ProtocolError("upstream", f"unexpected message type {kind:#04x} during login")
