"""Apply the ``masking:`` of a file, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from appliance.declarative.document import MaskingEntry
from appliance.store import masking_coverage, masking_rules

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying


def masking(doing: Applying, entries: Sequence[MaskingEntry]) -> None:
    """Make the file's rules come first, in its order; others follow, or go with ``--prune``."""
    stored = _stored(doing)
    for entry in entries:
        rule = entry.rule
        with doing.at(entry.path):
            if rule.name in stored:
                changed = masking_rules.update(doing.store, doing.by, doing.now, rule.name, rule)
                if changed:
                    doing.tell(f"change masking {rule.name}: {', '.join(changed)}")
            else:
                masking_rules.create(doing.store, doing.by, doing.now, rule)
                doing.tell(f"create masking {rule.name}")
    listed = [entry.rule.name for entry in entries]
    if doing.options.prune:
        for name in sorted(stored - set(listed)):
            masking_rules.delete(doing.store, doing.by, doing.now, name)
            doing.tell(f"delete masking {name}")
    if masking_rules.reorder(doing.store, doing.by, doing.now, tuple(listed)):
        doing.tell("change the order of masking")
    for coverage in masking_coverage.of_rules(doing.store):
        if coverage.rule.name in listed:
            doing.remarks += [f"masking {coverage.rule.name}: {note}" for note in coverage.notes]


def _stored(doing: Applying) -> set[str]:
    with doing.store.reading():
        return {rule.name for rule in masking_rules.read_all()}
