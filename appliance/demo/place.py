"""Where the running demo is found by ``gatepost psql``: one small private file per account."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.errors import Conflict


@dataclass(frozen=True, slots=True)
class DemoPlace:
    """What a running demo says about itself. It means nothing once ``pid`` has ended.

    ``directories`` are deleted when the demo ends, or by the next one if it was killed;
    ``cluster`` is the embedded server's data directory, ``serve_pid`` the appliance's parent.
    """

    pid: int
    data_dir: str
    cluster: str
    directories: tuple[str, ...]
    host: str
    port: int
    url: str
    passwords: Mapping[str, str]
    serve_pid: int = 0

    def save(self) -> None:
        """Write it, readable by this account only."""
        folder = _folder()
        part = folder / f"current.json.{self.pid}"
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(self)))
        part.replace(folder / "current.json")

    def forget(self) -> None:
        """Remove it, unless another demo has taken its place."""
        found = load()
        if found is not None and found.pid == self.pid:
            (_folder() / "current.json").unlink(missing_ok=True)

    @property
    def is_alive(self) -> bool:
        """Return whether the demo that wrote it still runs."""
        return is_alive(self.pid)


def load() -> DemoPlace | None:
    """Return what the last demo of this account wrote, whether it still runs or not."""
    try:
        values = json.loads((_folder() / "current.json").read_text())
        return DemoPlace(**{**values, "directories": tuple(values["directories"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _folder() -> Path:
    """Return this account's own folder in the shared temporary directory.

    Raises: Conflict: somebody else has put one there.
    """
    folder = Path(tempfile.gettempdir()) / f"gatepost-demo-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Conflict(f"{folder} is not this account's alone", "remove it, or set TMPDIR")
    return folder
