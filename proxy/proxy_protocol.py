"""PROXY protocol v1 and v2: who really connects, as a load balancer tells it. Pure.

Source: the HAProxy project's proxy-protocol.txt (2020). Read only from configured networks, and
required there: a balancer that sends it always does, and guessing would let clients forge it.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from appliance.errors import ProtocolError

V1_MAX = 107  # bytes, with CRLF
V2_MAX = 2048  # bytes of addresses and TLVs; the real ones are below 536
_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD = struct.Struct("!BBH")
_V2_HEAD_END = len(_V2) + _V2_HEAD.size
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """``consumed``: the header's bytes, the session begins behind them.

    ``source`` is None where the balancer speaks for itself (LOCAL, UNKNOWN: health checks).
    """

    consumed: int
    source: str | None
    port: int = 0


def parse(data: bytes) -> ProxyHeader | None:
    """Return the header that ``data`` begins with, None = more bytes are needed.

    Raises:
        ProtocolError: what came is no PROXY header.
    """
    if data.startswith(_V2):
        return _version_2(data)
    if data.startswith(_V1):
        return _version_1(data)
    if _V2.startswith(data) or _V1.startswith(data):
        return None
    raise _error("expected a PROXY protocol header from this network, got something else")


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, V1_MAX)
    if end < 0:
        if len(data) < V1_MAX:
            return None
        raise _error(f"a PROXY v1 line is longer than {V1_MAX} bytes")
    words = data[len(_V1) : end].split(b" ")
    if words[0] == b"UNKNOWN":
        return ProxyHeader(end + 2, None)
    version = {b"TCP4": 4, b"TCP6": 6}.get(words[0])
    if version is None or len(words) != 5:
        raise _error("expected 'PROXY TCP4|TCP6 source destination port port'")
    source, _ = (_address(word, version) for word in words[1:3])
    port, _ = (_port(word) for word in words[3:5])
    return ProxyHeader(end + 2, source, port)


def _address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        raise _error("a PROXY v1 line holds no IP address") from None
    if address.version != version or "%" in str(address):
        raise _error(f"a PROXY v1 line for TCP{version} holds another kind of address")
    return str(address)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 65535:
        raise _error("a PROXY v1 line holds no port number")
    return int(word)


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_HEAD_END:
        return None
    command, family, length = _V2_HEAD.unpack_from(data, len(_V2))
    if command not in (_LOCAL, _PROXY):
        raise _error("expected PROXY v2 command LOCAL or PROXY")
    if length > V2_MAX:
        raise _error(f"a PROXY v2 header is longer than {V2_MAX} bytes")
    end = _V2_HEAD_END + length
    if len(data) < end:
        return None
    if command == _LOCAL or family == 0:
        return ProxyHeader(end, None)
    size = {_TCP4: 4, _TCP6: 16}.get(family)
    if size is None:
        raise _error("expected PROXY v2 for TCP over IPv4 or IPv6")
    if length < 2 * size + 4:
        raise _error("a PROXY v2 header is too short for its addresses")
    source = ipaddress.ip_address(data[_V2_HEAD_END : _V2_HEAD_END + size])
    (port,) = struct.unpack_from("!H", data, _V2_HEAD_END + 2 * size)
    return ProxyHeader(end, str(source), port)


def _error(message: str) -> ProtocolError:
    return ProtocolError("client", message)
