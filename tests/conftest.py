"""Fixtures for every test; what they are made of is in tests/harness."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import partial

import pytest
from argon2 import PasswordHasher

from appliance.identity import passwords

pytest_plugins = [
    "tests.harness.postgres",
    "tests.harness.tls_postgres",
    "tests.harness.store",
]
_MAY_STAY_OPEN = 100  # servers and browsers that a whole run shares need some


@pytest.fixture(scope="module", autouse=True)
def descriptors_are_closed() -> Iterator[None]:
    """Let no file of tests leave so many open that those after it run out of them."""
    before = _open_descriptors()
    yield
    if _open_descriptors() - before > _MAY_STAY_OPEN:
        gc.collect()
        left = _open_descriptors() - before
        assert left <= _MAY_STAY_OPEN, f"{left} descriptors were left open"


@pytest.fixture(scope="session", autouse=True)
def hashes_are_cheap() -> Iterator[None]:
    """Hash passwords in no time, in this process alone: no setting of Gatepost does it."""
    cheap = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "PasswordHasher", cheap)
        yield


@pytest.fixture
def costly_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as Gatepost does."""
    monkeypatch.setattr(passwords, "PasswordHasher", PasswordHasher)


def _open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))
