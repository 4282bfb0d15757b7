"""The process that parses what may crash or stall a parser, and formats statements for people.

``python -m appliance.sql.planner`` reads requests from stdin and answers on stdout, each frame
four bytes of length and then the bytes. It lives under limits of memory, time and stack: a text
that breaks one of them ends this process, not the one that asked.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from select import POLLIN, POLLOUT, poll
from time import monotonic
from typing import BinaryIO

from appliance.sql.parsed import Parsed, decode_parsed, encode_parsed

_HEADER = struct.Struct("!I")
_PARSE, _FORMAT = b"P", b"F"
MAX_FRAME = 256 << 20

MEMORY_BYTES = 3 << 30
STACK_BYTES = 512 << 20
SECONDS = 4  # of one request, in the child; the caller waits a little longer
CALL_TIMEOUT_S = 6.0
START_S = 10.0  # more, when the process has to be started first on a busy machine
RECURSION = 20_000  # sqlglot and orjson's fallback recurse; the stack above is for that


class Planner:
    """The caller's side: starts the process when it is first needed and again after a crash.

    One request at a time; callers in several threads wait for one another. The child is a plain
    child process spoken to over pipes, so it ends by itself when the caller dies.
    """

    def __init__(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._took_too_long = False

    def parse(self, text: str) -> Parsed | None:
        """Return what a text says; None when it cannot be told within the limits."""
        try:
            answer = self._ask(_PARSE + text.encode())
            return None if answer is None else decode_parsed(answer)
        except (ValueError, KeyError, TypeError):
            return None

    def format(self, text: str) -> str | None:
        """Return a statement laid out for people; None when it cannot be done."""
        try:
            answer = self._ask(_FORMAT + text.encode())
            return None if answer is None else answer.decode()
        except ValueError:
            return None

    def close(self) -> None:
        """End the process. No request is taken afterwards."""
        with self._lock:
            self._closed = True
            self._end()

    def __enter__(self) -> Planner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Return the child's process id while there is one."""
        return None if self._child is None else self._child.pid

    def _ask(self, request: bytes) -> bytes | None:
        if len(request) > MAX_FRAME:
            return None
        with self._lock:
            if self._closed:
                return None
            was_there = self._child is not None
            answer = self._exchange(request)
            if answer is None and was_there and not self._took_too_long:
                answer = self._exchange(request)  # the old one may have died while it was idle
        return answer[1:] if answer is not None and answer[:1] == b"+" else None

    def _exchange(self, request: bytes) -> bytes | None:
        """Return the answer; None, and no child any more, when there was none in time."""
        until = monotonic() + self._timeout_s + (START_S if self._child is None else 0.0)
        try:
            child = self._child or self._start()
            if child.stdin is None or child.stdout is None:
                raise OSError("the planner has no pipes")
            _write_all(child.stdin.fileno(), _HEADER.pack(len(request)) + request, until)
            answers = child.stdout.fileno()
            (size,) = _HEADER.unpack(_read_exactly(answers, _HEADER.size, until))
            if size > MAX_FRAME:
                raise ValueError("the planner answered with too much")
            return _read_exactly(answers, size, until)
        except (OSError, ValueError, EOFError) as error:
            self._took_too_long = isinstance(error, TimeoutError)
            self._end()
            return None

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "appliance.sql.planner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            close_fds=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._child = child
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        return child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.wait()


def _write_all(fd: int, data: bytes, until: float) -> None:
    view = memoryview(data)
    while view:
        _await(fd, POLLOUT, until)
        view = view[os.write(fd, view[: 1 << 16]) :]


def _read_exactly(fd: int, size: int, until: float) -> bytes:
    parts = []
    while size:
        _await(fd, POLLIN, until)
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError("the planner ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _await(fd: int, event: int, until: float) -> None:
    """Wait until a pipe is ready. By poll: select() takes no descriptor over 1,023."""
    waiting = poll()
    waiting.register(fd, event)
    if not waiting.poll(max(0.0, until - monotonic()) * 1000):
        raise TimeoutError("the planner took too long")


# -- the child -----------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO, handle: Callable[[bytes], bytes]) -> None:
    """Answer requests until there are no more."""
    while True:
        header = requests.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        (size,) = _HEADER.unpack(header)
        request = requests.read(size)
        if len(request) < size:
            return
        signal.setitimer(signal.ITIMER_REAL, SECONDS)  # SIGALRM's own action ends the process
        answer = handle(request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(_HEADER.pack(len(answer)) + answer)
        answers.flush()


def _handler() -> Callable[[bytes], bytes]:
    from appliance.sql.analysis import Analysis
    from appliance.sql.native import PgQuery

    analysis = Analysis(PgQuery(holds_lock=True))

    def handle(request: bytes) -> bytes:
        text = request[1:].decode()
        if request[:1] == _PARSE:
            return b"+" + encode_parsed(analysis(text))
        from appliance.sql.layout import lay_out  # sqlglot takes a second to import

        laid_out = lay_out(text)
        return b"-" if laid_out is None else b"+" + laid_out.encode()

    return handle


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(what, (value, hard))
    except (OSError, ValueError):
        return  # not every system has this limit (macOS: RLIMIT_AS)


def main() -> None:
    """Serve under limits, in a thread with a large stack."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the parent
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    sys.setrecursionlimit(RECURSION)
    threading.stack_size(STACK_BYTES)
    worker = threading.Thread(
        target=serve, args=(sys.stdin.buffer, sys.stdout.buffer, _handler()), daemon=True
    )
    worker.start()
    worker.join()


if __name__ == "__main__":
    main()
