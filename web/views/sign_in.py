"""Sign in with a local account, sign out; guessing is slowed down per account and per source."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.store import accounts, sign_ins, throttles
from appliance.store.actors import Actor
from web.access import EVERYBODY, may, public
from web.formats import length_of
from web.forms import Form, read_form
from web.security import VISIT, set_cookie
from web.services import now, off_loop, services
from web.viewer import (
    SIGN_IN,
    actor,
    cookie_name,
    current_viewer,
    sign_in_token,
    source_address,
)

blueprint = Blueprint("sign_in", __name__)

_WRONG = "No account has this name and password."


@blueprint.get("/sign-in")
@public
def page() -> BaseResponse | str:
    back = local_path(request.args.get("next", ""))
    if current_viewer() is not None:
        return redirect(back, 303)
    return _page(Form({"name": "", "password": "", "next": back}))


@blueprint.post("/sign-in")
@public
def enter() -> BaseResponse | tuple[str, int]:
    form = read_form("name", "next", secrets=("password",))
    store, name = services().store, form.value("name")
    keys = (f"login:{name.lower()[:254]}", f"source:{source_address()}")
    wait = throttles.wait(store, now(), keys)
    if wait.total_seconds() > 0:
        form.general = f"Too many failures. Try again in {length_of(wait)}."
        return _page(form), 429
    throttles.failed(store, now(), keys)  # before the check: many at once count as many
    password, at = form.values.pop("password"), now()
    account = off_loop(lambda: accounts.check(store, at, name, password))
    if account is None:
        form.general = _WRONG
        return _page(form), 422
    throttles.succeeded(store, keys)
    return begin(account.identity, local_path(form.value("next")))


@blueprint.post("/sign-out")
@may(*EVERYBODY)
def leave() -> BaseResponse:
    sign_ins.close(services().store, actor(), now(), sign_in_token() or "")
    response = redirect(url_for("sign_in.page"), 303)
    for name in (SIGN_IN, VISIT):
        response.delete_cookie(cookie_name(name), secure=_is_https(), httponly=True, samesite="Lax")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def begin(identity: str, back: str) -> BaseResponse:
    """Start a sign-in under a token of our own making (no fixation) and go to ``back``."""
    store, by = services().store, Actor(identity, "browser", source_address())
    old = sign_in_token()
    if old:
        sign_ins.close(store, by, now(), old)
    token = sign_ins.open_one(
        store,
        by,
        now(),
        identity,
        address=source_address(),
        user_agent=request.headers.get("User-Agent", ""),
    )
    response = redirect(back, 303)
    set_cookie(response, SIGN_IN, token)
    return response


def local_path(path: str) -> str:
    """Return ``path`` if it is a page of ours, else the first page: never another site."""
    parts = urlsplit(path)
    is_local = (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and not parts.scheme
        and not parts.netloc
        and path.isprintable()
        and "\\" not in path
    )
    return path if is_local else url_for("home.page")


def _page(form: Form) -> str:
    return render_template("sign_in/page.html", form=form)


def _is_https() -> bool:
    return services().config.public_url.startswith("https:")
