"""``gatepost identity``: the identity catalog on the shell."""

from __future__ import annotations

import click

from appliance.cli._opened import opened
from appliance.cli._output import moment, plain, print_json, print_table
from appliance.cli._workers import settle
from appliance.entities import IdentityStatus
from appliance.identity.spans import parse_expiry, show_expiry
from appliance.store import credentials, grants, identities, pages, snapshots
from appliance.store.actors import shell_actor
from appliance.store.identities import KINDS, STATUSES, IdentitySpec


@click.group(name="identity")
def command() -> None:
    """People and machines that may log in."""


@command.command(name="list")
@click.argument("text", required=False, default="")
@click.option("--kind", type=click.Choice(KINDS))
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--group", default="")
@click.option("--owner", default="")
@click.option("--json", "as_json", is_flag=True)
def list_(
    text: str, kind: str | None, status: str | None, group: str, owner: str, as_json: bool
) -> None:
    """List identities, all or those whose name or purpose holds TEXT."""
    with opened() as found:
        rows = pages.every(
            lambda page, size: identities.find(
                found.store,
                text,
                now=found.now(),
                kind=kind or "",
                status=status or "",
                group=group,
                owner=owner,
                page=page,
                size=size,
            )
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NAME", "KIND", "STATUS", "OWNER", "CREDENTIALS", "LAST USED"),
        [
            (
                row.name,
                row.kind.value,
                row.status.value,
                row.owner or "",
                str(row.live_credentials),
                moment(row.last_used_at) or "never",
            )
            for row in rows
        ],
        "There is no such identity: add one with gatepost identity create or gatepost apply.",
    )


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
def show(name: str, as_json: bool) -> None:
    """Show one identity: who owns it, what it may do, whether it is used."""
    with opened() as found:
        now = found.now()
        row = identities.get(found.store, name, now=now)
        kept = credentials.find(found.store, now=now, identity=name, size=100).items
        snapshot = snapshots.load(found.store, now)
        mine = grants.of_identity(snapshot.grants, snapshot.identities[name])
    if as_json:
        listed = [{**plain(c), "id": c.label, "state": c.state(now)} for c in kept]
        print_json({**plain(row), "credentials": listed, "grants": plain(mine)})
        return
    for label, value in (
        ("name", row.name),
        ("kind", row.kind.value),
        ("status", row.status.value),
        ("owner", row.owner or "nobody"),
        ("backup owner", row.backup_owner or "nobody"),
        ("purpose", row.purpose),
        ("environment", row.environment),
        ("groups", ", ".join(row.groups)),
        ("permission roles", ", ".join(sorted(row.permission_roles))),
        ("expires", show_expiry(row.expires_at) if row.expires_at else "never"),
        ("created", f"{moment(row.created_at)} by {row.created_by}"),
        ("first used", moment(row.first_used_at) or "never"),
        ("last used", moment(row.last_used_at) or "never"),
    ):
        click.echo(f"{label:<17}{value}".rstrip())
    for one in kept:
        click.echo(f"{'credential':<17}{one.label} {one.state(now)}")
    for grant in mine:
        click.echo(f"{'grant':<17}{grant.target} as {grant.role} ({grant.who})")


@command.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--owner")
@click.option("--backup-owner")
@click.option("--purpose", default="")
@click.option("--environment", default="")
@click.option("--expires", help="90d, or a day such as 2027-01-31.")
def create(
    name: str,
    kind: str,
    owner: str | None,
    backup_owner: str | None,
    purpose: str,
    environment: str,
    expires: str | None,
) -> None:
    """Add an identity to the catalog."""
    with opened() as found:
        ends = parse_expiry("--expires", expires, found.now()) if expires else None
        spec = IdentitySpec(name, kind, owner, backup_owner, purpose, environment, ends)
        identities.create(found.store, shell_actor(), found.now(), spec)
        settle(found)
    click.echo(f"created {kind} {name}; next: gatepost credential issue {name}")


@command.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the record.")
def suspend(name: str, reason: str) -> None:
    """Suspend NAME: nobody logs in as it, its sessions end."""
    _set(name, IdentityStatus.SUSPENDED, reason)


@command.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the record.")
def resume(name: str, reason: str) -> None:
    """Let NAME log in again."""
    _set(name, IdentityStatus.ACTIVE, reason)


@command.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the record.")
def retire(name: str, reason: str) -> None:
    """End NAME for good: its credentials are revoked, its history stays."""
    with opened() as found:
        done = identities.retire(found.store, shell_actor(), found.now(), name, reason)
        settle(found)
    click.echo(f"{name} is retired" if done else f"{name} was retired before")


def _set(name: str, status: IdentityStatus, reason: str) -> None:
    with opened() as found:
        done = identities.set_status(found.store, shell_actor(), found.now(), name, status, reason)
        settle(found)
    click.echo(f"{name} is {status.value}" + ("" if done else " already"))
