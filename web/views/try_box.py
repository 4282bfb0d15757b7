"""The try box: what would be decided about a statement. Nothing is run."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import Snapshot
from appliance.store import snapshots
from web import sql, trials
from web.access import READERS, may
from web.forms import Form, read_form
from web.services import now, services
from web.trials import Tried

blueprint = Blueprint("try_box", __name__)
blueprint.record_once(sql.install)


@blueprint.get("/policies/try")
@may(*READERS)
def page() -> tuple[str, int]:
    """Show what the address asks: it can be pasted into a ticket."""
    form = Form({name: request.args.get(name, "").strip() for name in trials.FIELDS})
    snapshot = _snapshot()
    tried = trials.attempt(snapshot, form) if form.value("sql") else None
    return _page(snapshot, form, tried), 422 if form.has_errors else 200


@blueprint.post("/policies/try")
@may(*READERS)
def attempt() -> BaseResponse | tuple[str, int]:
    """Answer the box as a part; without script, send on to the address that says it all."""
    form = read_form(*trials.FIELDS)
    address = trials.address(url_for("try_box.page"), form)
    if not request.headers.get("HX-Request") and address is not None:
        return redirect(address, 303)
    snapshot = _snapshot()
    tried = trials.attempt(snapshot, form)
    status = 422 if form.has_errors else 200
    if not request.headers.get("HX-Request"):
        return _page(snapshot, form, tried), status
    return _part(snapshot, form, tried, address, status)


def _part(
    snapshot: Snapshot, form: Form, tried: Tried | None, address: str | None, status: int
) -> Response:
    html = render_template(
        "policies/_try.html", snapshot=snapshot, form=form, tried=tried, address=address
    )
    answer = make_response(html, status)
    is_own_page = urlsplit(request.headers.get("HX-Current-URL", "")).path == url_for(
        "try_box.page"
    )
    if tried is not None and address is not None and is_own_page:
        answer.headers["HX-Replace-Url"] = address
    return answer


def _page(snapshot: Snapshot, form: Form, tried: Tried | None) -> str:
    address = trials.address(url_for("try_box.page"), form) if tried else None
    return render_template(
        "policies/try.html", snapshot=snapshot, form=form, tried=tried, address=address
    )


def _snapshot() -> Snapshot:
    return snapshots.load(services().store, now())
