"""Attacks through XML, foreign tables and contributed extensions, where the system has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.embedded import Installation
from tests.e2e.masked import attack
from tests.e2e.masked.lab import Lab
from tests.e2e.masked.running import running_lab

_DEBIAN = Path("/usr/lib/postgresql"), Path("/usr/share/postgresql")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, programs: Installation) -> Iterator[Lab]:
    """The shop on the system's PostgreSQL, an older one."""
    contributed = with_extensions()
    if contributed is None:
        pytest.skip("the system has no PostgreSQL with contributed extensions")
    directory = tmp_path_factory.mktemp("lab")
    with running_lab(directory, programs, contributed=contributed) as running:
        yield running


def with_extensions() -> Installation | None:
    """Return the newest installation of the system that has postgres_fdw."""
    programs, shared = _DEBIAN
    for folder in sorted(programs.glob("[0-9]*"), key=lambda found: -int(found.name)):
        fdw = shared / folder.name / "extension" / "postgres_fdw.control"
        if (folder / "bin" / "initdb").exists() and fdw.exists():
            return Installation(int(folder.name), folder / "bin")
    return None


def test_no_attack_by_an_extension_sees_a_masked_value(lab: Lab) -> None:
    outcomes = [lab.try_out(one) for one in attack.read(attack.CONTRIBUTED)]
    leaks = [f"{one.attack.title}: {one.leak}" for one in outcomes if one.leak]
    wrong = [f"{one.attack.title}: {one.wrong}" for one in outcomes if one.wrong]
    assert not leaks, "\n".join(leaks)
    assert not wrong, "\n".join(wrong)
