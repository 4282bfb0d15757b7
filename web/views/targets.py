"""Targets: the databases behind the gateway, their form with its live check, how to connect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import SslMode, Target, UpstreamRole
from appliance.errors import Conflict, GatepostError, Invalid
from appliance.store import grants, identities, masking_rules, overview, targets
from appliance.store.targets import TargetSpec
from appliance.targets import Step, check, open_secret
from web import connect
from web.access import ADMIN, EVERYBODY, READERS, may
from web.forms import Form, read_form
from web.listing import read_list
from web.services import now, services
from web.viewer import actor, require_viewer

blueprint = Blueprint("targets", __name__)

_FIELDS = ("name", "host", "port", "database", "sslmode", "environment", "default_action")
_TRUST = ("sslrootcert", "allow_md5", "allow_cleartext")
_ROLE = ("role", "password_env", "password_file")
_DEFAULTS = {"port": "5432", "sslmode": "prefer"}


@blueprint.get("/targets")
@may(*READERS)
def page() -> str:
    state = read_list(sorts=("position", "name", "environment", "created_at"))
    store = services().store
    found = targets.find(store, state.search, sort=state.order, page=state.page, size=state.size)
    use = {target.name: overview.target_use(store, target.name) for target in found.items}
    return render_template("targets/list.html", state=state, found=found, use=use)


@blueprint.get("/targets/new")
@may(ADMIN)
def new() -> str:
    form = Form(dict.fromkeys((*_FIELDS, *_TRUST, *_ROLE, "password"), "") | _DEFAULTS)
    return render_template("targets/form.html", form=form, target=None, steps=None)


@blueprint.post("/targets/new")
@may(ADMIN)
def create() -> BaseResponse | tuple[str, int]:
    form = read_form(*_FIELDS, *_TRUST, *_ROLE, secrets=("password",))
    store = services().store
    spec = _spec(form)
    if not form.value("role"):
        form.refuse("role", "Name the database role that the gateway logs in as.")
    if not form.has_errors and spec is not None:
        try:
            with store.transaction():
                made = targets.create(store, actor(), now(), spec)
                _put_role(form, made.name)
        except Conflict as error:
            form.refuse("name", f"{error.message[:1].upper()}{error.message[1:]}.")
        except GatepostError as error:
            form.take(error)
        else:
            return redirect(url_for("targets.detail", name=made.name, fresh=1), 303)
    return render_template("targets/form.html", form=form, target=None, steps=None), 422


@blueprint.post("/targets/check")
@may(ADMIN)
def check_form() -> str:
    """Try what is typed, step by step. A stored secret goes only to the place it was given for."""
    form = read_form(*_FIELDS, *_TRUST, *_ROLE, "stored", secrets=("password",))
    spec = _spec(form)
    if spec is None or form.has_errors or not spec.host:
        return _steps((), _missing(form))
    name = form.value("role")
    role = UpstreamRole(name, None, form.optional("password_env"), form.optional("password_file"))
    target = _unsaved(spec, role)
    steps = check(target, _typed_secret(form, target, role))
    return _steps(steps)


@blueprint.get("/targets/<name>")
@may(*READERS)
def detail(name: str) -> str:
    store = services().store
    target = targets.get(store, name)
    return render_template(
        "targets/detail.html",
        target=target,
        grants=grants.find(store, target=name, size=200).items,
        masking=masking_rules.find(store, target=name, size=200).items,
        use=overview.target_use(store, name),
        fresh="fresh" in request.args,
        identity_names=identities.all_names(store),
    )


@blueprint.post("/targets/<name>/check")
@may(ADMIN)
def check_stored(name: str) -> BaseResponse | str:
    """Check the target as it is stored, with the role chosen."""
    target = targets.get(services().store, name)
    role = target.role(request.form.get("role", "")) or target.reader
    if role is None:
        steps: list[Step] = [Step("role", False, "The target has no upstream role.", "Add one.")]
    else:
        try:
            secret = open_secret(role, target.id, services().sealer, os.environ)
            steps = check(target, secret, role=role.name)
        except GatepostError as error:
            steps = [Step("secret", False, error.message, error.hint)]
    return _steps(steps)


@blueprint.get("/targets/<name>/first-session")
@may(*READERS)
def first_session(name: str) -> str:
    """The part that waits for a target's first session, and polls only while it waits."""
    target = targets.get(services().store, name)
    use = overview.target_use(services().store, name)
    return render_template("targets/_first_session.html", target=target, use=use)


@blueprint.get("/targets/<name>/connect")
@may(*EVERYBODY)
def connecting(name: str) -> str:
    """How to connect: for oneself, or for any identity for those who may see them all."""
    viewer = require_viewer()
    wanted = request.args.get("identity", "").strip()
    store = services().store
    identity = wanted if wanted and viewer.is_reader else viewer.name
    target = targets.get(store, name)
    asked = request.args.get("role", "")
    role = asked if target.role(asked) is not None else ""
    return render_template(
        "targets/connect.html",
        target=target,
        identity=identity,
        role=role,
        is_known=identity in identities.all_names(store),
        forms=connect.forms(connect.to_target(services().config, name, identity, role=role)),
        identity_names=identities.all_names(store) if viewer.is_reader else (),
    )


