"""What a running appliance leaves in its data directory so that others on the machine find it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.errors import Conflict, Invalid


@dataclass(frozen=True, slots=True)
class RunFile:
    """Where a running ``serve`` listens. It means nothing once ``pid`` has ended."""

    pid: int
    host: str
    port: int
    url: str

    def save(self, run_dir: Path) -> None:
        """Write it so that a reader sees all of it or nothing."""
        part = run_dir / "serve.json.part"
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(self)))
        part.replace(path_in(run_dir))

    @property
    def is_alive(self) -> bool:
        """Return whether the process that wrote it still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def path_in(run_dir: Path) -> Path:
    return run_dir / "serve.json"


def load(run_dir: Path) -> RunFile | None:
    """Return what the last ``serve`` wrote, None if there is nothing readable."""
    try:
        return RunFile(**json.loads(path_in(run_dir).read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def only_one(data_dir: Path, run_dir: Path) -> Iterator[bool]:
    """Hold the data directory for one ``serve``; yield whether the one before ended uncleanly.

    The lock is the kernel's (flock): it ends with the process, however that ends.

    Raises: Conflict: another one runs on the same directory. Invalid: it cannot be written.
    """
    try:
        for directory in (data_dir, run_dir):  # mkdir's mode is for the last part of a path only
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (run_dir / "serve.lock").touch(mode=0o600)
    except OSError as error:
        raise Invalid(
            "GATEPOST_DATA_DIR",
            f"cannot write in {data_dir}: {error.strerror}",
            "name a directory that this process may make and write",
        ) from None
    with (run_dir / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = load(run_dir)
            who = f" (process {other.pid})" if other else ""
            raise Conflict(
                f"gatepost already runs on {data_dir}{who}",
                "end that one, or set GATEPOST_DATA_DIR to another directory",
            ) from None
        unclean = path_in(run_dir).exists()
        try:
            yield unclean
        finally:
            path_in(run_dir).unlink(missing_ok=True)
