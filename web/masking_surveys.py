"""What is known of targets' columns: surveys kept between requests, samples never."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flask import current_app
from flask.sansio.blueprints import BlueprintSetupState

from appliance.entities import Snapshot, Target
from appliance.errors import Conflict, NotFound
from appliance.masking.accepting import RULE_NAMES
from appliance.masking.examples import example
from appliance.masking.maskers import preview
from appliance.masking.survey import Seen, Survey, Values
from appliance.masking.values import ColumnMask, Method
from appliance.sealing import masking_key
from appliance.sql.catalog import Catalog, Relation
from appliance.store import catalogs, masking_looks
from appliance.targets import load_catalog, open_secret
from appliance.targets.sampling import Wanted, sample
from web.services import now, off_loop, services
from web.viewer import actor

EXTENSION = "gatepost_masking"
_KEPT = 16  # surveys; each holds a catalog
_REMEMBERED = timedelta(minutes=15)  # what values looked like: words and counts
_SHOWN = 3  # values of a column in a masked sample
_LONGEST = 60  # characters of a masked value on a page


@dataclass(frozen=True, slots=True)
class Read:
    """One database as it was last read. ``uncovered``: by names and types alone.

    ``columns``: of each relation by its OID. ``by_rule``: how many columns each rule means.
    """

    target: Target
    database: str
    read_at: datetime
    survey: Survey
    columns: Mapping[int, list[Seen]]
    uncovered: tuple[Seen, ...]
    by_rule: Mapping[str, int]

    @property
    def covered(self) -> int:
        """Return how many columns have a rule that is on."""
        return sum(1 for seen in self.columns.values() for one in seen if one.live is not None)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at values found: counts and words, no value.

    ``failed``: (relation, why) of what could not be read; ``unseen``: how many were not reached.
    """

    at: datetime
    columns: tuple[Seen, ...]
    failed: tuple[tuple[str, str], ...]
    unseen: int


class Surveys:
    """The surveys of the application's targets."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[str, int, Read]] = OrderedDict()
        self._looked_at: set[tuple[str, str]] = set()
        self._found: dict[tuple[str, str], Found] = {}

    def get(self, snapshot: Snapshot, target: Target, database: str) -> Read | None:
        """Return what is known of a database's columns.

        None: its catalog was never read, or by another version, which will not do.
        """
        store = services().store
        digest = catalogs.digest(store, target.name, database)
        if digest is None:
            return None
        key = target.name, database
        kept = self._kept.get(key)
        if kept is not None and kept[:2] == (digest, snapshot.version):
            self._kept.move_to_end(key)
            return kept[2]
        stored = catalogs.get(store, target.name, database)
        if stored is None:
            return None
        before = kept[2].survey.catalog if kept is not None and kept[0] == stored.digest else None
        rules = [rule for rule in snapshot.masking if rule.target == target.name]
        resolutions = snapshot.resolutions.get(key, ())

        def look() -> Read:
            catalog = before or Catalog.from_json(stored.data)
            survey = Survey(catalog, rules, resolutions, target.safe_functions)
            columns = {relation.oid: survey.of(relation) for relation in survey.relations}
            all_of_them = [one for seen in columns.values() for one in seen]
            means = Counter(cover.rule.name for one in all_of_them for cover in one.covers)
            sensitive = tuple(survey.most_certain(all_of_them))
            return Read(target, database, stored.read_at, survey, columns, sensitive, means)

        try:
            read = off_loop(look)
        except ValueError:
            return None
        self._kept[key] = stored.digest, snapshot.version, read
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return read

    def remember(self, read: Read, found: Found) -> None:
        """Keep what values looked like for a while, so that it can be accepted step by step."""
        self._found[read.target.name, read.database] = found

    def found(self, read: Read, now: datetime) -> Found | None:
        """Return what values looked like not long ago, without what has a rule by now."""
        found = self._found.get((read.target.name, read.database))
        if found is None or not timedelta() <= now - found.at <= _REMEMBERED:
            return None
        present = {seen.place: seen for columns in read.columns.values() for seen in columns}
        left = tuple(
            seen
            for seen in found.columns
            if seen.place in present
            and present[seen.place].live is None
            and present[seen.place].name == seen.name
        )
        return replace(found, columns=left)

    @contextmanager
    def alone(self, read: Read) -> Iterator[None]:
        """Read values of a database only once at a time. Raises: Conflict."""
        key = read.target.name, read.database
        if key in self._looked_at:
            raise Conflict(
                f"somebody is reading values of {read.target.name} just now",
                "try again in a few seconds",
            )
        self._looked_at.add(key)
        try:
            yield
        finally:
            self._looked_at.discard(key)


def install(state: BlueprintSetupState) -> None:
    """Give the application its surveys when a blueprint that needs them is registered."""
    state.app.extensions.setdefault(EXTENSION, Surveys())
    state.app.jinja_env.filters["rule_name"] = RULE_NAMES.__getitem__
    state.app.jinja_env.filters["masked_example"] = _masked_example


def _masked_example(seen: Seen) -> str | None:
    """Return what a made-up value becomes by the suggested method."""
    if seen.suggestion is None:
        return ""
    value = example(seen.base, seen.suggestion.kind)
    mask = ColumnMask("", seen.suggestion.method, seen.name)
    return preview(mask, seen.base, value) if value else ""


def survey_of(snapshot: Snapshot, target: Target, database: str) -> Read | None:
    """Return what is known of a database's columns; None = its catalog was never read."""
    return _surveys().get(snapshot, target, database)


