"""Builds the masks of databases off the loop, before anything is decided by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from appliance.entities import Snapshot, Target
from appliance.masking.mask_set import MaskRules
from appliance.masking.texts import MaskSets
from appliance.sql.catalog import Catalog
from proxy.decision import CatalogBox

if TYPE_CHECKING:
    from proxy.catalogs import Catalogs
    from proxy.connection import Connection


def of_catalog(
    connections: Iterable[Connection], target: Target, database: str, catalog: Catalog
) -> Callable[[], MaskSets]:
    """Return what builds the masks of all who are on a database, by its new catalog."""
    found = {
        connection.session.judge.masking
        for connection in connections
        if (connection.admission.target.id, connection.admission.database) == (target.id, database)
    }
    wanted = [rules for rules in found if rules is not None]
    return partial(_built, catalog, wanted)


def of_snapshot(
    connections: Iterable[Connection],
    catalogs: Catalogs,
    snapshot: Snapshot,
    run: Callable[[Callable[[], MaskSets]], MaskSets],
) -> None:
    """Build what the sessions will be masked by once a snapshot is adopted; ``run`` waits."""
    wanted: dict[tuple[str, str], tuple[Target, dict[MaskRules, None]]] = {}
    for connection in connections:
        admission = connection.admission
        target = snapshot.targets.get(admission.target.name)
        identity = snapshot.identities.get(admission.identity.name)
        if target is None or identity is None:
            continue
        rules = MaskRules.of(snapshot, identity, target, admission.database)
        if rules is not None:
            key = (target.name, admission.database)
            wanted.setdefault(key, (target, {}))[1][rules] = None
    for (_, database), (target, found) in wanted.items():
        ensure(catalogs.box(target, database), found, run)


def ensure(
    box: CatalogBox,
    wanted: Iterable[MaskRules],
    run: Callable[[Callable[[], MaskSets]], MaskSets],
) -> None:
    """Build what is not there yet of a database's masks; ``run`` waits."""
    catalog = box.catalog
    missing = [rules for rules in wanted if rules not in box.masks.by_rules]
    if catalog is None or not missing:
        return
    made = run(partial(_built, catalog, missing))
    if box.masks.catalog in (None, catalog):
        box.masks.catalog = catalog
        box.masks.by_rules.update(made.by_rules)


def _built(catalog: Catalog, wanted: Iterable[MaskRules]) -> MaskSets:
    made = MaskSets()
    for rules in wanted:
        made.of(rules, catalog)
    return made
