"""What the environment decides: one frozen value, read once at the start of a process."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from appliance.errors import Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Listen:
    """A host and port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of contract section "Settings", parsed and checked."""

    data_dir: Path
    store_url: str
    proxy_listen: Listen
    web_listen: Listen
    web_tls: bool
    public_url: str
    proxy_host: str
    proxy_protocol_from: tuple[Network, ...]
    trusted_proxies: tuple[Network, ...]
    plaintext_from: tuple[Network, ...]
    master_key: str | None
    master_key_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    workers: int
    log_format: str
    apply_file: Path | None = None  # declarative configuration that serve applies at its start

    @property
    def journal_dir(self) -> Path:
        """Where the journals' segment files live."""
        return self.data_dir / "journal"

    @property
    def run_dir(self) -> Path:
        """Sockets and other files that mean nothing after a restart."""
        return self.data_dir / "run"


def config_from_environment(environ: Mapping[str, str] | None = None) -> Config:
    """Read ``GATEPOST_*``; raise ``Invalid`` naming the variable that is wrong."""
    env = os.environ if environ is None else environ
    data_dir = Path(env.get("GATEPOST_DATA_DIR") or "./data").absolute()
    public_url = (env.get("GATEPOST_PUBLIC_URL") or "http://localhost:8080").rstrip("/")
    url = urlsplit(public_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Invalid("GATEPOST_PUBLIC_URL", "expected a URL such as https://gate.example.com")
    key_file = env.get("GATEPOST_MASTER_KEY_FILE")
    apply_file = env.get("GATEPOST_APPLY")
    cert, key = env.get("GATEPOST_TLS_CERT"), env.get("GATEPOST_TLS_KEY")
    if bool(cert) != bool(key):
        raise Invalid("GATEPOST_TLS_CERT", "set GATEPOST_TLS_CERT and GATEPOST_TLS_KEY together")
    store_url = env.get("GATEPOST_STORE_URL") or f"sqlite:///{data_dir / 'gatepost.db'}"
    if urlsplit(store_url).scheme not in ("sqlite", "postgresql", "postgres"):
        raise Invalid("GATEPOST_STORE_URL", "expected sqlite:///FILE or postgresql://…")
    return Config(
        data_dir=data_dir,
        store_url=store_url,
        proxy_listen=_listen(env, "GATEPOST_PROXY_LISTEN", "0.0.0.0:6432"),
        web_listen=_listen(env, "GATEPOST_WEB_LISTEN", "127.0.0.1:8080"),
        web_tls=_switch(env, "GATEPOST_WEB_TLS", "off"),
        public_url=public_url,
        proxy_host=env.get("GATEPOST_PROXY_HOST") or url.hostname,
        proxy_protocol_from=_networks(env, "GATEPOST_PROXY_PROTOCOL_FROM", ""),
        trusted_proxies=_networks(env, "GATEPOST_TRUSTED_PROXIES", ""),
        plaintext_from=_networks(env, "GATEPOST_PLAINTEXT_FROM", "127.0.0.0/8,::1/128"),
        master_key=env.get("GATEPOST_MASTER_KEY") or None,
        master_key_file=Path(key_file) if key_file else None,
        tls_cert=Path(cert) if cert else None,
        tls_key=Path(key) if key else None,
        workers=_count(env, "GATEPOST_WORKERS", os.cpu_count() or 1),
        log_format=_one_of(
            env, "GATEPOST_LOG_FORMAT", ("text", "json"), "text" if sys.stderr.isatty() else "json"
        ),
        apply_file=Path(apply_file) if apply_file else None,
    )


def _listen(env: Mapping[str, str], name: str, default: str) -> Listen:
    text = env.get(name) or default
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise Invalid(name, f"expected HOST:PORT, got {text!r}")
    return Listen(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - the operator's choice


def _networks(env: Mapping[str, str], name: str, default: str) -> tuple[Network, ...]:
    text = env.get(name, default)
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise Invalid(name, f"expected CIDRs separated by commas, got {part!r}") from None
    return tuple(found)


def _switch(env: Mapping[str, str], name: str, default: str) -> bool:
    return _one_of(env, name, ("on", "off"), default) == "on"


def _one_of(env: Mapping[str, str], name: str, words: tuple[str, ...], default: str) -> str:
    text = (env.get(name) or default).lower()
    if text not in words:
        raise Invalid(name, f"expected {' or '.join(words)}, got {text!r}")
    return text


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise Invalid(name, f"expected a number from 1 to 256, got {text!r}")
    return int(text)
