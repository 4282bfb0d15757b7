"""``gatepost approval`` and ``gatepost access`` as a shell user sees them."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance.cli import gatepost
from appliance.entities import PermissionRole
from appliance.errors import GatepostError
from appliance.sealing import Sealer
from appliance.store import approvals, audit, grants, groups, identities, pre_approvals, targets
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.harness.store import migrated
from tests.store.approving import ANA, BO, CI, CY, FINGERPRINT, machine, statement

BY = Actor("setup", "system")


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A migrated store that the commands find: shop, ana, bo and cy (approvers), ci-nightly."""
    monkeypatch.setenv("GATEPOST_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("GATEPOST_STORE_URL", raising=False)
    store = migrated(f"sqlite:///{tmp_path / 'gatepost.db'}")
    targets.create(store, BY, now(), TargetSpec("shop", "127.0.0.1", "shop"))
    sealer = Sealer(bytes(32))
    targets.put_role(store, BY, now(), "shop", "app_rw", sealer=sealer, secret="secret")
    for name in (ANA, BO, CY):
        identities.create(store, BY, now(), IdentitySpec(name, "human"))
    for name in (BO, CY):
        roles = frozenset({PermissionRole.APPROVER})
        identities.set_permission_roles(store, BY, now(), name, roles)
    identities.create(store, BY, now(), IdentitySpec(CI, "ci", owner=BO))
    yield store
    store.close()


@pytest.fixture
def run(gate: Store) -> Run:
    """Run a command as ``appliance.__main__`` does: errors are one line and an exit code."""

    def invoke(*arguments: str) -> Answer:
        done = CliRunner().invoke(gatepost, list(arguments))
        error = done.exception
        if isinstance(error, GatepostError):
            return Answer(error.exit_code, done.stdout, str(error))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Answer(done.exit_code, done.stdout, done.stderr)

    return invoke


@pytest.fixture
def held(gate: Store) -> int:
    ask = statement(expires_at=now() + timedelta(minutes=10), text="DELETE FROM orders\n\x1b[2J")
    return approvals.ask(gate, now(), ask).id


def test_the_list_says_what_the_contract_names(gate: Store, run: Run, held: int) -> None:
    (entry,) = json.loads(run("approval", "list", "--json").out)
    assert {
        name: entry[name] for name in ("id", "text", "identity", "target", "state", "kind", "rule")
    } == {
        "id": held,
        "text": "DELETE FROM orders\n\x1b[2J",
        "identity": ANA,
        "target": "shop",
        "state": "waiting",
        "kind": "statement",
        "rule": "bulk-writes",
    }
    assert entry["requested_at"] < entry["expires_at"] and entry["decided_by"] == ""
    assert json.loads(run("approval", "list", "--state", "approved", "--json").out) == []
    shown = run("approval", "list").out
    assert "DELETE FROM orders \\x1b[2J" in shown and "\x1b" not in shown
    assert run("approval", "list", "--state", "nonsense").code == 2


def test_one_request_is_shown_whole(run: Run, held: int) -> None:
    shown = run("approval", "show", str(held)).out
    for part in (
        f"request {held} (statement): waiting",
        f"{ANA} (human) on shop as app_rw",
        "because INC-42",
        "about 42, says the planner",
        "inside  a transaction that is open since 2026-11-23 11:59:55Z",
        f"decides {BO}, {CY}",
        "    DELETE FROM orders\n    \\x1b[2J",
        "-- $1 = '7'\n    -- $2 = NULL\n    -- $3 = \\x00ff (type 17)",
    ):
        assert part in shown, part
    assert json.loads(run("approval", "show", str(held), "--json").out)["parameters"][0] == "7"
    missing = run("approval", "show", "99")
    assert missing.code == 1 and "no request has the number 99" in missing.err


def test_a_yes_on_the_shell_is_evidence_of_who_typed_it(gate: Store, run: Run, held: int) -> None:
    done = run("approval", "approve", str(held), "--as", BO, "--reason", "ok")
    assert (done.code, done.out) == (0, f"approved request {held} of {ANA}: it runs now\n")
    entry = json.loads(run("approval", "show", str(held), "--json").out)
    via = f"shell (OS user {getpass.getuser()})"
    assert (entry["state"], entry["decided_by"], entry["decided_via"]) == ("approved", BO, via)
    (event,) = audit.find(gate, action="approval.approve").items
    assert (event.actor, event.via, event.source) == (BO, "shell", getpass.getuser())
    again = run("approval", "deny", str(held), "--as", CY, "--reason", "no")
    assert again.code == 1 and f"is approved by {BO} already" in again.err


def test_who_may_not_decide_is_told_why(gate: Store, run: Run, held: int) -> None:
    number = approvals.ask(
        gate, now(), machine(expires_at=now() + timedelta(minutes=10), approvers=("group:dba",))
    ).id
    groups.create(gate, BY, now(), name="dba")
    groups.add(gate, BY, now(), "dba", BO)
    for request, name, says in (
        (held, ANA, "asked for it"),
        (held, "nobody", "no identity is called nobody"),
        (held, CI, "only people approve"),
        (number, CY, "not in the group dba"),
        (number, BO, "owns ci-nightly"),
    ):
        done = run("approval", "approve", str(request), "--as", name)
        assert done.code == 1 and says in done.err, name
    assert {r.state.value for r in approvals.find(gate).items} == {"waiting"}
    assert run("approval", "approve", str(held)).code == 2  # as whom?
    assert run("approval", "deny", str(held), "--as", BO).code == 2  # why?
    assert run("approval", "approve", "x", "--as", BO).code == 2


def test_a_second_try_says_until_when(gate: Store, run: Run) -> None:
    number = approvals.ask(gate, now(), machine(expires_at=now() + timedelta(minutes=10))).id
    done = run("approval", "approve", str(number), "--as", CY)
    assert done.code == 0 and "it passes once until 20" in done.out
    assert "not used yet" in run("approval", "show", str(number)).out


def test_access_for_a_time_from_asking_to_its_grant(gate: Store, run: Run) -> None:
    asked = run(
        *("access", "request", "shop", "app_rw", "--as", ANA, "--for", "2h", "--reason", "INC-42")
    )
    assert (asked.code, asked.out) == (0, "request 1: app_rw on shop for 2h\n")
    assert "gatepost approval approve 1" in asked.err
    own = run("approval", "approve", "1", "--as", ANA)
    assert own.code == 1 and "asked for it" in own.err
    done = run("approval", "approve", "1", "--as", BO)
    assert "app_rw on shop for 2h, from now on" in done.out
    (given,) = grants.time_boxed(gate)
    assert given.grant.who == f"identity:{ANA}"
    (row,) = json.loads(run("access", "list", "--json").out)
    assert (row["id"], row["state"], row["for"], row["decided_by"]) == (1, "live", "2h", BO)
    grants.delete(gate, BY, now(), given.grant.id)
    assert "Nobody has" in run("access", "list").out
    assert "ended" in run("access", "list", "--all").out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nowhere", "app_rw", "--for", "2h", "--reason", "x"), 2, "no target is called nowhere"),
        (("shop", "root", "--for", "2h", "--reason", "x"), 2, "it has: app_rw"),
        (("shop", "app_rw", "--for", "1m", "--reason", "x"), 2, "expected 5m to 30d"),
        (("shop", "app_rw", "--for", "soon", "--reason", "x"), 2, "expected a time"),
        (("shop", "app_rw", "--for", "2h"), 2, "--reason"),
    ],
)
def test_what_cannot_be_asked_for(
    run: Run, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = run("access", "request", *arguments, "--as", ANA)
    assert done.code == code and says in click.unstyle(done.err)


def test_a_request_for_access_can_be_taken_back(run: Run) -> None:
    run("access", "request", "shop", "app_rw", "--as", ANA, "--for", "2h", "--reason", "x")
    assert run("access", "cancel", "1", "--as", BO).code == 1
    assert run("access", "cancel", "1", "--as", ANA).out == "cancelled request 1\n"
    assert "Nobody has" in run("access", "list").out


def test_approving_beforehand(gate: Store, run: Run) -> None:
    common = ("approval", "pre-approve", CI, "shop", FINGERPRINT, "--reason", "closing")
    assert run(*common, "--as", CY).code == 2
    owner = run(*common, "--as", BO, "--times", "2")
    assert owner.code == 1 and "owns ci-nightly" in owner.err
    done = run(*common, "--as", CY, "--times", "2", "--until", "7d")
    assert (done.code, done.out) == (0, f"pre-approved p-1: {FINGERPRINT} of {CI} on shop\n")
    assert "sent nothing of that fingerprint" in done.err
    assert "2 of 2" in run("approval", "pre-approvals").out
    (row,) = json.loads(run("approval", "pre-approvals", "--json").out)
    assert (row["id"], row["state"], row["created_by"]) == ("p-1", "live", CY)
    assert run("approval", "revoke-pre-approval", "p-1", "--reason", "over").out == "revoked p-1\n"
    assert pre_approvals.get(gate, 1).state(now()) == "revoked"
    assert "Nothing is approved" in run("approval", "pre-approvals").out
    assert "revoked" in run("approval", "pre-approvals", "--all").out
    assert run("approval", "revoke-pre-approval", "p-1").code == 1
    assert run("approval", "revoke-pre-approval", "x").code == 2
