"""Query levels: which columns of which relation a statement names, and its WHERE's reach."""

from __future__ import annotations

from appliance.sql.facts import EffectClass, Name
from appliance.sql.parsed import RelationUse


class Use:
    """A relation while a statement is being walked; ``freeze`` makes the value of it."""

    __slots__ = (
        "aside",
        "becomes",
        "cascades",
        "cls",
        "columns",
        "created",
        "maybe",
        "moves",
        "name",
        "only",
        "optional",
        "reads",
        "temporary",
        "where",
    )

    def __init__(self, cls: EffectClass, name: Name, columns: set[str] | None) -> None:
        self.cls = cls
        self.name = name
        self.columns = columns
        self.where = ""
        self.maybe: list[tuple[str, list[Use], bool]] = []
        self.only = False
        self.created = False
        self.optional = False
        self.temporary = False
        self.reads = False
        self.cascades = False
        self.moves = False
        self.becomes: Name | None = None
        self.aside = False

    def touch(self, column: str) -> None:
        if self.columns is not None:
            self.columns.add(column)

    def freeze(self, places: dict[int, int]) -> RelationUse:
        """Return the value; ``places`` maps ``id(use)`` to its place among the relations."""
        maybe: tuple[tuple[str, tuple[int, ...]], ...] = ()
        if self.maybe and self.where == "none":
            maybe = tuple(
                (column, (*(places[id(use)] for use in inner), *((-1,) if opaque else ())))
                for column, inner, opaque in self.maybe
            )
        return RelationUse(  # by place: this is called for every relation of every new text
            self.cls,
            self.name,
            None if self.columns is None else tuple(sorted(self.columns)),
            self.where,
            maybe,
            self.only,
            self.created,
            self.optional,
            self.temporary,
            self.reads,
            self.cascades,
            self.moves,
            self.becomes,
            self.aside,
        )


class Level:
    """One query level: what its FROM offers and which columns its expressions name.

    ``cls``: the class of functions called here. ``reads``: the class of relations in its FROM.
    ``known``: columns whose value the WHERE fixes (``name = 'x'``).
    ``tracks``: whether columns are worth noting. ``where_of``: this level is the WHERE of those
    uses and has no sources of its own. ``is_returning``: a RETURNING list; its bare names do not
    count for the target of the level above, whose place its own source takes.
    """

    __slots__ = (
        "cls",
        "columns",
        "ctes",
        "is_natural",
        "is_opaque",
        "is_returning",
        "joins",
        "known",
        "parent",
        "reads",
        "sources",
        "target",
        "tracks",
        "uses",
        "where_of",
    )

    def __init__(
        self,
        parent: Level | None,
        cls: EffectClass,
        reads: EffectClass,
        *,
        tracks: bool = True,
        ctes: frozenset[str] | None = None,
    ) -> None:
        self.parent = parent
        self.cls = cls
        self.reads = reads
        self.tracks = tracks
        self.ctes: frozenset[str] = (
            ctes if ctes is not None else parent.ctes if parent else frozenset()
        )
        self.uses: list[Use] = []
        self.sources: dict[str, list[Use]] = {}
        self.joins: set[str] = set()
        self.columns: list[tuple[list[str], bool]] = []
        self.target: Use | None = None
        self.where_of: tuple[Use, ...] = ()
        self.known: dict[str, str] = {}
        self.is_opaque = False
        self.is_natural = False
        self.is_returning = False

    def offer(self, alias: str, use: Use | None) -> None:
        """Add a source to the FROM; None stands for one that is no relation."""
        found = self.sources.setdefault(alias, [])
        if use is None:
            self.is_opaque = True
        else:
            found.append(use)
            self.uses.append(use)

    def settle(self, variables: frozenset[str] | None = None) -> None:
        """Give every column that was named here to the relations that it may belong to.

        ``variables``: not None in a body: names there may be variables or parameters, so that a
        WHERE refers to a relation only by what surely is a column of it.
        """
        if self.is_natural:
            for use in self.uses:
                use.columns = None
        for names, star in self.columns:
            if star and not names:
                self._star()
            elif star:
                self._qualified(names[-1], None)
            elif len(names) == 1:
                self._bare(names[0], variables)
            elif variables is None or names[-2] not in variables:
                self._qualified(names[-2], names[-1])
            else:
                self._everything()

    def _star(self) -> None:
        level: Level | None = self
        while level is not None:
            for use in level.uses:
                if use is not level.target:
                    use.columns = None
            if not (level.is_returning or level.where_of):
                return
            level = level.parent

    def _bare(self, column: str, variables: frozenset[str] | None) -> None:
        is_column = variables is None or column not in variables
        level: Level | None = self
        judged: tuple[Use, ...] = ()
        inner: list[Use] = []
        opaque = after_returning = False
        while level is not None:
            if level.where_of:
                judged = level.where_of
            for use in level.sources.get(column, ()):  # the whole row, named like a column
                use.columns = None
                if is_column and use in judged:
                    use.where = "refers"
            for use in level.uses:
                if after_returning and use is level.target:
                    continue
                use.touch(column)
                if is_column and use in judged and use.where == "none":
                    alone = len(level.uses) == 1 and not level.is_opaque
                    if inner or opaque or not alone or variables is not None:
                        use.maybe.append((column, list(inner), opaque))
                    else:
                        use.where = "refers"
            inner += level.uses
            opaque = opaque or level.is_opaque
            after_returning = level.is_returning
            level = level.parent

    def _qualified(self, source: str, column: str | None) -> None:
        level: Level | None = self
        judged: tuple[Use, ...] = ()
        while level is not None:
            if level.where_of:
                judged = level.where_of
            if source in level.sources or source in level.joins:
                found = level.uses if source in level.joins else level.sources[source]
                for use in found:
                    if column is None:
                        use.columns = None
                    else:
                        use.touch(column)
                    if use in judged:
                        use.where = "refers"
                return
            level = level.parent
        self._everything()

    def _everything(self) -> None:
        """Note that a name could not be placed: every relation in sight may be meant."""
        level: Level | None = self
        while level is not None:
            for use in level.uses:
                use.columns = None
            level = level.parent
