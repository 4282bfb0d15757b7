"""Collects the effects of one statement: one per class and object, each as strict as any part."""

from __future__ import annotations

from appliance.sql.facts import Effect, EffectClass, Name

Key = tuple[EffectClass, Name | None, Name | None]


class Collected:
    """One effect while it grows."""

    __slots__ = ("columns", "exempt", "via", "without_where")

    def __init__(
        self, columns: set[str] | None, without_where: bool, via: str, exempt: bool
    ) -> None:
        self.columns = columns
        self.without_where = without_where
        self.via = via
        self.exempt = exempt


class Effects:
    """The effects of one statement, by class and object."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: dict[Key, Collected] = {}

    def add(
        self,
        cls: EffectClass,
        relation: Name | None = None,
        function: Name | None = None,
        *,
        columns: tuple[str, ...] | None = None,
        without_where: bool = False,
        via: str = "",
        exempt: bool = False,
    ) -> None:
        """Add one; where it is there already, what is stricter or more direct stays."""
        key = (cls, relation, function)
        known = self.found.get(key)
        if known is None:
            wanted = None if columns is None else set(columns)
            self.found[key] = Collected(wanted, without_where, via, exempt)
            return
        if columns is None or known.columns is None:
            known.columns = None
        else:
            known.columns.update(columns)
        known.without_where = known.without_where or without_where
        known.via = known.via if via else ""
        known.exempt = known.exempt and exempt

    def add_effect(self, effect: Effect) -> None:
        """Add one that is finished, of a prepared statement or a body."""
        self.add(
            effect.cls,
            effect.relation,
            effect.function,
            columns=effect.columns,
            without_where=effect.without_where,
            via=effect.via,
            exempt=effect.default_exempt,
        )

    def note_unknown(self) -> None:
        """Add that something is unknown, unless it is said of some object already."""
        if not any(cls is EffectClass.UNKNOWN for cls, _, _ in self.found):
            self.add(EffectClass.UNKNOWN)

    def freeze(self) -> tuple[Effect, ...]:
        """Return the effects as values, in the order in which they were found."""
        return tuple(
            Effect(
                cls,
                relation,
                function,
                None if found.columns is None else tuple(sorted(found.columns)),
                found.without_where,
                found.via,
                found.exempt,
            )
            for (cls, relation, function), found in self.found.items()
        )