@blueprint.get("/targets/<name>/edit")
@may(ADMIN)
def edit(name: str) -> str:
    target = targets.get(services().store, name)
    return render_template("targets/form.html", form=_form_of(target), target=target, steps=None)


@blueprint.post("/targets/<name>/edit")
@may(ADMIN)
def change(name: str) -> BaseResponse | tuple[str, int]:
    target = targets.get(services().store, name)
    form = read_form(*_FIELDS, *_TRUST, "catalog_role", "safe_functions")
    form.values["name"] = name
    spec = _spec(form)
    if spec is not None and target.durability is not None:  # the file says it, not this form
        spec = replace(spec, durability=target.durability.value)
    if spec is not None and not form.has_errors:
        try:
            done = targets.update(services().store, actor(), now(), name, spec)
        except GatepostError as error:
            form.take(error)
        else:
            if done.secrets_dropped:
                flash(
                    "Saved. The place changed, so the stored passwords of "
                    f"{', '.join(done.secrets_dropped)} were dropped: set them again.",
                    "held",
                )
            elif done.changed:
                flash("Saved.", "ok")
            return redirect(url_for("targets.detail", name=name), 303)
    return render_template("targets/form.html", form=form, target=target, steps=None), 422


@blueprint.get("/targets/<name>/remove")
@may(ADMIN)
def ask_remove(name: str) -> str:
    store = services().store
    target = targets.get(store, name)
    return render_template(
        "targets/remove.html",
        target=target,
        grants=grants.find(store, target=name, size=200).items,
        masking=masking_rules.find(store, target=name, size=200).items,
        use=overview.target_use(store, name),
    )


@blueprint.post("/targets/<name>/remove")
@may(ADMIN)
def remove(name: str) -> BaseResponse:
    targets.delete(services().store, actor(), now(), name)
    flash(f"Target {name} was removed with all rules about it. Records of its sessions stay.", "ok")
    return redirect(url_for("targets.page"), 303)


def _spec(form: Form) -> TargetSpec | None:
    """Return what the form says, None with an error beside the port if it is no number."""
    port = form.value("port") or "5432"
    if not port.isascii() or not port.isdigit() or len(port) > 5:
        form.refuse("port", f"Expected a port from 1 to 65535, got “{port[:20]}”.")
        return None
    spec = TargetSpec(
        name=form.value("name"),
        host=form.value("host"),
        port=int(port),
        database=form.value("database"),
        sslmode=form.value("sslmode") or "prefer",
        environment=form.value("environment"),
        catalog_role=form.value("catalog_role"),
        default_action=form.optional("default_action"),
        sslrootcert=form.optional("sslrootcert"),
        allow_md5=form.is_on("allow_md5"),
        allow_cleartext=form.is_on("allow_cleartext"),
        safe_functions=form.lines("safe_functions"),
    )
    return spec


def _steps(steps: Sequence[Step], waiting_for: str = "") -> str:
    """Return the steps as a part for htmx, as a page of their own for a browser without script."""
    template = "_steps.html" if request.headers.get("HX-Request") else "_check_page.html"
    return render_template(f"targets/{template}", steps=steps, waiting_for=waiting_for)


def _missing(form: Form) -> str:
    if form.errors:
        return next(iter(form.errors.values()))
    return "Type a host to begin."


def _put_role(form: Form, target: str) -> None:
    targets.put_role(
        services().store,
        actor(),
        now(),
        target,
        form.value("role"),
        sealer=services().sealer,
        secret=form.optional("password"),
        password_env=form.optional("password_env"),
        password_file=form.optional("password_file"),
    )


def _unsaved(spec: TargetSpec, role: UpstreamRole) -> Target:
    try:
        mode = SslMode(spec.sslmode)
    except ValueError:
        raise Invalid("sslmode", "expected one of libpq's words") from None
    return Target(
        id=0,
        name=spec.name,
        host=spec.host,
        port=spec.port,
        database=spec.database,
        sslmode=mode,
        environment=spec.environment,
        roles=(role,),
        catalog_role=role.name,
        sslrootcert=spec.sslrootcert,
        allow_md5=spec.allow_md5,
        allow_cleartext=spec.allow_cleartext,
    )


def _typed_secret(form: Form, target: Target, role: UpstreamRole) -> str:
    """Return the password to try. The stored one is used only while the place is the same: a
    changed host must never receive it."""
    typed = form.value("password")
    if typed:
        return typed
    if role.password_env or role.password_file:
        return open_secret(role, target.id, services().sealer, os.environ)
    stored = form.value("stored")
    if not stored:
        return ""
    known = targets.get(services().store, stored)
    is_same = all(getattr(known, part) == getattr(target, part) for part in targets.PLACE)
    kept = known.role(role.name) or (known.reader if not role.name else None)
    if not is_same or kept is None:
        return ""
    return open_secret(kept, known.id, services().sealer, os.environ)


def _form_of(target: Target) -> Form:
    return Form(
        {
            "name": target.name,
            "host": target.host,
            "port": str(target.port),
            "database": target.database,
            "sslmode": target.sslmode.value,
            "environment": target.environment,
            "default_action": target.default_action or "",
            "catalog_role": target.catalog_role,
            "sslrootcert": target.sslrootcert or "",
            "allow_md5": "on" if target.allow_md5 else "",
            "allow_cleartext": "on" if target.allow_cleartext else "",
            "safe_functions": "\n".join(target.safe_functions),
        }
    )
