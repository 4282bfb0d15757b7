"""Policies: the ordered rules as sentences, the built-in ones, what no rule decides, proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import PolicyRule, Snapshot
from appliance.errors import GatepostError, NotFound
from appliance.policy.builtin import BUILTIN_RULES, PREFIX
from appliance.policy.proposals import is_observing, proposals
from appliance.policy.sentences import sentence
from appliance.store import audit, rule_use, rules, settings, snapshots
from appliance.store.pages import MAX_SIZE
from appliance.store.rule_use import LONG, RuleUse
from appliance.store.rules import RuleRecord
from web import forms, trials
from web.access import ADMIN, READERS, may
from web.forms import Form, read_form
from web.rule_words import RuleWords, words_of
from web.services import now, services
from web.viewer import actor
from web.views.settings import ACTION_WORDS

blueprint = Blueprint("policies", __name__)

_LONGEST_ORDER = 5_000  # characters of names in an address


@dataclass(frozen=True, slots=True)
class Shown:
    """A rule as the list shows it."""

    record: RuleRecord
    words: RuleWords
    use: RuleUse

    @property
    def rule(self) -> PolicyRule:
        return self.record.rule

    @property
    def is_idle(self) -> bool:
        """Return whether it could have decided something for 90 days and did not."""
        return self.rule.enabled and not self.use.hits and self.record.created_at < now() - LONG


@dataclass(frozen=True, slots=True)
class Moved:
    """What is told after rules changed their places. ``was``: the order before, "" = no way back.

    ``name``: the one that was moved, "" when the order was put back.
    """

    name: str
    place: str
    was: str


@blueprint.get("/policies")
@may(*READERS)
def page() -> str:
    store = services().store
    snapshot = snapshots.load(store, now())
    observed = [name for name in snapshot.targets if is_observing(snapshot, name)]
    wanted = request.args.get("propose", "")
    target = wanted if wanted in snapshot.targets else next(iter(observed or snapshot.targets), "")
    use = rule_use.of_rules(store, [PREFIX + rule.name for rule in BUILTIN_RULES], now())
    names = [rule.name for rule in snapshot.rules]
    was = tuple(name for name in request.args.get("was", "").split(",") if name in names)
    return render_template(
        "policies/page.html",
        **listed(snapshot),
        moved=_moved(names, request.args.get("moved", ""), was) if "was" in request.args else None,
        builtin=[(rule, use[PREFIX + rule.name]) for rule in BUILTIN_RULES],
        snapshot=snapshot,
        observed=observed,
        target=target,
        proposed=[(rule, sentence(rule)) for rule in _proposed(snapshot, target)],
        actions=ACTION_WORDS,
        own_defaults=[t for t in snapshot.targets.values() if t.default_action],
        removed=_removed(snapshot),
        form=Form(dict.fromkeys(trials.FIELDS, "")),
        tried=None,
        address=None,
    )


@blueprint.post("/policies/order")
@may(ADMIN)
def reorder() -> BaseResponse | str:
    """Move one rule a place up or down, or take the whole order as it was dragged."""
    form = read_form("name", "direction", "order")
    store = services().store
    before = tuple(rule.name for rule in snapshots.load(store, now()).rules)
    name = form.value("name")
    if form.value("order"):
        wanted = form.lines("order")
    elif name in before:
        wanted = tuple(_shifted(before, name, form.value("direction")))
    else:
        raise NotFound(f"no rule is called {name[:60]}")
    is_changed = rules.reorder(store, actor(), now(), wanted)
    was = before if is_changed else ()
    if request.headers.get("HX-Request"):
        snapshot = snapshots.load(store, now())
        names = [rule.name for rule in snapshot.rules]
        return render_template(
            "policies/_reordered.html", **listed(snapshot), moved=_moved(names, name, was)
        )
    anchor = f"rule-{name}" if name else "rules"
    return redirect(
        url_for("policies.page", moved=name or None, was=_joined(was), _anchor=anchor), 303
    )


@blueprint.post("/policies/default-action")
@may(ADMIN)
def set_default() -> BaseResponse:
    form = read_form("default_action")
    store = services().store
    wanted = replace(settings.get(store), default_action=form.value("default_action"))
    try:
        changed = settings.put(store, actor(), now(), wanted)
    except GatepostError as error:
        flash(forms.sentence(error), "bad")
    else:
        if changed:
            flash(f"What no rule decides is now: {wanted.default_action}.", "ok")
    return redirect(url_for("policies.page", _anchor="default"), 303)


@blueprint.post("/policies/propose")
@may(ADMIN)
def add_proposed() -> BaseResponse:
    """Add one of the proposed rules as it stands."""
    form = read_form("target", "name")
    snapshot = snapshots.load(services().store, now())
    proposed = _proposed(snapshot, form.value("target"))
    rule = next((one for one in proposed if one.name == form.value("name")), None)
    if rule is None:
        flash("That rule is no longer proposed: look at the list as it is now.", "held")
        return redirect(url_for("policies.page"), 303)
    rules.create(services().store, actor(), now(), rule)
    flash(f"{rule.name} was added. Every worker has it within 2 seconds.", "ok")
    return redirect(url_for("policies.page", propose=form.value("target")), 303)


@blueprint.post("/policies/restore")
@may(ADMIN)
def restore() -> BaseResponse:
    """Put a removed rule back, before the rule that followed it."""
    form = read_form("name", "before")
    store, name = services().store, form.value("name")
    rule = _last_removed(name)
    if rule is None:
        raise NotFound(f"no removed rule is called {name[:60]}")
    with store.transaction():
        rules.create(store, actor(), now(), rule)
        names = [one.name for one in rules.read_all() if one.name != name]
        if form.value("before") in names:
            names.insert(names.index(form.value("before")), name)
            rules.reorder(store, actor(), now(), tuple(names))
    flash(f"{name} is back.", "ok")
    return redirect(url_for("policies.page", _anchor=f"rule-{name}"), 303)


def listed(snapshot: Snapshot) -> dict[str, object]:
    """Return what the list of rules shows."""
    store = services().store
    records = rules.find(store, size=MAX_SIZE).items
    use = rule_use.of_rules(store, [record.rule.name for record in records], now())
    shown = [
        Shown(record, words_of(record.rule, snapshot, now()), use[record.rule.name])
        for record in records
    ]
    return {"shown": shown, "idle": [one.rule.name for one in shown if one.is_idle]}


def _proposed(snapshot: Snapshot, target: str) -> list[PolicyRule]:
    """Return the proposals for a target that are not rules yet, while it has none or few."""
    if target not in snapshot.targets:
        return []
    known = {
        _bare(rule)
        for rule in snapshot.rules
        if not rule.targets or target in rule.targets or "*" in rule.targets
    }
    fresh = proposals(replace(snapshot, rules=()), target)
    taken = {rule.name for rule in snapshot.rules}
    found = [rule for rule in fresh if _bare(rule) not in known]
    return [rule if rule.name not in taken else _renamed(rule, taken) for rule in found]


def _bare(rule: PolicyRule) -> PolicyRule:
    """Return what a rule comes to, whatever its name, its words and the order of its lists."""
    return replace(
        rule,
        name="",
        message="",
        approvers=None,
        timeout_s=None,
        retry_s=None,
        owner_may_approve=False,
        targets=(),
        enabled=True,
        who=tuple(sorted(rule.who)),
        commands=tuple(sorted(rule.commands)),
    )


def _renamed(rule: PolicyRule, taken: set[str]) -> PolicyRule:
    names = (f"{rule.name}-{number}" for number in range(2, len(taken) + 3))
    return replace(rule, name=next(name for name in names if name not in taken))


def _shifted(names: Sequence[str], name: str, direction: str) -> list[str]:
    """Return the names with one of them a place further up or down; the ends stay."""
    order = list(names)
    at = order.index(name)
    to = at - 1 if direction == "up" else at + 1
    if 0 <= to < len(order):
        order[at], order[to] = order[to], order[at]
    return order


def _moved(names: Sequence[str], name: str, was: Sequence[str]) -> Moved:
    """Return what is told about rules that changed places: ``names`` is their order now."""
    if name not in names:
        return Moved("", "The order is as it was." if was else "", _joined(was))
    at = names.index(name)
    place = f"{name} is now rule {at + 1} of {len(names)}"
    if was:
        after = f"after {names[at - 1]}" if at else "the first of all"
        place += f", {after}"
    return Moved(name, f"{place}.", _joined(was))


def _joined(names: Sequence[str]) -> str:
    """Return an order for an address, "" where it would be too long for one."""
    text = ",".join(names)
    return text if len(text) <= _LONGEST_ORDER else ""


def _removed(snapshot: Snapshot) -> dict[str, str] | None:
    """Return what the note about the rule just removed needs to put it back."""
    name = request.args.get("removed", "")
    if not name or any(rule.name == name for rule in snapshot.rules):
        return None
    if _last_removed(name) is None:
        return None
    return {"name": name, "before": request.args.get("before", "")}


def _last_removed(name: str) -> PolicyRule | None:
    """Return a rule as it was when it was last removed: the audit event holds it whole."""
    events = audit.find(services().store, action="rule.delete", subject=name, size=1).items
    if not events:
        return None
    document = events[0].detail.get("rule", {})
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in document.items()
    }
    return PolicyRule(**{**values, "name": name})
