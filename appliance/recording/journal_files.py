"""What else lies in a journal directory: locks, the appliance's id; and what goes wrong there."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import JournalUnavailable
from appliance.sealing import kept_text

LOCK_NAME = "lock"
NEW_PREFIX = ".new-"  # of a journal's directory until it has begun
SPARE_PREFIX = ".spare-"  # of a segment file that is being made
_APPLIANCE_NAME = "appliance"
_RETENTION_LOCK = ".retention-lock"


def appliance_id(directory: Path) -> str:
    """Return the id of the appliance that a journal directory belongs to, made at first use.

    It tells whose journals are whose in a store that several appliances share.
    """
    return kept_text(directory / _APPLIANCE_NAME, secrets.token_hex(8))


def lock_journal(path: Path) -> int | None:
    """Return the lock's descriptor, or None while another process writes this journal.

    Raises OSError.
    """
    fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextmanager
def nothing_removed(directory: Path) -> Iterator[None]:
    """Keep retention from removing segments while they are walked. Raises OSError."""
    with _retention_lock(directory, fcntl.LOCK_SH):
        yield


@contextmanager
def removing_alone(directory: Path) -> Iterator[None]:
    """Wait for whoever walks or removes segments, then be the one that removes. Raises OSError."""
    with _retention_lock(directory, fcntl.LOCK_EX):
        yield


@contextmanager
def _retention_lock(directory: Path, kind: int) -> Iterator[None]:
    fd = os.open(directory / _RETENTION_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def unavailable(path: Path, error: OSError) -> JournalUnavailable:
    """Return the error to raise for what the system said about a journal."""
    return JournalUnavailable(
        f"the journal cannot be written: {error.strerror or error}",
        f"make room on the disk that holds {path.parent}, or see to its permissions",
    )
