"""``gatepost doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import click

from appliance.cli._output import print_json
from appliance.clock import clock_from_environment
from appliance.config import config_from_environment
from appliance.doctor import examine


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True)
def command(as_json: bool) -> int:
    """Look at the store, the journals, the workers, the targets; say what is wrong.

    Exit code 1 when anything is.
    """
    findings = examine(config_from_environment(), clock_from_environment())
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            click.echo(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.name}: {finding.detail}")
            if finding.hint:
                click.echo(f"       → {finding.hint}")
    return 0 if all(finding.ok for finding in findings) else 1
