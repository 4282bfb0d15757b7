"""The gateway's own certificate, made and kept; contexts for both legs; the channel binding."""

from __future__ import annotations

import hashlib
import multiprocessing
import socket
import ssl
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from appliance.config import Config, config_from_environment
from appliance.entities import SslMode, Target
from appliance.errors import GatepostError, Invalid
from appliance.selfsigned import ensure_certificate
from appliance.tls import (
    certificate_files,
    client_context,
    is_verified,
    server_end_point,
    server_tls,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAMES = ("gate.example.com", "localhost", "127.0.0.1", "::1")


def configured(data_dir: Path, **more: str) -> Config:
    return config_from_environment({"GATEPOST_DATA_DIR": str(data_dir), **more})


def leaf(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def self_signed(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None,
    rsa_padding: padding.PSS | None = None,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
    )
    return builder.sign(key, algorithm, rsa_padding=rsa_padding)


def test_the_first_start_makes_a_certificate_for_every_name_of_the_gateway(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        GATEPOST_PUBLIC_URL="https://web.example.com",
        GATEPOST_PROXY_HOST="gâte.example.com",
        GATEPOST_PROXY_LISTEN="192.0.2.1:5432",
    )
    files = certificate_files(config, NOW)
    names = leaf(files.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [
        "xn--gte-ila.example.com",
        "localhost",
    ]
    addresses = map(str, names.value.get_values_for_type(x509.IPAddress))
    assert set(addresses) == {"192.0.2.1", "127.0.0.1", "::1"}
    assert isinstance(leaf(files.certificate).public_key(), ec.EllipticCurvePublicKey)


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path / "tls", NAMES, NOW)
    for path in (tmp_path / "tls" / "ca.pem", made.server):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert b"PRIVATE KEY" not in made.ca.read_bytes()


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path, NAMES, NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ensure_certificate(tmp_path, NAMES, NOW + timedelta(days=300))
    assert {path.name: path.read_bytes() for path in made.server.parent.iterdir()} == before


def test_the_certificate_is_renewed_before_it_ends_by_the_same_authority(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path, NAMES, NOW)
    authority, first = made.ca.read_bytes(), leaf(made.server)
    later = first.not_valid_after_utc - timedelta(days=29)
    ensure_certificate(tmp_path, NAMES, later)
    second = leaf(made.server)
    assert second.not_valid_after_utc > later + timedelta(days=300)
    assert made.ca.read_bytes() == authority


def test_the_authority_is_renewed_before_it_could_end_earlier_than_what_it_signs(
    tmp_path: Path,
) -> None:
    made = ensure_certificate(tmp_path, NAMES, NOW)
    authority = leaf(made.ca)
    ensure_certificate(tmp_path, NAMES, authority.not_valid_after_utc - timedelta(days=100))
    assert leaf(made.ca).serial_number != authority.serial_number
    leaf(made.server).verify_directly_issued_by(leaf(made.ca))
    assert leaf(made.server).not_valid_after_utc < leaf(made.ca).not_valid_after_utc


def test_a_new_host_name_gets_a_new_certificate(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path, NAMES, NOW)
    before = leaf(made.server)
    ensure_certificate(tmp_path, ("new.example.com", *NAMES), NOW)
    assert leaf(made.server).serial_number != before.serial_number


@pytest.mark.parametrize("name", ["server.pem", "ca.pem", "ca.crt"])
@pytest.mark.parametrize(
    "damage", [lambda pem: b"", lambda pem: pem[:100], lambda pem: pem.replace(b"M", b"N")]
)
def test_a_damaged_or_missing_file_is_made_anew(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    made = ensure_certificate(tmp_path, NAMES, NOW)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    ensure_certificate(tmp_path, NAMES, NOW)
    leaf(made.server).verify_directly_issued_by(leaf(made.ca))
    path.unlink()
    ensure_certificate(tmp_path, NAMES, NOW)
    leaf(made.server).verify_directly_issued_by(leaf(made.ca))


def test_a_certificate_of_a_foreign_key_is_made_anew(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path / "one", NAMES, NOW)
    other = ensure_certificate(tmp_path / "two", NAMES, NOW)
    made.server.write_bytes(other.server.read_bytes())
    ensure_certificate(tmp_path / "one", NAMES, NOW)
    leaf(made.server).verify_directly_issued_by(leaf(made.ca))


def _make(directory: Path, found: multiprocessing.Queue[bytes]) -> None:
    found.put(ensure_certificate(directory, NAMES, NOW).server.read_bytes())


def test_processes_that_start_at_once_agree_on_one_certificate(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[bytes] = context.Queue()
    processes = [context.Process(target=_make, args=(tmp_path, found)) for _ in range(6)]
    for process in processes:
        process.start()
    pems = {found.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert pems == {(tmp_path / "server.pem").read_bytes()}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ca.crt",
        "ca.pem",
        "lock",
        "server.pem",
    ]


def test_a_data_dir_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file in the way")
    with pytest.raises(GatepostError, match="cannot keep a TLS certificate") as caught:
        ensure_certificate(tmp_path / "tls", NAMES, NOW)
    assert "GATEPOST_TLS_CERT" in caught.value.hint


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_a_configured_file_that_is_not_there_is_named(tmp_path: Path, missing: str) -> None:
    made = ensure_certificate(tmp_path, NAMES, NOW)
    paths = {"cert": str(made.server), "key": str(made.server), missing: str(tmp_path / "no")}
    config = configured(tmp_path, GATEPOST_TLS_CERT=paths["cert"], GATEPOST_TLS_KEY=paths["key"])
    with pytest.raises(Invalid, match="found none") as caught:
        server_tls(config, NOW)
    assert caught.value.field == f"GATEPOST_TLS_{missing.upper()}"


def test_a_configured_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    one = ensure_certificate(tmp_path / "one", NAMES, NOW)
    two = ensure_certificate(tmp_path / "two", NAMES, NOW)
    config = configured(tmp_path, GATEPOST_TLS_CERT=str(one.ca), GATEPOST_TLS_KEY=str(two.server))
    with pytest.raises(Invalid, match="cannot be used") as caught:
        server_tls(config, NOW)
    assert "PEM chain" in caught.value.hint


def test_a_configured_certificate_is_used_and_nothing_is_generated(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path / "own", NAMES, NOW)
    config = configured(
        tmp_path / "data", GATEPOST_TLS_CERT=str(made.server), GATEPOST_TLS_KEY=str(made.server)
    )
    tls = server_tls(config, NOW)
    assert tls.expires_at == leaf(made.server).not_valid_after_utc
    assert certificate_files(config, NOW).ca is None
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("certificate", "digest"),
    [
        (self_signed(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()), "sha256"),
        (self_signed(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()), "sha384"),
        (self_signed(rsa.generate_private_key(65537, 2048), hashes.SHA512()), "sha512"),
        (
            self_signed(
                rsa.generate_private_key(65537, 2048),
                hashes.SHA256(),
                padding.PSS(padding.MGF1(hashes.SHA256()), 32),
            ),
            "sha256",
        ),
        (self_signed(ed25519.Ed25519PrivateKey.generate(), None), None),
    ],
)
def test_the_channel_binding_uses_the_signatures_own_hash(
    certificate: x509.Certificate, digest: str | None
) -> None:
    der = certificate.public_bytes(serialization.Encoding.DER)
    expected = None if digest is None else hashlib.new(digest, der).digest()
    assert server_end_point(der) == expected


def test_a_certificate_signed_with_sha1_is_bound_with_sha256() -> None:
    certificate = self_signed(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    der = certificate.public_bytes(serialization.Encoding.DER)
    sha256_rsa, sha1_rsa = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))
    assert der.count(sha256_rsa) == 2
    der = der.replace(sha256_rsa, sha1_rsa)  # the signature is not looked at
    assert server_end_point(der) == hashlib.sha256(der).digest()


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"no certificate"])
def test_what_is_no_certificate_cannot_be_bound_to(der: bytes) -> None:
    assert server_end_point(der) is None


