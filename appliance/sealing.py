"""Seal secrets with the master key (AES-256-GCM), each bound to the row it belongs to."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.config import Config
from appliance.errors import GatepostError, Invalid
from appliance.recording.signing import Signer

KEY_BYTES = 32
KEY_FILE = "master.key"

_VERSION = b"\x01"
_NONCE_BYTES = 12
_MIN_TEXT = 16  # characters of a master key that is neither hex nor base64


class SealBroken(GatepostError):
    """A sealed value does not open: another master key, another row, or it was touched."""


class Sealer:
    """Seal and open; also keyed prints of secrets, to compare without keeping them.

    ``login_secret`` is what ``scram.mock_salt`` and ``mock_verifier`` take.
    """

    __slots__ = ("_aead", "_print_key", "login_secret")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes")
        self._aead = AESGCM(derived(key, "seal"))
        self._print_key = derived(key, "print")
        self.login_secret = derived(key, "login mock")

    def seal(self, plain: bytes, bound_to: str) -> bytes:
        """Return version, nonce and ciphertext; opens only with the same ``bound_to``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plain, bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Return what was sealed. Raises: SealBroken."""
        head = 1 + _NONCE_BYTES
        if len(sealed) <= head or sealed[:1] != _VERSION:
            raise SealBroken(f"the secret of {bound_to} is not in a form this version knows")
        try:
            return self._aead.decrypt(sealed[1:head], sealed[head:], bound_to.encode())
        except InvalidTag:
            raise SealBroken(
                f"the secret of {bound_to} does not open with this master key",
                "restore the master key that sealed it, or set the secret again",
            ) from None

    def holds(self, sealed: bytes, bound_to: str, plain: bytes) -> bool:
        """Return whether ``sealed`` opens to ``plain``; one that does not open holds nothing."""
        try:
            return hmac.compare_digest(self.open(sealed, bound_to), plain)
        except SealBroken:
            return False

    def print_of(self, secret: str, bound_to: str) -> str:
        """Return a keyed print (hex) by which an unchanged secret is recognised."""
        text = bound_to.encode() + b"\0" + secret.encode()
        return hmac.new(self._print_key, text, "sha256").hexdigest()


def upstream_binding(target_id: int, role: str) -> str:
    """Return what an upstream role's secret is bound to."""
    return f"target:{target_id}/role:{role}"


def load_master_key(config: Config) -> bytes:
    """Return the 32 bytes: from the environment, a file, or generated at the first start.

    Raises: Invalid naming the variable, or GatepostError for a key file that cannot be used.
    """
    if config.master_key is not None:
        return parse_key("GATEPOST_MASTER_KEY", config.master_key)
    if config.master_key_file is not None:
        return parse_key("GATEPOST_MASTER_KEY_FILE", _read(config.master_key_file))
    path = config.data_dir / KEY_FILE
    text = kept_text(path, secrets.token_hex(KEY_BYTES))
    if path.stat().st_mode & stat.S_IRWXO:  # mounted secrets may be 0444, our own file not
        raise GatepostError(f"everybody on this machine may read {path}", f"run: chmod 600 {path}")
    return parse_key(KEY_FILE, text)


def load_signing_key(config: Config) -> Signer:
    """Return the Ed25519 key of the journals' heads: every process of the appliance has it."""
    return Signer.from_master_key(load_master_key(config))


def masking_key(config: Config) -> bytes:
    """Return the key of masked hashes: equal values look equal in every process, for ever."""
    return derived(load_master_key(config), "masking")


def parse_key(field: str, text: str) -> bytes:
    """Return 64 hex digits or base64 of 32 bytes as they are, any other text through HKDF."""
    text = text.strip()
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        raw = base64.b64decode(text, validate=True)
        if len(raw) == KEY_BYTES:
            return raw
    except (binascii.Error, ValueError):
        pass
    if len(text) < _MIN_TEXT:
        raise Invalid(
            field,
            f"expected at least {_MIN_TEXT} characters",
            "make one with: openssl rand -hex 32",
        )
    return derived(text.encode(), "master key")


def derived(key: bytes, purpose: str) -> bytes:
    """Return a key for one purpose, so that no key is used for two."""
    info = f"gatepost {purpose} 1".encode()
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def kept_text(path: Path, fresh: str) -> str:
    """Return the file's text, writing ``fresh`` into it (0600) first where there is none.

    Of several processes that start at once one wins, and all return what it wrote: the file is
    written whole beside its place and linked in, which fails when another was first.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.write(fresh + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was first: its key counts
                os.link(draft, path)
        finally:
            draft.unlink()
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise GatepostError(f"{path} holds no key", "expected 64 hex digits") from None
    except OSError as error:
        raise GatepostError(
            f"cannot read the key in {path}: {error.strerror}",
            "give this process the right to read it, or set GATEPOST_MASTER_KEY",
        ) from None
