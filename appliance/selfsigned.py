"""A certificate authority and server certificate of one's own, kept in the data dir.

Each PEM holds its key and certificate together and is replaced in one rename: no reader ever sees
a key without its certificate, however many processes start at once.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import GatepostError

_CA_LIFE = timedelta(days=3650)
_SERVER_LIFE = timedelta(days=397)  # longer ones are refused by some clients
_RENEW_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(days=1)  # clients' clocks differ


@dataclass(frozen=True, slots=True)
class MadeFiles:
    """``server``: key and chain, 0600. ``ca``: the authority's certificate alone, to hand out."""

    server: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class _Pair:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return key + self.public_pem

    @property
    def public_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def ensure_certificate(directory: Path, names: tuple[str, ...], now: datetime) -> MadeFiles:
    """Make what is missing, renew what ends within 30 days or lacks one of ``names``.

    Raises:
        GatepostError: the directory cannot be written.
    """
    files = MadeFiles(directory / "server.pem", directory / "ca.crt")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory / "lock"):
            authority = _load(directory / "ca.pem")
            if authority is None or _ends_soon(authority, now, _SERVER_LIFE + _RENEW_BEFORE):
                authority = _make_authority(now)
                _replace(directory / "ca.pem", authority.pem, 0o600)
            if not files.ca.exists() or files.ca.read_bytes() != authority.public_pem:
                _replace(files.ca, authority.public_pem, 0o644)
            server = _load(files.server)
            if server is None or not _serves(server, authority, names, now):
                server = _make_server(authority, names, now)
                _replace(files.server, server.pem + authority.public_pem, 0o600)
    except OSError as error:
        raise GatepostError(
            f"cannot keep a TLS certificate in {directory}: {error.strerror}",
            "make the data dir writable, or set GATEPOST_TLS_CERT and GATEPOST_TLS_KEY",
        ) from None
    return files


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _load(path: Path) -> _Pair | None:
    """Return the pair of a file; None = there is none, or it is damaged: a new one is made."""
    try:
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (FileNotFoundError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    fits = key.public_key() == certificate.public_key()
    return _Pair(key, certificate) if fits else None


def _ends_soon(pair: _Pair, now: datetime, before: timedelta) -> bool:
    return pair.certificate.not_valid_after_utc - before <= now


def _serves(server: _Pair, authority: _Pair, names: tuple[str, ...], now: datetime) -> bool:
    if _ends_soon(server, now, _RENEW_BEFORE):
        return False
    try:
        server.certificate.verify_directly_issued_by(authority.certificate)
        names_of = server.certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(_alternative_names(names)) <= set(names_of.value)


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The random part tells apart the authorities of two appliances in one trust store.
    serial = x509.random_serial_number()
    name = _common_name(f"Gatepost CA {serial & 0xFFFFFFFF:08x}")
    builder = _builder(name, name, key, now, _CA_LIFE).serial_number(serial)
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Pair(key, certificate)


def _make_server(authority: _Pair, names: tuple[str, ...], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate.subject
    builder = _builder(_common_name(names[0][:64]), issuer, key, now, _SERVER_LIFE)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        builder.serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(key, certificate)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(_ascii_host(name)))
    return found


def _ascii_host(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        raise GatepostError(
            f"{name!r} is no host name that a certificate can carry",
            "set GATEPOST_PROXY_HOST to the name that clients connect to",
        ) from None


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file so that it is either the old or the new one, also after a power loss."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
