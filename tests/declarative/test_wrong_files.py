"""Every wrong value names file, line and path, all of them at once, and nothing is applied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.declarative.reading import read_document
from appliance.declarative.source import InvalidFile
from appliance.store import audit, snapshots
from appliance.store.database import Store
from tests.declarative.conftest import NOW, apply_text


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    errors: tuple[tuple[int, str, str], ...]


def _cases() -> list[Case]:
    lines = (Path(__file__).parent / "wrong.txt").read_text().splitlines()[1:]
    cases: list[Case] = []
    text: list[str] = []
    errors: list[tuple[int, str, str]] = []
    name = ""
    for line in [*lines, "=== end"]:
        if line.startswith("=== "):
            if name:
                cases.append(Case(name, "\n".join(text) + "\n", tuple(errors)))
            name, text, errors = line.removeprefix("=== "), [], []
        elif line.startswith("--> "):
            number, _, rest = line.removeprefix("--> ").partition(" ")
            path, _, message = rest.partition(": ")
            errors.append((int(number), path, message))
        else:
            text.append(line)
    return cases


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_a_wrong_file_is_refused_with_every_place(sqlite_store: Store, case: Case) -> None:
    before = snapshots.load(sqlite_store, NOW)
    with pytest.raises(InvalidFile) as caught:
        apply_text(sqlite_store, case.text, {"TOO_SHORT": "hunter2"})
    found = {error.field: (error.where, str(error)) for error in caught.value.errors}
    wanted = {path: (f"gatepost.yml:{line}", message) for line, path, message in case.errors}
    assert {path: where for path, (where, _) in found.items()} == {
        path: where for path, (where, _) in wanted.items()
    }, "\n".join(message for _, message in found.values())
    for path, (where, message) in wanted.items():
        assert found[path][1].startswith(f"{where}: {path}: "), found[path][1]
        assert message in found[path][1]
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert snapshots.load(sqlite_store, NOW) == before
    assert audit.find(sqlite_store).total == 0


def test_text_that_is_not_utf8_names_its_line(sqlite_store: Store) -> None:
    with pytest.raises(InvalidFile, match=r"gatepost\.yml:2: the file: is not UTF-8"):
        read_document(b"groups:\n  - {name: \xff}\n", "gatepost.yml")


def test_an_empty_file_changes_nothing_even_with_prune(sqlite_store: Store) -> None:
    apply_text(sqlite_store, "groups: [{name: dba}]")
    assert apply_text(sqlite_store, "# nothing\n", prune=True).changes == ()
    assert list(snapshots.load(sqlite_store, NOW).groups) == ["dba"]


def test_one_wrong_entry_at_the_end_undoes_the_whole_file(store: Store) -> None:
    text = """
groups: [{name: dba}]
identities:
  - {name: good, kind: ci, credentials: [{password_env: GOOD}]}
  - {name: bad, kind: ci, credentials: [{password_env: BAD}]}
"""
    version = snapshots.version(store)
    with pytest.raises(InvalidFile, match="BAD: expected 8 to"):
        apply_text(store, text, {"GOOD": "long enough", "BAD": "short"})
    snapshot = snapshots.load(store, NOW)
    assert (snapshot.version, snapshot.groups, snapshot.identities) == (version, {}, {})
    assert audit.find(store).total == 0


def test_unknown_names_and_wrong_values_are_said_together(sqlite_store: Store) -> None:
    text = """
groups: [{name: dba}]
grants:
  - {who: "group:dbas", target: shop, role: app_ro}
policies:
  - {name: p, who: ["*"], action: perhaps}
"""
    with pytest.raises(InvalidFile) as refused:
        apply_text(sqlite_store, text)
    assert [error.field for error in refused.value.errors] == [
        "grants[0].who",
        "grants[0].target",
        "policies[0].action",
    ]
    assert snapshots.load(sqlite_store, NOW).groups == {}
