"""Apply the ``grants:`` and ``policies:`` of a file, in its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from appliance.declarative.document import GrantEntry, RuleEntry
from appliance.entities import Grant
from appliance.store import grants as store_grants
from appliance.store import rules as store_rules

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying

_Key = tuple[str, str, str]


def grants(doing: Applying, entries: Sequence[GrantEntry]) -> None:
    """Make the file's grants come first, in its order; others follow, or go with ``--prune``.

    A grant has no name: the n-th of the same who, target and role is the same grant. Time-boxed
    ones are no configuration: an approver gave them, and they end by themselves.
    """
    stored = _standing(doing)
    waiting: dict[_Key, list[Grant]] = defaultdict(list)
    for grant in stored:
        waiting[grant.who, grant.target, grant.role].append(grant)
    order: list[int] = []
    for entry in entries:
        spec = entry.spec
        name = f"{spec.who} on {spec.target} as {spec.role}"
        same = waiting[spec.who, spec.target, spec.role]
        with doing.at(entry.path):
            if same:
                grant_id = same.pop(0).id
                changed = store_grants.update(doing.store, doing.by, doing.now, grant_id, spec)
                if changed:
                    doing.tell(f"change grant {name}: {', '.join(changed)}")
            else:
                grant_id = store_grants.create(doing.store, doing.by, doing.now, spec)
                doing.tell(f"create grant {name}")
        order.append(grant_id)
    if doing.options.prune:
        for grant in (grant for left in waiting.values() for grant in left):
            store_grants.delete(doing.store, doing.by, doing.now, grant.id)
            doing.tell(f"delete grant {grant.who} on {grant.target} as {grant.role}")
    present = [grant.id for grant in _standing(doing)]
    wanted = [*order, *(grant_id for grant_id in present if grant_id not in order)]
    if wanted != present:
        store_grants.reorder(doing.store, doing.by, doing.now, tuple(wanted))
        doing.tell("change the order of grants")


def policies(doing: Applying, entries: Sequence[RuleEntry]) -> None:
    """Make the file's rules come first, in its order; others follow, or go with ``--prune``."""
    with doing.store.reading():
        stored = {rule.name for rule in store_rules.read_all()}
    for entry in entries:
        rule = entry.rule
        with doing.at(entry.path):
            if rule.name in stored:
                changed = store_rules.update(doing.store, doing.by, doing.now, rule.name, rule)
                if changed:
                    told = ", ".join(word.removesuffix("_s") for word in changed)
                    doing.tell(f"change policy {rule.name}: {told}")
            else:
                store_rules.create(doing.store, doing.by, doing.now, rule)
                doing.tell(f"create policy {rule.name}")
    listed = [entry.rule.name for entry in entries]
    if doing.options.prune:
        for name in sorted(stored - set(listed)):
            store_rules.delete(doing.store, doing.by, doing.now, name)
            doing.tell(f"delete policy {name}")
    if store_rules.reorder(doing.store, doing.by, doing.now, tuple(listed)):
        doing.tell("change the order of policies")


def _standing(doing: Applying) -> list[Grant]:
    with doing.store.reading():
        return [grant for grant in store_grants.read_all() if not grant.is_time_boxed]
