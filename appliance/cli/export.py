"""``gatepost export``: print the configuration as ``apply`` reads it, without secrets."""

from __future__ import annotations

import click

from appliance.cli._opened import opened
from appliance.declarative.export import export


@click.command(name="export")
def command() -> None:
    """Print the present configuration as YAML, without secrets."""
    with opened() as found:
        click.echo(export(found.store, found.now()), nl=False)
