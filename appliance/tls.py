"""TLS on both legs: the gateway's own certificate, contexts, and the channel binding hash."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from appliance.config import Config
from appliance.entities import SslMode, Target
from appliance.errors import Invalid
from appliance.selfsigned import ensure_certificate

ALPN = "postgresql"
_VERIFYING = (SslMode.VERIFY_CA, SslMode.VERIFY_FULL)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a server finds its certificate chain and key; ``ca`` is what clients may trust.

    ``ca`` is None for a configured certificate: its issuer is the operator's matter.
    """

    certificate: Path
    key: Path
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What one TLS handshake of the proxy needs: always used together.

    ``binding``: of the certificate in ``context``; None = -PLUS cannot be offered.
    ``expires_at``: the certificate's; a self-signed one is renewed 30 days before it: load again.
    """

    context: ssl.SSLContext
    binding: bytes | None
    expires_at: datetime


def certificate_files(config: Config, now: datetime) -> CertificateFiles:
    """Return the configured pair, or the self-signed one, made or renewed where needed.

    Raises:
        Invalid: ``GATEPOST_TLS_CERT`` or ``GATEPOST_TLS_KEY`` name no file.
        GatepostError: the data dir cannot be written.
    """
    if config.tls_cert is None or config.tls_key is None:
        made = ensure_certificate(config.data_dir / "tls", _names(config), now)
        return CertificateFiles(made.server, made.server, made.ca)
    for name, path in (
        ("GATEPOST_TLS_CERT", config.tls_cert),
        ("GATEPOST_TLS_KEY", config.tls_key),
    ):
        if not path.is_file():
            raise Invalid(name, f"expected a PEM file at {path}, found none")
    return CertificateFiles(config.tls_cert, config.tls_key)


def server_tls(config: Config, now: datetime) -> ServerTls:
    """Return the context that the proxy accepts TLS with: 1.2 or later, ALPN ``postgresql``.

    Raises:
        Invalid: the configured certificate and key cannot be used together.
        GatepostError: the data dir cannot be written.
    """
    files = certificate_files(config, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As PostgreSQL: no tickets, no renegotiation. ALPN is mandatory for direct TLS.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols([ALPN])
    try:
        pem = b""
        while pem != (pem := files.certificate.read_bytes()):  # again if it was renewed meanwhile
            context.load_cert_chain(files.certificate, files.key)
        leaf = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError) as error:
        raise Invalid(
            "GATEPOST_TLS_CERT",
            f"{files.certificate} and {files.key} cannot be used: {_short(error)}",
            "give the PEM chain, the server's certificate first, and its key without passphrase",
        ) from None
    der = leaf.public_bytes(serialization.Encoding.DER)
    return ServerTls(context, server_end_point(der), leaf.not_valid_after_utc)


def server_end_point(der: bytes) -> bytes | None:
    """Return the tls-server-end-point channel binding of a certificate (RFC 5929 section 4.1).

    The hash is that of the certificate's signature; MD5 and SHA-1 become SHA-256. None where the
    signature has no hash of its own (Ed25519): such a certificate cannot be bound to.
    """
    try:
        algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None  # a peer's certificate may be odd in any way
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name.replace("-", "_")
    return hashlib.new(name, der).digest()


def client_context(target: Target) -> ssl.SSLContext | None:
    """Return the context for connecting to a target by its sslmode; None = never TLS.

    As libpq: ``require`` with a root certificate verifies like ``verify-ca``. Without a root
    certificate the verifying modes trust the system's authorities.

    Raises:
        Invalid: the target's root certificate is no PEM.
    """
    if target.sslmode is SslMode.DISABLE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([ALPN])
    context.check_hostname = target.sslmode is SslMode.VERIFY_FULL
    if not is_verified(target):
        context.verify_mode = ssl.CERT_NONE
    elif target.sslrootcert:
        try:
            context.load_verify_locations(cadata=target.sslrootcert)
        except (ssl.SSLError, ValueError) as error:
            raise Invalid(
                f"targets.{target.name}.sslrootcert", f"expected a PEM: {_short(error)}"
            ) from None
    else:
        context.load_default_certs()
    return context


def is_verified(target: Target) -> bool:
    """Return whether TLS to the target proves whose server it is: what cleartext passwords need."""
    if target.sslmode is SslMode.REQUIRE:
        return bool(target.sslrootcert)
    return target.sslmode in _VERIFYING


def _names(config: Config) -> tuple[str, ...]:
    """Return the names under which clients reach the gateway, as far as the settings tell."""
    wildcard = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
    listens_on = () if config.proxy_listen.host in wildcard else (config.proxy_listen.host,)
    names = (config.proxy_host, *listens_on, "localhost", "127.0.0.1", "::1")
    return tuple(dict.fromkeys(names))


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error).replace("_", " ").lower()
