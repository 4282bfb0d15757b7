"""Approvals: what waits for a yes or no, live; one request at its own address; what was decided."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.wrappers import Response as BaseResponse

from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.entities import Identity
from appliance.errors import Conflict, Invalid, NotAllowed, NotFound
from appliance.store import approval_lists, approvals, withdrawals
from appliance.store.approval_lists import Wanted
from appliance.store.pages import Page
from web import sql
from web.access import EVERYBODY, may
from web.approval_cards import (
    MOST_ALONE,
    MOST_IN_QUEUE,
    MOST_TOUCHED,
    Eyes,
    card_of,
    cards_of,
    visible,
)
from web.approval_outcomes import outcome_of, state_words
from web.approval_stream import MOST, Stream
from web.forms import Form, sentence
from web.listing import Choice, Filter, ListState, csv_response, every, read_list, wants_csv
from web.services import now, services
from web.sql import parameter
from web.viewer import actor, current_viewer, require_viewer, sign_in_token

blueprint = Blueprint("approvals", __name__)
blueprint.record_once(sql.install)

KIND_WORDS = {
    RequestKind.STATEMENT: "held statement",
    RequestKind.RETRY: "retry",
    RequestKind.ACCESS: "access",
    RequestKind.PROFILE: "profile",
}
_SPANS = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_CSV_HEAD = (
    "number",
    "kind",
    "state",
    "identity",
    "identity_kind",
    "target",
    "environment",
    "role",
    "rule",
    "asked_at",
    "reason",
    "decided_at",
    "decided_by",
    "decided_via",
    "decision_reason",
    "session",
    "text",
)


@blueprint.record_once
def _install(state: BlueprintSetupState) -> None:
    """Put the number of what waits into the navigation, and words into templates."""
    waiting = state.app.extensions.setdefault("gatepost_waiting", {})
    waiting[blueprint.name] = count_mine
    state.app.jinja_env.globals["request_state_words"] = state_words
    state.app.jinja_env.filters["visible"] = visible
    state.app.jinja_env.globals["request_kind_words"] = KIND_WORDS
    state.app.jinja_env.globals["most_touched"] = MOST_TOUCHED
    state.app.jinja_env.globals["requests_for_viewer"] = mine


def mine() -> list[Request]:
    """Return what waits for the viewer's own decision, looked up once per page."""
    if "waits_for_viewer" not in g:
        viewer = current_viewer()
        name = viewer.name if viewer else ""
        g.waits_for_viewer = approvals.waiting_for(services().store, name, now()) if name else []
    found: list[Request] = g.waits_for_viewer
    return found


def count_mine() -> int:
    """Return the number of the navigation."""
    return len(mine())


@blueprint.get("/approvals")
@may(*EVERYBODY)
def page() -> BaseResponse | str:
    eyes = Eyes.of(require_viewer())
    state = _read_state(eyes)

    def fetch(page: int, size: int) -> Page[Request]:
        wanted = _wanted(state, eyes)
        store = services().store
        return approval_lists.decided(store, wanted, sort=state.order, page=page, size=size)

    if wants_csv():
        return csv_response("approvals", _CSV_HEAD, (_csv_row(r, eyes) for r in every(fetch)))
    seen = [r for r in approval_lists.waiting(services().store, now()) if eyes.see(r)]
    found = fetch(state.page, state.size)
    return render_template(
        "approvals/page.html",
        state=state,
        cards=cards_of(seen[:MOST], eyes),
        more=max(0, len(seen) - MOST),
        found=found,
        readable={request.id for request in found.items if eyes.see(request)},
        outcomes={r.id: outcome_of(services().store, r, eyes.now) for r in found.items},
        form=Form(),
        is_alone=False,
    )


@blueprint.get("/approvals/events")
@may(*EVERYBODY)
def events() -> Response:
    """Stream which requests wait, as server-sent events; the page fetches their cards."""
    stream = Stream(services(), sign_in_token() or "")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream.events(), mimetype="text/event-stream", headers=headers)


@blueprint.get("/approvals/<int:number>")
@may(*EVERYBODY)
def detail(number: int) -> str:
    eyes = Eyes.of(require_viewer())
    return _alone(_seen(number, eyes), eyes, Form())


@blueprint.get("/approvals/<int:number>/card")
@may(*EVERYBODY)
def card(number: int) -> str:
    """One card as it stands now: a part that open pages ask for when something changed."""
    eyes = Eyes.of(require_viewer())
    return _part(_seen(number, eyes), eyes, Form())


@blueprint.get("/approvals/<int:number>/text")
@may(*EVERYBODY)
def text(number: int) -> Response:
    """The whole of a statement with its parameters, where a page would be too long."""
    found = _seen(number, Eyes.of(require_viewer()))
    values = "".join(f"-- ${n} = {parameter(v)!r}\n" for n, v in enumerate(found.parameters, 1))
    headers = {"Content-Disposition": f'attachment; filename="gatepost-request-{number}.sql"'}
    return Response(f"{values}{found.text}\n", mimetype="application/sql", headers=headers)


