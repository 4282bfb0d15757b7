"""How often rules decided something: what the policies page says beside each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from appliance.store.database import Store
from appliance.store.pages import COUNT_CAP
from appliance.store.record_models import StatementRow


@dataclass(frozen=True, slots=True)
class RuleUse:
    """``hits`` counts up to ``COUNT_CAP``; ``last_at`` None: it never decided anything."""

    hits: int
    last_at: datetime | None

    @property
    def capped(self) -> bool:
        return self.hits > COUNT_CAP


def of_rules(store: Store, names: Iterable[str], since: datetime) -> dict[str, RuleUse]:
    """Return for each name how often it gave a statement its verdict since then."""
    row = StatementRow
    found = {}
    with store.reading():
        for name in names:
            mine = row.rule == name
            hits = row.select(row.at).where(mine & (row.at >= since)).limit(COUNT_CAP + 1).count()
            last = row.select(row.at).where(mine).order_by(row.at.desc()).first()
            found[name] = RuleUse(hits, last.at if last else None)
    return found
