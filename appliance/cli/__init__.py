"""The commands of ``gatepost``: one module each, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module, metadata
from importlib.util import find_spec

import click

# In the order people meet them; a module `appliance.cli.<name>` offers `command`.
_COMMANDS = (
    "serve",
    "demo",
    "psql",
    "apply",
    "export",
    "admin",
    "identity",
    "credential",
    "target",
    "discover",
    "session",
    "approval",
    "access",
    "review",
    "policy",
    "masking",
    "profile",
    "notify",
    "audit",
    "digest",
    "backup",
    "restore",
    "migrate",
    "purge",
    "doctor",
)


class _LazyGroup(click.Group):
    """A group that knows its commands' names without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in _COMMANDS if _exists(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS or not _exists(cmd_name):
            return None
        command = import_module(f"appliance.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"appliance.cli.{cmd_name}.command is no click command")
        return command


def _exists(name: str) -> bool:
    return find_spec(f"appliance.cli.{name}") is not None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("gatepost"), prog_name="gatepost")
def gatepost() -> None:
    """PostgreSQL access gateway: who ran what, decided statement by statement.

    Settings come from the environment (GATEPOST_*); see docs/operating.md.
    Exit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 store or target unreachable.
    """
