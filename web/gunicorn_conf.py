"""How gunicorn serves the pages: one gevent worker, patched before anything else is imported."""

# ruff: noqa: E402 - the patch must come before every other import, and nothing of ours here
from gevent import monkey

monkey.patch_all()

import os
import signal
from typing import Any

import gevent
from gevent import socket as gevent_socket

wsgi_app = "web.wsgi:app"
bind = os.environ.get("GATEPOST_WEB_LISTEN") or "127.0.0.1:8080"
worker_class = "gevent"
workers = 1
worker_connections = 2_000
preload_app = False
control_socket_disable = True
timeout = 60
graceful_timeout = 20
keepalive = 5
loglevel = "warning"
errorlog = "-"
accesslog = None
proc_name = "gatepost-web"
limit_request_line = 8_190
forwarded_allow_ips = ""  # X-Forwarded-* is read in web/source.py, from listed proxies only


def on_starting(server: Any) -> None:
    """Serve https with the gateway's own certificate where GATEPOST_WEB_TLS says so."""
    from appliance.clock import clock_from_environment
    from appliance.config import config_from_environment
    from appliance.tls import certificate_files

    config = config_from_environment()
    if config.web_tls:
        files = certificate_files(config, clock_from_environment().now())
        server.cfg.set("certfile", str(files.certificate))
        server.cfg.set("keyfile", str(files.key))


def post_worker_init(worker: Any) -> None:
    """Give the application what only the worker has: its state and its thread pool."""
    worker.wsgi.extensions["gatepost_is_serving"] = lambda: bool(worker.alive)
    worker.wsgi.extensions["gatepost_off_loop"] = gevent.get_hub().threadpool.apply
    fd = os.environ.get("GATEPOST_PARENT_FD", "")
    if fd.isdigit():
        gevent.spawn(_end_with_parent, int(fd), worker.ppid)


def _end_with_parent(fd: int, arbiter: int) -> None:
    """Wait for the end of file that says the supervisor is gone; nothing is ever written there."""
    gevent_socket.wait_read(fd)
    os.kill(arbiter, signal.SIGTERM)
