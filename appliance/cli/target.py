"""``gatepost target``: the registered servers, and whether they can be reached."""

from __future__ import annotations

import os

import click

from appliance import targets as reach
from appliance.cli._opened import opened
from appliance.cli._output import print_json, print_table
from appliance.entities import Target
from appliance.errors import NotFound
from appliance.store import pages, targets

_UNREACHABLE = 3


@click.group(name="target")
def command() -> None:
    """PostgreSQL servers behind the gateway."""


@command.command(name="list")
@click.argument("text", required=False, default="")
@click.option("--json", "as_json", is_flag=True)
def list_(text: str, as_json: bool) -> None:
    """List targets, all or those whose name, host or environment holds TEXT."""
    with opened() as found:
        rows = pages.every(lambda page, size: targets.find(found.store, text, page=page, size=size))
    if as_json:
        print_json([_as_json(row) for row in rows])
        return
    print_table(
        ("NAME", "ADDRESS", "DATABASE", "SSLMODE", "ENVIRONMENT", "ROLES"),
        [
            (
                row.name,
                f"{row.host}:{row.port}",
                row.database,
                row.sslmode.value,
                row.environment,
                ", ".join(role.name for role in row.roles),
            )
            for row in rows
        ],
        "There is no target: add one on the page or with gatepost apply.",
    )


@command.command()
@click.argument("name")
@click.option("--role", default="", help="Log in as this upstream role; default: the catalog's.")
@click.option("--json", "as_json", is_flag=True)
def check(name: str, role: str, as_json: bool) -> int:
    """Try target NAME step by step and say what is wrong; exit 3 if it cannot be reached."""
    with opened() as found:
        target = targets.get(found.store, name)
        chosen = target.role(role) if role else target.reader
        if chosen is None:
            raise NotFound(f"target {name} has no upstream role {role}".rstrip())
        secret = reach.open_secret(chosen, target.id, found.sealer(), dict(os.environ))
        steps = reach.check(target, secret, role=chosen.name)
    if as_json:
        print_json({"target": name, "role": chosen.name, "steps": steps})
    else:
        for step in steps:
            click.echo(f"{'ok ' if step.ok else 'NO '} {step.name:<10} {step.detail}".rstrip())
            if step.hint:
                click.echo(f"    {step.hint}")
    return 0 if all(step.ok for step in steps) else _UNREACHABLE


def _as_json(row: Target) -> dict[str, object]:
    return {
        "name": row.name,
        "host": row.host,
        "port": row.port,
        "database": row.database,
        "sslmode": row.sslmode.value,
        "environment": row.environment,
        "roles": [role.name for role in row.roles],
        "catalog_role": row.catalog_role,
    }
