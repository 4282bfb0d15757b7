"""Measure the gateway beside PgBouncer and the bare server; print a table for the docs."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version

import click

from bench import masking, pgbench
from bench.ways import RULES, Way, all_ways

PROTOCOLS = ("simple", "extended", "prepared")
Figures = dict[tuple[str, str], list[float]]  # (what, way) -> one figure a round


@click.command()
@click.option("--seconds", default=3, show_default=True, help="Length of one run.")
@click.option("--rounds", default=5, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--workers", default=1, show_default=True, help="Proxy processes.")
@click.option("--clients", default="1,8", show_default=True, help="Numbers of clients.")
@click.option("--rows", default=1_000_000, show_default=True, help="For masking; 0 = leave out.")
def main(seconds: int, rounds: int, workers: int, clients: str, rows: int) -> None:
    """Run everything in interleaved rounds, so that a noisy machine is noisy for all."""
    counts = [int(text) for text in clients.split(",")]
    figures: Figures = defaultdict(list)
    with all_ways(workers) as ways:
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds}", err=True)
            for way in ways:
                figures["SELECT 1, p50", way.name].append(pgbench.select_one_p50_us(way, seconds))
            for protocol in PROTOCOLS:
                for count in counts:
                    for way in ways:
                        run = pgbench.select_only(way, protocol, count, seconds)
                        what = f"{protocol}, {count} client{'s' if count > 1 else ''}"
                        figures[f"{what}, tps", way.name].append(run.tps)
                        figures[f"{what}, CPU", way.name].append(run.cpu_us)
        click.echo(report(figures, ways, seconds, rounds, workers))
    if rows:
        click.echo(f"\n{masking.row_paths(rounds)}\n\n{masking.through_the_gateway(rows, rounds)}")


def report(figures: Figures, ways: list[Way], seconds: int, rounds: int, workers: int) -> str:
    """Return the tables in Markdown: medians, and ratios to PgBouncer where it ran."""
    median = {key: statistics.median(values) for key, values in figures.items()}
    names = [way.name for way in ways]
    against = "pgbouncer" if "pgbouncer" in names else "direct"
    base = median["SELECT 1, p50", "direct"]
    lines = [
        _settings(seconds, rounds, workers),
        "",
        f"| measure | {' | '.join(names)} | gatepost / {against} |",
        f"|---|{'---:|' * (len(names) + 1)}",
        _row(
            "`SELECT 1`, p50, us",
            [median["SELECT 1, p50", name] for name in names],
            names,
            against,
        ),
    ]
    added = [median["SELECT 1, p50", name] - base for name in names]
    if against == "pgbouncer":
        lines.append(_row("added to `SELECT 1`, p50, us", added, names, against))
    for what in dict.fromkeys(key[0] for key in figures if key[0] != "SELECT 1, p50"):
        label = what.replace(", tps", ": transactions/s").replace(
            ", CPU", ": gateway's CPU a transaction, us"
        )
        values = [median[what, name] for name in names]
        if what.endswith("CPU") and against == "direct":
            continue
        lines.append(_row(f"pgbench -S, {label}", values, names, against))
    return "\n".join(lines)


def _row(label: str, values: list[float], names: list[str], against: str) -> str:
    by_name = dict(zip(names, values, strict=True))
    ratio = by_name["gatepost"] / by_name[against] if by_name[against] else float("nan")
    cells = " | ".join(f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in values)
    return f"| {label} | {cells} | {ratio:.2f} |"


def _settings(seconds: int, rounds: int, workers: int) -> str:
    bouncer = ""
    if shutil.which("pgbouncer"):
        said = subprocess.run(
            ["pgbouncer", "--version"], capture_output=True, text=True, check=False
        )
        bouncer = f", {said.stdout.splitlines()[0]} in session mode"
    return (
        f"Gatepost {version('gatepost')} (CPython {platform.python_version()}, gevent "
        f"{version('gevent')}, {workers} proxy process{'es' if workers > 1 else ''}, {RULES} rules,"
        f" recording `written`), PostgreSQL 18 embedded{bouncer}; SCRAM, loopback, no TLS; "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; medians of {rounds} "
        f"interleaved rounds of {seconds} s."
    )


if __name__ == "__main__":
    sys.exit(main())
