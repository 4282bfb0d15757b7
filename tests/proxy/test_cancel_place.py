"""Where the workers' sockets live when the data directory has a long name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cancel import CancelBus, bus_directory


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a long name; stand-ins are made beside it."""
    place = tmp_path / ("long" * 20) / "run"
    place.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="gp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield place


def test_the_stand_in_goes_with_the_last_worker(run_dir: Path) -> None:
    place = bus_directory(run_dir)
    buses = [CancelBus(place, f"proxy-{n}", lambda *_: None) for n in (1, 2)]
    buses[0].close()
    assert place.is_dir()
    buses[1].close()
    assert not place.exists()


def test_that_of_killed_workers_goes_at_a_later_start_once_their_data_is_gone(
    run_dir: Path,
) -> None:
    killed, living = run_dir.with_name("killed"), run_dir.with_name("living")
    for one in (killed, living):
        one.mkdir()
    places = [bus_directory(one) for one in (killed, living)]
    for place in places:
        (place / "cancel-proxy-1.sock").touch()
    killed.rmdir()
    assert bus_directory(run_dir).is_dir()
    assert [place.exists() for place in places] == [False, True]
