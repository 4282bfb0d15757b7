"""``gatepost profile`` and ``gatepost policy dry-run`` as a shell user sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.__main__ import main
from appliance.clock import ManualClock, SystemClock
from appliance.entities import ProfileMode
from appliance.sealing import Sealer
from appliance.store import approvals, profiles, snapshots, targets
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec, create
from appliance.store.targets import TargetSpec
from tests.harness.store import migrated
from tests.store.profiled import COUNT, DROP, SUM, Recorder, recorder_in

BY = Actor("tests", "system")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("GATEPOST_DATA_DIR", str(tmp_path))
    opened = migrated(f"sqlite:///{tmp_path / 'gatepost.db'}")
    yield opened
    opened.close()


@pytest.fixture
def ci(store: Store, tmp_path: Path) -> Iterator[Recorder]:
    """ci-nightly of ana, which read orders twice and totals once."""
    now = SystemClock().now()
    targets.create(store, BY, now, TargetSpec("shop", "db.example.com", "shop"))
    sealer = Sealer(bytes(32))
    targets.put_role(store, BY, now, "shop", "app_ro", sealer=sealer, secret="s")
    for name in ("ana@example.com", "bo@example.com"):
        create(store, BY, now, IdentitySpec(name, "human"))
    create(store, BY, now, IdentitySpec("ci-nightly", "ci", owner="ana@example.com"))
    recorder = recorder_in(store, tmp_path / "records", ManualClock(now))
    recorder.ran(*[(f"select id from orders where day = {n}", COUNT) for n in (1, 2)])
    recorder.ran(("select total from orders", SUM))
    yield recorder
    recorder.journal.close()


@pytest.fixture
def run(ci: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def gatepost(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gatepost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return gatepost


def as_json(run: Run, *arguments: str) -> Any:
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_what_it_ran_is_shown_signed_and_enforced(run: Run, ci: Recorder) -> None:
    shown = as_json(run, "profile", "show", "ci-nightly")
    assert (shown["mode"], shown["owner"]) == ("off", "ana@example.com")
    assert [(e["fingerprint"], e["ran"], e["signed"]) for e in shown["entries"]] == [
        (COUNT, 2, False),
        (SUM, 1, False),
    ]
    assert shown["entries"][0]["effects"] == [{"class": "select", "object": "public.orders"}]
    code, out, _ = run("profile", "sign", "ci-nightly", COUNT, "--as", "ana@example.com")
    assert (code, out) == (0, "signed 1 statement of ci-nightly as ana@example.com\n")
    tried = as_json(run, "profile", "set", "ci-nightly", "enforce", "--dry-run")
    (one,) = tried["differences"]
    assert (one["text"], one["count"]) == ("select total from orders", 1)
    assert (one["then"]["verdict"], one["then"]["rule"]) == ("block", "profile")
    assert (tried["judged"], tried["statements"], tried["complete"]) == (3, 3, True)
    assert profiles.of(ci.store, "ci-nightly", ci.clock.now()).mode is ProfileMode.OFF
    code, out, _ = run("profile", "set", "ci-nightly", "enforce", "--as", "ana@example.com")
    assert (code, out) == (0, "the profile of ci-nightly is enforced\n")
    assert snapshots.load(ci.store, ci.clock.now()).profiles == {"ci-nightly": {COUNT}}
    code, out, _ = run("policy", "test", "--as", "ci-nightly", "--target", "shop", "--role",
                       "app_ro", "select 1", "--json")  # fmt: skip
    assert (code, json.loads(out)["rule"]) == (1, "profile")


def test_requests_that_wait_are_shown_and_all_that_ran_is_signed(run: Run, ci: Recorder) -> None:
    owner = ("--as", "ana@example.com")
    assert run("profile", "sign", "ci-nightly", "--all", *owner)[1].startswith("signed 2 ")
    assert "nothing of ci-nightly left" in run("profile", "sign", "ci-nightly", "--all", *owner)[1]
    run("profile", "set", "ci-nightly", "enforce", *owner)
    ci.refused(("drop table orders", DROP))
    (request,) = approvals.find(ci.store).items
    code, out, _ = run("profile", "show", "ci-nightly")
    assert code == 0 and f"request {request.id} waits: may it run {DROP}?" in out
    assert "profile of ci-nightly: enforce; signed by: ana@example.com" in out
    run("approval", "approve", str(request.id), *owner)
    assert DROP in snapshots.load(ci.store, ci.clock.now()).profiles["ci-nightly"]
    code, out, _ = run("profile", "unsign", "ci-nightly", DROP, *owner)
    assert (code, out) == (0, "took back 1 signature of ci-nightly\n")


def test_who_may_not_is_told_why_in_one_line(run: Run, ci: Recorder) -> None:
    code, out, err = run("profile", "sign", "ci-nightly", COUNT, "--as", "bo@example.com")
    assert (code, out) == (1, "")
    assert "signed by its owner: ana@example.com" in err and err.count("\n") == 1
    assert run("profile", "sign", "ci-nightly", "--as", "ana@example.com")[0] == 2
    assert run("profile", "set", "ci-nightly", "enforce")[0] == 2
    assert run("profile", "show", "nobody")[0] == 1
    code, _, err = run("profile", "set", "ci-nightly", "enforce", "--as", "ana@example.com")
    assert code == 1 and "nothing of ci-nightly is signed" in err
    assert profiles.of(ci.store, "ci-nightly", ci.clock.now()).signed == frozenset()


def test_a_file_is_judged_over_the_record_and_not_applied(
    run: Run, ci: Recorder, tmp_path: Path
) -> None:
    file = tmp_path / "proposed.yml"
    file.write_text(
        "policies:\n  - {name: no-sums, who: ['kind:ci'], tables: [orders], action: block}\n"
    )
    before = snapshots.version(ci.store)
    made = as_json(run, "policy", "dry-run", str(file))
    assert {(d["text"][:12], d["count"], d["then"]["rule"]) for d in made["differences"]} == {
        ("select id fr", 2, "no-sums"),
        ("select total", 1, "no-sums"),
    }
    assert made["changed"] == 3
    code, out, _ = run("policy", "dry-run", str(file))
    assert code == 0 and "3 would have been decided otherwise; looked at 3 of 3" in out
    assert snapshots.version(ci.store) == before
    assert snapshots.load(ci.store, ci.clock.now()).rules == ()
    file.write_text("policies:\n  - {name: x, action: explode}\n")
    code, _, err = run("policy", "dry-run", str(file))
    assert code == 2 and "proposed.yml:2" in err
