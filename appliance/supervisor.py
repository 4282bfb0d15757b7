"""The small parent: starts the appliance's processes, restarts them, drains them at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import FrameType

import structlog

from appliance.readiness import readable

PARENT_FD = "GATEPOST_PARENT_FD"
_BACK_OFF_FIRST_S = 0.25
_BACK_OFF_LAST_S = 15.0
_HEALTHY_AFTER_S = 20.0
_TICK_S = 0.5


class Phase(IntEnum):
    """When a child is asked to end: the lower first, the next when those have ended."""

    SERVING = 0  # what users talk to, and what acts by itself
    RECORDING = 1  # takes what the others have written: the indexer


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process of the appliance. ``fds`` are inherited under their own numbers."""

    name: str
    argv: Sequence[str]
    fds: tuple[int, ...] = ()
    phase: Phase = Phase.SERVING
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay_s: float = _BACK_OFF_FIRST_S
    due: float = 0.0  # monotonic time of the next start


class Supervisor:
    """Keep the children running until a signal comes or the parent's own parent has gone.

    Children hold the read end of a pipe of which only this process has the write end: they see
    end-of-file when it is killed, and drain. ``drain_s`` is how long the first phase may take.
    """

    def __init__(
        self, specs: Sequence[ChildSpec], *, drain_s: float, recording_s: float = 15.0
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._grace = {Phase.SERVING: drain_s, Phase.RECORDING: recording_s}
        self._log = structlog.get_logger("supervisor")
        self._stop_signals = 0
        self._wake_read, self._wake_write = os.pipe()
        self._life_read, self._life_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._own_parent = _parent_fd()

    def run(self) -> int:
        """Supervise until told to end; return the exit code of ``serve``."""
        self._catch_signals()
        try:
            while not self._should_end():
                self._start_what_is_due()
                self._wait(_TICK_S)
                self._reap()
            return self._drain()
        finally:
            for child in self._children:
                if child.process is not None and child.process.poll() is None:
                    child.process.kill()
                    child.process.wait()
            for fd in (self._wake_read, self._wake_write, self._life_read, self._life_write):
                os.close(fd)

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake up
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_signals += 1

    def _should_end(self) -> bool:
        return self._stop_signals > 0 or self._own_parent == -1

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and child.due <= now:
                self._spawn(child, now)

    def _spawn(self, child: _Child, now: float) -> None:
        child.process = subprocess.Popen(  # noqa: S603 - our own program
            child.spec.argv,
            stdin=subprocess.DEVNULL,
            pass_fds=(*child.spec.fds, self._life_read),
            env={**os.environ, **child.spec.environ, PARENT_FD: str(self._life_read)},
            process_group=0,  # Ctrl-C is for the parent alone, which then drains
        )
        child.started = now
        self._log.info("started", child=child.spec.name, pid=child.process.pid)

    def _reap(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            code = child.process.returncode
            child.process = None
            if now - child.started > _HEALTHY_AFTER_S:
                child.delay_s = _BACK_OFF_FIRST_S
            child.due = now + child.delay_s
            self._log.warning(
                "ended by itself, will be started again",
                child=child.spec.name,
                how=describe_exit(code),
                in_s=child.delay_s,
            )
            child.delay_s = min(child.delay_s * 2, _BACK_OFF_LAST_S)

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal, a child's end or the parent's end, ``seconds`` at most."""
        now = time.monotonic()
        dues = [child.due - now for child in self._children if child.process is None]
        watched = [self._wake_read]
        if self._own_parent is not None and self._own_parent >= 0:
            watched.append(self._own_parent)
        ready = readable(watched, min([seconds, *dues]))
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if self._own_parent in ready:
            self._own_parent = -1  # end of file: whoever started us has been killed

    def _drain(self) -> int:
        patience = self._stop_signals  # read first: what comes from now on ends the waiting
        self._log.info("draining: new sessions are refused, running ones get their time")
        clean = True
        for phase in Phase:
            children = [child for child in self._children if child.spec.phase is phase]
            clean &= self._end_phase(children, self._grace[phase], patience)
            patience = self._stop_signals
        self._log.info("ended")
        return 0 if clean else 1

    def _end_phase(self, children: list[_Child], grace_s: float, patience: int) -> bool:
        """Ask the children to end, kill them after the grace or at a further signal."""
        alive = [c for c in children if c.process is not None and c.process.poll() is None]
        for child in alive:
            assert child.process is not None  # noqa: S101 - for the type checker
            child.process.terminate()
        deadline = time.monotonic() + grace_s
        while alive and time.monotonic() < deadline and self._stop_signals <= patience:
            self._wait(0.1)
            alive = [c for c in alive if c.process is not None and c.process.poll() is None]
        for child in alive:
            assert child.process is not None  # noqa: S101 - for the type checker
            self._log.warning("did not end in time, killed", child=child.spec.name)
            child.process.kill()
            child.process.wait()
        return not alive


def describe_exit(code: int) -> str:
    """Return "exit 3" or "SIGKILL" for a return code as subprocess has it."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _parent_fd() -> int | None:
    text = os.environ.get(PARENT_FD, "")
    return int(text) if text.isdigit() else None
