"""Masking: each target's state, the ordered rules as sentences, what looks sensitive uncovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import MaskingRule, Snapshot, Target
from appliance.errors import GatepostError, NotFound
from appliance.masking.accepting import Pick, accepted
from appliance.masking.sensitive import Kind
from appliance.masking.sentences import Audience, Piece, audience, reaching, sentence
from appliance.masking.survey import Seen
from appliance.masking.values import Method
from appliance.store import masking_rules, overview, snapshots
from web import masking_surveys
from web.access import ADMIN, AUDITOR, may
from web.forms import read_form
from web.forms import sentence as error_sentence
from web.masking_form import exempted
from web.masking_surveys import (
    Found,
    Read,
    databases,
    found_before,
    look_at_values,
    survey_of,
)
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("masking", __name__)
blueprint.record_once(masking_surveys.install)

_MOST_SHOWN = 400  # columns of one database, the most certain ones


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule as the list shows it. ``columns``: how many it means now, None = not known."""

    rule: MaskingRule
    pieces: list[Piece]
    audience: Audience
    columns: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A target's database, and what is known of its columns."""

    target: Target
    database: str
    read: Read | None

    @property
    def id(self) -> str:
        return f"{self.target.name}/{self.database}"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a database's columns look like. ``by_values``: what a look at some of them found.

    ``more``: columns for which the page has no room.
    """

    place: Place
    tables: list[tuple[str, list[Seen]]]
    by_values: Found | None = None
    problem: str = ""
    more: int = 0

    @property
    def count(self) -> int:
        return sum(len(columns) for _, columns in self.tables)


@blueprint.get("/masking")
@may(ADMIN, AUDITOR)
def page() -> str:
    snapshot = snapshots.load(services().store, now())
    places = _places(snapshot)
    removed = request.args.get("removed", "")
    return render_template(
        "masking/page.html",
        places=places,
        uncovered=sum(len(place.read.uncovered) for place in places if place.read),
        moved=_moved([rule.name for rule in snapshot.masking], request.args.get("moved", "")),
        removed=removed if all(rule.name != removed for rule in snapshot.masking) else "",
        **listed(snapshot, places),
    )


@blueprint.post("/masking/order")
@may(ADMIN)
def reorder() -> BaseResponse | str:
    """Move one rule a place up or down, or take the whole order as it was dragged."""
    form = read_form("name", "direction", "order")
    store = services().store
    before = [rule.name for rule in snapshots.load(store, now()).masking]
    name = form.value("name")
    if form.value("order"):
        wanted = form.lines("order")
    elif name in before:
        wanted = tuple(_shifted(before, name, form.value("direction")))
    else:
        raise NotFound(f"no masking rule is called {name[:60]}")
    masking_rules.reorder(store, actor(), now(), wanted)
    if request.headers.get("HX-Request"):
        snapshot = snapshots.load(store, now())
        moved = _moved([rule.name for rule in snapshot.masking], name)
        shown = listed(snapshot, _places(snapshot))
        return render_template("masking/_reordered.html", **shown, moved=moved)
    return redirect(url_for("masking.page", moved=name or None, _anchor=f"rule-{name}"), 303)


@blueprint.get("/masking/uncovered")
@may(ADMIN, AUDITOR)
def uncovered() -> str:
    """Every column that looks sensitive and has no rule, by names and types."""
    snapshot = snapshots.load(services().store, now())
    found = [_looked(place) for place in _places(snapshot)]
    return render_template("masking/uncovered.html", found=found, **_choices())


@blueprint.post("/masking/uncovered/look")
@may(ADMIN, AUDITOR)
def look() -> str:
    """Read a few values of a database's tables, and say what they look like."""
    form = read_form("target", "database")
    snapshot = snapshots.load(services().store, now())
    place = _place(snapshot, form.value("target"), form.value("database"))
    shown = _by_values(place)
    if request.headers.get("HX-Request"):
        return render_template("masking/_uncovered.html", one=shown, **_choices())
    found = [shown if p.id == place.id else _looked(p) for p in _places(snapshot)]
    return render_template("masking/uncovered.html", found=found, **_choices())


