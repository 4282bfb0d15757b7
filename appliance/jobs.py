"""Child processes of ``serve``: ``python -m appliance.jobs indexer`` and ``… scheduler``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog

from appliance.clock import clock_from_environment
from appliance.config import Config, config_from_environment
from appliance.errors import GatepostError, Unreachable
from appliance.logging import configure
from appliance.readiness import readable
from appliance.recording.catch_up import indexing_alone
from appliance.recording.indexer import Indexer
from appliance.sealing import Sealer, load_master_key, load_signing_key
from appliance.store.database import open_store

PARENT_FD = "GATEPOST_PARENT_FD"
_IDLE_S = 0.2  # how late a record may be seen when nothing else is to do
_TICK_S = 2.0
_COURIER_S = 0.5  # whoever is held waits for whoever is told
_COURIER_ENDS_S = 12.0  # a little longer than the channels' timeouts
_RETRY_FIRST_S = 0.25
_RETRY_LAST_S = 5.0

_log = structlog.get_logger("jobs")


class Stop:
    """Becomes true on SIGTERM, SIGINT, or when the parent has gone (its pipe reads EOF)."""

    def __init__(self) -> None:
        self._told = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        text = os.environ.get(PARENT_FD, "")
        self._parent = int(text) if text.isdigit() else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; return whether to stop."""
        if not self._told:
            watched = [self._wake_read] + ([] if self._parent is None else [self._parent])
            if self._parent in readable(watched, seconds):
                self._told = True
        return self._told

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True


def main() -> int:
    """Run one of the jobs until told to stop; return the exit code."""
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in ("indexer", "scheduler"):
        sys.stderr.write("usage: python -m appliance.jobs indexer|scheduler\n")
        return 2
    config = config_from_environment()
    configure(config.log_format, kind)
    stop = Stop()
    try:
        return _indexer(config, stop) if kind == "indexer" else _scheduler(config, stop)
    except GatepostError as error:
        _log.error("cannot go on", why=str(error))
        return error.exit_code


def _indexer(config: Config, stop: Stop) -> int:
    clock = clock_from_environment()
    with indexing_alone(config.journal_dir, stop.wait) as is_alone:
        if not is_alone:
            return 0
        store = open_store(config.store_url)
        indexer = Indexer(store, config.journal_dir, clock, load_signing_key(config))
        _repeat(indexer.step, stop, _IDLE_S)
        indexer.close()
    return 0


def _scheduler(config: Config, stop: Stop) -> int:
    # Only here: the indexer has no use for the drivers and the parser that jobs need.
    from appliance.notify.courier import Courier
    from appliance.scheduling import Scheduler, jobs_of, slow_jobs_of
    from appliance.store.outbox import Channel

    clock = clock_from_environment()
    store = open_store(config.store_url)
    sealer = Sealer(load_master_key(config))
    # Threads of their own: a target or a mail server that hangs delays nobody else's news.
    threads = [
        threading.Thread(
            target=_repeat,
            args=(Courier(store, clock, sealer, config.public_url, channel).step, stop, _COURIER_S),
            name=f"courier-{channel.value}",
            daemon=True,
        )
        for channel in (Channel.MAIL, Channel.WEBHOOK)
    ]
    slow = Scheduler(store, clock, slow_jobs_of(config, store, clock))
    # What it has not removed when the process ends, the next run removes.
    threading.Thread(target=_repeat, args=(slow.step, stop, _TICK_S), daemon=True).start()
    for thread in threads:
        thread.start()
    scheduler = Scheduler(store, clock, jobs_of(config, store, clock))
    _repeat(scheduler.step, stop, _TICK_S)
    for thread in threads:
        thread.join(_COURIER_ENDS_S)
    return 0


def _repeat(step: Callable[[], int], stop: Stop, idle_s: float) -> None:
    """Call ``step`` until told to stop; what is unreachable is tried again, with patience."""
    retry_s = _RETRY_FIRST_S
    away_since: float | None = None
    while True:
        try:
            pause_s = 0.0 if step() else idle_s
            if away_since is not None:
                _log.info("works again", after_s=round(time.monotonic() - away_since, 1))
            retry_s, away_since = _RETRY_FIRST_S, None
        except Unreachable as error:
            if away_since is None:
                away_since = time.monotonic()
                _log.warning("waiting: nothing is lost meanwhile", why=str(error))
            pause_s, retry_s = retry_s, min(retry_s * 2, _RETRY_LAST_S)
        if stop.wait(pause_s):
            return


if __name__ == "__main__":
    sys.exit(main())
