"""PROXY protocol v1 and v2: a table of headers that are, are not yet, and are none."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from proxy.proxy_protocol import ProxyHeader, parse

MAGIC = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes((203, 0, 113, 7)) + bytes((10, 0, 0, 1)) + struct.pack("!HH", 56324, 5432)
V6 = bytes.fromhex("20010db8000000000000000000000007") * 2 + struct.pack("!HH", 1, 65535)
MAPPED = bytes.fromhex("00000000000000000000ffffcb007107") * 2 + struct.pack("!HH", 9, 9)
TLV = b"\x20\0\4abcd"


def v2(command: int, family: int, payload: bytes) -> bytes:
    return MAGIC + struct.pack("!BBH", command, family, len(payload)) + payload


GOOD = [
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 5432\r\n", "203.0.113.7", 56324),
    (b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", "2001:db8::7", 1),
    (b"PROXY UNKNOWN\r\n", None, 0),
    (b"PROXY UNKNOWN ff:: ff:: 1 1\r\n", None, 0),
    (v2(0x21, 0x11, V4), "203.0.113.7", 56324),
    (v2(0x21, 0x11, V4 + TLV), "203.0.113.7", 56324),
    (v2(0x21, 0x21, V6), "2001:db8::7", 1),
    (v2(0x21, 0x21, MAPPED), "::ffff:203.0.113.7", 9),
    (v2(0x20, 0x00, b""), None, 0),
    (v2(0x20, 0x11, V4), None, 0),
    (v2(0x21, 0x00, b""), None, 0),
]


@pytest.mark.parametrize(("header", "source", "port"), GOOD)
def test_a_header_gives_the_real_address_and_ends_where_the_session_begins(
    header: bytes, source: str | None, port: int
) -> None:
    found = parse(header + b"\0\0\0\x08")
    if source == "::ffff:203.0.113.7":  # how it is written differs between Python versions
        assert found is not None
        assert found.source in (source, "::ffff:cb00:7107")
        source = found.source
    assert found == ProxyHeader(len(header), source, port)


@pytest.mark.parametrize("header", [header for header, _, _ in GOOD])
def test_every_beginning_of_a_header_waits_for_more(header: bytes) -> None:
    for cut in range(len(header)):
        assert parse(header[:cut]) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\0\0\x08\x04\xd2\x16\x2f", "expected a PROXY protocol header"),
        (b"\x16\x03\x01", "expected a PROXY protocol header"),
        (b"PROXX", "expected a PROXY protocol header"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1\r\n", "expected 'PROXY"),
        (b"PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n", "expected 'PROXY"),
        (b"PROXY  TCP4 203.0.113.7 10.0.0.1 1 2\r\n", "expected 'PROXY"),
        (b"PROXY TCP4 203.0.113.777 10.0.0.1 1 2\r\n", "no IP address"),
        (b"PROXY TCP4 gate.example.com 10.0.0.1 1 2\r\n", "no IP address"),
        (b"PROXY TCP4 ::1 10.0.0.1 1 2\r\n", "another kind of address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "another kind of address"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 2\r\n", "no port"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 -1 2\r\n", "no port"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1 \xb2\r\n", "no port"),
        (b"PROXY " + b"x" * 200, "longer than 107"),
        (v2(0x22, 0x11, V4), "expected PROXY v2 command"),
        (v2(0x11, 0x11, V4), "expected PROXY v2 command"),
        (v2(0x21, 0x12, V4), "expected PROXY v2 for TCP"),
        (v2(0x21, 0x31, V4 * 20), "expected PROXY v2 for TCP"),
        (v2(0x21, 0x11, V4[:-1]), "too short"),
        (v2(0x21, 0x21, V4), "too short"),
        (MAGIC + b"\x21\x11\xff\xff", "longer than 2048"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        parse(data)
    assert caught.value.peer == "client"


@given(st.binary(max_size=80), st.sampled_from((b"", b"PROXY ", b"PROXY TCP4 ", MAGIC)))
def test_any_bytes_are_a_header_or_the_beginning_of_one_or_refused(
    data: bytes, prefix: bytes
) -> None:
    try:
        found = parse(prefix + data)
    except ProtocolError:
        return
    assert found is None or found.consumed <= len(prefix + data)
