"""One policy rule: add, edit, switch on and off, remove."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import PolicyRule
from appliance.errors import Conflict, GatepostError
from appliance.policy.sentences import sentence
from appliance.store import overview, rules, snapshots
from web import dry_runs, rule_form, sql
from web.access import ADMIN, may
from web.dry_runs import Answer
from web.forms import Form, read_form
from web.rule_words import RuleWords, words_of
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("policy_rules", __name__)
blueprint.record_once(sql.install)


@blueprint.get("/policies/rules/new")
@may(ADMIN)
def new() -> str:
    form = rule_form.blank()
    form.values["targets"] = request.args.get("target", "")
    return _page(form, None)


@blueprint.post("/policies/rules/new")
@may(ADMIN)
def create() -> BaseResponse | tuple[str, int]:
    form = rule_form.read()
    rule = rule_form.to_rule(form, _identity_names())
    if rule is not None:
        try:
            rules.create(services().store, actor(), now(), rule)
        except Conflict as error:
            form.take_beside("name", error)
        except GatepostError as error:
            rule_form.take(form, error)
        else:
            flash(f"{rule.name} was added as the last rule. Move it where it belongs.", "ok")
            return redirect(url_for("policies.page", _anchor=f"rule-{rule.name}"), 303)
    return _page(form, None), 422


@blueprint.post("/policies/rules/words")
@may(ADMIN)
def words() -> str:
    """Say what the rule as typed comes to: a part that the form asks for while typing is done."""
    form = rule_form.read()
    return render_template("policies/_words.html", form=form, words=_words(form))


@blueprint.post("/policies/rules/dry-run")
@may(ADMIN)
def dry_run() -> str | tuple[str, int]:
    """Say what the rule as typed would have done: as a part, or below the form as it was typed."""
    form = rule_form.read()
    store, was = services().store, request.form.get("was", "")
    snapshot = snapshots.load(store, now())
    rule = rule_form.checked(form, store, snapshot.identities)
    answer = dry_runs.ask(snapshot, dry_runs.typed(snapshot, rule, was)) if rule else None
    is_part = bool(request.headers.get("HX-Request"))
    if is_part:
        return render_template("policies/_dry_run_typed.html", form=form, answer=answer)
    before = next((one for one in snapshot.rules if one.name == was), None)
    return _page(form, before, answer), 200 if answer else 422


@blueprint.get("/policies/rules/<name>/edit")
@may(ADMIN)
def edit(name: str) -> str:
    rule = rules.get(services().store, name).rule
    return _page(rule_form.of_rule(rule), rule)


@blueprint.post("/policies/rules/<name>/edit")
@may(ADMIN)
def change(name: str) -> BaseResponse | tuple[str, int]:
    before = rules.get(services().store, name).rule
    form = rule_form.read()
    rule = rule_form.to_rule(form, _identity_names())
    if rule is not None:
        try:
            changed = rules.update(services().store, actor(), now(), name, rule)
        except Conflict as error:
            form.take_beside("name", error)
        except GatepostError as error:
            rule_form.take(form, error)
        else:
            if changed:
                flash("Saved. It reaches live sessions within 2 seconds.", "ok")
            return redirect(url_for("policies.page", _anchor=f"rule-{rule.name}"), 303)
    return _page(form, before), 422


@blueprint.post("/policies/rules/<name>/switch")
@may(ADMIN)
def switch(name: str) -> BaseResponse:
    """Switch a rule on or off; it keeps its place."""
    form = read_form("enabled")
    rule = rules.get(services().store, name).rule
    wanted = replace(rule, enabled=form.is_on("enabled"))
    if rules.update(services().store, actor(), now(), name, wanted):
        words = "decides again" if wanted.enabled else "is switched off and decides nothing"
        flash(f"{name} {words}.", "ok")
    return redirect(url_for("policies.page", _anchor=f"rule-{name}"), 303)


@blueprint.get("/policies/rules/<name>/remove")
@may(ADMIN)
def ask_remove(name: str) -> str:
    rule = rules.get(services().store, name).rule
    return render_template("policies/remove.html", rule=rule, pieces=sentence(rule))


@blueprint.post("/policies/rules/<name>/remove")
@may(ADMIN)
def remove(name: str) -> BaseResponse:
    store = services().store
    names = [rule.name for rule in snapshots.load(store, now()).rules]
    rules.delete(store, actor(), now(), name)
    following = names[names.index(name) + 1 :] if name in names else []
    before = following[0] if following else None
    return redirect(url_for("policies.page", removed=name, before=before), 303)


def _words(form: Form) -> RuleWords | None:
    """Return what a rule as typed comes to, None with errors in a form that cannot be one yet."""
    store = services().store
    snapshot = snapshots.load(store, now())
    rule = rule_form.checked(form, store, snapshot.identities)
    return words_of(rule, snapshot, now()) if rule else None


def _page(form: Form, rule: PolicyRule | None, answer: Answer | None = None) -> str:
    store = services().store
    snapshot = snapshots.load(store, now())
    groups = [f"group:{name}" for name in overview.group_names(store)]
    roles = {role.name for target in snapshot.targets.values() for role in target.roles}
    return render_template(
        "policies/form.html",
        form=form,
        rule=rule,
        kinds=rule_form.KIND_WORDS,
        commands=rule_form.COMMANDS,
        actions=rule_form.ACTIONS,
        where_words=rule_form.WITHOUT_WHERE,
        targets=tuple(snapshot.targets),
        roles=sorted(roles),
        groups=groups,
        approvers=rule_form.approver_choices(snapshot, groups, form.value("approvers")),
        settings=snapshot.settings,
        words=_words(Form(dict(form.values))),
        answer=answer,
    )


def _identity_names() -> tuple[str, ...]:
    return tuple(snapshots.load(services().store, now()).identities)
