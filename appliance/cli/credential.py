"""``gatepost credential``: issue, rotate, revoke and list credentials."""

from __future__ import annotations

import os
from datetime import datetime

import click

from appliance.cli._opened import Opened, opened
from appliance.cli._output import moment, plain, print_json, print_table
from appliance.cli._workers import settle
from appliance.errors import Conflict, Invalid
from appliance.identity import credentials
from appliance.identity.credentials import Issued, parse_label
from appliance.identity.spans import parse_expiry, parse_span, show_expiry
from appliance.store import credentials as stored
from appliance.store import identities, pages
from appliance.store.actors import shell_actor

_EXPIRES = "When it ends: 90d, 12h, or a day such as 2027-01-31 (through its end, UTC)."


@click.group(name="credential")
def command() -> None:
    """Passwords of people and machines."""


@command.command()
@click.argument("identity")
@click.option("--expires", help=_EXPIRES)
@click.option("--password-env", metavar="VAR", help="Take the secret from this variable.")
@click.option("--json", "as_json", is_flag=True)
def issue(identity: str, expires: str | None, password_env: str | None, as_json: bool) -> None:
    """Issue a password to IDENTITY and print it once."""
    with opened() as found:
        made = credentials.issue(
            found.store,
            shell_actor(),
            found.now(),
            found.sealer(),
            identity,
            expires_at=_end(expires, found.now()),
            secret=_secret(password_env),
            secret_env=password_env,
        )
        settle(found)
    _show(made, as_json, given=password_env is not None)


@command.command()
@click.argument("credential")
@click.option("--overlap", default="0", show_default=True, help="How long the old one still works.")
@click.option("--expires", help=_EXPIRES + " By default it lives as long as the old one was to.")
@click.option("--password-env", metavar="VAR", help="Take the secret from this variable.")
@click.option("--json", "as_json", is_flag=True)
def rotate(
    credential: str, overlap: str, expires: str | None, password_env: str | None, as_json: bool
) -> None:
    """Replace CREDENTIAL (c-12, or an identity that has only one) and print the new secret."""
    with opened() as found:
        made = credentials.rotate(
            found.store,
            shell_actor(),
            found.now(),
            found.sealer(),
            _which(found, credential),
            overlap=parse_span("--overlap", overlap),
            expires_at=_end(expires, found.now()),
            secret=_secret(password_env),
            secret_env=password_env,
        )
        settle(found)
    _show(made, as_json, given=password_env is not None)


@command.command()
@click.argument("credential")
@click.option("--reason", default="", help="Why, for the record.")
def revoke(credential: str, reason: str) -> None:
    """End CREDENTIAL (c-12, or an identity that has only one) and its sessions, now."""
    with opened() as found:
        number = _which(found, credential)
        if not credentials.revoke(found.store, shell_actor(), found.now(), number, reason):
            raise Conflict(f"c-{number} was revoked before")
        settle(found)
    click.echo(f"revoked c-{number}; its sessions end within 2 s")


@command.command(name="list")
@click.argument("identity", required=False)
@click.option("--all", "also_ended", is_flag=True, help="Also those that have ended.")
@click.option("--json", "as_json", is_flag=True)
def list_(identity: str | None, also_ended: bool, as_json: bool) -> None:
    """List credentials, those of IDENTITY or all."""
    with opened() as found:
        now = found.now()
        if identity:
            identities.get(found.store, identity, now=now)
        rows = pages.every(
            lambda page, size: stored.find(
                found.store,
                now=now,
                identity=identity or "",
                live=None if also_ended else True,
                sort="identity",
                page=page,
                size=size,
            )
        )
    if as_json:
        print_json([_as_json(row, now) for row in rows])
        return
    print_table(
        ("ID", "IDENTITY", "STATE", "CREATED", "BY", "EXPIRES", "LAST USED", "FROM"),
        [
            (
                row.label,
                row.identity,
                row.state(now),
                moment(row.created_at),
                row.created_by,
                _until(row.ends_at or row.expires_at),
                moment(row.last_used_at) or "never",
                row.last_used_from,
            )
            for row in rows
        ],
        "There is no credential: issue one with gatepost credential issue IDENTITY.",
    )


def _until(at: datetime | None) -> str:
    """Return a day, through its end, or a moment to the second."""
    if at is None:
        return "never"
    word = show_expiry(at)
    return moment(at) if "T" in word else word


def _as_json(row: stored.CredentialRecord, now: datetime) -> dict[str, object]:
    return {**plain(row), "id": row.label, "state": row.state(now)}


def _which(found: Opened, text: str) -> int:
    """Return the credential meant by ``c-12``, or by the name of an identity with one alone."""
    number = text.removeprefix("c-")
    if text.startswith("c-") and number.isdigit():
        return parse_label("CREDENTIAL", text)
    now = found.now()
    identities.get(found.store, text, now=now)
    live = stored.find(found.store, now=now, identity=text, live=True, size=10).items
    if len(live) != 1:
        names = ", ".join(row.label for row in live) or "none"
        raise Conflict(
            f"{text} has {len(live)} live credentials ({names})",
            "name one: c-N" if live else f"issue one: gatepost credential issue {text}",
        )
    return live[0].id


def _end(text: str | None, now: datetime) -> datetime | None:
    return parse_expiry("--expires", text, now) if text else None


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    secret = os.environ.get(variable)
    if not secret:
        raise Invalid("--password-env", f"the environment variable {variable} is not set")
    return secret


def _show(made: Issued, as_json: bool, *, given: bool) -> None:
    """Print what was made; a secret that came from a variable is known already."""
    if as_json:
        secret = {} if given else {"secret": made.secret}
        print_json({**plain(made), "id": made.label, **secret})
        return
    ends = f", expires {_until(made.expires_at)}" if made.expires_at else ""
    click.echo(f"{made.label} of {made.identity}{ends}")
    if not given:
        click.echo(f"password {made.secret}")
        click.echo("This password is shown once.", err=True)