def target(sslmode: SslMode, root: str | None = None) -> Target:
    return Target(1, "shop", "localhost", 5432, "shop", sslmode, "", (), "", root)


@pytest.mark.parametrize(
    ("sslmode", "root", "verify", "hostname"),
    [
        (SslMode.ALLOW, False, ssl.CERT_NONE, False),
        (SslMode.PREFER, True, ssl.CERT_NONE, False),
        (SslMode.REQUIRE, False, ssl.CERT_NONE, False),
        (SslMode.REQUIRE, True, ssl.CERT_REQUIRED, False),
        (SslMode.VERIFY_CA, False, ssl.CERT_REQUIRED, False),
        (SslMode.VERIFY_CA, True, ssl.CERT_REQUIRED, False),
        (SslMode.VERIFY_FULL, True, ssl.CERT_REQUIRED, True),
    ],
)
def test_a_targets_sslmode_means_what_it_means_to_libpq(
    tmp_path: Path, sslmode: SslMode, root: bool, verify: ssl.VerifyMode, hostname: bool
) -> None:
    ca = ensure_certificate(tmp_path, NAMES, NOW).ca.read_text()
    found = target(sslmode, ca if root else None)
    context = client_context(found)
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (verify, hostname)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert is_verified(found) is (verify is ssl.CERT_REQUIRED)


def test_sslmode_disable_means_no_tls() -> None:
    assert client_context(target(SslMode.DISABLE)) is None
    assert not is_verified(target(SslMode.DISABLE))


def test_a_root_certificate_that_is_none_is_refused_by_its_path() -> None:
    with pytest.raises(Invalid, match="expected a PEM") as caught:
        client_context(target(SslMode.VERIFY_FULL, "no certificate"))
    assert caught.value.field == "targets.shop.sslrootcert"


@pytest.mark.parametrize(
    ("alpn", "agreed"), [(["postgresql"], "postgresql"), (["h2"], None), ([], None)]
)
def test_the_server_speaks_tls_13_with_its_own_alpn_and_no_tickets(
    tmp_path: Path, alpn: list[str], agreed: str | None
) -> None:
    config = configured(tmp_path)
    tls = server_tls(config, datetime.now(UTC))
    ours, theirs = socket.socketpair()
    found: list[str | None] = []

    def accept() -> None:
        with tls.context.wrap_socket(ours, server_side=True) as sock:
            found.append(sock.selected_alpn_protocol())
            sock.sendall(b"!")

    thread = threading.Thread(target=accept)
    thread.start()
    client = ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.crt"))
    if alpn:
        client.set_alpn_protocols(alpn)
    with client.wrap_socket(theirs, server_hostname="localhost") as sock:
        assert sock.recv(1) == b"!"
        assert sock.version() == "TLSv1.3"
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        assert tls.binding == server_end_point(der)
        assert sock.session is None or not sock.session.has_ticket
    thread.join(10)
    assert found == [agreed]
