"""Wait for something to become true, with a deadline instead of a sleep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    check: Callable[[], T], timeout: float = 30.0, what: str = "", interval: float = 0.02
) -> T:
    """Call ``check`` until it returns something true, and return that.

    An AssertionError inside ``check`` counts as "not yet"; the last one is raised at the deadline.
    """
    deadline = time.monotonic() + timeout
    failure: AssertionError | None = None
    while True:
        try:
            found = check()
            if found:
                return found
            failure = None
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            if failure is not None:
                raise failure
            name = what or getattr(check, "__name__", "the condition")
            raise AssertionError(f"{name} did not become true within {timeout:g} s")
        time.sleep(interval)


def promised(seconds: float) -> float:
    """Return how long what is promised within ``seconds`` may take on a machine as busy as now.

    The promise is about a machine that has the time; this one runs other tests beside.
    """
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(2.0, 2 * waiting)
