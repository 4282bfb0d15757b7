"""Fixtures of the recording's tests: a place for journals, a key, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.signing import Signer
from appliance.store.database import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


@pytest.fixture
def signer() -> Signer:
    return Signer.from_master_key(b"m" * 32)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The journals' directory; not made yet."""
    return tmp_path / "journal"


@pytest.fixture
def new_journal(
    directory: Path, clock: ManualClock, signer: Signer
) -> Iterator[Callable[..., Journal]]:
    """Make journals that are closed at the end, if the test did not."""
    made: list[Journal] = []

    def make(writer: str = "proxy-1", **options: object) -> Journal:
        options.setdefault("segment_bytes", 64 << 10)
        made.append(Journal.create(directory, writer, clock, signer, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for journal in made:
        journal.close()


@pytest.fixture
def new_indexer(
    store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> Iterator[Callable[..., Indexer]]:
    """Make indexers that let go of their files at the end, if the test did not let them."""
    made: list[Indexer] = []

    def make(**options: int) -> Indexer:
        made.append(Indexer(store, directory, clock, signer, **options))
        return made[-1]

    yield make
    for indexer in made:
        indexer.close()
