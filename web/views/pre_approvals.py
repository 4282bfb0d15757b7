"""Pre-approvals: a fingerprint passes for an identity N times, or until a day, without asking."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.approvals.requests import Request
from appliance.errors import GatepostError, NotAllowed, NotFound
from appliance.store import approval_lists, approvals, pre_approvals
from appliance.store.pages import Page
from appliance.store.pre_approvals import PreApproval, PreApprovalSpec
from web.access import ADMIN, AUDITOR, EVERYBODY, may
from web.approval_cards import Eyes, visible
from web.days import end_of_day
from web.forms import Form, read_form
from web.listing import Choice, Filter, csv_response, every, read_list, wants_csv
from web.services import now, services
from web.sql import highlighted, sql
from web.viewer import actor, require_viewer

blueprint = Blueprint("pre_approvals", __name__)

_FIELDS = ("request", "identity", "target", "fingerprint", "uses", "until", "reason")
_CSV_HEAD = (
    "id",
    "identity",
    "target",
    "fingerprint",
    "uses",
    "uses_left",
    "until",
    "reason",
    "created_at",
    "created_by",
    "last_used_at",
    "state",
)
_READERS = frozenset({ADMIN, AUDITOR})
_EXAMPLE = 4_000


@blueprint.get("/approvals/pre-approvals")
@may(*EVERYBODY)
def page() -> BaseResponse | str:
    viewer = require_viewer()
    choices = (Choice("live", "still count"),)
    state = read_list(
        sorts=("at", "identity", "target", "until"),
        default_sort="-at",
        filters=(Filter("state", "State", choices),),
    )

    def fetch(page: int, size: int) -> Page[PreApproval]:
        return pre_approvals.find(
            services().store,
            state.search,
            live_at=now() if state.value("state") == "live" else None,
            sort=state.order,
            page=page,
            size=size,
        )

    if not viewer.roles & _READERS and not Eyes.of(viewer).is_approver:
        return render_template("pre_approvals/closed.html")
    if wants_csv():
        return csv_response("pre-approvals", _CSV_HEAD, map(_csv_row, every(fetch)))
    found = fetch(state.page, state.size)
    eyes = Eyes.of(viewer)
    examples = {item.id: _seen_example(item, eyes) for item in found.items}
    return render_template("pre_approvals/list.html", state=state, found=found, examples=examples)


@blueprint.get("/approvals/pre-approvals/new")
@may(*EVERYBODY)
def new() -> str:
    form = Form(dict.fromkeys(_FIELDS, ""))
    form.values["uses"] = "1"
    for name in ("request", "identity", "target", "fingerprint"):
        form.values[name] = request.args.get(name, "")[:300]
    example = _example(form)
    if example is not None:
        form.values |= {
            "identity": example.identity,
            "target": example.target,
            "fingerprint": example.fingerprint,
        }
    return _form(form, example)


@blueprint.post("/approvals/pre-approvals/new")
@may(*EVERYBODY)
def create() -> BaseResponse | tuple[str, int]:
    form = read_form(*_FIELDS)
    uses = _uses(form)
    until = end_of_day(form, "until")
    if not form.value("reason"):
        form.refuse("reason", "Say why: it stays as evidence.")
    if not form.has_errors:
        spec = PreApprovalSpec(
            identity=form.value("identity"),
            target=form.value("target"),
            fingerprint=form.value("fingerprint"),
            uses=uses,
            until=until,
            reason=form.value("reason"),
        )
        try:
            made = pre_approvals.create(services().store, actor(), now(), spec)
        except GatepostError as error:
            form.take(error)
        else:
            flash(f"p-{made}: it passes for {spec.identity} without asking from now on.", "ok")
            return redirect(url_for("pre_approvals.page"), 303)
    return _form(form, _example(form)), 422


@blueprint.get("/approvals/pre-approvals/<int:number>/revoke")
@may(*EVERYBODY)
def ask_revoke(number: int) -> str:
    return _revoke_page(_mine(number), Form({"reason": ""}))


@blueprint.post("/approvals/pre-approvals/<int:number>/revoke")
@may(*EVERYBODY)
def revoke(number: int) -> BaseResponse | tuple[str, int]:
    found = _mine(number)
    form = read_form("reason")
    try:
        pre_approvals.revoke(services().store, actor(), now(), number, form.value("reason"))
    except GatepostError as error:
        form.take(error)
        return _revoke_page(found, form), 422
    flash(f"{found.label} was revoked: the next such statement is held again.", "ok")
    return redirect(url_for("pre_approvals.page"), 303)


def _seen_example(item: PreApproval, eyes: Eyes) -> Request | None:
    """Return a request that such a statement made, if the viewer may read it."""
    found = approval_lists.example(services().store, item.identity, item.fingerprint)
    return found if found is not None and eyes.see(found) else None


def may_revoke(found: PreApproval) -> bool:
    """Return whether the viewer may end it: who gave it, an admin, and who could give it."""
    viewer = require_viewer()
    return viewer.is_admin or found.created_by == viewer.name or Eyes.of(viewer).is_approver


def _mine(number: int) -> PreApproval:
    found = pre_approvals.get(services().store, number)
    if not may_revoke(found):
        raise NotAllowed(f"{found.label} is not yours to revoke", "who gave it and admins can")
    return found


def _uses(form: Form) -> int | None:
    text = form.value("uses")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        form.refuse("uses", f"Expected a number such as 3, got “{text[:20]}”.")
        return None
    return int(text)


def _example(form: Form) -> Request | None:
    """Return the request that it starts from, if there is one that the viewer may see."""
    number = form.value("request")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        return None
    eyes = Eyes.of(require_viewer())
    found = approvals.get(services().store, int(number))
    if not eyes.see(found):
        raise NotFound(f"no request {number} is open to you")
    return found


def _form(form: Form, example: Request | None) -> str:
    text = example.text[:_EXAMPLE] if example else ""
    why_not = Eyes.of(require_viewer()).why_not(example) if example else ""
    return render_template(
        "pre_approvals/form.html",
        form=form,
        example=example,
        shown=highlighted(visible(sql().laid_out(text))) if text else "",
        why_not=why_not,
    )


def _revoke_page(found: PreApproval, form: Form) -> str:
    return render_template("pre_approvals/revoke.html", found=found, form=form)


def _csv_row(found: PreApproval) -> tuple[object, ...]:
    return (
        found.label,
        found.identity,
        found.target,
        found.fingerprint,
        found.uses,
        found.uses_left,
        found.until.isoformat() if found.until else "",
        found.reason,
        found.created_at.isoformat(),
        found.created_by,
        found.used_at.isoformat() if found.used_at else "",
        found.state(now()),
    )
