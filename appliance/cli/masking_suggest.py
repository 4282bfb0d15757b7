"""``gatepost masking suggest``: columns that look sensitive and have no rule, with why."""

from __future__ import annotations

import os

import click

from appliance.cli._opened import opened
from appliance.cli._output import print_json, print_table, visible
from appliance.entities import Snapshot, Target
from appliance.errors import NotFound
from appliance.masking.survey import Seen, Survey
from appliance.sql.catalog import Catalog
from appliance.store import catalogs, masking_looks, snapshots
from appliance.store.actors import shell_actor
from appliance.targets import load_catalog, open_secret
from appliance.targets.sampling import Sample, Wanted, sample

_NOTHING = Sample({}, {})


@click.command()
@click.option("--target", required=True, help="The target to look at.")
@click.option("--database", default="", help="Another database of the target's server.")
@click.option("--names-only", is_flag=True, help="Look at names and types, read no values.")
@click.option("--json", "as_json", is_flag=True)
def suggest(target: str, database: str, names_only: bool, as_json: bool) -> None:
    """Suggest masking rules for a target: names, types and a few values of its columns.

    The values are read as the target's catalog role, looked at in memory, and forgotten.
    """
    with opened() as found:
        snapshot = snapshots.load(found.store, found.now())
        place = snapshot.targets.get(target)
        if place is None:
            raise NotFound(f"no target is called {target}", "see gatepost target list")
        database = database or place.database
        secret = ""
        if not names_only or catalogs.digest(found.store, target, database) is None:
            role = place.reader
            if role is None:
                raise NotFound(f"target {target} has no upstream role", "add one on its page")
            secret = open_secret(role, place.id, found.sealer(), os.environ)
            catalog = load_catalog(place, database, secret)
            catalogs.put(found.store, found.now(), target, database, catalog.to_json())
            snapshot = snapshots.load(found.store, found.now())
        stored = catalogs.get(found.store, target, database)
        survey = _survey(snapshot, place, database, stored.data if stored else b"{}")
        wanted = [Wanted(one.oid, one.kind, columns) for one, columns in survey.to_look_at()]
        if not names_only:
            by, tables = shell_actor(), len(wanted)
            masking_looks.note(found.store, by, found.now(), target, database, tables)
    seen = _NOTHING if names_only else sample(place, database, secret, wanted)
    columns = survey.uncovered(None if names_only else seen.values)
    if as_json:
        print_json([_document(one) for one in columns])
    else:
        head = ("COLUMN", "TYPE", "LOOKS LIKE", "SURE", "METHOD", "WHY")
        rows = [tuple(map(visible, _row(one))) for one in columns]
        print_table(head, rows, "Nothing looks sensitive that has no rule.")
    _tell(survey, seen)


def _survey(snapshot: Snapshot, target: Target, database: str, data: bytes) -> Survey:
    rules = [rule for rule in snapshot.masking if rule.target == target.name]
    resolutions = snapshot.resolutions.get((target.name, database), ())
    try:
        catalog = Catalog.from_json(data)
    except ValueError as error:  # another version's
        raise NotFound(str(error), "leave --names-only out") from None
    return Survey(catalog, rules, resolutions, target.safe_functions)


def _row(seen: Seen) -> tuple[str, ...]:
    found = seen.suggestion
    if found is None:
        return seen.name, seen.column.type, "", "", "", ""
    sure = found.confidence.word
    return seen.name, seen.column.type, found.kind, sure, found.method, found.evidence


def _document(seen: Seen) -> dict[str, str]:
    names = ("column", "type", "kind", "confidence", "method", "evidence")
    return dict(zip(names, map(str, _row(seen)), strict=True))


def _tell(survey: Survey, seen: Sample) -> None:
    for oid, why in seen.failed.items():
        relation = survey.catalog.by_oid(oid)
        if relation is not None:
            name = f"{relation.name.schema}.{relation.name.name}"
            click.echo(f"gatepost: {visible(name)} could not be read: {visible(why)}", err=True)
    if seen.unseen:
        click.echo(
            f"gatepost: {len(seen.unseen)} tables were not looked at: the time was over", err=True
        )
