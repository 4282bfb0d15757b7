"""How a client arrives: the balancer's header, its first packets, TLS. The same for everybody."""

from __future__ import annotations

import ipaddress
import ssl

import gevent

from appliance.config import Network
from proxy import proxy_protocol, startup
from proxy.endpoint import Endpoint

_HEADER_PAUSE_S = 0.02


class Left(Exception):
    """The client has left, or has been told why it is shut out: nothing remains to be said."""


class Arrival:
    """A client until its start-up packet. ``source`` is its real address, ``via`` a balancer's."""

    def __init__(self, client: Endpoint, peer: str, port: int) -> None:
        self.client = client
        self.source, self.port = peer, port
        self.via = ""

    def read_proxy_header(self, networks: tuple[Network, ...]) -> None:
        """Take the balancer's header, and not a byte more: TLS may follow at once.

        Raises: Left, ProtocolError, OSError.
        """
        if not is_in(self.source, networks):
            return
        while True:
            data = self.client.peek(proxy_protocol.V2_MAX + 16)
            if not data:
                raise Left
            header = proxy_protocol.parse(data)
            if header is not None:
                break
            gevent.sleep(_HEADER_PAUSE_S)  # a header in pieces: rare, and it stays readable
        left = header.consumed
        while left:
            left -= len(self.client.read(left))
        if header.source is not None:
            self.via, self.source, self.port = self.source, header.source, header.port

    def first_packets(self, tls: ssl.SSLContext) -> startup.StartupReceived | startup.Cancel:
        """Return what the client came for. Raises: Left, StartupRefused, OSError, ssl.SSLError."""
        machine = startup.Startup(offers_tls=True)
        if machine.begins_with_tls(self.client.peek(1)):  # TLS itself has to read it
            self._start_tls(machine, tls)
        while True:
            data = self.client.read()
            if not data:
                raise Left
            event = machine.feed(data)
            match event:
                case startup.Answer(answer):
                    self.client.write(answer)
                case startup.StartTls(answer):
                    self._nothing_behind()
                    self.client.write(answer)
                    self._start_tls(machine, tls)
                case startup.Cancel() | startup.StartupReceived():
                    return event

    def _nothing_behind(self) -> None:
        """Refuse what came between the request for TLS and its answer (CVE-2021-23214)."""
        if self.client.has_arrived():
            raise startup.StartupRefused("received unencrypted data after SSL request")

    def _start_tls(self, machine: startup.Startup, tls: ssl.SSLContext) -> None:
        self.client.start_tls(tls)
        sock = self.client.sock
        if isinstance(sock, ssl.SSLSocket):
            machine.tls_started(sock.selected_alpn_protocol())

    @property
    def address(self) -> str:
        """Return address and port as records have them."""
        host = f"[{self.source}]" if ":" in self.source else self.source
        return f"{host}:{self.port}"

    @property
    def tls(self) -> str:
        """Return protocol and cipher, "" = plaintext."""
        sock = self.client.sock
        if not isinstance(sock, ssl.SSLSocket):
            return ""
        cipher = sock.cipher()
        return f"{sock.version()} {cipher[0] if cipher else ''}".strip()


def is_in(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an address lies in one of the networks; IPv4 in IPv6 form counts as IPv4."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)
