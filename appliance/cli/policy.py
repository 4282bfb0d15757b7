"""``gatepost policy``: what the policy says about a statement, without running anything."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from appliance import targets as reach
from appliance.cli import _dry_run
from appliance.cli._opened import Opened, opened
from appliance.cli._output import print_json, print_table, visible
from appliance.declarative.apply import Options, apply
from appliance.declarative.reading import read_document
from appliance.declarative.source import InvalidFile
from appliance.entities import Snapshot
from appliance.errors import Invalid
from appliance.policy.trial import Session, Trial, imagine, try_statement
from appliance.policy.verdict import Action
from appliance.sql.catalog import Catalog
from appliance.store import catalogs, profiles, snapshots
from appliance.store.actors import Actor, shell_actor

_NO = 1


@click.group(name="policy")
def command() -> None:
    """Policy rules: what they would say."""


@command.command()
@click.option("--as", "identity", required=True, help="The identity that would run it.")
@click.option("--target", required=True, help="The target that it would run on.")
@click.option("--role", help="The upstream role; default: that of its first grant.")
@click.option("--database", help="Another database of the target's server.")
@click.option("--application-name", help="Default: any; rules that ask for one may apply.")
@click.option("--source", help="The client's address. Default: any; rules on it may apply.")
@click.option("--rows", type=click.IntRange(0), default=0, help="How many it would touch.")
@click.option("--json", "as_json", is_flag=True)
@click.argument("sql")
def test(
    identity: str,
    target: str,
    role: str | None,
    database: str | None,
    application_name: str | None,
    source: str | None,
    rows: int,
    as_json: bool,
    sql: str,
) -> int:
    """Show the verdict on SQL ("-" reads it from stdin); exit 0 allow, 1 block or hold."""
    text = sys.stdin.read() if sql == "-" else sql
    with opened() as found, _dry_run.parser() as parser:
        now = found.now()
        snapshot = snapshots.load(found.store, now)
        session = imagine(snapshot, identity, target, role, database, application_name, source)
        judge = partial(
            try_statement,
            snapshot,
            session,
            text,
            parser=parser,
            now=now,
            rows=rows,
            pages=found.config.public_url,
        )
        trial = judge(catalog=None)
        if _names_something(trial) or trial.is_refused_by_masking:
            catalog, is_fresh = _catalog(found, session)
            trial = judge(catalog=catalog)
            if trial.facts.needs_catalog and not is_fresh:
                catalog = _loaded(found, session)
                trial = judge(catalog=catalog)
    if as_json:
        print_json(as_document(trial))
    else:
        _print(trial)
    return 0 if trial.verdict.is_allow else _NO


class _Undo(Exception):
    """Leaves the transaction, which undoes it."""


@command.command(name="dry-run")
@click.argument("file", type=click.File("rb"))
@click.option("--days", default=profiles.DAYS, show_default=True, type=click.IntRange(1))
@click.option("--prune", is_flag=True, help="As if what the file does not have was removed too.")
@click.option("--json", "as_json", is_flag=True)
def dry_run(file: BinaryIO, days: int, prune: bool, as_json: bool) -> int:
    """Show what the configuration in FILE (- for standard input) would have decided otherwise."""
    name = Path(file.name).name if file.name != "<stdin>" else "stdin"
    try:
        with opened() as found:
            present = snapshots.load(found.store, found.now())
            proposed = _as_in(found, file.read(), name, prune)
            _dry_run.tell(_dry_run.dry_run(found, present, proposed, days), as_json)
    except InvalidFile as error:
        for one in error.errors:
            click.echo(f"gatepost: {one}", err=True)
        return error.exit_code
    return 0


def _as_in(found: Opened, text: bytes, name: str, prune: bool) -> Snapshot:
    """Return the snapshot as it would be with a file applied; nothing is changed."""
    document, problems = read_document(text, name)
    by = Actor(shell_actor().name, "file", name)
    options = Options(dict(os.environ), prune=prune, dry_run=False)
    with suppress(_Undo), found.store.transaction():
        apply(found.store, by, found.now(), found.sealer(), document, problems, options)
        made = snapshots.load(found.store, found.now())
        raise _Undo
    return made


def as_document(trial: Trial) -> dict[str, object]:
    """Return the contract's JSON: verdict rule reason effects unknown masks."""
    return {
        "verdict": trial.verdict.action,
        "rule": trial.verdict.rule,
        "reason": trial.verdict.reason,
        "effects": [
            {"class": one.cls, "object": one.object, "verdict": one.action, "rule": one.rule}
            for one in trial.effects
        ],
        "unknown": trial.unknown,
        "masks": list(trial.masks),
        "over_rows": [
            {"rows": limit, "verdict": verdict.action, "rule": verdict.rule}
            for limit, verdict in trial.many
        ],
    }


def _names_something(trial: Trial) -> bool:
    """Return whether the target's catalog can make a difference."""
    return trial.facts.needs_catalog or any(
        statement.unknown or effect.relation or effect.function
        for statement in trial.facts.statements
        for effect in statement.effects
    )


def _catalog(found: Opened, session: Session) -> tuple[Catalog, bool]:
    """Return the catalog that the store has, else the target's own, and whether it is that."""
    stored = catalogs.get(found.store, session.target.name, session.database)
    if stored is not None:
        try:
            return Catalog.from_json(stored.data), False
        except ValueError:
            pass  # written by another version: read it again
    return _loaded(found, session), True


def _loaded(found: Opened, session: Session) -> Catalog:
    target, reader = session.target, session.target.reader
    if reader is None:
        raise Invalid("target", f"target {target.name} has no upstream role to read its catalog")
    secret = reach.open_secret(reader, target.id, found.sealer(), dict(os.environ))
    return reach.load_catalog(target, session.database, secret)


def _print(trial: Trial) -> None:
    verdict = trial.verdict
    rule = "no rule (default_action)" if verdict.rule == "default" else verdict.rule
    click.echo(f"{verdict.action}, by {rule}: {verdict.reason}")
    for limit, above in trial.many:
        click.echo(f"over {limit:,} rows: {above.action}, by {above.rule}")
    if trial.unknown:
        click.echo(f"not known: {trial.unknown}")
    if trial.effects:
        rows = [(one.cls, one.object, one.action, one.rule) for one in trial.effects]
        print_table(("CLASS", "OBJECT", "VERDICT", "RULE"), rows, "")
    for mask in trial.masks:
        name = "every output" if mask.is_every else f"output {visible(mask.output)}"
        click.echo(f"{name}: {visible(mask.how)}")
    if trial.scrubs_errors and verdict.is_allow:
        click.echo("errors and notices of it: PostgreSQL's own words, without values")
    if verdict.action is Action.HOLD:
        click.echo(trial.hint)
    elif trial.message:
        click.echo(f"The client reads:\n  ERROR:  {trial.message}")
        click.echo(f"  HINT:  {trial.hint}")
