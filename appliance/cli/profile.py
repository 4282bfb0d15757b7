"""``gatepost profile``: what a machine ran, what its owner signed, whether that is enforced."""

from __future__ import annotations

from typing import Any

import click

from appliance.cli import _dry_run
from appliance.cli._opened import Opened, opened
from appliance.cli._output import moment, print_json, print_table, visible
from appliance.cli._workers import settle
from appliance.entities import ProfileMode
from appliance.policy.proposal import with_profile
from appliance.store import profile_requests, profiles, snapshots
from appliance.store.actors import Actor, shell_actor
from appliance.store.profiles import Profile, ProfileEntry

_MODES = tuple(mode.value for mode in ProfileMode)
_SAID = {
    ProfileMode.OFF: "is off",
    ProfileMode.LEARN: "learns",
    ProfileMode.ENFORCE: "is enforced",
}
_LINE = 60
_AS = click.option("--as", "name", required=True, metavar="OWNER", help="Who signs.")
_DAYS = click.option("--days", default=profiles.DAYS, show_default=True, type=click.IntRange(1))


@click.group(name="profile")
def command() -> None:
    """Statement profiles of machines: what they ran, what is signed."""


@command.command()
@click.argument("identity")
@_DAYS
@click.option("--json", "as_json", is_flag=True)
def show(identity: str, days: int, as_json: bool) -> None:
    """Show what IDENTITY ran, by fingerprint, and what of it is signed."""
    with opened() as found:
        now = found.now()
        profile = profiles.of(found.store, identity, now, days)
        waiting = profile_requests.waiting(found.store, identity, now)
    if as_json:
        print_json(_document(profile, waiting))
        return
    owners = " or ".join(filter(None, (profile.owner, profile.backup_owner)))
    click.echo(f"profile of {identity}: {profile.mode.value}; signed by: {owners or 'nobody'}")
    if profile.signed_at:
        last = f"{profile.signed_by}, {moment(profile.signed_at)}"
        click.echo(f"signed: {_count(len(profile.signed), 'statement')}, the last by {last}")
    print_table(
        ("FINGERPRINT", "SIGNED", "RAN", "REFUSED", "LAST", "TOUCHES", "STATEMENT"),
        [_row(entry) for entry in (*profile.entries, *profile.unused)],
        f"It ran nothing in {days} days.",
    )
    for number, fingerprint in waiting:
        click.echo(f"request {number} waits: may it run {fingerprint}?")


@command.command()
@click.argument("identity")
@click.argument("fingerprints", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that it ran and was not refused.")
@_AS
@_DAYS
def sign(
    identity: str, fingerprints: tuple[str, ...], everything: bool, name: str, days: int
) -> None:
    """Sign FINGERPRINTS of IDENTITY, or --all that it ran, as its owner."""
    if bool(fingerprints) is everything:
        raise click.UsageError("give the fingerprints to sign, or --all")
    with opened() as found:
        now = found.now()
        if everything:
            shown = profiles.of(found.store, identity, now, days)
            fingerprints = tuple(entry.fingerprint for entry in shown.unsigned if entry.ran)
            if not fingerprints and not shown.why_not(name):
                click.echo(f"there is nothing of {identity} left to sign")
                return
        new = profiles.sign(found.store, _owner(name), now, identity, fingerprints)
        settle(found)
    click.echo(f"signed {_count(len(new), 'statement')} of {identity} as {name}")


@command.command()
@click.argument("identity")
@click.argument("fingerprints", nargs=-1, required=True)
@_AS
def unsign(identity: str, fingerprints: tuple[str, ...], name: str) -> None:
    """Take back the signatures of FINGERPRINTS of IDENTITY."""
    with opened() as found:
        gone = profiles.unsign(found.store, _owner(name), found.now(), identity, fingerprints)
        settle(found)
    click.echo(f"took back {_count(len(gone), 'signature')} of {identity}")


@command.command(name="set")
@click.argument("identity")
@click.argument("mode", type=click.Choice(_MODES))
@click.option("--as", "name", default="", metavar="OWNER", help="Who switches it.")
@click.option("--dry-run", is_flag=True, help="Only show what that would have refused.")
@_DAYS
@click.option("--json", "as_json", is_flag=True, help="Of --dry-run.")
def set_(identity: str, mode: str, name: str, dry_run: bool, days: int, as_json: bool) -> None:
    """Switch the profile of IDENTITY off, let it learn, or enforce it."""
    wanted = ProfileMode(mode)
    with opened() as found:
        if dry_run:
            _dry_run.tell(_imagined(found, identity, wanted, days), as_json)
            return
        if not name:
            raise click.UsageError("say who switches it: --as OWNER")
        done = profiles.set_mode(found.store, _owner(name), found.now(), identity, wanted)
        settle(found)
    said = f"the profile of {identity} {_SAID[wanted]}"
    click.echo(said if done else f"nothing to change: {said} already")


def _imagined(found: Opened, identity: str, mode: ProfileMode, days: int) -> Any:
    signed = profiles.of(found.store, identity, found.now()).signed
    snapshot = snapshots.load(found.store, found.now())
    present = with_profile(snapshot, identity, ProfileMode.OFF, ())
    return _dry_run.dry_run(found, present, with_profile(present, identity, mode, signed), days)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _owner(name: str) -> Actor:
    return Actor(name, "shell", shell_actor().name)


def _row(entry: ProfileEntry) -> tuple[str, ...]:
    text = visible(" ".join(entry.text.split()))
    return (
        entry.fingerprint,
        "yes" if entry.is_signed else "no",
        str(entry.ran),
        str(entry.refused),
        moment(entry.use.last_at) if entry.use else "not used",
        ", ".join(entry.tables[:3]) + (", …" if len(entry.tables) > 3 else ""),
        text if len(text) <= _LINE else text[: _LINE - 1] + "…",
    )


def _document(profile: Profile, waiting: tuple[tuple[int, str], ...]) -> dict[str, Any]:
    return {
        "identity": profile.identity,
        "mode": profile.mode,
        "owner": profile.owner,
        "backup_owner": profile.backup_owner,
        "days": profile.days,
        "signed_by": profile.signed_by,
        "signed_at": profile.signed_at,
        "entries": [_entry(entry) for entry in (*profile.entries, *profile.unused)],
        "requests": [{"id": number, "fingerprint": mark} for number, mark in waiting],
    }


def _entry(entry: ProfileEntry) -> dict[str, Any]:
    use, signature = entry.use, entry.signature
    return {
        "fingerprint": entry.fingerprint,
        "text": entry.text,
        "effects": [{"class": cls, "object": name} for cls, name in entry.effects],
        "signed": entry.is_signed,
        "signed_by": signature.by if signature else "",
        "signed_via": signature.via if signature else "",
        "signed_at": signature.at if signature else None,
        "ran": entry.ran,
        "refused": entry.refused,
        "failed": use.failed if use else 0,
        "first_at": use.first_at if use else None,
        "last_at": use.last_at if use else None,
        "session": use.session_id if use else "",
        "seq": use.seq if use else None,
    }
