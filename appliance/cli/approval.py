"""``gatepost approval``: what waits for a yes or no; decide it as somebody who may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.cli._opened import opened
from appliance.cli._output import (
    moment,
    parameter_text,
    plain,
    print_json,
    print_table,
    visible,
)
from appliance.cli._workers import settle
from appliance.identity.spans import parse_expiry, show_expiry
from appliance.store import approvals, fingerprint_days, pages, pre_approvals
from appliance.store.actors import Actor, shell_actor
from appliance.store.pre_approvals import PreApprovalSpec

_STATES = tuple(state.value for state in RequestState)
_KINDS = tuple(kind.value for kind in RequestKind)
_LATELY = timedelta(days=366)
_LINE = 60  # characters of a text in a list
_AS = click.option("--as", "name", required=True, metavar="IDENTITY", help="Who decides.")
_JSON_NAMES = (
    "id", "kind", "state", "identity", "identity_kind", "target", "database", "role", "text",
    "parameters", "rule", "why", "reason", "source", "application_name", "session_id",
    "fingerprint", "approvers", "eligible", "expires_at", "decided_at", "decided_by",
    "decided_via", "decision_reason", "retry_until", "used_at", "detail",
)  # fmt: skip


@click.group(name="approval")
def command() -> None:
    """What waits for a yes or no; decide it as somebody who may."""


@command.command(name="list")
@click.argument("text", default="")
@click.option("--state", type=click.Choice(_STATES), help="Only these.")
@click.option("--kind", type=click.Choice(_KINDS), help="Only these.")
@click.option("--identity", default="", help="Only what this identity asked for.")
@click.option("--target", default="", help="Only on this target.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True)
def list_(
    text: str,
    state: str | None,
    kind: str | None,
    identity: str,
    target: str,
    limit: int,
    as_json: bool,
) -> None:
    """List requests, the latest first; TEXT searches statements, names, reasons and rules."""
    with opened() as found:
        page = approvals.find(
            found.store,
            text,
            state=state or "",
            kind=kind or "",
            identity=identity,
            target=target,
            size=limit,
        )
    if as_json:
        print_json([_as_json(request) for request in page.items])
        return
    head = ("ID", "ASKED", "STATE", "KIND", "IDENTITY", "TARGET", "DECIDED BY", "WHAT")
    rows = [
        (
            *(str(r.id), moment(r.created_at), r.state.value, r.kind.value, r.identity, r.target),
            *(r.decided_by, _one_line(r.text)),
        )
        for r in page.items
    ]
    print_table(head, rows, "No request fits. A rule with action approve makes them.")
    if page.total > len(page.items):
        click.echo(f"… {page.total - len(page.items)} more: --limit, --state", err=True)


@command.command()
@click.argument("request_id", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True)
def show(request_id: int, as_json: bool) -> None:
    """Show one request: who asks for what, and how it was decided."""
    with opened() as found:
        request = approvals.get(found.store, request_id)
    if as_json:
        print_json(_as_json(request))
        return
    for line in _lines(request):
        click.echo(line)


@command.command()
@click.argument("request_id", metavar="ID", type=int)
@_AS
@click.option("--reason", default="", help="Goes into the record.")
def approve(request_id: int, name: str, reason: str) -> None:
    """Say yes to request ID as IDENTITY, who must be allowed to."""
    with opened() as found:
        request = approvals.decide(
            found.store, _actor(name), found.now(), request_id, approve=True, reason=reason
        )
        if request.kind in (RequestKind.ACCESS, RequestKind.PROFILE):
            settle(found)
    click.echo(f"approved request {request.id} of {request.identity}: {_what_now(request)}")


@command.command()
@click.argument("request_id", metavar="ID", type=int)
@_AS
@click.option("--reason", required=True, help="Why not: who asked is shown it.")
def deny(request_id: int, name: str, reason: str) -> None:
    """Say no to request ID as IDENTITY, who must be allowed to."""
    with opened() as found:
        request = approvals.decide(
            found.store, _actor(name), found.now(), request_id, approve=False, reason=reason
        )
    click.echo(f"denied request {request.id} of {request.identity}")


@command.command(name="pre-approve")
@click.argument("identity")
@click.argument("target")
@click.argument("fingerprint")
@click.option("--times", type=int, help="How often it may run.")
@click.option("--until", help="Until when: 12h, 7d, or a day (through its end, UTC).")
@_AS
@click.option("--reason", required=True, help="Why, for the record.")
def pre_approve(
    identity: str,
    target: str,
    fingerprint: str,
    times: int | None,
    until: str | None,
    name: str,
    reason: str,
) -> None:
    """Approve beforehand what IDENTITY runs on TARGET with this FINGERPRINT."""
    if times is None and until is None:
        raise click.UsageError("say how often (--times) or until when (--until), or both")
    with opened() as found:
        now = found.now()
        spec = PreApprovalSpec(
            identity=identity,
            target=target,
            fingerprint=fingerprint,
            uses=times,
            until=parse_expiry("--until", until, now) if until else None,
            reason=reason,
        )
        number = pre_approvals.create(found.store, _actor(name), now, spec)
        ran = fingerprint_days.of_identity(
            found.store, identity, now - _LATELY, (spec.fingerprint.strip().lower(),)
        )
    if not ran:
        click.echo(f"note: {identity} sent nothing of that fingerprint so far", err=True)
    click.echo(f"pre-approved p-{number}: {fingerprint} of {identity} on {target}")


@command.command(name="pre-approvals")
@click.option("--identity", default="", help="Only of this identity.")
@click.option("--all", "also_ended", is_flag=True, help="Also those that no longer count.")
@click.option("--json", "as_json", is_flag=True)
def pre_approvals_(identity: str, also_ended: bool, as_json: bool) -> None:
    """List what is approved beforehand."""
    with opened() as found:
        now = found.now()
        rows = pages.every(
            lambda page, size: pre_approvals.find(
                found.store,
                identity=identity,
                live_at=None if also_ended else now,
                page=page,
                size=size,
            )
        )
    if as_json:
        print_json([{**plain(row), "id": row.label, "state": row.state(now)} for row in rows])
        return
    print_table(
        ("ID", "IDENTITY", "TARGET", "FINGERPRINT", "STATE", "LEFT", "UNTIL", "BY", "REASON"),
        [
            (
                *(row.label, row.identity, row.target, row.fingerprint, row.state(now)),
                "any" if row.uses is None else f"{row.uses_left} of {row.uses}",
                "" if row.until is None else show_expiry(row.until),
                *(row.created_by, row.reason),
            )
            for row in rows
        ],
        "Nothing is approved beforehand.",
    )


@command.command(name="revoke-pre-approval")
@click.argument("pre_approval", metavar="ID")
@click.option("--reason", default="", help="Why, for the record.")
def revoke_pre_approval(pre_approval: str, reason: str) -> None:
    """End pre-approval ID (p-4) now."""
    number = pre_approvals.parse_label(pre_approval)
    with opened() as found:
        pre_approvals.revoke(found.store, shell_actor(), found.now(), number, reason)
    click.echo(f"revoked p-{number}")


def _actor(name: str) -> Actor:
    """Return the one who decides, with the operating system's user as the evidence has it."""
    return Actor(name, "shell", shell_actor().name)


