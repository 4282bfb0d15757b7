"""What analysts, ORMs, BI tools and psql ask every day works for somebody from whom is hidden."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.embedded import Installation
from tests.e2e.masked import everyday
from tests.e2e.masked.lab import Lab, running_lab

AT_LEAST = 150
MUST_WORK = 0.98


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, programs: Installation) -> Iterator[Lab]:
    """A shop whose values are canaries, and a gateway that hides them."""
    with running_lab(tmp_path_factory.mktemp("lab"), programs) as running:
        yield running


def test_everyday_statements_do_what_they_do_on_the_target(lab: Lab) -> None:
    total = 0
    wrong, leaks = [], []
    for path in everyday.files():
        differences = everyday.compare(lab, path)
        total += differences.total
        wrong += [f"{path.stem} {name}: {what}" for name, what in differences.found.items()]
        leaks += [f"{path.stem} {name}: {what}" for name, what in differences.leaks.items()]
    assert not leaks, "\n".join(leaks)
    assert total >= AT_LEAST
    assert total - len(wrong) >= MUST_WORK * total, "\n".join(wrong)
