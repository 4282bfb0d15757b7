"""Caches stay within their bounds, each by itself and all together."""

from __future__ import annotations

from proxy.cache import Room, TwoGenerations


def test_what_is_asked_for_stays_and_the_rest_is_forgotten() -> None:
    cache: TwoGenerations[str, int] = TwoGenerations(10)
    cache.put("kept", 0)
    for number in range(100):
        assert cache.get("kept") == 0
        cache.put(f"passing {number}", number)
    assert len(cache) <= 20
    assert cache.get("passing 0") is None
    assert cache.get("passing 99") == 99


def test_caches_that_share_a_room_begin_anew_when_it_is_full() -> None:
    room = Room(10 * (TwoGenerations.OVERHEAD + 100))
    caches = [TwoGenerations[bytes, int](100, room) for _ in range(5)]
    for number in range(50):
        caches[number % 5].put(b"x" * 90 + b"%010d" % number, number)
    assert sum(map(len, caches)) <= 10
    assert caches[4].get(b"x" * 90 + b"%010d" % 49) == 49


def test_a_cache_that_nobody_has_any_more_is_let_go() -> None:
    room = Room(1 << 20)
    cache: TwoGenerations[str, int] | None = TwoGenerations(10, room)
    assert len(room._caches) == 1
    cache = None
    assert cache is None and len(room._caches) == 0
