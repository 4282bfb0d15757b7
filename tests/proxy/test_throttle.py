"""Guessing gets slower, typing does not."""

from __future__ import annotations

from proxy.throttle import Throttle

KEYS = ("source 192.0.2.1", "identity ana@example.com")


def test_a_few_mistakes_cost_no_time() -> None:
    throttle = Throttle()
    for _ in range(4):
        throttle.failed(KEYS, 0.0)
    assert throttle.delay_s(KEYS, 0.0) == 0.0


def test_the_delay_grows_with_each_failure_up_to_a_bound() -> None:
    throttle = Throttle()
    delays = []
    for _ in range(20):
        throttle.failed(KEYS, 0.0)
        delays.append(throttle.delay_s(KEYS, 0.0))
    assert delays == sorted(delays)
    assert 0.2 < delays[5] < 1.0
    assert delays[-1] == 30.0


def test_guessing_at_many_identities_from_one_source_is_slowed_too() -> None:
    throttle = Throttle()
    for index in range(10):
        throttle.failed(("source 192.0.2.1", f"identity {index}"), 0.0)
    assert throttle.delay_s(("source 192.0.2.1", "identity new"), 0.0) > 0
    assert throttle.delay_s(("source 192.0.2.2", "identity new"), 0.0) == 0


def test_a_success_and_a_quarter_of_an_hour_forget() -> None:
    throttle = Throttle()
    for _ in range(10):
        throttle.failed(KEYS, 0.0)
    assert throttle.delay_s(KEYS, 901.0) == 0
    throttle.succeeded(KEYS)
    assert throttle.delay_s(KEYS, 1.0) == 0


def test_memory_stays_bounded_under_a_flood_of_names() -> None:
    throttle = Throttle()
    for index in range(60_000):
        throttle.failed((f"identity {index}",), float(index))
    assert len(throttle._failures) <= 50_001
