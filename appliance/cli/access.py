"""``gatepost access``: ask for a role on a target for a time; an approver decides."""

from __future__ import annotations

import click

from appliance.approvals.requests import RequestKind
from appliance.cli._opened import opened
from appliance.cli._output import moment, print_json, print_table
from appliance.identity.spans import parse_span, seconds, show_span
from appliance.store import access_requests, approvals, grants, pages
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor, shell_actor


@click.group(name="access")
def command() -> None:
    """Access for a time: ask for it, see what is given."""


@command.command()
@click.argument("target")
@click.argument("role")
@click.option("--as", "name", required=True, metavar="IDENTITY", help="Who asks.")
@click.option("--for", "length", required=True, metavar="TIME", help="How long: 30m, 2h, 5d.")
@click.option("--reason", required=True, help="What for: who approves is shown it.")
@click.option("--json", "as_json", is_flag=True)
def request(target: str, role: str, name: str, length: str, reason: str, as_json: bool) -> None:
    """Ask for the upstream ROLE on TARGET; the time starts when somebody approves."""
    ask = AccessAsk(name, target, role, int(parse_span("--for", length).total_seconds()), reason)
    with opened() as found:
        number = access_requests.ask(found.store, _actor(name), found.now(), ask)
    if as_json:
        print_json({"id": number})
        return
    click.echo(f"request {number}: {role} on {target} for {length}")
    click.echo(f"to decide it: gatepost approval approve {number} --as APPROVER", err=True)
    click.echo(f"then connect with options='-c gatepost.role={role}'", err=True)


@command.command(name="list")
@click.option("--identity", default="", help="Only of this identity.")
@click.option("--all", "also_ended", is_flag=True, help="Also what was denied or has ended.")
@click.option("--json", "as_json", is_flag=True)
def list_(identity: str, also_ended: bool, as_json: bool) -> None:
    """List what was asked for and what is given for a time."""
    with opened() as found:
        now = found.now()
        asked = pages.every(
            lambda page, size: approvals.find(
                found.store,
                kind=RequestKind.ACCESS.value,
                identity=identity,
                page=page,
                size=size,
            )
        )
        given = {
            one.request_id: one.grant
            for one in grants.time_boxed(found.store)
            if one.grant.expires_at is not None and one.grant.expires_at > now
        }
    rows = []
    for one in asked:
        grant = given.get(one.id)
        state = "live" if grant else "ended" if one.detail.get("grant") else one.state.value
        if state == "waiting" and one.expires_at <= now:
            state = "timeout"
        if also_ended or state in ("live", "waiting"):
            length = show_span(seconds(int(str(one.detail.get("duration_s", 0)))))
            rows.append((one, state, length, grant.expires_at if grant else None))
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "identity": one.identity,
                    "target": one.target,
                    "role": one.role,
                    "for": length,
                    "reason": one.reason,
                    "state": state,
                    "requested_at": one.created_at,
                    "decided_by": one.decided_by,
                    "ends_at": ends_at,
                }
                for one, state, length, ends_at in rows
            ]
        )
        return
    print_table(
        ("ID", "IDENTITY", "TARGET", "ROLE", "FOR", "STATE", "ENDS", "DECIDED BY", "REASON"),
        [
            (
                *(str(one.id), one.identity, one.target, one.role, length, state),
                *(moment(ends_at), one.decided_by, one.reason),
            )
            for one, state, length, ends_at in rows
        ],
        "Nobody has or asks for access for a time.",
    )


@command.command()
@click.argument("request_id", metavar="ID", type=int)
@click.option("--as", "name", required=True, metavar="IDENTITY", help="Who asked.")
def cancel(request_id: int, name: str) -> None:
    """Take request ID back before somebody decides it."""
    with opened() as found:
        access_requests.cancel(found.store, _actor(name), found.now(), request_id)
    click.echo(f"cancelled request {request_id}")


def _actor(name: str) -> Actor:
    return Actor(name, "shell", shell_actor().name)
