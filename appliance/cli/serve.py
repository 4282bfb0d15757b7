"""``gatepost serve``: the whole appliance in the foreground."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import click

from appliance import runfile
from appliance.clock import clock_from_environment
from appliance.config import Config, config_from_environment
from appliance.declarative.apply import Options, apply
from appliance.declarative.reading import read_document
from appliance.entities import Limits
from appliance.errors import Invalid
from appliance.listening import Listener, bind, port_of
from appliance.logging import configure
from appliance.sealing import Sealer, load_master_key
from appliance.store import accounts
from appliance.store.actors import Actor, system_actor
from appliance.store.database import Store, open_store
from appliance.store.migrate import migrate
from appliance.supervisor import ChildSpec, Phase, Supervisor
from appliance.tls import certificate_files

# libev: gevent's libuv loop costs about twice the CPU (docs/performance.md)
_GEVENT = {"GEVENT_LOOP": "libev-cext"}
_AFTER_A_CRASH_S = 30.0  # how long the processes of a killed appliance may keep the ports


@click.command(name="serve")
def command() -> int:
    """Run the gateway, the page, the indexer and the scheduler until SIGTERM."""
    config = config_from_environment()
    configure(config.log_format, "serve")
    with ExitStack() as stack:
        unclean = stack.enter_context(runfile.only_one(config.data_dir, config.run_dir))
        wait_s = _AFTER_A_CRASH_S if unclean else 0.0
        gateway = stack.enter_context(bind("GATEPOST_PROXY_LISTEN", config.proxy_listen, wait_s))
        page = stack.enter_context(bind("GATEPOST_WEB_LISTEN", config.web_listen, wait_s))
        link = _prepare(config)
        runfile.RunFile(os.getpid(), config.proxy_host, port_of(gateway), config.public_url).save(
            config.run_dir
        )
        _announce(config, gateway, page, link)
        supervisor = Supervisor(children(config, gateway, page), drain_s=Limits().drain_s + 5.0)
        return supervisor.run()


def _prepare(config: Config) -> str | None:
    """Bring the store up to date and make the keys; return the set-up link where it is needed.

    The keys are made here, once, so that the workers need not race for them.
    """
    now = clock_from_environment().now()
    load_master_key(config)
    certificate_files(config, now)
    store = open_store(config.store_url)
    try:
        migrate(store)
        if config.apply_file:
            _apply(config.apply_file, config, store, now)
        if accounts.has_admin(store, now):
            return None
        token = accounts.setup_link(store, system_actor("serve"), now)
        return f"{config.public_url}/setup/{token}"
    finally:
        store.close()


def _apply(file: Path, config: Config, store: Store, now: datetime) -> None:
    """Apply the file of GATEPOST_APPLY before anybody is let in; say what it changed."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise Invalid("GATEPOST_APPLY", f"cannot read {file}: {error.strerror}") from None
    document, problems = read_document(text, str(file))
    by = Actor("serve", "file", str(file))
    sealer = Sealer(load_master_key(config))
    options = Options(environ=os.environ)
    applied = apply(store, by, now, sealer, document, problems, options)
    for line in (*applied.changes, *applied.remarks):
        click.echo(f"apply    {line}")


def children(config: Config, gateway: Listener, page: Listener) -> list[ChildSpec]:
    """Return the processes of the appliance; the indexer ends last, when all is written."""
    python = sys.executable
    proxies = [
        ChildSpec(
            name=f"proxy-{number}",
            argv=(
                *(python, "-m", "proxy"),
                *("--listen-fd", str(gateway.fileno()), "--worker", str(number)),
            ),
            fds=(gateway.fileno(),),
            environ=_GEVENT,
        )
        for number in range(1, config.workers + 1)
    ]
    web = ChildSpec(
        name="web",
        argv=(
            *(python, "-m", "gunicorn", "-c", str(files("web") / "gunicorn_conf.py")),
            *("--bind", f"fd://{page.fileno()}", *_certificate(config), "web.wsgi:app"),
        ),
        fds=(page.fileno(),),
        environ=_GEVENT,
    )
    jobs = [python, "-m", "appliance.jobs"]
    return [
        *proxies,
        web,
        ChildSpec(name="scheduler", argv=[*jobs, "scheduler"]),
        ChildSpec(name="indexer", argv=[*jobs, "indexer"], phase=Phase.RECORDING),
    ]


def _certificate(config: Config) -> tuple[str, ...]:
    """Return gunicorn's options for https with the gateway's own certificate."""
    if not config.web_tls:
        return ()
    found = certificate_files(config, clock_from_environment().now())
    return ("--certfile", str(found.certificate), "--keyfile", str(found.key))


def _announce(config: Config, gateway: Listener, page: Listener, link: str | None) -> None:
    """Say on one line each what listens where."""
    workers = f"{config.workers} worker{'s' if config.workers > 1 else ''}"
    click.echo(f"gateway  {_address(gateway)}  ({workers}; clients use {config.proxy_host})")
    click.echo(f"page     {config.public_url}  (listens on {_address(page)})")
    click.echo(f"data     {config.data_dir}")
    if link:
        click.echo(f"set up   {link}  (one time, valid 1 h: makes the first admin)")
    sys.stdout.flush()


def _address(listener: Listener) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
