"""The audit log: every change by an admin, a file, the shell or the appliance itself."""

from __future__ import annotations

import orjson
from flask import Blueprint, render_template
from werkzeug.wrappers import Response as BaseResponse

from appliance.store import audit
from appliance.store.audit import AuditEvent
from appliance.store.pages import Page
from web.access import ADMIN, AUDITOR, may
from web.listing import Choice, Filter, csv_response, every, read_list, wants_csv
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
    ("masking.", "masking rules, and values looked at"),
    ("approval.", "approvals"),
    ("pre_approval.", "pre-approvals"),
    ("access.", "requests for access"),
    ("settings.", "settings"),
    ("account.", "local accounts"),
    ("sign_", "sign-ins"),
    ("session.", "sessions"),
)
_CSV_HEAD = ("at", "actor", "via", "source", "action", "subject", "detail", "record")


@blueprint.get("/audit")
@may(ADMIN, AUDITOR)
def page() -> BaseResponse | str:
    state = read_list(
        sorts=("at", "actor", "action"),
        default_sort="-at",
        filters=(Filter("about", "About", tuple(Choice(v, w) for v, w in _ACTIONS)),),
    )

    def fetch(page: int, size: int) -> Page[AuditEvent]:
        return audit.find(
            services().store,
            state.search,
            action=state.value("about"),
            sort=state.order,
            page=page,
            size=size,
        )

    if wants_csv():
        return csv_response("audit", _CSV_HEAD, map(_csv_row, every(fetch)))
    found = fetch(state.page, state.size)
    return render_template("audit/list.html", state=state, found=found)


def _csv_row(event: AuditEvent) -> tuple[object, ...]:
    return (
        event.at.isoformat(),
        event.actor,
        event.via,
        event.source,
        event.action,
        event.subject,
        orjson.dumps(event.detail).decode(),
        event.journaled,
    )