@blueprint.post("/approvals/<int:number>/decide")
@may(*EVERYBODY)
def decide(number: int) -> BaseResponse | tuple[str, int] | str:
    """Approve or deny, once. Whoever comes second is told who was first."""
    eyes = Eyes.of(require_viewer())
    asked = _seen(number, eyes)
    form = Form({"reason": request.form.get("reason", "").strip()})
    decision = request.form.get("decision", "")
    status = 200
    if decision not in ("approve", "deny"):
        form.general, status = "Choose Approve or Deny.", 422
    else:
        try:
            approvals.decide(
                services().store,
                actor(),
                now(),
                number,
                approve=decision == "approve",
                reason=form.value("reason"),
            )
        except Invalid as error:
            form.take(error)
            status = 422
        except NotAllowed as error:
            form.general, status = sentence(error), 403
        except Conflict as error:
            form.general, status = _lost(number, error), 409
    g.pop("waits_for_viewer", None)
    decided = approvals.get(services().store, number)
    if request.headers.get("HX-Request"):
        return _part(decided, eyes, form)
    if status == 200:
        return redirect(url_for("approvals.detail", number=asked.id), 303)
    return _alone(decided, eyes, form), status


@blueprint.post("/approvals/<int:number>/cancel")
@may(*EVERYBODY)
def cancel(number: int) -> BaseResponse:
    """Take one's own request back; a held statement gets its error at once."""
    _seen(number, Eyes.of(require_viewer()))
    try:
        withdrawals.withdraw(services().store, actor(), now(), number)
    except Conflict as error:
        flash(sentence(error), "held")
    else:
        flash(f"Request {number} was taken back.", "ok")
    return redirect(url_for("my_access.page", _anchor="requests"), 303)


def _seen(number: int, eyes: Eyes) -> Request:
    """Return a request that the viewer may see; any other does not exist for them."""
    missing = NotFound(
        f"no request {number} is open to you",
        "it may be somebody else's: an admin, an auditor and who can decide it see it",
    )
    try:
        found = approvals.get(services().store, number)
    except NotFound:
        raise missing from None
    if not eyes.see(found):
        raise missing
    return found


def _alone(found: Request, eyes: Eyes, form: Form) -> str:
    return render_template(
        "approvals/detail.html",
        card=card_of(found, eyes, most=MOST_ALONE),
        form=form,
        is_alone=True,
    )


def _part(found: Request, eyes: Eyes, form: Form) -> str:
    is_alone = request.args.get("alone") == "1"
    return render_template(
        "approvals/_part.html",
        card=card_of(found, eyes, most=MOST_ALONE if is_alone else MOST_IN_QUEUE),
        form=form,
        is_alone=is_alone,
        mine=count_mine(),
    )


def _lost(number: int, error: Conflict) -> str:
    """Say who was first, when somebody was."""
    found = approvals.get(services().store, number)
    if found.state in (RequestState.APPROVED, RequestState.DENIED):
        if found.decided_by == require_viewer().name:
            return f"You {found.state.value} it already; nothing was changed now."
        return (
            f"{found.decided_by} {found.state.value} it before you: "
            "your decision came second and changed nothing."
        )
    if not found.state.is_open:
        word = state_words(found.state)[0]
        return f"It ended before you decided: {word}. Your decision changed nothing."
    return sentence(error)


def _read_state(eyes: Eyes) -> ListState:
    offered = approval_lists.values(services().store, _only(eyes))
    states = [state for state in RequestState if not state.is_open]
    filters = (
        Filter("state", "Outcome", tuple(Choice(s.value, state_words(s)[0]) for s in states)),
        Filter("kind", "Kind", tuple(Choice(k.value, word) for k, word in KIND_WORDS.items())),
        Filter("identity", "Who asked", tuple(Choice(v, v) for v in offered.identities)),
        Filter("target", "Target", tuple(Choice(v, v) for v in offered.targets)),
        Filter("decided", "Decided", tuple(Choice(s, f"last {s}") for s in _SPANS)),
    )
    return read_list(sorts=approval_lists.SORTS, default_sort="-decided", filters=filters)


def _wanted(state: ListState, eyes: Eyes) -> Wanted:
    span = _SPANS.get(state.value("decided"))
    return Wanted(
        text=state.search,
        state=state.value("state"),
        kind=state.value("kind"),
        identity=state.value("identity"),
        target=state.value("target"),
        since=eyes.now - span if span else None,
        seen_by=_only(eyes),
    )


def _only(eyes: Eyes) -> Identity | None:
    """Return whose requests the list is narrowed to; None for who may see all."""
    if eyes.sees_all:
        return None
    found = eyes.snapshot.identities.get(eyes.name)
    if found is None:  # gone since the sign-in was looked up
        raise NotFound(f"no identity is called {eyes.name} any more", "sign in again")
    return found


def _csv_row(found: Request, eyes: Eyes) -> tuple[object, ...]:
    return (
        found.id,
        found.kind.value,
        found.state.value,
        found.identity,
        found.identity_kind,
        found.target,
        found.environment,
        found.role,
        found.rule,
        found.created_at.isoformat(),
        found.reason,
        found.decided_at.isoformat() if found.decided_at else "",
        found.decided_by,
        found.decided_via,
        found.decision_reason,
        found.session_id,
        found.text if eyes.see(found) else "",
    )
