"""What a change of the rules would have done to the statements of the last 30 days."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from appliance.errors import NotFound
from appliance.policy.sentences import Piece
from appliance.store import rules, snapshots
from appliance.store.settings import ACTIONS
from web import dry_runs, sql
from web.access import may
from web.dry_runs import Answer
from web.rule_words import words_of
from web.services import now, services
from web.viewer import STATEMENT_READERS

blueprint = Blueprint("dry_runs", __name__)
blueprint.record_once(sql.install)

_READ_STATEMENTS = tuple(STATEMENT_READERS)


@blueprint.get("/policies/dry-run")
@may(*_READ_STATEMENTS)
def page() -> str:
    """Ask what would have been without a rule; of one that is off, what would have been with it."""
    snapshot = snapshots.load(services().store, now())
    rule = rules.get(services().store, request.args.get("rule", "")).rule
    words = "what if it were off?" if rule.enabled else "what if it were on?"
    answer = None
    if _is_asked():
        answer = dry_runs.ask(snapshot, dry_runs.switched(snapshot, rule.name))
    return _answer(answer, f"{rule.name}: {words}", words_of(rule, snapshot, now()).pieces)


@blueprint.get("/policies/dry-run/order")
@may(*_READ_STATEMENTS)
def order() -> str:
    """Ask what the order of now would have decided otherwise than the one it was before."""
    snapshot = snapshots.load(services().store, now())
    was = [name for name in request.args.get("was", "").split(",") if name]
    answer = None
    if _is_asked():
        answer = dry_runs.ask(dry_runs.ordered(snapshot, was), snapshot)
    return _answer(answer, "The order of the rules", [])


@blueprint.get("/policies/dry-run/default")
@may(*_READ_STATEMENTS)
def default() -> str:
    """Ask what would have been with another answer for what no rule decides."""
    snapshot = snapshots.load(services().store, now())
    action = request.args.get("action", "")
    if action not in ACTIONS:
        raise NotFound(f"no such default action: {action[:40]}")
    answer = dry_runs.ask(snapshot, dry_runs.by_default(snapshot, action)) if _is_asked() else None
    return _answer(answer, f"What no rule decides: what if it were {action}?", [])


def _is_asked() -> bool:
    """Return whether the answer itself is wanted: the page asks for it when it is there."""
    return bool(request.headers.get("HX-Request")) or "ask" in request.args


def _answer(answer: Answer | None, title: str, pieces: list[Piece]) -> str:
    if request.headers.get("HX-Request"):
        part = "brief" if "brief" in request.args else "answer"
        return render_template(f"policies/_dry_run_{part}.html", answer=answer)
    return render_template("policies/dry_run.html", answer=answer, title=title, pieces=pieces)
