"""How often rules decided something: what the policies page says beside each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.store.database import Store
from appliance.store.pages import COUNT_CAP
from appliance.store.record_models import StatementRow

RECENT = timedelta(days=30)
LONG = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class RuleUse:
    """Hits over the last 30 and 90 days, counted up to ``COUNT_CAP``.

    ``last_at`` None: it never decided anything that is still recorded.
    """

    recent: int
    hits: int
    last_at: datetime | None

    @property
    def capped(self) -> bool:
        return self.hits > COUNT_CAP


def of_rules(store: Store, names: Iterable[str], now: datetime) -> dict[str, RuleUse]:
    """Return for each name how often it gave a statement its verdict."""
    with store.reading():
        return {name: _of_rule(name, now) for name in names}


def _of_rule(name: str, now: datetime) -> RuleUse:
    row = StatementRow
    mine = row.rule == name
    last = row.select(row.at).where(mine).order_by(row.at.desc()).first()
    if last is None or last.at < now - LONG:
        return RuleUse(0, 0, last.at if last else None)
    recent, hits = (
        row.select(row.at).where(mine & (row.at >= now - span)).limit(COUNT_CAP + 1).count()
        for span in (RECENT, LONG)
    )
    return RuleUse(recent, hits, last.at)
