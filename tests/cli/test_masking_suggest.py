"""``gatepost masking suggest`` as a shell user sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.clock import SystemClock
from appliance.config import config_from_environment
from appliance.entities import MaskingRule
from appliance.masking.values import Method
from appliance.sealing import Sealer, load_master_key
from appliance.store import masking_rules, targets
from appliance.store.actors import Actor
from appliance.store.targets import TargetSpec
from tests.harness.postgres import Database
from tests.harness.store import migrated

BY = Actor("tests", "system")
Run = Callable[..., tuple[int, str, str]]
CARDS = ("4242424242424242", "5555555555554444", "4012888888881881", "378282246310005")


@pytest.fixture
def run(
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """The command on a target with customers and a table that nobody may read."""
    rows = ", ".join(f"('ada{n}@example.net', '{card}')" for n, card in enumerate(CARDS))
    database.run(
        "CREATE TABLE public.customers (email text, number text);"
        f"INSERT INTO public.customers VALUES {rows};"
        "CREATE TABLE public.secured (phone text);"
        "ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY"
    )
    monkeypatch.setenv("GATEPOST_DATA_DIR", str(tmp_path))
    store = migrated(f"sqlite:///{tmp_path / 'gatepost.db'}")
    now = SystemClock().now()
    server = database.server
    spec = TargetSpec("shop", server.host, database.name, port=server.port)
    targets.create(store, BY, now, spec)
    sealer = Sealer(load_master_key(config_from_environment()))
    role = database.ro
    targets.put_role(store, BY, now, "shop", role.name, sealer=sealer, secret=role.password)
    rule = MaskingRule(0, "mails", "shop", ("public.customers.email",), Method.EMAIL)
    masking_rules.create(store, BY, now, rule)
    store.close()

    def gatepost(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gatepost", "masking", "suggest", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return gatepost


def test_it_lists_what_is_uncovered_with_why(run: Run) -> None:
    code, out, err = run("--target", "shop", "--json")
    assert code == 0
    assert json.loads(out) == [
        {
            "column": "public.customers.number",
            "type": "text",
            "kind": "card number",
            "confidence": "high",
            "method": "partial",
            "evidence": "4 of 4 values pass Luhn and begin like a card number",
        },
        {
            "column": "public.secured.phone",
            "type": "text",
            "kind": "phone number",
            "confidence": "medium",
            "method": "partial",
            "evidence": "named like a phone number",
        },
    ], "what a rule covers is not suggested"
    assert "public.secured could not be read: " in err and "row-level security" in err
    assert not any(card in out + err for card in CARDS)

    code, out, err = run("--target", "shop", "--names-only")
    assert (code, err) == (0, "")
    assert "public.secured.phone" in out and "public.customers.number" not in out


def test_a_target_that_is_not_there_is_said(run: Run) -> None:
    code, out, err = run("--target", "shopp")
    assert (code, out) == (1, "")
    assert "no target is called shopp" in err
