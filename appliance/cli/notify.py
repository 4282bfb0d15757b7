"""``gatepost notify``: see whether messages arrive."""

from __future__ import annotations

import click

from appliance.cli._opened import opened
from appliance.cli._output import print_json
from appliance.notify.trial import send_test
from appliance.store import names, settings


@click.group(name="notify")
def command() -> None:
    """Mail and webhook: how people learn that something waits for them."""


@command.command(name="test")
@click.option("--to", "receiver", metavar="ADDR", default="", help="Where the test mail goes.")
@click.option("--json", "as_json", is_flag=True)
def test(receiver: str, as_json: bool) -> int:
    """Send a test message on every channel that is set up.

    Exit code 1 when one of them did not take it, or none is set up.
    """
    if receiver:
        names.identity_name("--to", receiver)
    with opened() as found:
        present = settings.get(found.store)
        receiver = receiver or (present.smtp.sender if present.smtp else "")
        tried = send_test(present, found.sealer(), found.config, found.now(), receiver)
    if as_json:
        print_json(tried)
    for one in tried if not as_json else ():
        click.echo(f"{'ok   ' if one.ok else 'WRONG'}  {one.channel}: {one.detail}")
        if one.hint:
            click.echo(f"       → {one.hint}")
    if not tried and not as_json:
        click.echo(
            "gatepost: neither a mail server nor a webhook is set up"
            " (see Settings on the page, or settings.smtp and settings.webhook of the file)",
            err=True,
        )
    return 0 if tried and all(one.ok for one in tried) else 1
