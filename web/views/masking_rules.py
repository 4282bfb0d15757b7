"""One masking rule: add, edit, what it comes to while it is typed, switch on and off, remove."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import MaskingRule, MaskMode
from appliance.errors import Conflict, GatepostError, NotFound
from appliance.masking.sentences import audience, reaching, sentence
from appliance.masking.values import Method
from appliance.store import audit, masking_rules, overview, snapshots
from web import masking_form, masking_surveys
from web.access import ADMIN, may
from web.forms import Form, read_form
from web.masking_form import Words
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("masking_rules", __name__)
blueprint.record_once(masking_surveys.install)


@blueprint.get("/masking/rules/new")
@may(ADMIN)
def new() -> str:
    form = masking_form.blank()
    for name in ("target", "method", "name"):
        form.values[name] = request.args.get(name, form.values[name])
    form.values["columns"] = "\n".join(request.args.getlist("column"))
    form.values["name"] = _free(form.values["name"])
    targets = tuple(snapshots.load(services().store, now()).targets)
    if len(targets) == 1:
        form.values["target"] = targets[0]
    return _page(form, None)


@blueprint.post("/masking/rules/new")
@may(ADMIN)
def create() -> BaseResponse | tuple[str, int]:
    form = masking_form.read()
    rule = masking_form.to_rule(form, _identity_names())
    if rule is not None:
        try:
            masking_rules.create(services().store, actor(), now(), rule)
        except Conflict as error:
            form.take_beside("name", error)
        except GatepostError as error:
            masking_form.take(form, error)
        else:
            flash(f"{rule.name} was added as the last rule. Sessions have it in 2 seconds.", "ok")
            return redirect(url_for("masking.page", _anchor=f"rule-{rule.name}"), 303)
    return _page(form, None), 422


@blueprint.post("/masking/rules/words")
@may(ADMIN)
def words() -> str:
    """Say what the rule as typed comes to: a part that the form asks for while typing is done."""
    form = masking_form.read()
    return render_template("masking/_words.html", form=form, words=_words(form))


@blueprint.get("/masking/preview")
@may(ADMIN)
def preview_method() -> str:
    """Say what a made-up value of a kind would become by a method."""
    values = {name: request.args.get(name, "") for name in ("kind", "type", "method")}
    method = next((value for name, value in request.args.items() if "|" in name), "")
    shown = masking_form.example_of(values["type"], values["kind"], method or values["method"])
    return render_template("masking/_becomes.html", becomes=shown)


@blueprint.get("/masking/rules/<name>/edit")
@may(ADMIN)
def edit(name: str) -> str:
    rule = masking_rules.get(services().store, name).rule
    return _page(masking_form.of_rule(rule), rule)


@blueprint.post("/masking/rules/<name>/edit")
@may(ADMIN)
def change(name: str) -> BaseResponse | tuple[str, int]:
    before = masking_rules.get(services().store, name).rule
    form = masking_form.read()
    rule = masking_form.to_rule(form, _identity_names())
    if rule is not None:
        try:
            changed = masking_rules.update(services().store, actor(), now(), name, rule)
        except Conflict as error:
            form.take_beside("name", error)
        except GatepostError as error:
            masking_form.take(form, error)
        else:
            if changed:
                flash("Saved. It reaches live sessions within 2 seconds.", "ok")
            return redirect(url_for("masking.page", _anchor=f"rule-{rule.name}"), 303)
    return _page(form, before), 422


@blueprint.post("/masking/rules/<name>/switch")
@may(ADMIN)
def switch(name: str) -> BaseResponse:
    """Switch a rule on or off; it keeps its place and what it was resolved to."""
    form = read_form("enabled")
    rule = masking_rules.get(services().store, name).rule
    wanted = replace(rule, enabled=form.is_on("enabled"))
    if masking_rules.update(services().store, actor(), now(), name, wanted):
        said = "masks again" if wanted.enabled else "is switched off: its columns come in clear"
        flash(f"{name} {said}.", "ok" if wanted.enabled else "held")
    return redirect(url_for("masking.page", _anchor=f"rule-{name}"), 303)


@blueprint.get("/masking/rules/<name>/remove")
@may(ADMIN)
def ask_remove(name: str) -> str:
    store = services().store
    rule = masking_rules.get(store, name).rule
    snapshot = snapshots.load(store, now())
    who = audience(rule, reaching(snapshot, rule.target, now()))
    return render_template("masking/remove.html", rule=rule, pieces=sentence(rule), who=who)


@blueprint.post("/masking/rules/<name>/remove")
@may(ADMIN)
def remove(name: str) -> BaseResponse:
    masking_rules.delete(services().store, actor(), now(), name)
    return redirect(url_for("masking.page", removed=name), 303)


@blueprint.post("/masking/rules/restore")
@may(ADMIN)
def restore() -> BaseResponse:
    """Put a removed rule back, as the last."""
    name = read_form("name").value("name")
    rule = _last_removed(name)
    if rule is None:
        raise NotFound(f"no removed masking rule is called {name[:60]}")
    masking_rules.create(services().store, actor(), now(), rule)
    flash(f"{name} is back, as the last rule.", "ok")
    return redirect(url_for("masking.page", _anchor=f"rule-{name}"), 303)


def _last_removed(name: str) -> MaskingRule | None:
    """Return a rule as it was when it was last removed: the audit event holds it whole."""
    events = audit.find(services().store, action="masking.delete", subject=name, size=1).items
    if not events:
        return None
    detail: dict[str, Any] = events[0].detail
    document = detail["rule"]
    return MaskingRule(
        id=0,
        name=name,
        target=str(detail["target"]),
        columns=tuple(document["columns"]),
        method=Method(document["method"]),
        value=document.get("value"),
        mode=MaskMode(document["mode"]),
        exempt=tuple(document["exempt"]),
        enabled=bool(document["enabled"]),
    )


def _free(name: str) -> str:
    """Return a proposed name, or the first like it that no rule has."""
    taken = {rule.name for rule in snapshots.load(services().store, now()).masking}
    if not name or name not in taken:
        return name
    return next(one for one in (f"{name}-{n}" for n in range(2, 10_000)) if one not in taken)


def _words(form: Form) -> Words | None:
    return masking_form.words_of(form, snapshots.load(services().store, now()))


def _page(form: Form, rule: MaskingRule | None) -> str:
    store = services().store
    snapshot = snapshots.load(store, now())
    return render_template(
        "masking/form.html",
        form=form,
        rule=rule,
        targets=tuple(snapshot.targets),
        methods=masking_form.METHODS,
        modes=masking_form.MODES,
        kinds=masking_form.KINDS,
        groups=overview.group_names(store),
        words=_words(form),
    )


def _identity_names() -> tuple[str, ...]:
    return tuple(snapshots.load(services().store, now()).identities)