def databases(snapshot: Snapshot, target: Target) -> list[str]:
    """Return the target's own database first, then others that grants name."""
    named = (
        name
        for grant in snapshot.grants
        if grant.target == target.name
        for name in grant.databases
        if name != "*"
    )
    return list(dict.fromkeys((target.database, *named)))


def read_catalog(target: Target, database: str) -> bool:
    """Read a database's catalog now; return whether it differs from before. Raises: Unreachable."""
    catalog = load_catalog(target, database, _secret(target))
    return catalogs.put(services().store, now(), target.name, database, catalog.to_json())


def found_before(read: Read) -> Found | None:
    """Return what values looked like not long ago, None where nobody looked."""
    return _surveys().found(read, now())


def look_at_values(read: Read) -> Found:
    """Return what a sample says is uncovered, with what could not be read.

    The values end here: what comes back holds counts and words. Raises: Unreachable, Conflict.
    """
    survey = read.survey
    wanted = [Wanted(one.oid, one.kind, columns) for one, columns in survey.to_look_at()]
    with _surveys().alone(read):
        _note(read, len(wanted))
        seen = sample(read.target, read.database, _secret(read.target), wanted)
    columns = off_loop(lambda: tuple(survey.uncovered(seen.values)))
    relations = ((survey.catalog.by_oid(oid), why) for oid, why in seen.failed.items())
    failed = tuple((seen_as(one), why) for one, why in relations if one is not None)
    found = Found(now(), columns, failed, len(seen.unseen))
    _surveys().remember(read, found)
    return found


def masked_samples(read: Read, relation: Relation, columns: Sequence[Seen]) -> dict[int, list[str]]:
    """Return a few values of each covered or suspected column as its rule would show them.

    Raises: Unreachable.
    """
    asked = [seen for seen in columns if _mask(seen) is not None and seen.base != "bytea"]
    wanted = Wanted(
        relation.oid,
        relation.kind,
        tuple((seen.column.number, seen.column.name, False) for seen in asked),
    )
    with _surveys().alone(read):
        _note(read, 1)
        found = sample(read.target, read.database, _secret(read.target), [wanted], different=_SHOWN)
    if relation.oid in found.failed:
        raise NotFound(f"{seen_as(relation)} cannot be read: {found.failed[relation.oid]}")
    return {seen.column.number: _masked(read, seen, found.values) for seen in asked}


def seen_as(relation: Relation) -> str:
    return f"{relation.name.schema}.{relation.name.name}"


def _masked(read: Read, seen: Seen, values: Values) -> list[str]:
    mask = _mask(seen)
    if mask is None:
        return []
    key = masking_key(services().config)
    shown: Iterable[str | None] = (
        preview(mask, seen.column.type, value, read.survey.catalog, key)
        for value in values.get(seen.place, ())
    )
    return list(dict.fromkeys("NULL" if one is None else one[:_LONGEST] for one in shown))


def _mask(seen: Seen) -> ColumnMask | None:
    """Return how a column is shown to whom a rule bites, or would be if the suggestion were one."""
    cover = seen.live
    if cover is None:
        if seen.suggestion is None:
            return None
        return ColumnMask("", seen.suggestion.method, seen.name)
    rule = cover.rule
    method = rule.method
    if cover.is_computed and method is not Method.NULL:
        method = Method.REDACT
    return ColumnMask(rule.name, method, seen.name, rule.value)


def _note(read: Read, tables: int) -> None:
    """Write down who looks, before anything is read."""
    store = services().store
    masking_looks.note(store, actor(), now(), read.target.name, read.database, tables)


def _surveys() -> Surveys:
    found: Surveys = current_app.extensions[EXTENSION]
    return found


def _secret(target: Target) -> str:
    role = target.reader
    if role is None:
        raise NotFound(f"target {target.name} has no upstream role", "add one on its page")
    return open_secret(role, target.id, services().sealer, os.environ)