def _as_json(request: Request) -> dict[str, Any]:
    found = {name: getattr(request, name) for name in _JSON_NAMES}
    return {**found, "requested_at": request.created_at, "seqs": request.seqs}


def _what_now(request: Request) -> str:
    match request.kind:
        case RequestKind.RETRY:
            return f"it passes once until {moment(request.retry_until)}"
        case RequestKind.ACCESS:
            return f"{request.text}, from now on"
        case RequestKind.PROFILE:
            return "it belongs to the signed profile now"
    return "it runs now"


def _lines(request: Request) -> Iterator[str]:
    """Give a request as lines, what a client wrote made harmless."""
    where = f" on {request.target}" if request.target else ""
    role = f" as {request.role}" if request.role else ""
    yield f"request {request.id} ({request.kind}): {request.state}"
    yield f"from    {request.identity} ({request.identity_kind}){where}{role}"
    yield f"asked   {moment(request.created_at)}, decide until {moment(request.expires_at)}"
    if request.reason:
        yield f"because {visible(request.reason)}"
    if request.rule:
        yield f"rule    {request.rule}: {visible(request.why)}"
    if request.session_id:
        yield f"session {request.session_id}, from {request.source}"
    if request.state.is_open:
        yield f"decides {', '.join(request.eligible) or ' and '.join(request.approvers)}"
    if request.fingerprint:
        yield f"known   by the fingerprint {request.fingerprint}"
    yield from _detail_lines(request)
    yield ""
    yield from (f"    {line}" for line in visible(request.text).splitlines())
    for text in _prepared(request):
        yield "    -- what it executes was prepared before as:"
        yield from (f"    {line}" for line in visible(text).splitlines())
    for number, value in enumerate(request.parameters, 1):
        yield f"    -- ${number} = {visible(parameter_text(value))}"


def _detail_lines(request: Request) -> Iterator[str]:
    """Give what only some requests have: an estimate, a transaction, a decision."""
    estimate = request.detail.get("estimate")
    if isinstance(estimate, dict):
        yield f"rows    {_estimate(estimate)}"
    objects = dict.fromkeys(f"{cls} {obj}".strip() for cls, obj in request.effects)
    if objects:
        yield f"touches {visible('; '.join(objects))}"
    if request.detail.get("acting_role"):
        yield f"acts as {visible(str(request.detail['acting_role']))}, by SET ROLE"
    if request.detail.get("hides_values"):
        yield "hidden  each '***' is a value that is not shown: it may be a secret"
    since = request.detail.get("transaction_since")
    if since:
        began = moment(datetime.fromisoformat(str(since)))
        yield f"inside  a transaction that is open since {began}"
    if not request.state.is_open:
        by = request.decided_by or "nobody"
        why = f": {visible(request.decision_reason)}" if request.decision_reason else ""
        yield f"decided {moment(request.decided_at)} by {by}, {_via(request)}{why}"
    if request.retry_until:
        used = f", used {moment(request.used_at)}" if request.used_at else ", not used yet"
        yield f"passes  once until {moment(request.retry_until)}{used}"


def _prepared(request: Request) -> tuple[str, ...]:
    found = request.detail.get("prepared")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _via(request: Request) -> str:
    number = request.detail.get("pre_approval")
    return f"{request.decided_via} p-{number}" if number else request.decided_via


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate.get("rows") is None:
        return f"no estimate: {estimate.get('why') or 'none was made'}"
    return f"about {estimate['rows']}, says the planner"


def _one_line(text: str) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"
