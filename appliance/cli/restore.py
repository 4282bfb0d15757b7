"""``gatepost restore``: put a backup into the data directory."""

from __future__ import annotations

from pathlib import Path

import click

from appliance import runfile
from appliance.backup import restore
from appliance.clock import clock_from_environment
from appliance.config import config_from_environment
from appliance.sealing import Sealer, load_master_key
from appliance.store.actors import shell_actor


@click.command(name="restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Move the present store aside.")
def command(file: Path, replace: bool) -> None:
    """Restore FILE, made by `gatepost backup`; `serve` must not run."""
    config = config_from_environment()
    with runfile.only_one(config.data_dir, config.run_dir):
        done = restore(
            config,
            shell_actor(),
            clock_from_environment().now(),
            file,
            replace=replace,
            sealer=Sealer(load_master_key(config)),
        )
    click.echo(f"restored the backup of {done.manifest.made_at}")
    for path in done.moved_aside:
        click.echo(f"what was there is now {path}")
    if not done.opens:
        click.echo(
            "gatepost: this master key does not open the secrets in the backup"
            " (bring back the key that sealed them, or set the upstream passwords again)",
            err=True,
        )
    click.echo("Credentials that were revoked after it work again: look through them.", err=True)
