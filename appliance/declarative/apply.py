"""Carry out a ``Document``: one transaction, all or nothing, and tell what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from appliance.declarative import (
    apply_access,
    apply_identities,
    apply_masking,
    apply_settings,
    apply_targets,
)
from appliance.declarative.document import Document
from appliance.declarative.references import check_references
from appliance.declarative.source import InvalidFile, Problems, child
from appliance.errors import Conflict, Invalid, NotFound
from appliance.sealing import Sealer
from appliance.store import snapshots
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store


@dataclass(frozen=True, slots=True)
class Options:
    """``environ``: where ``*_env`` values are read; ``prune``: remove what the file lacks."""

    environ: Mapping[str, str] = field(repr=False)
    prune: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done, a line each; ``remarks`` is what somebody should know besides.

    ``version``: what workers must have for it to hold everywhere.
    """

    changes: tuple[str, ...]
    remarks: tuple[str, ...]
    version: int


@dataclass(slots=True)
class Applying:
    """What the parts of one application share."""

    store: Store
    by: Actor
    now: datetime
    sealer: Sealer
    options: Options
    problems: Problems
    changes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def tell(self, line: str) -> None:
        """Add a line to what changed."""
        self.changes.append(line)

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        """Give the store's refusals their place in the file."""
        try:
            yield
        except Invalid as error:
            where = child(path, error.field) if error.field else path
            self.problems.add(where, error.message, error.hint)
            self.problems.raise_if_any()
        except (Conflict, NotFound) as error:
            self.problems.add(path, error.message, error.hint)
            self.problems.raise_if_any()


class _DryRun(Exception):
    """Leaves the transaction, which undoes it."""


def apply(
    store: Store,
    by: Actor,
    now: datetime,
    sealer: Sealer,
    document: Document,
    problems: Problems,
    options: Options,
) -> Applied:
    """Make the store be as the file says. Raises: InvalidFile, StoreUnavailable; both undo all.

    ``problems`` are those of ``read_document``: they know the lines.
    """
    doing = Applying(store, by, now, sealer, options, problems)
    before = snapshots.version(store)
    try:
        with change(store, by, now) as one:
            check_references(doing, document)
            _carry_out(doing, document)
            if doing.changes:
                one.note("apply", by.source, changes=len(doing.changes), prune=options.prune)
            after = snapshots.version(store)
            if options.dry_run:
                raise _DryRun
    except _DryRun:
        after = before
    return Applied(tuple(doing.changes), tuple(doing.remarks), after)


def _carry_out(doing: Applying, document: Document) -> None:
    apply_settings.settings(doing, document.settings)
    apply_identities.groups(doing, document.groups or ())
    apply_identities.identities(doing, document.identities or ())
    apply_identities.memberships(doing, document)
    apply_identities.profiles(doing, document.identities or ())
    apply_identities.credentials(doing, document.identities or ())
    apply_targets.targets(doing, document.targets or ())
    if document.grants is not None:
        apply_access.grants(doing, document.grants)
    if document.policies is not None:
        apply_access.policies(doing, document.policies)
    if document.masking is not None:
        apply_masking.masking(doing, document.masking)
    apply_targets.drop_roles(doing, document.targets or ())
    if doing.options.prune:
        apply_targets.prune(doing, document.targets)
        apply_identities.prune(doing, document)


__all__ = ["Applied", "Applying", "InvalidFile", "Options", "apply"]
