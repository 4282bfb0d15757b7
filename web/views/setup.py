"""One-time links: the one that makes the first admin, and the ones that invite people."""

from __future__ import annotations

from flask import Blueprint, render_template
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError
from appliance.store import accounts, invites
from appliance.store.actors import Actor
from web.access import public
from web.forms import Form, read_form
from web.services import now, off_loop, services
from web.viewer import source_address
from web.views.sign_in import begin

blueprint = Blueprint("setup", __name__)


@blueprint.get("/setup/<token>")
@public
def page(token: str) -> str | tuple[str, int]:
    if not accounts.is_open_link(services().store, now(), token):
        return render_template("setup/closed.html", kind="setup"), 404
    return render_template("setup/page.html", form=Form({"name": "", "password": ""}))


@blueprint.post("/setup/<token>")
@public
def make_admin(token: str) -> BaseResponse | tuple[str, int]:
    store = services().store
    if not accounts.is_open_link(store, now(), token):
        return render_template("setup/closed.html", kind="setup"), 404
    form = read_form("name", secrets=("password", "again"))
    _check_twice(form)
    if "@" not in form.value("name"):
        form.refuse("name", "Expected your e-mail address: it will be your name here.")
    if not form.has_errors:
        name, password, at = form.value("name"), form.value("password"), now()
        by = Actor(name, "browser", source_address())
        try:
            off_loop(lambda: accounts.use_link(store, by, at, token, name, password))
        except GatepostError as error:
            form.take(error)
        else:
            return begin(name, "/")
    return render_template("setup/page.html", form=form), 422


@blueprint.get("/invite/<token>")
@public
def invited(token: str) -> str | tuple[str, int]:
    invite = invites.find(services().store, now(), token)
    if invite is None:
        return render_template("setup/closed.html", kind="invite"), 404
    return render_template("setup/invite.html", invite=invite, form=Form({"password": ""}))


@blueprint.post("/invite/<token>")
@public
def accept(token: str) -> BaseResponse | tuple[str, int]:
    store = services().store
    invite = invites.find(store, now(), token)
    if invite is None:
        return render_template("setup/closed.html", kind="invite"), 404
    form = read_form(secrets=("password", "again"))
    _check_twice(form)
    if not form.has_errors:
        password, at = form.value("password"), now()
        by = Actor(invite.identity, "browser", source_address())
        try:
            name = off_loop(lambda: invites.use(store, by, at, token, password))
        except GatepostError as error:
            form.take(error)
        else:
            return begin(name, "/")
    return render_template("setup/invite.html", invite=invite, form=form), 422


def _check_twice(form: Form) -> None:
    if form.value("password") != form.value("again"):
        form.refuse("again", "The two passwords differ.")
