"""``gatepost backup``: one file with the store and the journals, without the master key."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.backup import backup
from appliance.clock import clock_from_environment
from appliance.config import config_from_environment


@click.command(name="backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def command(file: Path, force: bool) -> None:
    """Write the store and the journals into FILE; `serve` may run meanwhile.

    The master key is not in it: keep that apart, or the stored secrets are lost.
    """
    config = config_from_environment()
    size = backup(config, clock_from_environment().now(), file, replace=force)
    click.echo(f"wrote {file} ({size / 1e6:.1f} MB)")
    click.echo("The master key is not in it: keep a copy of that apart.", err=True)
