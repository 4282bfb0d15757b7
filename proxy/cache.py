"""Bounded maps that forget what was not asked for lately, and the room that they share."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Generic, TypeVar
from weakref import WeakSet

K = TypeVar("K", bound=Sized)
V = TypeVar("V")


class Room:
    """What all caches of a process may hold together; when it is used up, all begin anew.

    Each cache is bounded by itself, but whoever is logged in can open ever more of them, by
    search_paths or application names.
    """

    def __init__(self, units: int) -> None:
        self._units = units
        self._used = 0
        self._caches: WeakSet[TwoGenerations[Any, Any]] = WeakSet()

    def join(self, cache: TwoGenerations[Any, Any]) -> None:
        self._caches.add(cache)

    def use(self, units: int) -> None:
        """Count what is kept; what was forgotten meanwhile counts too, until all is emptied."""
        self._used += units
        if self._used > self._units:
            self._used = units
            for cache in self._caches:
                cache.clear()


class TwoGenerations(Generic[K, V]):
    """Keep between ``size`` and twice as many entries; a hit costs one dictionary look-up.

    When the young generation is full it becomes the old one, and the old one is dropped: what is
    used moves to the young one in time. No order is kept, so a look-up writes nothing.
    """

    __slots__ = ("__weakref__", "_old", "_room", "_size", "_young")

    OVERHEAD = 2048  # bytes that an entry takes beside its key, about

    def __init__(self, size: int, room: Room | None = None) -> None:
        self._size = size
        self._room = room
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        if room is not None:
            room.join(self)

    def get(self, key: K) -> V | None:
        """Return what is kept under ``key``, or None."""
        hit = self._young.get(key)
        if hit is None:
            hit = self._old.get(key)
            if hit is not None:
                self._keep(key, hit)
        return hit

    def put(self, key: K, value: V) -> None:
        """Keep ``value`` under ``key``."""
        if self._room is not None:
            self._room.use(len(key) + self.OVERHEAD)
        self._keep(key, value)

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}

    def _keep(self, key: K, value: V) -> None:
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
