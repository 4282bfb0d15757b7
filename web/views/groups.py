"""Groups: named sets of people and machines that grants and rules speak of."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import Conflict, GatepostError
from appliance.store import grants, groups, identities
from appliance.store.groups import GroupRecord
from appliance.store.pages import Page
from web.access import ADMIN, READERS, may
from web.forms import Form, read_form
from web.listing import csv_response, every, read_list, wants_csv
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("groups", __name__)


@blueprint.get("/groups")
@may(*READERS)
def page() -> BaseResponse | str:
    state = read_list(sorts=("name", "created_at"))

    def fetch(page: int, size: int) -> Page[GroupRecord]:
        return groups.find(services().store, state.search, sort=state.order, page=page, size=size)

    if wants_csv():
        rows = ((g.name, g.claim, " ".join(g.members), g.created_by) for g in every(fetch))
        return csv_response("groups", ("name", "claim", "members", "created_by"), rows)
    found = fetch(state.page, state.size)
    return render_template("groups/list.html", state=state, found=found)


@blueprint.get("/groups/new")
@may(ADMIN)
def new() -> str:
    return render_template("groups/form.html", form=Form({"name": "", "claim": ""}))


@blueprint.post("/groups/new")
@may(ADMIN)
def create() -> BaseResponse | tuple[str, int]:
    form = read_form("name", "claim")
    try:
        made = groups.create(
            services().store,
            actor(),
            now(),
            name=form.value("name"),
            claim=form.optional("claim"),
        )
    except Conflict as error:
        form.take_beside("name", error)
    except GatepostError as error:
        form.take(error)
    else:
        return redirect(url_for("groups.detail", name=made.name), 303)
    return render_template("groups/form.html", form=form), 422


@blueprint.get("/groups/<name>")
@may(*READERS)
def detail(name: str) -> str:
    return _detail(name, Form({"identity": "", "claim": ""}))


@blueprint.post("/groups/<name>/members")
@may(ADMIN)
def add(name: str) -> BaseResponse | tuple[str, int]:
    form = read_form("identity")
    try:
        groups.add(services().store, actor(), now(), name, form.value("identity"))
    except GatepostError as error:
        form.values["claim"] = ""
        form.take_beside("identity", error)
        return _detail(name, form), 422
    return redirect(url_for("groups.detail", name=name), 303)


@blueprint.post("/groups/<name>/members/remove")
@may(ADMIN)
def remove(name: str) -> BaseResponse:
    form = read_form("identity", "back")
    groups.remove(services().store, actor(), now(), name, form.value("identity"))
    flash(f"{form.value('identity')} is no longer in {name}.", "ok")
    return redirect(url_for("groups.detail", name=name), 303)


@blueprint.post("/groups/<name>/claim")
@may(ADMIN)
def change_claim(name: str) -> BaseResponse | tuple[str, int]:
    form = read_form("claim")
    try:
        groups.change_claim(services().store, actor(), now(), name, form.optional("claim"))
    except GatepostError as error:
        form.values["identity"] = ""
        form.take(error)
        return _detail(name, form), 422
    flash("Saved.", "ok")
    return redirect(url_for("groups.detail", name=name), 303)


@blueprint.post("/groups/<name>/remove")
@may(ADMIN)
def delete(name: str) -> BaseResponse:
    try:
        groups.delete(services().store, actor(), now(), name)
    except Conflict as error:
        flash(str(error), "bad")
        return redirect(url_for("groups.detail", name=name), 303)
    flash(f"Group {name} was removed.", "ok")
    return redirect(url_for("groups.page"), 303)


def _detail(name: str, form: Form) -> str:
    store = services().store
    group = groups.get(store, name)
    if not form.value("claim") and not form.has_errors:
        form.values["claim"] = group.claim or ""
    return render_template(
        "groups/detail.html",
        group=group,
        form=form,
        grants=grants.find(store, who=f"group:{name}", size=100).items,
        names=[n for n in identities.all_names(store) if n not in group.members],
    )
