"""pgbench through the gateway: nothing fails, and every statement is in the record."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from appliance.embedded import Installation
from tests.e2e.programs import run, through
from tests.harness.gateway import CI, Gateway

SCALE = "1"


@pytest.fixture(scope="module")
def bench(shared_gateway: Gateway, programs: Installation) -> Gateway:
    """A gateway whose database was made ready by ``pgbench -i``, through the gateway."""
    done = run(programs, "pgbench", "-i", "-s", SCALE, "-q", where=through(shared_gateway))
    assert done.code == 0, done.err
    counted = shared_gateway.database.run("SELECT count(*) FROM pgbench_accounts")
    assert counted == [(100_000,)]
    return shared_gateway


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_four_clients_run_without_a_failed_transaction(
    bench: Gateway, programs: Installation, mode: str
) -> None:
    bench.database.run("TRUNCATE pgbench_history")
    done = run(
        programs,
        "pgbench",
        *("-n", "-M", mode, "-c", "4", "-j", "2", "-T", "2", "--exit-on-abort"),
        where=through(bench, CI),
    )
    assert done.code == 0, done.err
    processed = int(re.findall(r"actually processed: (\d+)", done.out)[0])
    assert processed > 20
    assert "number of failed transactions: 0 (0.000%)" in done.out
    assert bench.database.run("SELECT count(*) FROM pgbench_history") == [(processed,)]
    last = bench.sessions()[-4:]
    assert all(session["identity"] == CI and session["ended_at"] for session in last)
    ours = {session["id"] for session in last}
    tags = Counter(
        (row["tag"].split()[0], row["state"])
        for row in bench.statements()
        if row["session_id"] in ours
    )
    assert tags == {
        ("BEGIN", "done"): processed,
        ("UPDATE", "done"): 3 * processed,
        ("SELECT", "done"): processed,
        ("INSERT", "done"): processed,
        ("COMMIT", "done"): processed,
    }


def test_a_pipeline_of_pgbench_is_recorded_whole(
    bench: Gateway, programs: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("pgbench") / "pipeline.sql"
    script.write_text(
        "\\set aid random(1, 100000)\n\\startpipeline\n"
        + "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n" * 5
        + "\\endpipeline\n"
    )
    done = run(
        programs,
        "pgbench",
        *("-n", "-M", "prepared", "-c", "2", "-t", "50", "-f", str(script)),
        where=through(bench),
    )
    assert done.code == 0, done.err
    ours = {session["id"] for session in bench.sessions()[-2:]}
    rows = [row for row in bench.statements("pgbench_accounts") if row["session_id"] in ours]
    assert [(row["state"], row["rows"]) for row in rows] == [("done", 1)] * 500
