"""Passwords of local admin accounts, hashed with argon2id. Takes up to a second: off the loop."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from appliance.errors import Invalid

MIN_LENGTH = 12
MAX_LENGTH = 200


def hash_password(password: str) -> str:
    """Return the argon2id hash with its parameters. Raises: Invalid for a poor password."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Invalid("password", f"expected {MIN_LENGTH} to {MAX_LENGTH} characters")
    if len(set(password)) < 5:
        raise Invalid("password", "expected at least 5 different characters")
    try:
        return PasswordHasher().hash(password)
    except UnicodeEncodeError:
        raise Invalid("password", "holds broken characters") from None


def password_holds(stored: str, password: str) -> bool:
    """Return whether ``password`` is the one of the hash; takes as long either way."""
    given = password[: MAX_LENGTH + 1].encode("utf-8", "surrogatepass")
    try:
        return PasswordHasher().verify(stored, given)
    except (VerificationError, InvalidHashError):
        return False
