"""Slows down those who guess: failures per source and per identity, with a growing delay. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_FREE = 5  # failures without a delay: people mistype
_LONGEST_S = 30.0
_FORGET_S = 900.0
_ENTRIES = 50_000


@dataclass(slots=True)
class _Failures:
    count: int
    last: float  # monotonic seconds


class Throttle:
    """Counts failures by key. The delay is served before the answer, so that nobody learns more."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def delay_s(self, keys: tuple[str, ...], now: float) -> float:
        """Return how long the next answer to these keys has to wait."""
        counts = [self._count(key, now) for key in keys]
        over = max(counts, default=0) - _FREE
        return min(_LONGEST_S, 0.25 * 2.0 ** min(over, 12)) if over >= 0 else 0.0

    def failed(self, keys: tuple[str, ...], now: float) -> None:
        """Count a failure."""
        if len(self._failures) > _ENTRIES:
            self._failures = {
                key: entry
                for key, entry in self._failures.items()
                if now - entry.last < _FORGET_S / 3
            }
        for key in keys:
            entry = self._failures.setdefault(key, _Failures(0, now))
            entry.count = self._count(key, now) + 1
            entry.last = now

    def succeeded(self, keys: tuple[str, ...]) -> None:
        """Forget the failures of these keys."""
        for key in keys:
            self._failures.pop(key, None)

    def _count(self, key: str, now: float) -> int:
        entry = self._failures.get(key)
        if entry is None or now - entry.last > _FORGET_S:
            return 0
        return entry.count
