"""What rules would have done: which proposal is asked about, and the answer, made off the loop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from appliance.entities import PolicyRule, Snapshot
from appliance.policy.history import Difference, DryRun
from appliance.policy.proposal import with_rules
from appliance.store import statement_history
from appliance.store.statement_history import DAYS, Work
from web.services import now, off_loop, services
from web.sql import sql

MOST_SHOWN = 100
_THEN = (
    ("block", "would be refused"),
    ("hold", "would wait for a human"),
    ("allow", "would run"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A dry run as pages show it. ``took_s``: how long it took, for whoever waits.

    ``merged``: the differences with those put together that look the same to people; they were
    told apart by hours, rows or addresses.
    """

    run: DryRun
    merged: list[Difference]
    took_s: float

    @property
    def days(self) -> int:
        return DAYS

    @property
    def shown(self) -> list[Difference]:
        """Return the differences that a page has room for."""
        return self.merged[:MOST_SHOWN]

    @property
    def more(self) -> int:
        return max(0, len(self.merged) - MOST_SHOWN)

    @property
    def changes(self) -> list[tuple[str, str, int]]:
        """Return (action, words, how many statements) for what would be decided otherwise."""
        found = ((action, words, self.run.count(action)) for action, words in _THEN)
        return [one for one in found if one[2]]

    @property
    def unjudged(self) -> list[tuple[str, int]]:
        """Return why statements cannot be judged and how many, the most frequent first."""
        found: Counter[str] = Counter()
        for one in self.run.unjudged:
            found[one.why] += one.recorded.count
        return found.most_common()


def ask(present: Snapshot, proposed: Snapshot) -> Answer:
    """Return what a proposed policy would have done to what was recorded."""
    began = time.monotonic()
    found = statement_history.run(
        services().store,
        now(),
        present,
        proposed,
        sql().parser,
        work=Work(off_loop, lambda: time.sleep(0)),
    )
    return Answer(found, _merged(found.differences), time.monotonic() - began)


def switched(snapshot: Snapshot, name: str) -> Snapshot:
    """Return the policy with one rule off if it is on, on if it is off."""
    return with_rules(
        snapshot,
        (
            replace(rule, enabled=not rule.enabled) if rule.name == name else rule
            for rule in snapshot.rules
        ),
    )


def typed(snapshot: Snapshot, rule: PolicyRule, was: str) -> Snapshot:
    """Return the policy with a rule as typed: in the place of ``was``, else as the last."""
    if any(one.name == was for one in snapshot.rules):
        return with_rules(snapshot, (rule if one.name == was else one for one in snapshot.rules))
    return with_rules(snapshot, (*snapshot.rules, rule))


def ordered(snapshot: Snapshot, names: Sequence[str]) -> Snapshot:
    """Return the policy in another order; rules that are not named follow as they are."""
    by_name = {rule.name: rule for rule in snapshot.rules}
    first = [by_name[name] for name in dict.fromkeys(names) if name in by_name]
    return with_rules(snapshot, (*first, *(rule for rule in snapshot.rules if rule not in first)))


def by_default(snapshot: Snapshot, action: str) -> Snapshot:
    """Return the policy with another answer for what no rule decides."""
    return replace(snapshot, settings=replace(snapshot.settings, default_action=action))


def _merged(differences: Iterable[Difference]) -> list[Difference]:
    """Return the differences, the same statement of the same one decided alike only once."""
    found: dict[tuple[object, ...], Difference] = {}
    for one in differences:
        it = one.recorded
        key = (it.text, it.identity, it.target, it.database, it.role, one.now, one.then)
        known = found.get(key)
        if known is None:
            found[key] = one
            continue
        latest = max(known.recorded, it, key=lambda recorded: recorded.last_at)
        count = known.recorded.count + it.count
        found[key] = replace(known, recorded=replace(latest, count=count))
    return sorted(found.values(), key=lambda one: (not one.is_stricter, -one.recorded.count))
