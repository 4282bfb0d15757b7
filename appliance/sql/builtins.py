"""PostgreSQL's own functions: which there are, and which of them are known to be harmless."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import orjson


@dataclass(frozen=True, slots=True)
class Builtins:
    """Names of functions in pg_catalog, judged over all functions of one name.

    ``pure``: no effect, and nothing read but what they are given, the clock, dice, sizes and the
    system's own catalogs. ``casting``: pure but for the checks of domains. ``stateful``: after
    them names or settings may mean something else. ``names``: all of them.
    """

    pure: frozenset[str]
    casting: frozenset[str]
    stateful: frozenset[str]
    names: frozenset[str]

    def is_harmless(self, name: str) -> bool:
        """Return whether only a rule that names functions should look at it."""
        return name in self.pure or name in self.casting

    def changes_state(self, name: str) -> bool:
        return name in self.stateful or name in self.casting


@cache
def builtins() -> Builtins:
    """Return the reviewed lists; tests/sql/generate_builtins.py made them."""
    lists = orjson.loads(files("appliance.sql").joinpath("data/builtins.json").read_bytes())
    return Builtins(
        pure=frozenset(lists["pure"]),
        casting=frozenset(lists["casting"]),
        stateful=frozenset(lists["stateful"]),
        names=frozenset(name for names in lists.values() for name in names),
    )
