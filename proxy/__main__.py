"""One proxy worker: ``python -m proxy --listen-fd FD --worker NUMBER``, a child of ``serve``."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
from contextlib import suppress

import gevent
import structlog
from gevent.event import Event

from appliance.clock import clock_from_environment
from appliance.config import config_from_environment
from appliance.errors import GatepostError
from appliance.logging import configure as configure_logging
from appliance.masking.rows import IMPLEMENTATION
from appliance.store import workers
from appliance.store.database import open_store
from proxy.vestibule import wait_for_store
from proxy.watcher import Watcher, drain
from proxy.worker import Worker

log = structlog.get_logger("proxy")

_DESCRIPTORS = 65_536


def main() -> int:
    """Serve clients until SIGTERM or until the supervisor has gone; returns the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m proxy")
    arguments.add_argument("--listen-fd", type=int, required=True)
    arguments.add_argument("--worker", type=int, required=True)
    options = arguments.parse_args()
    config = config_from_environment()
    configure_logging(config.log_format, "proxy")
    clock = clock_from_environment()
    _raise_descriptors()
    listener = socket.socket(fileno=options.listen_fd)
    listener.setblocking(False)
    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, ended.set)
    _watch_parent(ended)
    try:
        store = open_store(config.store_url)
        if not wait_for_store(config, store, clock, listener, ended):
            return 0
        worker = Worker(config, store, clock, listener, options.worker)
    except GatepostError as error:
        log.error("the worker cannot start", error=str(error))
        return error.exit_code
    watching = gevent.spawn(Watcher(worker).run)
    worker.start_accepting()
    log.info(
        "serving",
        worker=options.worker,
        version=worker.snapshot.version,
        row_masking=IMPLEMENTATION,
    )
    ended.wait()
    drain(worker)
    watching.kill()
    worker.close()
    try:
        worker.run_blocking(workers.gone, worker.store, worker.name, os.getpid())
    except GatepostError:
        return 0  # the store is away; the row is forgotten by age
    return 0


def _raise_descriptors() -> None:
    """Take as many descriptors as the system gives: 1,024, the usual, is 500 sessions."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _watch_parent(ended: Event) -> None:
    """End when the supervisor has gone, also by kill -9: its pipe reads end-of-file then."""
    text = os.environ.get("GATEPOST_PARENT_FD", "")
    if text.isdigit():
        watcher = gevent.get_hub().loop.io(int(text), 1)

        def gone() -> None:
            watcher.stop()
            ended.set()

        watcher.start(gone)


if __name__ == "__main__":
    sys.exit(main())
