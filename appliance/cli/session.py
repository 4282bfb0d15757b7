"""``gatepost session``: who ran what; end a session; play one again."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from appliance.cli._opened import Opened, opened
from appliance.cli._output import moment, parameter_text, print_json, print_table, visible
from appliance.errors import GatepostError, Invalid
from appliance.recording.catch_up import catch_up
from appliance.recording.replay import Mark, Tick, describe_seconds, timeline
from appliance.store import kills, sessions, statements
from appliance.store.actors import shell_actor
from appliance.store.sessions import SessionRecord
from appliance.store.statements import StatementRecord

_PAGE = 5_000
_KILL_WAIT_S = 5.0
_ASK_S = 0.1
_STATE_WORDS = {"sent": "sent (outcome unknown)", "withdrawn": "withdrawn (never ran)"}


@click.group(name="session")
def command() -> None:
    """Who ran what, and how it went; end a session; play one again."""


@command.command(name="list")
@click.argument("text", default="")
@click.option("--identity", default="", help="only of this identity")
@click.option("--target", default="", help="only on this target")
@click.option("--live", is_flag=True, help="only those that run now")
@click.option("--ended", is_flag=True, help="only those that have ended")
@click.option("--refused", is_flag=True, help="only those with a refused or held statement")
@click.option("--since", default="", metavar="WHEN", help="started since 2h, 7d or 2026-01-31")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True)
def list_(
    text: str,
    identity: str,
    target: str,
    live: bool,
    ended: bool,
    refused: bool,
    since: str,
    limit: int,
    as_json: bool,
) -> None:
    """List sessions, the latest first; TEXT searches names, sources and application names."""
    if live and ended:
        raise click.UsageError("--live and --ended exclude each other")
    with opened() as gate:
        _wait_for_index(gate)
        page = sessions.find(
            gate.store,
            text,
            identity=identity,
            target=target,
            live=True if live else False if ended else None,
            refused=refused,
            since=_moment_of(since, gate.now()) if since else None,
            size=limit,
        )
    if as_json:
        print_json([_session_json(one) | _counts(one) for one in page.items])
        return
    rows = [
        (
            *(one.id, moment(one.started_at), one.identity, f"{one.target} ({one.role})"),
            *(one.source, str(one.statements), str(one.refused), _end_text(one)),
        )
        for one in page.items
    ]
    head = ("SESSION", "STARTED", "IDENTITY", "TARGET", "FROM", "STATEMENTS", "REFUSED", "ENDED")
    print_table(head, rows, "No session fits. Sessions appear when somebody connects.")
    if page.total > len(page.items):
        click.echo(f"… {page.total - len(page.items)} more: --limit, --since", err=True)


@command.command(name="show")
@click.argument("session_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True)
def show(session_id: str, as_json: bool) -> None:
    """Show one session with its statements."""
    with opened() as gate:
        _wait_for_index(gate)
        session = sessions.get(gate.store, session_id)
        found = list(_statements(gate, session_id))
    if as_json:
        print_json(_session_json(session) | {"statements": [_statement_json(s) for s in found]})
        return
    _print_head(session)
    for statement in found:
        for line in _statement_lines(statement):
            click.echo(line)


@command.command(name="kill")
@click.argument("session_id", metavar="ID")
@click.option("--reason", default="", help="goes into the record")
def kill(session_id: str, reason: str) -> int:
    """End a live session; what it runs is cancelled on the target first."""
    with opened() as gate:
        _wait_for_index(gate)
        session = sessions.get(gate.store, session_id)
        if not session.is_live:
            raise GatepostError(f"session {session_id} has ended already ({session.end_reason})")
        kills.request(gate.store, shell_actor(), gate.now(), session_id, reason)
        deadline = time.monotonic() + _KILL_WAIT_S
        while not kills.is_done(gate.store, session_id):
            if time.monotonic() > deadline:
                raise GatepostError(
                    f"session {session_id} was asked to end, but no worker has said that it did",
                    "is gatepost serve running? It ends as soon as its worker sees the request",
                )
            time.sleep(_ASK_S)
    click.echo(f"ended session {session_id} of {session.identity} on {session.target}")
    return 0


@command.command(name="export")
@click.argument("session_id", metavar="ID")
def export(session_id: str) -> None:
    """Print everything recorded of one session as JSON, with its places in the journal."""
    with opened() as gate:
        _wait_for_index(gate)
        session = sessions.get(gate.store, session_id)
        found = list(_statements(gate, session_id))
    print_json({"session": session, "statements": found})


@command.command(name="replay")
@click.argument("session_id", metavar="ID")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.1, 10_000))
def replay(session_id: str, speed: float) -> None:
    """Play a session again at its own pace; gaps over 2 s are shortened."""
    with opened() as gate:
        _wait_for_index(gate)
        session = sessions.get(gate.store, session_id)
        found = {statement.seq: statement for statement in _statements(gate, session_id)}
    _print_head(session)
    line = timeline(session, found.values(), speed=speed)
    began = time.monotonic()
    for tick in line.ticks:
        _pause(began + tick.play_s)
        if tick.idle_text:
            click.echo(f"          … {tick.idle_text}")
        for text in _statement_lines(found[tick.seq], tick):
            click.echo(text)
        sys.stdout.flush()
    _pause(began + line.play_length_s)
    click.echo(f"{_clock_text(line.length_s)}  {_end_text(session)}")


def _wait_for_index(gate: Opened) -> None:
    behind = catch_up(gate.store, gate.config.journal_dir, gate.clock)
    if behind:
        click.echo(f"gatepost: {behind}", err=True)


def _statements(gate: Opened, session_id: str) -> Iterator[StatementRecord]:
    after = 0
    while True:
        found = statements.of_session(gate.store, session_id, after=after, limit=_PAGE)
        yield from found
        if len(found) < _PAGE:
            return
        after = found[-1].seq


def _session_json(session: SessionRecord) -> dict[str, Any]:
    return {
        "id": session.id,
        "identity": session.identity,
        "credential": session.credential,
        "target": session.target,
        "database": session.database,
        "role": session.role,
        "source": session.source,
        "application_name": session.application_name,
        "started": session.started_at,
        "ended": session.ended_at,
        "end_reason": session.end_reason,
    }


def _counts(session: SessionRecord) -> dict[str, Any]:
    return {
        "statement_count": session.statements,
        "refused": session.refused,
        "held": session.held,
        "failed": session.failed,
        "rows_out": session.rows_out,
    }


def _statement_json(statement: StatementRecord) -> dict[str, Any]:
    names = (
        "seq", "at", "text", "parameters", "verdict", "rule", "reason", "state", "tag", "rows",
        "duration_ms", "sqlstate",
    )  # fmt: skip
    found = {name: getattr(statement, name) for name in names}
    found["parameters"] = statement.parameters or []
    found["masked"] = [column.output for column in statement.masked if column.is_shown]
    return found


def _print_head(session: SessionRecord) -> None:
    via = f" via {session.peer}" if session.peer else ""
    click.echo(f"session {session.id}: {session.identity} ({session.credential or session.way})")
    click.echo(f"on      {session.target}/{session.database} as {session.role}")
    client = f", {session.application_name}" if session.application_name else ""
    click.echo(f"from    {session.source}{via}{client}, {session.tls or 'no TLS'}")
    if session.reason:
        click.echo(f"because {session.reason}")
    click.echo(f"time    {moment(session.started_at)} - {_end_text(session)}")


def _statement_lines(statement: StatementRecord, tick: Tick | None = None) -> Iterator[str]:
    """Give a statement as lines: when, what became of it, then its text indented."""
    when = _clock_text(tick.offset_s) if tick else moment(statement.at)
    state = _STATE_WORDS.get(statement.state, statement.state)
    parts = [when, f"#{statement.seq}", state]
    if statement.tag:
        parts.append(statement.tag)
    if statement.sqlstate:
        parts.append(statement.sqlstate)
    if statement.duration_ms is not None:
        parts.append(describe_seconds(statement.duration_ms / 1000))
    if statement.verdict != "allow" or (tick and tick.mark is Mark.REFUSED):
        parts.append(f"[{statement.verdict} by {statement.rule}: {statement.reason}]")
    yield "  ".join(parts)
    yield from (f"          {line}" for line in visible(statement.text).splitlines())
    if statement.parameters:
        shown = ", ".join(
            f"${number} = {visible(parameter_text(value))}"
            for number, value in enumerate(statement.parameters, 1)
        )
        yield f"          -- {shown}"
    masked = [column.words for column in statement.masked if column.is_shown]
    if masked:
        yield f"          -- masked: {visible('; '.join(masked))}"


def _end_text(session: SessionRecord) -> str:
    if session.ended_at is None:
        return "live"
    return f"{moment(session.ended_at)} ({session.end_reason})"


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes):3d}:{rest:05.2f}"


def _moment_of(text: str, now: datetime) -> datetime:
    """Return "2h", "7d" before now, or a date."""
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    if text[:-1].isdigit() and text[-1] in units:
        return now - timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("--since", f"expected 2h, 7d or 2026-01-31, got {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def _pause(until: float) -> None:
    time.sleep(max(until - time.monotonic(), 0.0))
