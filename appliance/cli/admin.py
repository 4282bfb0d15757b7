"""``gatepost admin``: local accounts that administer the page."""

from __future__ import annotations

import os
import secrets

import click

from appliance.cli._opened import opened
from appliance.cli._output import moment, print_json, print_table
from appliance.errors import Invalid
from appliance.store import accounts
from appliance.store.actors import shell_actor

_SECRET_BYTES = 15


@click.group(name="admin")
def command() -> None:
    """Local accounts for the page."""


@command.command()
@click.argument("name")
@click.option("--password-env", metavar="VAR", help="Take the password from this variable.")
def create(name: str, password_env: str | None) -> None:
    """Make NAME (an e-mail address) an admin with a local sign-in."""
    with opened(create=True) as found:
        password = _password(password_env)
        accounts.create(found.store, shell_actor(), found.now(), name, password)
        _show(found.config.public_url, name, password, given=password_env is not None)


@command.command()
@click.argument("name")
@click.option("--password-env", metavar="VAR", help="Take the password from this variable.")
def reset(name: str, password_env: str | None) -> None:
    """Set a new password for NAME and end its browser sessions."""
    with opened() as found:
        password = _password(password_env)
        accounts.reset(found.store, shell_actor(), found.now(), name, password)
        _show(found.config.public_url, name, password, given=password_env is not None)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True)
def list_(as_json: bool) -> None:
    """List the local accounts."""
    with opened() as found:
        rows = accounts.all_accounts(found.store)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NAME", "PERMISSION ROLES", "SINCE"),
        [(a.identity, ", ".join(sorted(a.permission_roles)), moment(a.created_at)) for a in rows],
        "There is no local account: run gatepost admin create NAME.",
    )


def _password(variable: str | None) -> str:
    if variable is None:
        return secrets.token_urlsafe(_SECRET_BYTES)
    password = os.environ.get(variable)
    if not password:
        raise Invalid("--password-env", f"the environment variable {variable} is not set")
    return password


def _show(url: str, name: str, password: str, *, given: bool) -> None:
    click.echo(f"sign in at {url} as {name}")
    if not given:
        click.echo(f"password {password}")
        click.echo("This password is shown once.", err=True)
