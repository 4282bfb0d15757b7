"""What looks for leaks does find each kind of them, and does not cry for nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from tests.harness.canaries import Canaries

FILE = Path(__file__).parent.parent / "fixtures" / "masking" / "canaries.yaml"
VALUES = yaml.safe_load(FILE.read_text())["canaries"]
SSN = b"QZ7KX4-WV9TJ3"
PHOTO = bytes.fromhex(VALUES["bytes"][0])


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    return Canaries(VALUES)


DRESSED = {
    "plain": SSN,
    "the first part": SSN[:6],
    "a part in the middle": SSN[4:10],
    "the last part": SSN[-6:],
    "lower case": SSN.lower(),
    "mixed case": b"qZ7kX4",
    "reversed": SSN[::-1],
    "a part reversed": SSN[3:9][::-1],
    "hex": SSN.hex().encode(),
    "hex in capitals": SSN.hex().upper().encode(),
    "hex of lower case": SSN.lower().hex().encode(),
    "hex of a part": SSN[2:8].hex().encode(),
    "hex reversed": SSN[::-1].hex().encode(),
    "base64": base64.b64encode(SSN),
    "base64 one byte later": base64.b64encode(b"x" + SSN + b"yz"),
    "base64 two bytes later": base64.b64encode(b"xy" + SSN + b"z"),
    "base64 of a row": base64.b64encode(b"(1,Ann," + SSN + b",NO)"),
    "base64 of lower case": base64.b64encode(b"?" + SSN.lower()),
    "base64 reversed": base64.b64encode(SSN[::-1]),
    "md5": hashlib.md5(SSN, usedforsecurity=False).hexdigest().encode(),
    "sha256": hashlib.sha256(SSN).hexdigest().encode(),
    "sha256 of lower case": hashlib.sha256(SSN.lower()).hexdigest().upper().encode(),
    "sha256 raw": hashlib.sha256(SSN).digest(),
    "sha512": hashlib.sha512(SSN).hexdigest().encode(),
    "a part of a digest": hashlib.sha256(SSN).hexdigest().encode()[20:36],
    "UTF-16": SSN.decode().encode("utf-16-le"),
    "UTF-16 the other way": SSN.decode().encode("utf-16-be"),
    "character codes": ", ".join(str(byte) for byte in SSN).encode(),
    "bytes raw": PHOTO,
    "a part of bytes": PHOTO[3:8],
    "bytes as hex": b"\\x" + PHOTO.hex().encode(),
    "bytes escaped": "".join(f"\\{b:03o}" if b > 126 or b < 32 else chr(b) for b in PHOTO).encode(),
    "int4": struct.pack("!i", 173942),
    "int4 negated": struct.pack("!i", -173942),
    "int8": struct.pack("!q", 8127364509183746),
    "a number in hex": f"{8127364509183746:x}".encode(),
    "a number in a tag": b"SELECT 173942\0",
    "numeric": struct.pack("!hhHhhhh", 3, 1, 0, 2, 7391, 8264, 5300),
    "numeric as float8": struct.pack("!d", 173942.0),
    "money": struct.pack("!q", 8391742671),
    "float8": struct.pack("!d", 0.739182645091374),
    "point": struct.pack("!dd", 7391.826, 5093.174),
    "date": b"2871-09-17",
    "date, German": b"17.09.2871",
    "date, American": b"09/17/2871",
    "date in binary": struct.pack("!i", 318386),
    "date as seconds": b"28455235200",
    "uuid raw": bytes.fromhex("c9e4b7d26a1f4f839b5ed7a20c3e8f61"),
    "a host raw": ip_address("2001:db8:7391:8264:5e93:3174:61a:c9e4").packed,
    "a moment raw": struct.pack("!q", 23979951759815264),
    "a number in bits": f"{8127364509183746:064b}".encode(),
    "seconds as float8": struct.pack("!d", 28455235200.0),
    "a card's middle": b"29 8137",
    "an address": b"7391:8264:5E93",
}


@pytest.mark.parametrize("how", DRESSED)
def test_it_finds_a_value(canaries: Canaries, how: str) -> None:
    noise = b"T\0\0\0\x1c\0\1name\0\0\0\x40\1\0\2"
    assert canaries.find(noise + DRESSED[how] + noise) is not None


def test_it_finds_codes_and_counts(canaries: Canaries) -> None:
    assert canaries.find_code(["42501", "QZ7KX"]) is not None
    assert canaries.find_count([3, 173942]) is not None


def test_what_is_none_of_them_is_not_found(canaries: Canaries) -> None:
    words = b"gatepost: customers.ssn is masked by rule identity-numbers; SELECT 5 customers_pkey"
    assert canaries.find(words * 10) is None
    assert canaries.find(os.urandom(400_000)) is None
    assert canaries.find(b"***************7418 ***@mail.example 0001-01-01 {} QZ7KX") is None
    assert canaries.find_code(["42501", "23505", "P0001"]) is None
    assert canaries.find_count([0, 1, 3, 17394]) is None
