"""A target's columns as a tree: type, the rule that covers each, a masked sample on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import Snapshot, Target
from appliance.errors import GatepostError, NotFound
from appliance.masking.survey import Seen
from appliance.sql.catalog import Relation
from appliance.store import snapshots
from web import masking_surveys
from web.access import ADMIN, AUDITOR, may
from web.forms import sentence
from web.masking_surveys import Read, databases, masked_samples, survey_of
from web.services import now, services

blueprint = Blueprint("masking_columns", __name__)
blueprint.record_once(masking_surveys.install)

_MOST_FOUND = 200  # tables that a search shows
_OPEN = 12  # found tables that are shown with their columns at once


@dataclass(frozen=True, slots=True)
class Table:
    """A relation in the tree. ``columns``: None until they are asked for."""

    relation: Relation
    covered: int
    suspected: int
    columns: list[Seen] | None = None
    samples: dict[int, list[str]] | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.relation.name.name

    @property
    def word(self) -> str:
        """Return what kind of relation it is, "" for a table."""
        kinds = {"v": "view", "m": "materialized view", "f": "foreign table", "p": "partitioned"}
        return kinds.get(self.relation.kind, "")


@blueprint.get("/masking/targets/<name>")
@may(ADMIN, AUDITOR)
def tree(name: str) -> str:
    """The tree; ``q`` narrows it to tables and columns, ``open`` unfolds one table."""
    snapshot = snapshots.load(services().store, now())
    target = _target(snapshot, name)
    database = _database(snapshot, target)
    read = survey_of(snapshot, target, database)
    text = request.args.get("q", "").strip()
    wanted = request.args.get("kind", "")
    schemas, more = _tree(read, text.lower(), wanted) if read else ({}, 0)
    return render_template(
        "masking/tree.html",
        target=target,
        database=database,
        databases=databases(snapshot, target),
        read=read,
        schemas=schemas,
        more=more,
        text=text,
        wanted=wanted,
    )


@blueprint.get("/masking/targets/<name>/columns/<int:oid>")
@may(ADMIN, AUDITOR)
def columns(name: str, oid: int) -> str:
    """One table's columns: a part of the tree, or a page of their own."""
    return _table_page(name, oid, with_samples=False)


@blueprint.post("/masking/targets/<name>/columns/<int:oid>")
@may(ADMIN, AUDITOR)
def sampled(name: str, oid: int) -> str:
    """The same with a few values of each, masked by its rule, read now."""
    return _table_page(name, oid, with_samples=True)


@blueprint.post("/masking/targets/<name>/read")
@may(ADMIN)
def read_now(name: str) -> BaseResponse:
    """Read the target's catalog now instead of at the next round."""
    snapshot = snapshots.load(services().store, now())
    target = _target(snapshot, name)
    database = _database(snapshot, target)
    try:
        is_new = masking_surveys.read_catalog(target, database)
    except GatepostError as error:
        flash(sentence(error), "bad")
    else:
        flash("The catalog was read." if is_new else "The catalog is as it was.", "ok")
    there = url_for("masking_columns.tree", name=name, database=database)
    return redirect(there, 303)


def _table_page(name: str, oid: int, *, with_samples: bool) -> str:
    snapshot = snapshots.load(services().store, now())
    target = _target(snapshot, name)
    read = survey_of(snapshot, target, _database(snapshot, target))
    relation = read.survey.catalog.by_oid(oid) if read else None
    if read is None or relation is None or not relation.columns:
        raise NotFound("that table is not in the target's catalog any more", "open the tree anew")
    seen = read.survey.of(relation)
    samples, problem = None, ""
    if with_samples:
        try:
            samples = masked_samples(read, relation, seen)
        except GatepostError as error:
            problem = sentence(error)
    table = _table(relation, seen, seen, samples, problem)
    is_part = bool(request.headers.get("HX-Request"))
    return render_template(
        "masking/_columns.html" if is_part else "masking/table.html",
        target=target,
        database=read.database,
        read=read,
        table=table,
    )


def _target(snapshot: Snapshot, name: str) -> Target:
    target = snapshot.targets.get(name)
    if target is None:
        raise NotFound(f"no target is called {name[:60]}")
    return target


def _database(snapshot: Snapshot, target: Target) -> str:
    wanted = request.values.get("database", "")
    return wanted if wanted in databases(snapshot, target) else target.database


def _tree(read: Read, text: str, wanted: str) -> tuple[dict[str, list[Table]], int]:
    """Return the tables by schema that a search leaves, and how many more there are."""
    found: dict[str, list[Table]] = {}
    count = 0
    for relation in read.survey.relations:
        seen = read.columns[relation.oid]
        name = masking_surveys.seen_as(relation).lower()
        hits = [one for one in seen if _is_wanted(one, wanted) and _holds(one, name, text)]
        if (text or wanted) and not hits and not (text in name and not wanted):
            continue
        count += 1
        if (text or wanted) and count > _MOST_FOUND:
            continue
        is_open = bool(text or wanted) and count <= _OPEN
        table = _table(relation, seen, hits if is_open else None)
        found.setdefault(relation.name.schema or "", []).append(table)
    return found, max(0, count - _MOST_FOUND) if text or wanted else 0


def _is_wanted(seen: Seen, wanted: str) -> bool:
    if wanted == "covered":
        return seen.live is not None
    return seen.is_uncovered if wanted == "uncovered" else True


def _holds(seen: Seen, table: str, text: str) -> bool:
    return text in seen.column.name.lower() or text in table or text in f"{table}.{seen.name}"


def _table(
    relation: Relation,
    seen: Sequence[Seen],
    shown: list[Seen] | None,
    samples: dict[int, list[str]] | None = None,
    problem: str = "",
) -> Table:
    return Table(
        relation,
        sum(1 for one in seen if one.live is not None),
        sum(1 for one in seen if one.is_uncovered),
        shown,
        samples,
        problem,
    )
