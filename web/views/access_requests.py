"""Ask for access: a role on a target, for a time, with a reason."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError
from appliance.identity.spans import parse_span
from appliance.store import access_requests
from appliance.store.access_requests import AccessAsk
from web.access import EVERYBODY, may
from web.forms import read_form
from web.services import now, services
from web.viewer import actor, require_viewer
from web.views.my_access import shown

blueprint = Blueprint("access_requests", __name__)

_KNOWN = {"target": "reach", "role": "reach", "duration_s": "duration"}


@blueprint.post("/me/requests")
@may(*EVERYBODY)
def ask() -> BaseResponse | tuple[str, int]:
    form = read_form("reach", "duration", "reason")
    target, _, role = form.value("reach").replace("\r\n", "\n").partition("\n")
    if not role:
        form.refuse("reach", "Choose what you need.")
    if not form.value("reason"):
        form.refuse("reason", "Say what for: who decides reads it.")
    if not form.has_errors:
        try:
            length = parse_span("duration", form.value("duration"))
            number = access_requests.ask(
                services().store,
                actor(),
                now(),
                AccessAsk(
                    identity=require_viewer().name,
                    target=target,
                    role=role,
                    duration_s=int(length.total_seconds()),
                    reason=form.value("reason"),
                ),
            )
        except GatepostError as error:
            form.take(error, _KNOWN)
        else:
            flash(f"Asked: request {number}. It begins when somebody approves it.", "ok")
            return redirect(url_for("my_access.page", _anchor="requests"), 303)
    return shown(form), 422