@blueprint.post("/masking/uncovered/accept")
@may(ADMIN)
def accept() -> BaseResponse:
    """Make rules of suggestions: one, a table's, those that are ticked, or all."""
    form = read_form("target", "exempt", "only", "table", "all", "back")
    store = services().store
    snapshot = snapshots.load(store, now())
    target = form.value("target")
    if target not in snapshot.targets:
        raise NotFound(f"no target is called {target[:60]}")
    picks = _picks(form.value("only"), form.value("table"), form.is_on("all"))
    exempt = exempted(form.value("exempt"), snapshot.identities)
    there = url_for("masking.uncovered")
    if form.value("back") == "tree":
        there = url_for("masking_columns.tree", name=target)
    if not picks:
        flash("Nothing was chosen: tick the columns that are to be masked.", "held")
        return redirect(there, 303)
    changed = accepted(picks, target, exempt, snapshot.masking)
    names = {rule.name for rule in snapshot.masking}
    try:
        with store.transaction():
            for rule in changed:
                if rule.name in names:
                    masking_rules.update(store, actor(), now(), rule.name, rule)
                else:
                    masking_rules.create(store, actor(), now(), rule)
    except GatepostError as error:
        flash(f"Nothing was changed. {error_sentence(error)}", "bad")
        return redirect(there, 303)
    columns = len({pick.column for pick in picks})
    said = "1 column is" if columns == 1 else f"{columns} columns are"
    rules = ", ".join(rule.name for rule in changed) or "rules that were there"
    flash(f"{said} covered by {rules}. Live sessions have it within 2 seconds.", "ok")
    return redirect(there, 303)


def listed(snapshot: Snapshot, places: Sequence[Place]) -> dict[str, object]:
    """Return what the list of rules shows."""
    means: dict[str, int] = {}
    known = {place.target.name for place in places if place.read}
    there = {name: reaching(snapshot, name, now()) for name in snapshot.targets}
    for place in places:
        for name, count in (place.read.by_rule if place.read else {}).items():
            means[name] = means.get(name, 0) + count
    shown = [
        ShownRule(
            rule,
            sentence(rule),
            audience(rule, there[rule.target]),
            means.get(rule.name, 0) if rule.target in known else None,
        )
        for rule in snapshot.masking
    ]
    return {"shown": shown}


def _places(snapshot: Snapshot) -> list[Place]:
    """Return every database of every target that is known to be reached."""
    return [
        Place(target, database, survey_of(snapshot, target, database))
        for target in snapshot.targets.values()
        for database in databases(snapshot, target)
    ]


def _place(snapshot: Snapshot, target: str, database: str) -> Place:
    found = snapshot.targets.get(target)
    if found is None:
        raise NotFound(f"no target is called {target[:60]}")
    database = database if database in databases(snapshot, found) else found.database
    return Place(found, database, survey_of(snapshot, found, database))


def _looked(place: Place) -> Looked:
    """Return what is known: by values where somebody looked at them just now, else by names."""
    if place.read is None:
        return Looked(place, [])
    found = found_before(place.read)
    columns = place.read.uncovered if found is None else found.columns
    return Looked(place, _by_table(columns), found, more=max(0, len(columns) - _MOST_SHOWN))


def _by_values(place: Place) -> Looked:
    if place.read is None:
        return replace(_looked(place), problem="Its catalog was not read yet: read it first.")
    try:
        look_at_values(place.read)
    except GatepostError as error:
        return replace(_looked(place), problem=error_sentence(error))
    return _looked(place)


def _by_table(columns: Sequence[Seen]) -> list[tuple[str, list[Seen]]]:
    """Return columns by table: the table with the most certain one first."""
    tables: dict[str, list[Seen]] = {}
    for seen in columns[:_MOST_SHOWN]:
        tables.setdefault(seen.table, []).append(seen)
    return list(tables.items())


def _picks(only: str, table: str, is_all: bool) -> list[Pick]:
    """Return what is accepted; a suggestion comes as ``kind|method|relation's OID|column``."""
    if only:
        texts = [only]
    elif table or is_all:
        offered = request.form.getlist("offered")
        texts = [text for text in offered if is_all or text.split("|", 3)[2:3] == [table]]
    else:
        texts = request.form.getlist("pick")
    found = []
    for text in texts:
        kind, _, rest = text.partition("|")
        method, _, rest = rest.partition("|")
        column = rest.partition("|")[2]
        if kind not in list(Kind) or method not in list(Method) or not column:
            raise NotFound("that suggestion is not known", "look at the list as it is now")
        chosen = request.form.get(f"method|{column}", "")
        found.append(Pick(Kind(kind), Method(chosen or method), column))
    return found


def _choices() -> dict[str, object]:
    groups = overview.group_names(services().store)
    return {"groups": groups}


def _shifted(names: Sequence[str], name: str, direction: str) -> list[str]:
    """Return the names with one of them a place further up or down; the ends stay."""
    order = list(names)
    at = order.index(name)
    to = at - 1 if direction == "up" else at + 1
    if 0 <= to < len(order):
        order[at], order[to] = order[to], order[at]
    return order


def _moved(names: Sequence[str], name: str) -> str:
    if name not in names:
        return ""
    at = names.index(name)
    after = f"after {names[at - 1]}" if at else "the first of all"
    return f"{name} is now rule {at + 1} of {len(names)}, {after}."
