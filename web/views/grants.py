"""Grants: who may open sessions where, as which role, under which conditions."""

from __future__ import annotations

import re

from flask import Blueprint, flash, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import Grant, IdentityKind
from appliance.errors import GatepostError
from appliance.policy.builtin import BUILTIN_RULES
from appliance.store import grants, identities, overview, snapshots
from appliance.store.grants import GrantSpec
from web.access import ADMIN, may
from web.days import end_of_day, last_day_of
from web.forms import Form, read_form
from web.services import now, services
from web.viewer import actor
from web.views.sign_in import local_path

blueprint = Blueprint("grants", __name__)

_FIELDS = (
    "who",
    "reach",
    "databases",
    "sources",
    "application_names",
    "hours",
    "expires",
    "max_session",
    "allow_builtin",
    "fastpath",
    "replication",
    "back",
)
_KNOWN = {"target": "reach", "role": "reach"}
_LENGTH = re.compile(r"(\d{1,6})\s*([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


@blueprint.get("/grants/new")
@may(ADMIN)
def new() -> str:
    form = Form(dict.fromkeys(_FIELDS, "") | {"max_session": "12h"})
    form.values["who"] = request.args.get("who", "")[:300]
    form.values["back"] = local_path(request.args.get("back", ""))
    if target := request.args.get("target", ""):
        choices = [value for value, _ in _reach_choices() if value.split("\n")[0] == target]
        form.values["reach"] = choices[0] if choices else ""
    return _page(form, None)


@blueprint.post("/grants/new")
@may(ADMIN)
def create() -> BaseResponse | tuple[str, int]:
    form = read_form(*_FIELDS)
    spec = _spec(form)
    if spec is not None and not form.has_errors:
        try:
            grants.create(services().store, actor(), now(), spec)
        except GatepostError as error:
            form.take(error, _KNOWN)
        else:
            flash(f"{spec.who} may now open sessions on {spec.target} as {spec.role}.", "ok")
            return redirect(local_path(form.value("back")), 303)
    return _page(form, None), 422


@blueprint.get("/grants/<int:number>/edit")
@may(ADMIN)
def edit(number: int) -> str:
    grant = grants.get(services().store, number).grant
    form = _form_of(grant)
    form.values["back"] = local_path(request.args.get("back", ""))
    return _page(form, grant)


@blueprint.post("/grants/<int:number>/edit")
@may(ADMIN)
def change(number: int) -> BaseResponse | tuple[str, int]:
    grant = grants.get(services().store, number).grant
    form = read_form(*_FIELDS)
    spec = _spec(form)
    if spec is not None and not form.has_errors:
        try:
            grants.update(services().store, actor(), now(), number, spec)
        except GatepostError as error:
            form.take(error, _KNOWN)
        else:
            flash("Saved. Live sessions are judged anew within 2 seconds.", "ok")
            return redirect(local_path(form.value("back")), 303)
    return _page(form, grant), 422


@blueprint.get("/grants/<int:number>/remove")
@may(ADMIN)
def ask_remove(number: int) -> str:
    grant = grants.get(services().store, number).grant
    live = overview.live_sessions(services().store, grant_id=number)
    back = local_path(request.args.get("back", ""))
    return render_template("grants/remove.html", grant=grant, live=live, back=back)


@blueprint.post("/grants/<int:number>/remove")
@may(ADMIN)
def remove(number: int) -> BaseResponse:
    form = read_form("back")
    grants.delete(services().store, actor(), now(), number)
    flash("The grant was removed; sessions that stood on it alone end within 2 seconds.", "ok")
    return redirect(local_path(form.value("back")), 303)


def _spec(form: Form) -> GrantSpec | None:
    target, _, role = form.value("reach").replace("\r\n", "\n").partition("\n")
    if not role:
        form.refuse("reach", "Choose a target and the role to act as there.")
    length = _LENGTH.fullmatch(form.value("max_session") or "12h")
    if length is None:
        form.refuse("max_session", "Expected a length such as 30m, 12h or 7d.")
    expires_at = end_of_day(form, "expires")
    if form.has_errors or length is None:
        return None
    return GrantSpec(
        who=form.value("who"),
        target=target,
        role=role,
        databases=form.lines("databases"),
        sources=form.lines("sources"),
        application_names=form.lines("application_names"),
        hours=form.value("hours"),
        expires_at=expires_at,
        max_session_s=int(length[1]) * _SECONDS[length[2]],
        fastpath=form.is_on("fastpath"),
        replication=form.is_on("replication"),
        allow_builtin=frozenset(form.lines("allow_builtin")),
    )


def _page(form: Form, grant: Grant | None) -> str:
    store = services().store
    who = ["*", *(f"kind:{kind.value}" for kind in IdentityKind)]
    who += [f"group:{name}" for name in overview.group_names(store)]
    who += [f"identity:{name}" for name in identities.all_names(store)]
    return render_template(
        "grants/form.html",
        form=form,
        grant=grant,
        who=who,
        reach=_reach_choices(),
        builtin=[rule for rule in BUILTIN_RULES if rule.switchable],
    )


def _reach_choices() -> list[tuple[str, str]]:
    """Return every target and role as value and words; neither holds a line break."""
    snapshot = snapshots.load(services().store, now())
    return [
        (f"{target.name}\n{role.name}", f"{target.name} as {role.name}")
        for target in snapshot.targets.values()
        for role in target.roles
    ]


def _form_of(grant: Grant) -> Form:
    return Form(
        {
            "who": grant.who,
            "reach": f"{grant.target}\n{grant.role}",
            "databases": "\n".join(grant.databases),
            "sources": "\n".join(grant.sources),
            "application_names": "\n".join(grant.application_names),
            "hours": grant.hours,
            "expires": last_day_of(grant.expires_at),
            "max_session": _words(grant.max_session_s),
            "allow_builtin": "\n".join(sorted(grant.allow_builtin)),
            "fastpath": "on" if grant.fastpath else "",
            "replication": "on" if grant.replication else "",
        }
    )


def _words(seconds: int) -> str:
    for unit in ("d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{max(1, seconds // 60)}m"
