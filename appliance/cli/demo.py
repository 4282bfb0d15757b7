"""``gatepost demo``: a complete throwaway appliance, or a walk through its main job."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click

from appliance.demo import sample
from appliance.demo.check import walk
from appliance.demo.process import HOST, Ports
from appliance.demo.running import Demo, Story
from appliance.errors import Unreachable

_GATEWAY_PORT = 6432
_PAGE_PORT = 8080
_STEP = 10  # from one offset that is tried to the next
_TRIES = 20


@click.command(name="demo")
@click.option("--check", is_flag=True, help="Walk the main job, print each step, exit 0 or 1.")
@click.option(
    "--port-offset",
    type=click.IntRange(0, 50_000),
    metavar="N",
    help="Add N to the ports 6432 and 8080 (default: the first free pair).",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Use this new directory for the gateway's data, and leave it there.",
)
def command(check: bool, port_offset: int | None, keep: Path | None) -> int:
    """Run Gatepost with an embedded PostgreSQL, sample identities and weeks of history.

    Ctrl-C ends it and removes everything it made.
    """
    began = time.monotonic()
    ports = _ports(port_offset)
    with _signals_as_interrupt(), Demo(ports, _tell, keep) as demo:
        demo.start()
        story = demo.live_through()
        if check:
            return walk(demo, story)
        _introduce(demo, story, time.monotonic() - began)
        try:
            while not demo.serve.wait(1.0):
                pass
        except KeyboardInterrupt:
            _tell("ending: sessions drain, then everything is removed")
            return 0
        raise Unreachable("the demo's gateway ended by itself", "start it again")


def _introduce(demo: Demo, story: Story, seconds: float) -> None:
    """Print the address, the sign-in and what to paste."""
    port = demo.serve.ports.gateway
    hold = f"host={HOST} port={port} dbname={sample.TARGET} user=ana@example.com"
    width = max(map(len, demo.sample.identities))
    lines = [
        "",
        f"Gatepost runs ({seconds:.0f} s): {story.sessions} sessions of the last weeks, "
        f"{story.refused} statements refused.",
        "",
        f"  page      {demo.serve.url}",
        f"  sign in   {sample.ADMIN}  password {demo.sample.admin}",
        f"  approver  bo@example.com     password {demo.sample.identities['bo@example.com']}"
        "  (people sign in with the passwords below)",
        f"  mail      {demo.mail.url}  what Gatepost sent",
        "",
        "  connect, each in another terminal (the gateway is the only thing psql sees):",
    ]
    for name in (*sample.PEOPLE, "ci-nightly", "support-agent"):
        line = f'psql "host={HOST} port={port} dbname={sample.TARGET} user={name}"'
        lines.append(f"    {line:<{62 + width}} password {demo.sample.identities[name]}")
    if shutil.which("psql"):
        lines.append("  psql here speaks TLS: add sslmode=require to insist on it.")
    lines += [
        "  or, also where no psql is installed:  .venv/bin/gatepost psql ana@example.com",
        "",
        "  other commands, such as session list, take the demo's directory:",
        f"    GATEPOST_DATA_DIR={demo.data_dir} .venv/bin/gatepost session list",
        "",
        "  hold a statement: as ana, type this; then sign in to the page as bo and decide",
        f'    psql "{hold}"',
        "    delete from reporting.nightly_revenue;",
        "",
        "  masked values: type this as eve, then as bo, who is in the group pci",
        "    select name, card_number from customers limit 3;",
        "",
        "  more to try: \\d  ·  as ci-nightly: create table t ()  ·  dbname=nope",
        "               as eve, on the page: My access. Her request for app_rw waits for bo",
        "               as ana, on the page: sign and enforce the profile of ci-nightly",
        "               then open Sessions on the page, and replay what you did",
        "",
        "Ctrl-C ends it and removes everything.",
    ]
    click.echo("\n".join(lines))


def _ports(offset: int | None) -> Ports:
    """Return the asked-for ports, or the first free pair. Raises: Unreachable."""
    offsets = [offset] if offset is not None else [n * _STEP for n in range(_TRIES)]
    for number in offsets:
        ports = Ports(_GATEWAY_PORT + number, _PAGE_PORT + number)
        if ports.are_free():
            return ports
    raise Unreachable(
        f"port {_GATEWAY_PORT + offsets[-1]} or {_PAGE_PORT + offsets[-1]} is already taken",
        "choose others with --port-offset N",
    )


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does, also where that was ignored.

    A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    click.echo(f"… {text}", err=True)
