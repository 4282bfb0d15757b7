"""``gatepost purge``: remove what is older than the retention; the rest still verifies."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click

from appliance.cli._opened import opened
from appliance.cli._output import moment, print_json
from appliance.errors import GatepostError, Invalid
from appliance.identity.spans import parse_span
from appliance.recording.catch_up import catch_up
from appliance.recording.purge import Purged, preview, purge
from appliance.sealing import load_signing_key
from appliance.store import settings
from appliance.store.actors import shell_actor

_LEAST = timedelta(days=1)
_WORDS = {
    "sessions": "sessions",
    "statements": "statements",
    "texts": "statement texts",
    "events": "events",
    "changes": "audit events",
    "fingerprint_days": "days of fingerprints",
    "approvals": "decided requests",
}


@click.command(name="purge")
@click.option("--older-than", default="", metavar="AGE", help="such as 400d; default: the settings")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True)
def command(older_than: str, dry_run: bool, as_json: bool) -> int:
    """Remove what is older than the retention; `serve` does it once a day by itself.

    Records go by whole journal segments, which leave a signed head: `gatepost audit verify` still
    passes. Sessions that live are not touched. Exit code 1 if a journal had to be left alone.
    """
    age = parse_span("--older-than", older_than) if older_than else None
    if age is not None and age < _LEAST:
        raise Invalid("--older-than", "expected 1d at least")
    with opened() as gate:
        behind = catch_up(gate.store, gate.config.journal_dir, gate.clock)
        if behind:
            raise GatepostError(f"nothing was removed: {behind}", "run it again in a moment")
        now = gate.now()
        if age is None:
            age = timedelta(days=settings.get(gate.store).retention_days)
        directory, cutoff = gate.config.journal_dir, now - age
        if dry_run:
            done = preview(gate.store, directory, cutoff)
        else:
            signer = load_signing_key(gate.config)
            done = purge(gate.store, directory, shell_actor(), now, cutoff, signer)
    if as_json:
        print_json(
            {"before": done.cutoff, "dry_run": dry_run, "segments": done.segments}
            | {"removed": asdict(done.rows), "kept": done.kept}
        )
    else:
        _tell(done, dry_run)
    for line in done.kept:
        click.echo(f"gatepost: left alone, run gatepost audit verify: {line}", err=True)
    return 1 if done.kept else 0


def _tell(done: Purged, dry_run: bool) -> None:
    if done.is_empty:
        click.echo(f"nothing is older than {moment(done.cutoff)}")
        return
    verb = "would remove" if dry_run else "removed"
    click.echo(f"{verb} what is older than {moment(done.cutoff)}:")
    for name, word in _WORDS.items():
        count = getattr(done.rows, name)
        if count:
            click.echo(f"{count:>9} {word}")
    click.echo(f"{done.segments:>9} journal segments")
    if dry_run:
        click.echo("nothing was removed: this was a dry run")
