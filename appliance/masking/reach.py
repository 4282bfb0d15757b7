"""Whether a statement may have anything to do with masked columns: cheap, and rather yes."""

from __future__ import annotations

from appliance.sql.builtins import builtins
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Effect, EffectClass, Facts, Name, Statement
from appliance.sql.lineage_calls import REVEALING, SENDING, WATCHED

# They name no data and run no code, or only what their other effects say.
_HARMLESS = frozenset(
    {
        EffectClass.TRANSACTION,
        EffectClass.SESSION,
        EffectClass.LISTEN,
        EffectClass.ROLE,
        EffectClass.LOCK,
    }
)
# They say by themselves what they read and write.
_TOLD = frozenset(
    {
        EffectClass.SELECT,
        EffectClass.INSERT,
        EffectClass.UPDATE,
        EffectClass.DELETE,
        EffectClass.MERGE,
        EffectClass.TRUNCATE,
        EffectClass.COPY_IN,
        EffectClass.COPY_OUT,
        EffectClass.EXPLAIN,
        EffectClass.MAINTENANCE,
        EffectClass.PREPARE,
    }
)
# A catalog without values of users' rows; psql's and drivers' questions go here.
_PLAIN_SYSTEM = frozenset(
    {
        "pg_class",
        "pg_namespace",
        "pg_type",
        "pg_database",
        "pg_index",
        "pg_am",
        "pg_range",
        "pg_enum",
        "pg_description",
        "pg_timezone_names",
        "pg_timezone_abbrevs",
        "pg_collation",
        "pg_inherits",
        "pg_tablespace",
    }
)

# What they show was put there before, perhaps by code that nobody has read.
_LATER = frozenset({"FetchStmt", "VariableShowStmt"})
_READS_SETTINGS = frozenset({"current_setting"}) | REVEALING | SENDING


class Reachable:
    """Which objects of a database lead to masked columns."""

    def __init__(self, catalog: Catalog, masked: frozenset[int]) -> None:
        self._catalog = catalog
        self._pure = builtins().pure - _READS_SETTINGS
        self._masked = masked
        self._known = dict.fromkeys(masked, True)

    def holds(self, facts: Facts) -> bool:
        """Return whether any statement may show, move or depend on a masked column."""
        return any(map(self._statement, facts.statements))

    def _statement(self, statement: Statement) -> bool:
        if statement.unknown or statement.executes is not None or statement.kind in _LATER:
            return True
        return any(map(self._effect, statement.effects))

    def _effect(self, effect: Effect) -> bool:
        if effect.function is not None:
            return not self._is_pure(effect.function)
        if effect.relation is None:  # VACUUM of everything runs the code of all indexes
            return effect.cls is EffectClass.MAINTENANCE or effect.cls not in _TOLD | _HARMLESS
        return effect.cls not in (_TOLD | _HARMLESS) or self._named(effect.relation)

    def _is_pure(self, function: Name) -> bool:
        return function.schema == "pg_catalog" and function.name in self._pure

    def _named(self, name: Name) -> bool:
        relation = self._catalog.relation(name.schema or "", name.name)
        return relation is None or self._relation(relation.oid)

    def _relation(self, oid: int) -> bool:
        found = self._known.get(oid)
        if found is None:
            self._known[oid] = True  # a circle of definitions is nothing that is surely harmless
            found = self._known[oid] = self._leads(oid)
        return found

    def _leads(self, oid: int) -> bool:
        catalog = self._catalog
        relation = catalog.by_oid(oid)
        if relation is None:
            return True
        if relation.is_system:
            name = relation.name.name
            return name in WATCHED or name not in _PLAIN_SYSTEM
        if relation.kind not in "rpvmS" or catalog.is_active(oid):
            return True
        if any(map(self._relation, catalog.children(oid))):
            return True
        for rule in catalog.rules(oid):
            if any(not self._is_pure(function) for function in rule.reach.functions):
                return True
            if any(self._relation(other) for other in rule.reach.relations if other != oid):
                return True
        # what foreign keys make a DELETE do there can fail with their words
        behind = catalog.referencing(oid)
        return any(other in self._masked or catalog.is_active(other) for other in behind)
