"""Where a request comes from: the client's address and the host it asked for."""

from __future__ import annotations

import ipaddress

from flask import Request

from appliance.config import Config, Network


def client_address(request: Request, config: Config) -> str:
    """Return the client's address; X-Forwarded-For counts only from trusted proxies.

    The header is read from its right end: each trusted hop vouches for the one before it.
    """
    address = request.remote_addr or "0.0.0.0"  # noqa: S104 - means "not known" here
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    while hops and hops[-1] and _is_in(address, config.trusted_proxies):
        candidate = hops.pop()
        try:
            address = str(ipaddress.ip_address(candidate))
        except ValueError:
            break  # a hop that is no address vouches for nothing
    return address


def asked_host(request: Request, config: Config) -> str:
    """Return the host[:port] the browser asked for, through a trusted proxy if there is one."""
    forwarded = request.headers.get("X-Forwarded-Host", "").split(",")[0].strip()
    if forwarded and _is_in(request.remote_addr or "", config.trusted_proxies):
        return forwarded.lower()
    return request.headers.get("Host", "").lower()


def is_loopback(address: str) -> bool:
    """Return whether the request came from this machine itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)
