"""SCRAM-SHA-256(-PLUS) as PostgreSQL speaks it: verifiers, and both sides of the exchange.

Written on hashlib rather than on scramp: scramp 1.5 refuses the empty user name that libpq
sends (``n=``) and fewer than 4,096 iterations, and derives the key anew at every login. The tests
run both sides against scramp, libpq and a PostgreSQL server.
Sources: RFC 5802, RFC 7677, RFC 5929; PostgreSQL's auth-scram.c and fe-auth-scram.c.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

from appliance.errors import GatepostError, Invalid
from appliance.identity.saslprep import prepare

MECHANISM = "SCRAM-SHA-256"
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"
DEFAULT_ITERATIONS = 4096

_SALT_BYTES = 16
_KEY_BYTES = 32
_NONCE_BYTES = 18
_MAX_ITERATIONS = 10_000_000  # a hostile server must not keep a thread busy for hours
_CACHE_ENTRIES = 1024
_BINDING = b"p=tls-server-end-point,,"


class ScramFailed(GatepostError):
    """The exchange failed. ``sqlstate`` and ``detail`` are PostgreSQL's own for this failure."""

    def __init__(self, message: str, sqlstate: str = "08P01", detail: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server keeps of a password: enough to check a proof, not to make one."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __str__(self) -> str:
        return (
            f"{MECHANISM}${self.iterations}:{_b64(self.salt)}"
            f"${_b64(self.stored_key)}:{_b64(self.server_key)}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class ScramKeys:
    """What PBKDF2 yields from a password: as secret as the password itself."""

    client_key: bytes
    server_key: bytes


KeyCache = MutableMapping[tuple[bytes, bytes, int], ScramKeys]


def make_verifier(
    password: str, salt: bytes | None = None, iterations: int = DEFAULT_ITERATIONS
) -> str:
    """Return PostgreSQL's stored form of ``password`` (costs one PBKDF2: about 2 ms).

    Raises:
        Invalid: the password is empty or holds a NUL, which no client can send.
    """
    if not password or "\0" in password:
        raise Invalid("password", "expected at least one character and no NUL")
    if salt is None:
        salt = secrets.token_bytes(_SALT_BYTES)
    keys = _derive(prepare(password), salt, iterations)
    stored_key = hashlib.sha256(keys.client_key).digest()
    return str(Verifier(iterations, salt, stored_key, keys.server_key))


def mock_salt(secret: bytes, name: str) -> bytes:
    """Return the salt that ``name`` has while it has no credential: always the same one.

    A credential made with this salt shows a prober no change when it comes or goes.
    """
    return _mac(secret, b"gatepost mock salt\0" + _name_bytes(name))[:_SALT_BYTES]


def mock_verifier(secret: bytes, name: str) -> str:
    """Return a verifier that no password matches, with the same salt whenever ``name`` asks."""
    stored_key = _mac(secret, b"gatepost mock key\0" + _name_bytes(name))
    return str(Verifier(DEFAULT_ITERATIONS, mock_salt(secret, name), stored_key, stored_key))


def parse_verifier(text: str) -> Verifier:
    """Read PostgreSQL's stored form.

    Raises:
        Invalid: it is not of the form ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey``.
    """
    try:
        mechanism, parameters, keys = text.split("$")
        iterations_text, salt_text = parameters.split(":")
        stored_key, server_key = map(_unb64, keys.split(":"))
        iterations, salt = int(iterations_text), _unb64(salt_text)
    except ValueError:
        mechanism, iterations, salt, stored_key, server_key = "", 0, b"", b"", b""
    keys_fit = len(stored_key) == _KEY_BYTES == len(server_key)
    if mechanism != MECHANISM or iterations < 1 or not salt or not keys_fit:
        raise Invalid("verifier", "expected SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")
    return Verifier(iterations, salt, stored_key, server_key)


class ScramServer:
    """The gateway's side towards a client: one exchange checked against several verifiers.

    A server names one salt and iteration count, so the verifiers of one identity share them;
    ``uncheckable`` lists the indexes of those that do not share the first one's.
    ``binding``: the tls-server-end-point hash of the own certificate, None without TLS.
    Every verifier is always tried: the time says nothing about which of them matched.
    """

    def __init__(
        self, verifiers: Sequence[str], binding: bytes | None = None, nonce: str | None = None
    ) -> None:
        if not verifiers:
            raise ValueError("expected at least one verifier; use mock_verifier for nobody")
        self._verifiers = [parse_verifier(text) for text in verifiers]
        self._salt = self._verifiers[0].salt
        self._iterations = self._verifiers[0].iterations
        self.uncheckable = tuple(
            index
            for index, found in enumerate(self._verifiers)
            if (found.salt, found.iterations) != (self._salt, self._iterations)
        )
        self._binding = binding
        self._server_nonce = nonce or _b64(secrets.token_bytes(_NONCE_BYTES))
        self._nonce = b""
        self._gs2 = b""
        self._with_binding = False
        self._transcript = b""

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Return what AuthenticationSASL offers."""
        return (MECHANISM,) if self._binding is None else (MECHANISM_PLUS, MECHANISM)

    def first(self, mechanism: str, data: bytes) -> bytes:
        """Take client-first, return server-first.

        Raises:
            ScramFailed: the message is malformed, or somebody took the channel binding out.
        """
        if mechanism not in self.mechanisms:
            raise ScramFailed("client selected an invalid SASL authentication mechanism")
        self._with_binding = mechanism == MECHANISM_PLUS
        parts = data.split(b",", 2)
        if len(parts) != 3:
            raise _malformed("Expected a GS2 header and a client-first message.")
        flag, authzid, bare = parts
        self._check_flag(flag)
        if authzid:
            raise ScramFailed(
                "client uses authorization identity, but it is not supported", "0A000"
            )
        if bare.startswith(b"m="):
            raise ScramFailed("client requires an unsupported SCRAM extension", "0A000")
        client_nonce = _nonce_of(bare)
        self._gs2 = flag + b",,"
        self._nonce = client_nonce + self._server_nonce.encode()
        reply = b"r=%b,s=%b,i=%d" % (self._nonce, _b64(self._salt).encode(), self._iterations)
        self._transcript = bare + b"," + reply
        return reply

    def _check_flag(self, flag: bytes) -> None:
        """Judge the GS2 channel binding flag together with the mechanism that was chosen."""
        if flag == b"p=tls-server-end-point":
            if not self._with_binding:
                raise _malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM"
                    " message includes channel binding data."
                )
        elif flag.startswith(b"p="):
            raise ScramFailed("unsupported SCRAM channel-binding type")
        elif flag not in (b"n", b"y"):
            raise _malformed("Unexpected channel-binding flag.")
        elif self._with_binding:
            raise _malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include"
                " channel binding data."
            )
        elif flag == b"y" and self._binding is not None:
            # The client saw no -PLUS in the offer although it was there: a man in the middle.
            raise ScramFailed(
                "SCRAM channel binding negotiation error",
                "28000",
                "The client supports SCRAM channel binding but thinks the server does not. "
                " However, this server does support channel binding.",
            )

    def final(self, data: bytes) -> tuple[bytes, int]:
        """Take client-final, return server-final and the index of the verifier that matched.

        Raises:
            ScramFailed: malformed (08P01), another channel (28000), no verifier matched (28P01).
        """
        without_proof, mark, proof_text = data.rpartition(b",p=")
        fields = without_proof.split(b",")
        if not mark or len(fields) < 2 or fields[0][:2] != b"c=" or fields[1][:2] != b"r=":
            raise _malformed("Expected channel binding, nonce and proof.")
        binding = (self._binding or b"") if self._with_binding else b""
        expected = base64.b64encode(self._gs2 + binding)
        if not hmac.compare_digest(fields[0][2:], expected):
            raise ScramFailed("SCRAM channel binding check failed", "28000")
        if not hmac.compare_digest(fields[1][2:], self._nonce):
            raise ScramFailed("invalid SCRAM response", "08P01", "Nonce does not match.")
        try:
            proof = _unb64(proof_text.decode("ascii"))
        except ValueError:
            proof = b""
        if len(proof) != _KEY_BYTES:
            raise _malformed("Malformed proof in client-final-message.")
        return self._judge(self._transcript + b"," + without_proof, proof)

    def _judge(self, transcript: bytes, proof: bytes) -> tuple[bytes, int]:
        matching = -1
        for index, verifier in enumerate(self._verifiers):
            client_key = _xor(proof, _mac(verifier.stored_key, transcript))
            found = hashlib.sha256(client_key).digest()
            if hmac.compare_digest(found, verifier.stored_key) and matching < 0:
                matching = index
        # A signature is made also when nothing matched: the same work for either answer.
        signature = _mac(self._verifiers[matching].server_key, transcript)
        if matching < 0:
            raise ScramFailed("password authentication failed", "28P01")
        return b"v=" + base64.b64encode(signature), matching


class ScramClient:
    """The gateway's side towards a target, with the secret of an upstream role.

    ``offered``: the mechanisms of AuthenticationSASL. ``binding``: the tls-server-end-point hash
    of the target's certificate; None without TLS.
    ``cache`` keeps what PBKDF2 gave, so that only the first login to a target pays for it: ask
    ``needs_derivation`` after ``challenge``, and if so call ``derive`` where blocking is allowed.
    """

    def __init__(
        self,
        secret: str,
        offered: Sequence[str],
        cache: KeyCache,
        binding: bytes | None = None,
        *,
        nonce: str | None = None,
    ) -> None:
        if MECHANISM_PLUS in offered and binding is not None:
            self.mechanism = MECHANISM_PLUS
            self._gs2, self._binding = _BINDING, binding
        elif MECHANISM in offered:
            # "y": could bind, but the server does not offer it; a server that did will refuse.
            self.mechanism = MECHANISM
            self._gs2, self._binding = (b"n,," if binding is None else b"y,,"), b""
        else:
            raise ScramFailed("the target offers none of the SASL mechanisms that Gatepost knows")
        self._secret = prepare(secret)
        self._cache = cache
        self._bare = b"n=,r=" + (nonce or _b64(secrets.token_bytes(_NONCE_BYTES))).encode()
        self._server_first = b""
        self._nonce = b""
        self._salt = b""
        self._iterations = 0
        self._signature = b""

    def first(self) -> bytes:
        """Return client-first."""
        return self._gs2 + self._bare

    def challenge(self, data: bytes) -> None:
        """Take server-first.

        Raises:
            ScramFailed: it is malformed, or answers somebody else's nonce.
        """
        fields = data.split(b",")
        if [field[:2] for field in fields[:3]] != [b"r=", b"s=", b"i="]:
            raise ScramFailed("the target sent a malformed SCRAM message")
        nonce, salt, iterations = (field[2:] for field in fields[:3])
        own = self._bare[5:]
        if not nonce.startswith(own) or len(nonce) <= len(own):
            raise ScramFailed("the target's SCRAM nonce does not extend Gatepost's")
        try:
            self._salt = _unb64(salt.decode("ascii"))
        except ValueError:
            raise ScramFailed("the target sent a malformed SCRAM salt") from None
        if not iterations.isdigit() or not 1 <= int(iterations[:12]) <= _MAX_ITERATIONS:
            raise ScramFailed(f"the target's SCRAM iterations are not in 1..{_MAX_ITERATIONS}")
        self._server_first, self._nonce, self._iterations = data, nonce, int(iterations)

    @property
    def needs_derivation(self) -> bool:
        """Return whether PBKDF2 (2 ms at 4,096 iterations) has to run for this challenge."""
        return self._cache_key not in self._cache

    def derive(self) -> None:
        """Run PBKDF2 and keep its result; may run in another thread."""
        if len(self._cache) >= _CACHE_ENTRIES:
            self._cache.clear()
        self._cache[self._cache_key] = _derive(self._secret, self._salt, self._iterations)

    @property
    def _cache_key(self) -> tuple[bytes, bytes, int]:
        return hashlib.sha256(self._secret).digest(), self._salt, self._iterations

    def final(self) -> bytes:
        """Return client-final."""
        keys = self._cache.get(self._cache_key)
        if keys is None:
            keys = _derive(self._secret, self._salt, self._iterations)
        without_proof = b"c=%b,r=%b" % (base64.b64encode(self._gs2 + self._binding), self._nonce)
        transcript = self._bare + b"," + self._server_first + b"," + without_proof
        stored_key = hashlib.sha256(keys.client_key).digest()
        proof = _xor(keys.client_key, _mac(stored_key, transcript))
        self._signature = _mac(keys.server_key, transcript)
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, data: bytes) -> None:
        """Take server-final: the target must prove that it knows the verifier.

        Raises:
            ScramFailed: it does not, or it reports an error.
        """
        head, _, _ = data.partition(b",")
        expected = b"v=" + base64.b64encode(self._signature)
        if not self._signature or not hmac.compare_digest(head, expected):
            raise ScramFailed("the target could not prove that it knows the upstream role's secret")


def _nonce_of(bare: bytes) -> bytes:
    """Return the client's nonce; its user name is ignored: the start-up packet has it."""
    fields = bare.split(b",")
    if len(fields) < 2 or fields[0][:2] != b"n=" or fields[1][:2] != b"r=":
        raise _malformed('Expected attributes "n" and "r".')
    nonce = fields[1][2:]
    if not nonce or any(not 0x21 <= byte <= 0x7E for byte in nonce):
        raise ScramFailed("non-printable characters in SCRAM nonce")
    return nonce


def _malformed(detail: str) -> ScramFailed:
    return ScramFailed("malformed SCRAM message", "08P01", detail)


def _derive(password: bytes, salt: bytes, iterations: int) -> ScramKeys:
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    return ScramKeys(_mac(salted, b"Client Key"), _mac(salted, b"Server Key"))


def _name_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
