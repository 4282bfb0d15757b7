"""Check the names and words that people type, so that every store module refuses alike."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from appliance.errors import Invalid

MAX_NAME = 63  # PostgreSQL's identifiers
MAX_EMAIL = 254
MAX_TEXT = 500
MAX_LIST = 200

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


def identity_name(field: str, text: str) -> str:
    """Return an e-mail address or a plain name, as typed; names are compared as they are."""
    if "@" in text:
        if len(text) > MAX_EMAIL or not _EMAIL.fullmatch(text):
            raise Invalid(field, f"expected an e-mail address, got {_shown(text)}")
        return text
    return plain_name(field, text)


def plain_name(field: str, text: str) -> str:
    """Return a name of letters, digits, dot, dash and underscore that starts with no sign."""
    if len(text) > MAX_NAME or not _PLAIN.fullmatch(text):
        raise Invalid(
            field,
            f"expected letters, digits, '.', '-' and '_' (at most {MAX_NAME}, "
            f"the first a letter or digit), got {_shown(text)}",
        )
    return text


def database_name(field: str, text: str) -> str:
    """Return the name of a database or database role: whatever PostgreSQL itself can have."""
    if not text or len(text.encode()) > MAX_NAME or not _is_printable(text):
        raise Invalid(field, f"expected 1 to {MAX_NAME} bytes without control characters")
    return text


def one_line(field: str, text: str, *, most: int = MAX_TEXT) -> str:
    """Return text for people, of one line."""
    if len(text) > most or not _is_printable(text):
        raise Invalid(field, f"expected one line of at most {most} characters")
    return text.strip()


def host(field: str, text: str) -> str:
    """Return a host name or an IP address."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    if len(text) > 253 or not _HOST.fullmatch(text) or ".." in text:
        raise Invalid(field, f"expected a host name or an IP address, got {_shown(text)}")
    return text


def port(field: str, number: int) -> int:
    """Return a TCP port."""
    if not 1 <= number <= 65535:
        raise Invalid(field, f"expected a port from 1 to 65535, got {number}")
    return number


def networks(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return CIDRs in their canonical form (``10.2.0.0/16``; a bare address is one host)."""
    found = []
    for index, text in enumerate(_bounded(field, texts)):
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError as error:
            hint = ""
            if "host bits" in str(error):
                hint = f"did you mean {ipaddress.ip_network(text, strict=False)}?"
            raise Invalid(
                f"{field}[{index}]",
                f"expected a CIDR such as 10.2.0.0/16, got {_shown(text)}",
                hint,
            ) from None
    return tuple(found)


def globs(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return patterns of application names: ``*`` and ``?`` are wildcards."""
    for index, text in enumerate(_bounded(field, texts)):
        if not text or len(text) > MAX_NAME or not _is_printable(text):
            raise Invalid(
                f"{field}[{index}]", f"expected 1 to {MAX_NAME} characters without control ones"
            )
    return texts


def choice(field: str, text: str, words: tuple[str, ...]) -> str:
    """Return ``text`` if it is one of ``words``."""
    if text not in words:
        raise Invalid(field, f"expected {' | '.join(words)}, got {_shown(text)}")
    return text


def _bounded(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > MAX_LIST:
        raise Invalid(field, f"expected at most {MAX_LIST} entries, got {len(texts)}")
    return texts


def _is_printable(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
