"""Wait until a few descriptors can be read; ``select`` cannot, for those beyond 1,024."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], seconds: float) -> frozenset[int]:
    """Return which of them have something to read, or have ended; none after ``seconds``."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    ready = poll.poll(math.ceil(max(0.0, seconds) * 1000))
    return frozenset(fd for fd, _ in ready)
