"""Every attack of tests/fixtures/masking/attacks-*.yaml, for real: nothing masked comes through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.embedded import Installation
from tests.e2e.masked import attack
from tests.e2e.masked.lab import Lab
from tests.e2e.masked.running import running_lab

FILES = attack.files()
AT_LEAST = 300


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, programs: Installation) -> Iterator[Lab]:
    """A lab of their own: what a rule once meant it means for good, so attacks leave traces."""
    with running_lab(tmp_path_factory.mktemp("lab"), programs) as running:
        yield running


def test_there_are_enough_attacks_and_each_has_a_name_of_its_own() -> None:
    those = [(path.stem, one) for path in FILES for one in attack.read(path)]
    titles = [(stem, one.title) for stem, one in those]
    assert len(set(titles)) == len(titles)
    assert len({(stem, one.name) for stem, one in those if one.want != "open"}) >= AT_LEAST


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_attack_sees_a_masked_value(lab: Lab, path: Path) -> None:
    outcomes = [lab.try_out(one) for one in attack.read(path)]
    leaks = [
        f"{one.attack.title}: {one.leak}"
        for one in outcomes
        if one.leak and one.attack.want != "open"
    ]
    wrong = [f"{one.attack.title}: {one.wrong}" for one in outcomes if one.wrong]
    assert not leaks, "\n".join(leaks)
    assert not wrong, "\n".join(wrong)
