"""``gatepost psql``: open psql through the gateway that runs on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from appliance import runfile
from appliance.config import config_from_environment
from appliance.demo import place, sample
from appliance.embedded import installation
from appliance.errors import GatepostError, Invalid, NotFound

_DEFAULT_IDENTITY = "ana@example.com"


@dataclass(frozen=True, slots=True)
class _Gateway:
    host: str
    port: int
    demo: place.DemoPlace | None = None


@click.command(
    name="psql",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("identity", required=False)
@click.argument("target", required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(identity: str | None, target: str | None, options: tuple[str, ...]) -> None:
    """Open psql as IDENTITY on TARGET (TARGET/DATABASE for another database of its server).

    What follows the two goes to psql: gatepost psql ana@example.com shop -c 'select 1'.
    The running demo's passwords are filled in; otherwise psql asks for it.
    """
    gateway = _running()
    if gateway.demo:
        identity, target = identity or _DEFAULT_IDENTITY, target or sample.TARGET
    if not identity or not target:
        raise Invalid("IDENTITY TARGET", "expected both, such as: ana@example.com shop")
    program, has_tls = _program()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environ |= {
        "PGHOST": gateway.host,
        "PGPORT": str(gateway.port),
        "PGUSER": identity,
        "PGDATABASE": target,
        "PGSSLMODE": "require" if has_tls else "disable",
    }
    if gateway.demo:
        environ["PGPASSFILE"] = str(_password_file(gateway.demo, identity))
    # By its path, also as argv[0]: psql looks for itself, on PATH if it is only given a name.
    os.execve(program, [program, *options], environ)  # noqa: S606 - psql takes our place


def _running() -> _Gateway:
    """Return the gateway of GATEPOST_DATA_DIR if it runs, else the demo's."""
    config = config_from_environment()
    serve = runfile.load(config.run_dir)
    if serve is not None and serve.is_alive:
        return _Gateway(serve.host, serve.port)
    demo = place.load()
    if demo is not None and demo.is_alive:
        return _Gateway(demo.host, demo.port, demo)
    raise GatepostError(
        "no gateway runs here", "start one with: gatepost serve, or gatepost demo (make demo)"
    )


def _program() -> tuple[str, bool]:
    """Return psql's path and whether it speaks TLS: the embedded package's does not."""
    found = shutil.which("psql")
    if found:
        return found, True
    return installation().program("psql"), False


def _password_file(demo: place.DemoPlace, identity: str) -> Path:
    """Write the demo's passwords where only this account reads them; return the file.

    It lies in the demo's own directory, and goes with it.
    """
    if identity not in demo.passwords:
        known = ", ".join(demo.passwords)
        raise NotFound(f"the demo has no password of {identity}", f"it has those of: {known}")
    path = Path(demo.data_dir) / "pgpass"
    descriptor, part = tempfile.mkstemp(dir=demo.data_dir)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        for name, password in demo.passwords.items():
            file.write(f"{demo.host}:{demo.port}:*:{name}:{password}\n")
    Path(part).replace(path)
    return path
