"""The upstream roles of a target: whose password the gateway logs in with. Secrets go in only."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError
from appliance.store import targets
from web.access import ADMIN, may
from web.forms import Form, read_form
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("target_roles", __name__)

_FIELDS = ("role", "password_env", "password_file")


@blueprint.get("/targets/<name>/roles")
@may(ADMIN)
def page(name: str) -> str:
    return _page(name, Form(dict.fromkeys((*_FIELDS, "password"), "")))


@blueprint.post("/targets/<name>/roles")
@may(ADMIN)
def put(name: str) -> BaseResponse | tuple[str, int]:
    """Add a role, or give one that exists a new secret."""
    form = read_form(*_FIELDS, secrets=("password",))
    if not form.value("role"):
        form.refuse("role", "Name a database role of the target.")
    else:
        try:
            told = targets.put_role(
                services().store,
                actor(),
                now(),
                name,
                form.value("role"),
                sealer=services().sealer,
                secret=form.optional("password"),
                password_env=form.optional("password_env"),
                password_file=form.optional("password_file"),
            )
        except GatepostError as error:
            form.take(error)
        else:
            if told:
                words = "added" if "added" in told else "saved"
                flash(f"Role {form.value('role')} was {words}.", "ok")
            return redirect(url_for("targets.detail", name=name), 303)
    return _page(name, form), 422


@blueprint.post("/targets/<name>/roles/remove")
@may(ADMIN)
def remove(name: str) -> BaseResponse:
    form = read_form("role")
    try:
        targets.delete_role(services().store, actor(), now(), name, form.value("role"))
    except GatepostError as error:
        flash(str(error), "bad")
    else:
        flash(f"Role {form.value('role')} was removed.", "ok")
    return redirect(url_for("targets.detail", name=name), 303)


def _page(name: str, form: Form) -> str:
    target = targets.get(services().store, name)
    return render_template("targets/roles.html", target=target, form=form)
