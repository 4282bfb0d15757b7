"""Answers clients while the worker cannot serve yet: its store is away. Silence would be worse."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import gevent
import structlog
from gevent.event import Event

from appliance import tls
from appliance.clock import Clock
from appliance.config import Config
from appliance.errors import ProtocolError, StoreUnavailable
from appliance.store import snapshots
from appliance.store.database import Store
from proxy import startup
from proxy.arrival import Arrival, Left
from proxy.endpoint import Endpoint
from proxy.wire.notices import error_response

log = structlog.get_logger("proxy")

_EVERY_S = 0.5
_CLIENT_S = 10.0
_SORRY = error_response(
    "FATAL",
    "57P03",
    "gatepost: the gateway is starting and its store does not answer yet",
    "",
    "It comes by itself: connect again in a moment.",
)


def wait_for_store(
    config: Config, store: Store, clock: Clock, listener: socket.socket, ended: Event
) -> bool:
    """Return when the store answers (True) or the worker is to end; clients are told so far."""
    pool = gevent.get_hub().threadpool
    accepting: Any = None
    while True:
        try:
            pool.apply(snapshots.version, (store,))
            break
        except StoreUnavailable as error:
            if accepting is None:
                log.warning("waiting for the store", error=str(error))
                context = tls.server_tls(config, clock.now()).context
                accepting = gevent.get_hub().loop.io(listener.fileno(), 1)
                accepting.start(_accept, listener, config, context)
        if ended.wait(_EVERY_S):
            break
    if accepting is not None:
        accepting.stop()
        accepting.close()
        log.info("no more waiting for the store")
    return not ended.is_set()


def _accept(listener: socket.socket, config: Config, context: ssl.SSLContext) -> None:
    try:
        sock, address = listener.accept()
    except OSError:
        return  # another worker took it
    gevent.spawn(_answer, sock, address, config, context)


def _answer(sock: socket.socket, address: Any, config: Config, context: ssl.SSLContext) -> None:
    client = Endpoint(sock)
    arrival = Arrival(client, address[0].partition("%")[0], address[1])
    try:
        with gevent.Timeout(_CLIENT_S, TimeoutError()):
            arrival.read_proxy_header(config.proxy_protocol_from)
            if isinstance(arrival.first_packets(context), startup.StartupReceived):
                client.write(_SORRY)
    except (Left, ProtocolError, TimeoutError, OSError, ssl.SSLError):
        pass  # nobody there, or nobody who speaks the protocol
    finally:
        client.close()
