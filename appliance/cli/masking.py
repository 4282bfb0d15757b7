"""``gatepost masking``: the rules, and which columns they mean in each database."""

from __future__ import annotations

from typing import Any

import click

from appliance.cli._opened import Opened, opened
from appliance.cli._output import moment, print_json, print_table, visible
from appliance.cli._workers import wait_for_workers
from appliance.cli.masking_suggest import suggest
from appliance.errors import NotFound
from appliance.store import masking_coverage, masking_rules, snapshots, targets
from appliance.store.actors import shell_actor
from appliance.store.masking_coverage import DatabaseCoverage, RuleCoverage

_MOST = 20  # columns of one rule in the list; show has all of them


@click.group(name="masking")
def command() -> None:
    """Masking rules: what is shown instead of which columns, and to whom."""


command.add_command(suggest)


@command.command(name="list")
@click.option("--target", default="", help="Only the rules of this target.")
@click.option("--json", "as_json", is_flag=True)
def list_(target: str, as_json: bool) -> None:
    """List the rules in their order, with the columns that they mean now."""
    with opened() as found:
        if target:
            targets.get(found.store, target)  # a mistyped name must not look like no rules
        rules = masking_coverage.of_rules(found.store, target=target)
    if as_json:
        print_json([_document(one) for one in rules])
        return
    rows = [row for one in rules for row in _rows(one)]
    head = ("RULE", "TARGET", "METHOD", "EXEMPT", "DATABASE", "COLUMN", "TYPE")
    print_table(head, rows, "No masking rules: every column is shown as it is.")
    _tell_notes(rules)


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
def show(name: str, as_json: bool) -> None:
    """Show the rule NAME, and every column that it means."""
    with opened() as found:
        rules = masking_coverage.of_rules(found.store)
    one = next((one for one in rules if one.rule.name == name), None)
    if one is None:
        raise NotFound(f"no masking rule is called {name}", "see gatepost masking list")
    if as_json:
        print_json(_document(one))
        return
    rule = one.rule
    state = "" if rule.enabled else ", disabled"
    click.echo(f"{rule.name} on {rule.target}: {_method(one)}, {rule.mode}{state}")
    click.echo(f"columns: {visible(', '.join(rule.columns))}")
    click.echo(f"exempt: {', '.join(rule.exempt) or 'nobody'}")
    if not one.databases:
        click.echo(f"The catalog of {rule.target} was not read yet; serve reads it.")
    for place in one.databases:
        click.echo(f"\n{place.database}, as read at {moment(place.read_at)}:")
        rows = [
            (visible(column.column), column.type, visible(column.pattern), visible(column.why))
            for column in place.columns
        ]
        print_table(("COLUMN", "TYPE", "PATTERN", "NOTE"), rows, "It means no column here.")
    _tell_notes((one,))


@command.command()
@click.argument("name")
def forget(name: str) -> None:
    """Forget what the rule NAME followed, and resolve it anew by names alone.

    A rule follows a column through renames. After the target was restored into another server,
    where other columns have taken its place, this says again what the rule means.
    """
    with opened() as found:
        before = _meant(found, name)
        masking_rules.forget(found.store, shell_actor(), found.now(), name)
        after = _meant(found, name)
        for column in sorted(before - after):
            click.echo(f"no longer masked by {name}: {visible(column)}")
        if before == after:
            click.echo(f"{name} means the same columns as before")
        wait_for_workers(found, snapshots.version(found.store), found.now())


def _meant(found: Opened, name: str) -> set[str]:
    rules = masking_coverage.of_rules(found.store)
    one = next((one for one in rules if one.rule.name == name), None)
    if one is None:
        raise NotFound(f"no masking rule is called {name}", "see gatepost masking list")
    return {f"{c.column} in {place.database}" for place in one.databases for c in place.columns}


def _rows(one: RuleCoverage) -> list[tuple[str, ...]]:
    rule = one.rule
    name = rule.name if rule.enabled else f"{rule.name} (disabled)"
    head = (name, rule.target, _method(one), ", ".join(rule.exempt) or "nobody")
    found = [
        (place.database, visible(column), kind)
        for place in one.databases
        for column, kind in _columns(place)
    ]
    more = len(found) - _MOST
    if more > 0:
        found[_MOST:] = [("", f"and {more:,} more: gatepost masking show {rule.name}", "")]
    if not found:
        said = "none" if one.databases else "not known: its catalog was not read yet"
        found = [("", said, "")]
    return [(*(head if at == 0 else ("",) * len(head)), *rest) for at, rest in enumerate(found)]


def _columns(place: DatabaseCoverage) -> list[tuple[str, str]]:
    """Return each column once, whichever patterns mean it."""
    return list(
        dict.fromkeys(
            (f"{one.column} (computed)" if one.is_computed else one.column, one.type)
            for one in place.columns
        )
    )


def _method(one: RuleCoverage) -> str:
    rule = one.rule
    return rule.method if rule.value is None else f"{rule.method} {visible(repr(rule.value))}"


def _tell_notes(rules: tuple[RuleCoverage, ...]) -> None:
    for one in rules:
        for note in one.notes:
            click.echo(f"gatepost: {one.rule.name}: {visible(note)}", err=True)


def _document(one: RuleCoverage) -> dict[str, Any]:
    rule = one.rule
    return {
        "name": rule.name,
        "target": rule.target,
        "columns": rule.columns,
        "method": rule.method,
        "value": rule.value,
        "mode": rule.mode,
        "exempt": rule.exempt,
        "enabled": rule.enabled,
        "databases": one.databases,
        "notes": one.notes,
    }
