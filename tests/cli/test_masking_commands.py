"""``gatepost masking list`` and ``show`` as a shell user sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.entities import MaskingRule
from appliance.masking.values import Method
from appliance.store import audit, catalogs, masking_rules, targets
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.targets import TargetSpec
from tests.harness.store import migrated
from tests.masking.catalogs import catalog

BY = Actor("tests", "system")
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
CARDS = MaskingRule(0, "cards", "shop", ("public.customers.card", "*.*.ssn"), Method.PARTIAL)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("GATEPOST_DATA_DIR", str(tmp_path))
    opened = migrated(f"sqlite:///{tmp_path / 'gatepost.db'}")
    targets.create(opened, BY, NOW, TargetSpec("shop", "db.example.com", "shop"))
    yield opened
    opened.close()


@pytest.fixture
def run(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def gatepost(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gatepost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return gatepost


def read(store: Store, tables: dict[str, tuple[int, tuple[str, ...]]], **more: object) -> None:
    catalogs.put(store, NOW, "shop", "shop", catalog(tables, **more).to_json())


def test_without_rules_the_list_says_what_that_means(run: Run) -> None:
    code, out, err = run("masking", "list")
    assert (code, err) == (0, "")
    assert out == "No masking rules: every column is shown as it is.\n"
    assert json.loads(run("masking", "list", "--json")[1]) == []


def test_before_the_first_look_at_the_target_nothing_is_claimed(store: Store, run: Run) -> None:
    masking_rules.create(store, BY, NOW, CARDS)
    code, out, err = run("masking", "list")
    assert (code, err) == (0, "")
    assert "not known: its catalog was not read yet" in out
    assert "was not read yet; serve reads it" in run("masking", "show", "cards")[1]


def test_the_list_shows_columns_and_what_matches_none(store: Store, run: Run) -> None:
    masking_rules.create(store, BY, NOW, CARDS)
    read(store, {"public.customers": (100, ("id", "card", "last4"))}, generated=[[100, 3, 2]])
    code, out, err = run("masking", "list", "--target", "shop")
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["cards", "shop", "partial", "nobody", "shop", "public.customers.card", "text"],
        ["shop", "public.customers.last4", "(computed)", "text"],
    ]
    assert err == (
        "gatepost: cards: *.*.ssn matches no column in the catalog of shop as read at "
        "2026-11-24 03:00:00Z\n"
    )
    (document,) = json.loads(run("masking", "list", "--json")[1])
    assert document["method"] == "partial"
    assert document["databases"][0]["unmatched"] == ["*.*.ssn"]
    assert document["databases"][0]["columns"][0] == {
        "column": "public.customers.card",
        "type": "text",
        "pattern": "public.customers.card",
        "is_computed": False,
        "why": "",
    }


def test_show_says_how_a_column_comes_to_be_meant(store: Store, run: Run) -> None:
    masking_rules.create(store, BY, NOW, replace(CARDS, exempt=("kind:ci",)))
    read(store, {"public.customers": (100, ("id", "card"))})
    tables = {
        "hidden.people": (100, ("id", "number")),
        "hidden.part": (101, ("number",)),
        "public.staff": (102, ("ssn", "half")),
    }
    read(store, tables, inherits=[[101, 100]], generated=[[102, 2, 1]])
    code, out, err = run("masking", "show", "cards")
    assert (code, err) == (0, "")
    assert "cards on shop: partial, lenient\n" in out
    assert "exempt: kind:ci\n" in out
    lines = {line.split()[0]: line for line in out.splitlines() if "." in line.split(" ")[0]}
    assert lines["hidden.people.number"].endswith("was public.customers.card")
    assert lines["hidden.part.number"].endswith("partition or child of a relation that it means")
    assert lines["public.staff.ssn"].endswith("*.*.ssn")
    assert lines["public.staff.half"].endswith("computed from a column that it means")


def test_a_rule_with_many_columns_does_not_drown_the_others(store: Store, run: Run) -> None:
    rule = replace(CARDS, columns=("*.*.c*",), method=Method.FIXED, value="x y")
    masking_rules.create(store, BY, NOW, rule)
    read(store, {"public.wide": (100, tuple(f"c{n}" for n in range(30)))})
    out = run("masking", "list")[1]
    assert len(out.splitlines()) == 1 + 20 + 1
    assert "and 10 more: gatepost masking show cards" in out
    assert "fixed 'x y'" in out
    assert "public.wide.c29" in run("masking", "show", "cards")[1]


def test_forget_resolves_a_rule_by_names_alone(store: Store, run: Run) -> None:
    masking_rules.create(store, BY, NOW, CARDS)
    read(store, {"public.customers": (100, ("id", "card"))})
    # the dump was restored elsewhere: its OIDs are other tables' here
    read(store, {"public.orders": (100, ("id", "total")), "public.customers": (101, ("card",))})
    assert "public.orders.total" in run("masking", "list")[1]
    code, out, _ = run("masking", "forget", "cards")
    assert (code, out) == (0, "no longer masked by cards: public.orders.total in shop\n")
    listed = run("masking", "list")[1]
    assert "public.orders.total" not in listed and "public.customers.card" in listed
    (event,) = audit.find(store, action="masking.forget").items
    assert (event.via, event.subject, event.detail["columns"]) == ("shell", "cards", 3)
    assert "means the same columns as before" in run("masking", "forget", "cards")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("forget", "nosuch"), "no masking rule is called nosuch"),
        (("show", "nosuch"), "no masking rule is called nosuch"),
        (("list", "--target", "nosuch"), "no target is called nosuch"),
    ],
)
def test_a_wrong_name_is_said(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run("masking", *arguments)
    assert code == 1 and out == ""
    assert words in err
