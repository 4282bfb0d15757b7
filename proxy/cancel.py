"""Who may cancel what: the keys that the gateway gave out, and the workers' way to one another."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import stat
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import gevent

_PACKET = struct.Struct("!iB")
_HOME = "home"  # in a stand-in: the link to the directory that it stands for
KEY_BYTES = 4  # protocol 3.0
KEY_BYTES_3_2 = 32
S = TypeVar("S")


class CancelKeys(Generic[S]):
    """Sessions by process id and key. The id is the target's own: drivers compare it."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[int, bytes], S] = {}

    def issue(self, process_id: int, *, is_long: bool) -> bytes:
        """Return a new key for a session of this process id."""
        while True:
            key = secrets.token_bytes(KEY_BYTES_3_2 if is_long else KEY_BYTES)
            if (process_id, key) not in self._sessions:
                return key

    def put(self, process_id: int, key: bytes, session: S) -> None:
        self._sessions[process_id, key] = session

    def get(self, process_id: int, key: bytes) -> S | None:
        return self._sessions.get((process_id, key))

    def drop(self, process_id: int, key: bytes) -> None:
        self._sessions.pop((process_id, key), None)


class CancelBus:
    """Carries a cancel to the worker that has the session: one datagram socket a worker."""

    def __init__(
        self, directory: Path, worker: str, on_cancel: Callable[[int, bytes], object]
    ) -> None:
        self._directory = directory
        self._path = directory / f"cancel-{worker}.sock"
        self._path.unlink(missing_ok=True)
        self._on_cancel = on_cancel
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        directory.mkdir(exist_ok=True, mode=0o700)  # a sibling may just have removed the stand-in
        self._sock.bind(str(self._path))
        os.chmod(self._path, 0o600)
        self._watcher = gevent.get_hub().loop.io(self._sock.fileno(), 1)
        self._watcher.start(self._readable)

    def ask_others(self, process_id: int, key: bytes) -> None:
        """Tell every other worker; at most one has the session, and wrong keys are ignored."""
        data = _PACKET.pack(process_id, len(key)) + key
        for path in self._directory.glob("cancel-*.sock"):
            if path == self._path:
                continue
            try:
                self._sock.sendto(data, str(path))
            except (ConnectionRefusedError, FileNotFoundError):
                path.unlink(missing_ok=True)  # its worker is gone
            except OSError:
                continue  # its queue is full: a cancel is best effort

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
        self._path.unlink(missing_ok=True)
        if not any(self._directory.glob("cancel-*.sock")):
            _remove_stand_in(self._directory)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data = self._sock.recv(512)
            except OSError:
                return
            if len(data) >= _PACKET.size:
                process_id, length = _PACKET.unpack_from(data)
                self._on_cancel(process_id, data[_PACKET.size : _PACKET.size + length])


def bus_directory(run_dir: Path) -> Path:
    """Return where the sockets live; raises OSError when that place is not ours alone.

    The path of a Unix socket is limited to about 100 bytes: a long data directory gets a short
    stand-in, named by its hash.
    """
    directory = run_dir
    if len(os.fsencode(run_dir)) > 70:
        mark = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]
        _remove_orphans(Path(tempfile.gettempdir()))
        directory = Path(tempfile.gettempdir()) / f"gatepost-{mark}"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{directory} belongs to somebody else")
    if directory != run_dir:
        with suppress(FileExistsError):
            (directory / _HOME).symlink_to(run_dir)  # so that others can tell when it is orphaned
    return directory


def _remove_orphans(place: Path) -> None:
    """Remove the stand-ins of killed gateways whose data directory is gone."""
    for directory in place.glob(f"gatepost-{'[0-9a-f]' * 16}"):
        with suppress(OSError):
            if (
                directory.lstat().st_uid == os.geteuid()
                and not (directory / _HOME).readlink().exists()
            ):
                for path in directory.glob("cancel-*.sock"):
                    path.unlink(missing_ok=True)
                _remove_stand_in(directory)


def _remove_stand_in(directory: Path) -> None:
    """Remove a stand-in in which no socket is left; another directory stays."""
    home = directory / _HOME
    with suppress(OSError):
        if home.is_symlink():
            home.unlink()
            directory.rmdir()
