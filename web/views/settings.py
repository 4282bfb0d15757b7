"""Settings: what no rule decides, holds, recording, people's sign-ins, the CA."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import Durability, IdentityKind, PermissionRole
from appliance.errors import GatepostError
from appliance.identity.spans import parse_span, seconds, show_span
from appliance.store import accounts, identities, invites, settings, sign_ins
from appliance.tls import certificate_files
from web import once
from web.access import ADMIN, EVERYBODY, may
from web.forms import Form, read_form
from web.services import now, services
from web.viewer import actor, require_viewer

blueprint = Blueprint("settings", __name__)

ACTION_WORDS = (
    ("allow", "allow: what no rule decides runs"),
    ("block", "block: what no rule decides is refused"),
    ("approve", "approve: what no rule decides waits for a human"),
)
DURABILITY_WORDS = (
    ("written", "written: survives a crash of every process"),
    ("durable", "durable: survives power loss, about a millisecond slower"),
)
ROLE_WORDS = {
    PermissionRole.ADMIN: "sets up targets, identities, rules and settings",
    PermissionRole.APPROVER: "decides held statements",
    PermissionRole.REVIEWER: "certifies or revokes in access reviews",
    PermissionRole.AUDITOR: "reads everything, changes nothing",
}
_FIELDS = ("default_action", "durability", "retention_days", "hold_timeout", "hold_in_transaction")
_STORED = {
    "retention": "retention_days",
    "timeout": "hold_timeout",
    "in_transaction": "hold_in_transaction",
}


@blueprint.get("/settings")
@may(ADMIN)
def page() -> str:
    stored = settings.get(services().store)
    form = Form(
        {
            "default_action": stored.default_action,
            "durability": stored.durability.value,
            "retention_days": str(stored.retention_days),
            "hold_timeout": show_span(seconds(stored.hold_timeout_s)),
            "hold_in_transaction": show_span(seconds(stored.hold_in_transaction_s)),
        }
    )
    return _page(form)


@blueprint.post("/settings")
@may(ADMIN)
def change() -> BaseResponse | tuple[str, int]:
    form = read_form(*_FIELDS)
    store = services().store
    days = form.value("retention_days")
    if not days.isascii() or not days.isdigit() or len(days) > 6:
        form.refuse("retention_days", "Expected a number of days.")
    if form.value("durability") not in {d.value for d in Durability}:
        form.refuse("durability", "Expected written or durable.")
    spans = {name: _span(form, name) for name in ("hold_timeout", "hold_in_transaction")}
    if not form.has_errors:
        wanted = replace(
            settings.get(store),
            default_action=form.value("default_action"),
            durability=Durability(form.value("durability")),
            retention_days=int(days),
            hold_timeout_s=spans["hold_timeout"],
            hold_in_transaction_s=spans["hold_in_transaction"],
        )
        try:
            changed = settings.put(store, actor(), now(), wanted)
        except GatepostError as error:
            form.take(error, _STORED)
        else:
            if changed:
                flash("Saved. Every worker has it within a second.", "ok")
            return redirect(url_for("settings.page"), 303)
    return _page(form), 422


@blueprint.get("/settings/accounts")
@may(ADMIN)
def people() -> str:
    return _people_page(Form({"name": ""}))


@blueprint.post("/settings/accounts/invite")
@may(ADMIN)
def invite() -> BaseResponse | tuple[str, int]:
    """Make a one-time link for a person; it is shown once on the page that follows."""
    form = read_form("name", *(role.value for role in ROLE_WORDS))
    roles = frozenset(role for role in ROLE_WORDS if form.is_on(role.value))
    store, name = services().store, form.value("name")
    try:
        token = invites.create(store, actor(), now(), name, roles)
    except GatepostError as error:
        form.take_beside("name", error)
        return _people_page(form), 422
    link = services().config.public_url + url_for("setup.invited", token=token)
    path = url_for("settings.people")
    return once.keep_for(redirect(path, 303), path, {"name": name, "link": link})


@blueprint.post("/settings/accounts/roles")
@may(ADMIN)
def set_roles() -> BaseResponse:
    form = read_form("name", *(role.value for role in ROLE_WORDS))
    roles = frozenset(role for role in ROLE_WORDS if form.is_on(role.value))
    name = form.value("name")
    try:
        identities.set_permission_roles(services().store, actor(), now(), name, roles)
    except GatepostError as error:
        flash(str(error), "bad")
    else:
        words = ", ".join(role.value for role in ROLE_WORDS if role in roles) or "user only"
        flash(f"{name} now has: {words}.", "ok")
    return redirect(url_for("settings.people"), 303)


@blueprint.post("/settings/accounts/sign-out")
@may(ADMIN)
def sign_out() -> BaseResponse:
    """End every browser sign-in of a person; one's own present one stays."""
    form = read_form("name")
    viewer, name = require_viewer(), form.value("name")
    keep = viewer.sign_in.id if name == viewer.name else None
    ended = sign_ins.close_others(services().store, actor(), now(), name, keep)
    flash(f"{ended} sign-in{'' if ended == 1 else 's'} of {name} ended.", "ok")
    return redirect(url_for("settings.people"), 303)


@blueprint.get("/settings/ca")
@may(*EVERYBODY)
def authority() -> Response:
    """Hand out the certificate that clients may verify the gateway by."""
    files = certificate_files(services().config, now())
    if files.ca is None:
        return Response("The gateway has a certificate of your own authority.\n", 404)
    headers = {"Content-Disposition": 'attachment; filename="gatepost-ca.crt"'}
    return Response(files.ca.read_bytes(), mimetype="application/x-x509-ca-cert", headers=headers)


def _span(form: Form, name: str) -> int:
    """Return a length of time in seconds; 0 with an error beside its field."""
    try:
        return int(parse_span(name, form.value(name)).total_seconds())
    except GatepostError as error:
        form.take(error)
        return 0


def _page(form: Form) -> str:
    config = services().config
    return render_template(
        "settings/page.html",
        form=form,
        config=config,
        actions=ACTION_WORDS,
        durabilities=DURABILITY_WORDS,
        has_own_ca=config.tls_cert is None,
    )


def _people_page(form: Form) -> str:
    store = services().store
    people = identities.find(store, now=now(), kind=IdentityKind.HUMAN.value, size=1_000).items
    listed = accounts.all_accounts(store)
    return render_template(
        "settings/people.html",
        form=form,
        accounts=listed,
        signed_in={a.identity: sign_ins.of_identity(store, now(), a.identity) for a in listed},
        people=[person.name for person in people],
        role_words=ROLE_WORDS,
        kept=once.take(),
    )
