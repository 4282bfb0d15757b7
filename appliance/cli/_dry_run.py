"""How a dry run is printed: what would be decided otherwise, and how much was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from appliance.cli._opened import Opened
from appliance.cli._output import moment, print_json, print_table, visible
from appliance.entities import Snapshot
from appliance.policy.history import Decided, DryRun, Recorded
from appliance.sql.parser import Parser
from appliance.sql.planner import Planner
from appliance.store import statement_history

_LINE = 60  # characters of a text in the table


@contextmanager
def parser() -> Iterator[Parser]:
    """Return a parser that also reads large texts."""
    planner = Planner()
    try:
        yield Parser(planner)
    finally:
        planner.close()


def dry_run(found: Opened, present: Snapshot, proposed: Snapshot, days: int) -> DryRun:
    """Judge what was recorded under a proposal."""
    with parser() as reader:
        return statement_history.run(found.store, found.now(), present, proposed, reader, days=days)


def tell(made: DryRun, as_json: bool) -> None:
    """Print a dry run."""
    if as_json:
        print_json(as_document(made))
        return
    rows = [
        (
            f"{one.recorded.count}",
            f"{one.now.action} -> {one.then.action}",
            one.then.rule,
            *(one.recorded.identity, one.recorded.target),
            f"{one.recorded.session_id}/{one.recorded.seq}",
            _one_line(one.recorded.text),
        )
        for one in made.differences
    ]
    head = ("COUNT", "VERDICT", "RULE", "IDENTITY", "TARGET", "SESSION/NO", "STATEMENT")
    print_table(head, rows, "Nothing would have been decided otherwise.")
    for one in made.unjudged:
        what = _one_line(one.recorded.text)
        click.echo(f"cannot be judged ({one.why}), {one.recorded.count} times: {what}")
    click.echo(_summary(made))


def as_document(made: DryRun) -> dict[str, Any]:
    """Return a dry run as JSON has it."""
    return {
        "since": made.since,
        "until": made.until,
        "statements": made.total,
        "judged": made.judged,
        "complete": made.is_complete,
        "back_to": made.back_to,
        "changed": made.changed,
        "differences": [
            {
                **_recorded(one.recorded),
                "now": _decided(one.now),
                "then": _decided(one.then),
                "effects": [{"class": cls, "object": name} for cls, name in one.effects],
            }
            for one in made.differences
        ],
        "unjudged": [{**_recorded(one.recorded), "why": one.why} for one in made.unjudged],
    }


def _summary(made: DryRun) -> str:
    since = made.since.date().isoformat()
    looked = f"{made.judged} of {made.total} statements since {since}"
    if not made.is_complete:
        looked += f"; what is older than {moment(made.back_to)} was left out for time"
    return f"{made.changed} would have been decided otherwise; looked at {looked}"


def _recorded(one: Recorded) -> dict[str, Any]:
    return {
        "text": one.text,
        "fingerprint": one.fingerprint,
        "identity": one.identity,
        "target": one.target,
        "database": one.database,
        "role": one.role,
        "application_name": one.application_name,
        "source": one.source,
        "count": one.count,
        "last_at": one.last_at,
        "session": one.session_id,
        "seq": one.seq,
    }


def _decided(one: Decided) -> dict[str, str]:
    return {"verdict": one.action, "rule": one.rule, "reason": one.reason}


def _one_line(text: str) -> str:
    line = visible(" ".join(text.split()))
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"
