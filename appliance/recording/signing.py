"""The Ed25519 key that signs the heads of journals."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"gatepost journal signing key v1"


class Signer:
    """Sign with a key that only holders of the master key can have."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key: bytes = key.public_key().public_bytes_raw()

    @classmethod
    def from_master_key(cls, master_key: bytes) -> Signer:
        """Derive the signing key: every process with the master key has the same one."""
        seed = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(master_key)
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the 64 byte signature."""
        return self._key.sign(message)


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether ``signature`` was made over ``message`` with the key's secret half."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
