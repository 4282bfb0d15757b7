"""Every attack of tests/fixtures/masking/attacks-*.yaml, for real: nothing masked comes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.masked import attack
from tests.e2e.masked.lab import Lab

FILES = attack.files()
AT_LEAST = 300


def test_there_are_enough_attacks_and_each_has_a_name_of_its_own() -> None:
    titles = [(path.stem, one.title) for path in FILES for one in attack.read(path)]
    assert len(set(titles)) == len(titles)
    assert len({(stem, title.rpartition(" [")[0]) for stem, title in titles}) >= AT_LEAST


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_attack_sees_a_masked_value(masking_lab: Lab, path: Path) -> None:
    outcomes = [masking_lab.try_out(one) for one in attack.read(path)]
    leaks = [f"{one.attack.title}: {one.leak}" for one in outcomes if one.leak]
    wrong = [f"{one.attack.title}: {one.wrong}" for one in outcomes if one.wrong]
    assert not leaks, "\n".join(leaks)
    assert not wrong, "\n".join(wrong)
