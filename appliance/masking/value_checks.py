"""What values look like: card numbers, e-mail addresses, phone numbers, accounts, secrets. Pure."""

from __future__ import annotations

import ipaddress
import re

import phonenumbers
from stdnum import iban, luhn

# https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN):
# first digits (from, to) and the lengths that numbers of that network have.
_NETWORKS: tuple[tuple[str, str, range], ...] = (
    ("4", "4", range(13, 20)),  # Visa
    ("51", "55", range(16, 17)),  # Mastercard
    ("2221", "2720", range(16, 17)),
    ("34", "34", range(15, 16)),  # American Express
    ("37", "37", range(15, 16)),
    ("6011", "6011", range(16, 20)),  # Discover
    ("644", "659", range(16, 20)),
    ("300", "305", range(14, 20)),  # Diners Club
    ("36", "36", range(14, 20)),
    ("38", "39", range(14, 20)),
    ("3528", "3589", range(16, 20)),  # JCB
    ("62", "62", range(16, 20)),  # UnionPay
    ("2200", "2205", range(16, 20)),  # Mir
    ("5018", "5018", range(12, 20)),  # Maestro
    ("5020", "5020", range(12, 20)),
    ("5038", "5038", range(12, 20)),
    ("5893", "5893", range(12, 20)),
    ("6304", "6304", range(12, 20)),
    ("6759", "6763", range(12, 20)),
    ("9792", "9792", range(16, 17)),  # Troy
)
_CARD = re.compile(r"\d(?:[ -]?\d){11,18}", re.ASCII)
_CARD_WITHIN = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-]|\.\d)", re.ASCII)
_EMAIL = re.compile(
    r"[A-Za-z0-9._%+'/=&-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+([A-Za-z]{2,24}|xn--[\w-]+)"
)
_NO_DOMAIN = frozenset(
    ("png", "jpg", "jpeg", "gif", "svg", "webp", "pdf", "js", "css", "html", "json", "local")
)
_PHONE_MARKS = re.compile(r"[+(]?[\d\s().\-/xX+]{6,24}", re.ASCII)
_LONGEST_IBAN = 42  # 34 characters in groups of four
_US_PHONE = re.compile(r"(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}", re.ASCII)
_SECRETS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}", "bcrypt hashes"),
        (r"\$argon2(?:id|i|d)\$v=\d+\$.+", "Argon2 hashes"),
        (r"\$(?:1|5|6|y|7|md5|sha1|apr1)\$.+", "crypt hashes"),
        (r"pbkdf2[_:-]?(?:sha\d+)?[$:].+", "PBKDF2 hashes"),
        (r"(?:\$|)s?crypt[$:].+", "scrypt hashes"),
        (r"SCRAM-SHA-(?:1|256)\$\d+:.+", "SCRAM verifiers"),
        (r"md5[0-9a-f]{32}", "PostgreSQL password hashes"),
        (r"\{(?:SSHA|SHA|SMD5|MD5|CRYPT)\}.+", "LDAP password hashes"),
        (r"eyJ[\w-]{5,}\.eyJ[\w-]{5,}\.[\w-]*", "JSON web tokens"),
        (r"(?:AKIA|ASIA)[A-Z0-9]{16}", "AWS access keys"),
        (r"(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,})", "GitHub tokens"),
        (r"glpat-[\w-]{20,}", "GitLab tokens"),
        (r"xox[abeprs]-[\w-]{10,}", "Slack tokens"),
        (r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}", "payment API keys"),
        (r"AIza[\w-]{35}", "Google API keys"),
        (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*", "private keys"),
        (r"otpauth://.+", "one-time password seeds"),
        (r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@.+", "addresses with a password in them"),
    )
)


def is_card(value: str) -> bool:
    """Return whether it passes Luhn and has the first digits and the length of a network."""
    if not _CARD.fullmatch(value):
        return False
    digits = value.replace(" ", "").replace("-", "")
    return has_card_prefix(digits) and len(set(digits)) > 1 and luhn.is_valid(digits)


def has_card_prefix(digits: str) -> bool:
    """Return whether a network gives out numbers that begin so and are so long."""
    return any(
        len(digits) in lengths and first <= digits[: len(first)] <= last
        for first, last, lengths in _NETWORKS
    )


def has_card_form(value: str) -> bool:
    """Return whether it is as many digits as a card number has, Luhn or not."""
    return _CARD.fullmatch(value) is not None and len(value) >= 15


def holds_card(value: str) -> bool:
    """Return whether a card number stands in a longer text."""
    return not _CARD.fullmatch(value) and any(
        is_card(found[0]) for found in _CARD_WITHIN.finditer(value)
    )


def is_email(value: str) -> bool:
    """Return whether it is one e-mail address and nothing else."""
    found = _EMAIL.fullmatch(value)
    return found is not None and found[1].lower() not in _NO_DOMAIN


def holds_email(value: str) -> bool:
    """Return whether an e-mail address stands in a longer text."""
    return any(
        found[1].lower() not in _NO_DOMAIN
        and found[0] != value
        and value[found.end() : found.end() + 1] != ":"  # git@example.com:path
        for found in _EMAIL.finditer(value)
    )


def is_phone(value: str) -> bool:
    """Return whether it is surely a phone number: international, or as it is written in the US."""
    text = value.strip()
    if not _PHONE_MARKS.fullmatch(text):
        return False
    region = None
    if text.startswith("00"):
        text = f"+{text[2:]}"
    if not text.startswith("+"):
        if not _US_PHONE.fullmatch(text):
            return False
        region = "US"
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def may_be_phone(value: str) -> bool:
    """Return whether it could be one that is written without its country."""
    digits = sum(character.isdigit() for character in value)
    return 6 <= digits <= 15 and _PHONE_MARKS.fullmatch(value.strip()) is not None


def is_iban(value: str) -> bool:
    """Return whether it is an IBAN by its country's form and its check digits."""
    return len(value) <= _LONGEST_IBAN and iban.is_valid(value, check_country=False)


def secret(value: str) -> str:
    """Return what kind of hash, key or token it is, in words; "" = none that is known."""
    for pattern, words in _SECRETS:
        if pattern.fullmatch(value):
            return words
    return ""


def is_ip(value: str) -> bool:
    """Return whether it is one IP address; ``1.2.3.4`` could be the version of something."""
    try:
        address = ipaddress.ip_interface(value)
    except ValueError:
        return False
    return "." in value or ":" in value if address.version == 4 else value.count(":") > 1
