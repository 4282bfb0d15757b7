"""``gatepost apply``: make the configuration be as a file says, all or nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import click

from appliance.cli._opened import opened
from appliance.cli._workers import wait_for_workers
from appliance.declarative.apply import Applied, Options, apply
from appliance.declarative.reading import read_document
from appliance.declarative.source import InvalidFile
from appliance.errors import StoreUnavailable
from appliance.store import snapshots
from appliance.store.actors import Actor, shell_actor


@click.command(name="apply")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--prune", is_flag=True, help="Also remove what the file does not have.")
def command(file: BinaryIO, dry_run: bool, prune: bool) -> int:
    """Upsert the configuration in FILE (- for standard input), all or nothing."""
    name = Path(file.name).name if file.name != "<stdin>" else "stdin"
    try:
        document, problems = read_document(file.read(), name, with_problems=True)
        if problems.found and not _has_store():
            problems.raise_if_any()
        with opened(create=not dry_run) as found:
            by = Actor(shell_actor().name, "file", name)
            options = Options(dict(os.environ), prune=prune, dry_run=dry_run)
            sealer = found.sealer()
            applied = apply(found.store, by, found.now(), sealer, document, problems, options)
            _tell(applied, dry_run)
            if applied.changes and not dry_run:
                wait_for_workers(found, applied.version, found.now())
    except InvalidFile as error:
        for one in error.errors:
            click.echo(f"gatepost: {one}", err=True)
        return error.exit_code
    return 0


def _has_store() -> bool:
    try:
        with opened() as found:
            snapshots.version(found.store)
            return True
    except StoreUnavailable:
        return False


def _tell(applied: Applied, dry_run: bool) -> None:
    for line in applied.changes:
        click.echo(f"would {line}" if dry_run else line)
    for line in applied.remarks:
        click.echo(f"gatepost: {line}", err=True)
    if not applied.changes:
        click.echo("nothing to change")
    elif dry_run:
        click.echo("nothing was changed: this was a dry run")
    sys.stdout.flush()
