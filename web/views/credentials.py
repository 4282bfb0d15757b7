"""Credentials: issue one and show its secret once, rotate with an overlap, revoke."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError, NotFound
from appliance.identity import credentials as service
from appliance.identity.credentials import Issued
from appliance.store import credentials, identities, overview, snapshots
from appliance.store.credentials import CredentialRecord
from web import connect, once
from web.access import ADMIN, may
from web.days import end_of_day
from web.forms import Form, read_form
from web.reach import reach_of
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("credentials", __name__)

OVERLAPS = (
    ("0", "none: the old secret and its sessions end now"),
    ("1", "1 hour"),
    ("24", "24 hours"),
    ("168", "7 days"),
)
_DEFAULT_LIFE = timedelta(days=90)


@blueprint.get("/identities/<name>/credentials/new")
@may(ADMIN)
def new(name: str) -> str:
    last_day = (now() + _DEFAULT_LIFE).strftime("%Y-%m-%d")
    return _issue_page(name, Form({"expires": last_day}))


@blueprint.post("/identities/<name>/credentials/new")
@may(ADMIN)
def issue(name: str) -> BaseResponse | tuple[str, int]:
    form = read_form("expires")
    expires_at = end_of_day(form, "expires")
    if not form.has_errors:
        try:
            made = service.issue(
                services().store, actor(), now(), services().sealer, name, expires_at=expires_at
            )
        except NotFound:
            raise
        except GatepostError as error:
            form.take(error)
        else:
            return _show_once(made)
    return _issue_page(name, form), 422


@blueprint.get("/credentials/<int:number>")
@may(ADMIN)
def shown(number: int) -> str:
    """Show a new credential: with its secret the first time, without it for ever after."""
    store = services().store
    credential = credentials.get(store, number)
    kept = once.take()
    secret = kept["secret"] if kept else None
    reach = reach_of(snapshots.load(store, now()), credential.identity, now())
    target = reach[0].target if reach else None
    forms = connect.forms(
        connect.to_target(
            services().config, target or "TARGET", credential.identity, password=secret
        )
    )
    return render_template(
        "credentials/shown.html",
        credential=credential,
        state=credential.state(now()),
        secret=secret,
        target=target,
        forms=forms,
    )


@blueprint.get("/credentials/<int:number>/rotate")
@may(ADMIN)
def ask_rotate(number: int) -> str:
    return _rotate_page(_credential(number), Form({"overlap": "24", "expires": ""}))


@blueprint.post("/credentials/<int:number>/rotate")
@may(ADMIN)
def rotate(number: int) -> BaseResponse | tuple[str, int]:
    credential = _credential(number)
    form = read_form("overlap", "expires")
    expires_at = end_of_day(form, "expires")
    if form.value("overlap") not in {hours for hours, _ in OVERLAPS}:
        form.refuse("overlap", "Choose one of the overlaps.")
    if not form.has_errors:
        try:
            made = service.rotate(
                services().store,
                actor(),
                now(),
                services().sealer,
                number,
                overlap=timedelta(hours=int(form.value("overlap"))),
                expires_at=expires_at,
            )
        except GatepostError as error:
            form.take(error)
        else:
            return _show_once(made)
    return _rotate_page(credential, form), 422


@blueprint.get("/credentials/<int:number>/revoke")
@may(ADMIN)
def ask_revoke(number: int) -> str:
    return _revoke_page(_credential(number), Form({"reason": ""}))


@blueprint.post("/credentials/<int:number>/revoke")
@may(ADMIN)
def revoke(number: int) -> BaseResponse | tuple[str, int]:
    credential = _credential(number)
    form = read_form("reason")
    try:
        service.revoke(services().store, actor(), now(), number, form.value("reason"))
    except GatepostError as error:
        form.take(error)
        return _revoke_page(credential, form), 422
    flash(f"{credential.label} of {credential.identity} is revoked.", "ok")
    return redirect(url_for("identities.detail", name=credential.identity), 303)


def _credential(number: int) -> CredentialRecord:
    return credentials.get(services().store, number)


def _show_once(made: Issued) -> BaseResponse:
    """Go to the credential's page, which gets the secret sealed and for one time."""
    path = url_for("credentials.shown", number=made.id)
    return once.keep_for(redirect(path, 303), path, {"secret": made.secret})


def _issue_page(name: str, form: Form) -> str:
    identity = identities.get(services().store, name, now=now())
    return render_template("credentials/issue.html", identity=identity, form=form)


def _rotate_page(credential: CredentialRecord, form: Form) -> str:
    live = overview.live_sessions(services().store, credential_id=credential.id)
    return render_template(
        "credentials/rotate.html", credential=credential, form=form, live=live, overlaps=OVERLAPS
    )


def _revoke_page(credential: CredentialRecord, form: Form) -> str:
    live = overview.live_sessions(services().store, credential_id=credential.id)
    return render_template("credentials/revoke.html", credential=credential, form=form, live=live)
