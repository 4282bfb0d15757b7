"""Remove old segments of a journal so that the rest still verifies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from appliance.recording.reading import segment_numbers
from appliance.recording.records import HEADER_BYTES, head_message, segment_name, unpack_header
from appliance.recording.segments import sync_directory
from appliance.recording.signing import Signer, signature_holds

_FILE = "removed.head"


@dataclass(frozen=True, slots=True)
class RemovedHead:
    """A signed statement that all before ``segment`` was removed, and what its chain was."""

    segment: int  # the first that is left
    head: bytes
    signature: bytes
    key: bytes

    def holds(self, journal: str, public_key: bytes) -> bool:
        """Return whether the holder of the key signed this."""
        message = head_message(journal, self.segment << 32, self.head)
        return self.key == public_key and signature_holds(public_key, self.signature, message)


def remove_segments(path: Path, before: int, signer: Signer) -> int:
    """Remove the segments before number ``before``; return how many.

    The segment ``before`` has to be there: its header has the chain that is signed and left.
    """
    header = unpack_header((path / segment_name(before)).read_bytes()[:HEADER_BYTES])
    if header is None:
        raise ValueError("the segment that would be the first is not begun")
    return _remove(path, before, header.previous, signer)


def remove_all(path: Path, head: bytes, signer: Signer) -> int:
    """Remove every segment of a closed journal, whose chain ends with ``head``; return how many.

    The directory stays, with the signed head: who removes that too is found out.
    """
    return _remove(path, segment_numbers(path)[-1] + 1, head, signer)


def finish_removal(path: Path) -> int:
    """Remove what a removal that was interrupted has left; return how many segments."""
    left = removed_head(path)
    return _unlink(path, left.segment) if left else 0


def _remove(path: Path, before: int, head: bytes, signer: Signer) -> int:
    message = head_message(path.name, before << 32, head)
    body = {
        "segment": before, "head": head.hex(),
        "signature": signer.sign(message).hex(), "key": signer.public_key.hex(),
    }  # fmt: skip
    part = path / f"{_FILE}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(orjson.dumps(body))
        out.flush()
        os.fsync(fd)
    os.replace(part, path / _FILE)
    sync_directory(path)
    return _unlink(path, before)


def _unlink(path: Path, before: int) -> int:
    old = [number for number in segment_numbers(path) if number < before]
    for number in old:
        (path / segment_name(number)).unlink()
    for torn in path.glob("*.torn"):  # what was cut off a segment goes with it
        segment = torn.name.partition("-")[0]
        if segment.isdigit() and int(segment) < before:
            torn.unlink()
    return len(old)


def removed_head(path: Path) -> RemovedHead | None:
    """Return what was left of removed segments; None when there is nothing readable."""
    try:
        body = orjson.loads((path / _FILE).read_bytes())
        return RemovedHead(
            int(body["segment"]),
            bytes.fromhex(body["head"]),
            bytes.fromhex(body["signature"]),
            bytes.fromhex(body["key"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
