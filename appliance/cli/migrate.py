"""``gatepost migrate``: bring the store's schema up to date."""

from __future__ import annotations

import click

from appliance.cli._opened import opened
from appliance.cli._output import moment, print_json, print_table
from appliance.store.migrate import migrate, status


@click.command(name="migrate")
@click.option("--list", "only_list", is_flag=True, help="Only show what was applied when.")
@click.option("--json", "as_json", is_flag=True)
def command(only_list: bool, as_json: bool) -> None:
    """Apply the migrations that the store lacks; `serve` does so too."""
    with opened(create=not only_list) as found:
        applied = () if only_list else migrate(found.store)
        if only_list:
            rows = status(found.store)
            if as_json:
                print_json(rows)
            else:
                table = [(m.name, moment(m.applied_at) or "pending") for m in rows]
                print_table(("MIGRATION", "APPLIED"), table, "There are no migrations.")
        elif as_json:
            print_json({"applied": applied})
        else:
            click.echo(f"applied {', '.join(applied)}" if applied else "the store is up to date")
