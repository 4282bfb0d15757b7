"""The audit log: every change by an admin, a file, the shell or the appliance itself."""

from __future__ import annotations

from flask import Blueprint, render_template
from werkzeug.wrappers import Response as BaseResponse

from appliance.store import audit
from web.access import ADMIN, AUDITOR, may
from web.listing import Choice, Filter, csv_response, read_list, wants_csv
from web.services import services

blueprint = Blueprint("audit", __name__)

_ACTIONS = (
    ("target.", "targets"),
    ("role.", "upstream roles"),
    ("identity.", "identities"),
    ("group.", "groups"),
    ("credential.", "credentials"),
    ("grant.", "grants"),
    ("rule.", "policy rules"),
    ("settings.", "settings"),
    ("account.", "local accounts"),
    ("sign_", "sign-ins"),
    ("session.", "sessions"),
)
_CSV_ROWS = 1_000


@blueprint.get("/audit")
@may(ADMIN, AUDITOR)
def page() -> BaseResponse | str:
    state = read_list(
        sorts=("at", "actor", "action"),
        default_sort="-at",
        filters=(Filter("about", "About", tuple(Choice(v, w) for v, w in _ACTIONS)),),
    )
    found = audit.find(
        services().store,
        state.search,
        action=state.value("about"),
        sort=state.order,
        page=1 if wants_csv() else state.page,
        size=_CSV_ROWS if wants_csv() else state.size,
    )
    if wants_csv():
        head = ("at", "actor", "via", "source", "action", "subject", "detail", "record")
        rows = [
            (e.at.isoformat(), e.actor, e.via, e.source, e.action, e.subject, e.detail, e.journaled)
            for e in found.items
        ]
        return csv_response("audit", head, rows)
    return render_template("audit/list.html", state=state, found=found)
