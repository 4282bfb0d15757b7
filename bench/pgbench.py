"""Run pgbench once over one way, and read what came of it."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from appliance.embedded import installation
from bench.ways import Way

_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_DONE = re.compile(r"number of transactions actually processed: (\d+)")


@dataclass(frozen=True, slots=True)
class Run:
    """``cpu_us`` is the CPU time of the way's processes a transaction, microseconds."""

    tps: float
    cpu_us: float


def select_only(way: Way, protocol: str, clients: int, seconds: int) -> Run:
    """Run `pgbench -S`."""
    before = way.cpu_s()
    said = _pgbench(
        way,
        ["-S", "-M", protocol, "-c", str(clients), "-j", "1", "-T", str(seconds)],
    )
    spent = way.cpu_s() - before
    done, tps = _DONE.search(said), _TPS.search(said)
    if done is None or tps is None:
        raise RuntimeError(f"pgbench over {way.name} said: {said}")
    return Run(float(tps[1]), spent / int(done[1]) * 1e6)


def select_one_p50_us(way: Way, seconds: int) -> float:
    """Return the median latency of `SELECT 1` with one client, microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "select.sql"
        script.write_text("SELECT 1;\n")
        _pgbench(
            way,
            ["-f", str(script), "-c", "1", "-T", str(seconds), "-l", f"--log-prefix={folder}/log"],
        )
        times = [
            int(line.split()[2])
            for log in Path(folder).glob("log.*")
            for line in log.read_text().splitlines()
        ]
    return statistics.median(times)


def _pgbench(way: Way, arguments: list[str]) -> str:
    done = subprocess.run(
        [installation(18).program("pgbench"), "-n", *arguments],
        env=way.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pgbench over {way.name} failed: {done.stderr.strip()}")
    return done.stdout
