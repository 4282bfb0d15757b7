"""Waiting for descriptors: also for those above 1,023, where ``select`` gives up."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Iterator

import pytest

from appliance.readiness import readable


@pytest.fixture
def room() -> Iterator[None]:
    """Let the process have more than 1,024 descriptors, as a gateway has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_has_something_to_read_is_named_also_beyond_1024(room: None) -> None:
    read, write = os.pipe()
    high = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, 1_500)
    other, other_end = os.pipe()
    try:
        assert high >= 1_500
        assert readable([high, other], 0) == frozenset()
        os.write(write, b"x")
        assert readable([high, other], 30) == {high}
        os.close(other_end)
        assert readable([high, other], 30) == {high, other}
    finally:
        for fd in (read, write, high, other):
            os.close(fd)


def test_it_gives_up_in_time() -> None:
    read, write = os.pipe()
    began = time.monotonic()
    assert not readable([read], 0.05)
    assert time.monotonic() - began >= 0.05
    os.close(read)
    os.close(write)
