"""Wait until the workers decide by what a command has just changed."""

from __future__ import annotations

import time
from datetime import datetime

import click

from appliance.cli._opened import Opened
from appliance.store import snapshots, workers

WAIT_S = 5.0
_POLL_S = 0.05


def wait_for_workers(found: Opened, version: int, since: datetime) -> None:
    """Return when every worker alive at ``since`` has ``version``, or say which has not after 5 s.

    One that has fallen silent since may still serve its sessions: it is named too.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        late = [w.name for w in workers.live(found.store, since) if w.version < version]
        if not late:
            return
        if time.monotonic() >= deadline:
            click.echo(
                f"gatepost: applied, but after {WAIT_S:g} s these workers had not taken it over"
                f" yet: {', '.join(late)} (see their log; they do when they answer again)",
                err=True,
            )
            return
        time.sleep(_POLL_S)


def settle(found: Opened) -> None:
    """Wait for the present version: what was just issued works, what was revoked does not."""
    wait_for_workers(found, snapshots.version(found.store), found.now())
