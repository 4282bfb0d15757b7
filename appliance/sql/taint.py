"""Where a value comes from: the columns it shows, is computed from, or was decided by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from appliance.sql.copy_options import CopyOptions
from appliance.sql.dependencies import Dependency

ColumnId = tuple[int, int]  # table OID, attribute number
Nobody: frozenset[ColumnId] = frozenset()
# What stands for the columns of relations whose columns are not known one by one.
ANY_COLUMN = -100
_MAX_WORDS = 6


@dataclass(frozen=True, slots=True)
class Link:
    """Columns of several rows that one predicate compares: it can make one tell the other.

    ``is_equality``: only whether they are the same.
    """

    columns: frozenset[ColumnId]
    is_equality: bool = True


@dataclass(frozen=True, slots=True)
class Taint:
    """What one value carries.

    ``sources``: columns whose values it shows or is computed from. ``plain``: the one column that
    it is, unchanged. ``tested``: columns that only a predicate or a count looked at: it is clean
    of them while nothing else is computed from it. ``opaque``: code that nobody has read and whose
    output this holds; ``latent``: code that runs as soon as something is computed from it (casts
    of its type). ``origin``: what RowDescription must say; None = anything.
    ``made``: it stands for no stored value (VALUES, a function in FROM), so a predicate in whose
    reach it is can turn it into one. ``fields``: of a whole row, its columns. ``rows``: the items
    of a FROM whose rows it is from. ``links``: what it compares across rows, which tells once it
    decides about rows. ``through``: for people, by which views and code it came.
    """

    sources: frozenset[ColumnId] = Nobody
    plain: ColumnId | None = None
    tested: frozenset[ColumnId] = Nobody
    opaque: frozenset[str] = frozenset()
    origin: ColumnId | None = None
    made: bool = False
    is_told: bool = False  # a boolean or a count
    fields: tuple[tuple[str, Taint], ...] | None = None
    latent: frozenset[str] = frozenset()
    rows: frozenset[int] = field(default=frozenset(), compare=False)
    links: frozenset[Link] = field(default=frozenset(), compare=False)
    through: tuple[str, ...] = field(default=(), compare=False)

    @property
    def columns(self) -> frozenset[ColumnId]:
        """Return every column that had a part in it."""
        return self.sources | self.tested if self.tested else self.sources

    def via(self, word: str) -> Taint:
        """Return it with one more word about the way it came."""
        if not self.columns and not self.opaque:
            return self
        return replace(self, through=words([self.through, (word,)]))

    def of_row(self, row: int) -> Taint:
        """Return it as a value of one item of a FROM."""
        return replace(self, rows=frozenset({row}))


CLEAN = Taint()
CONSTANT = Taint(origin=(0, 0))
Named = tuple[str, Taint]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text: how long lists of names are written here."""
    return frozenset(text.split())


def words(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return words about ways in order, each once, not too many."""
    return tuple(dict.fromkeys(word for part in parts for word in part))[:_MAX_WORDS]


def computed(taints: Iterable[Taint]) -> Taint:
    """Return what something computed from these carries: also what they were decided by."""
    given = [taint for taint in taints if taint is not CONSTANT and taint is not CLEAN]
    if not given:
        return CONSTANT
    return Taint(
        Nobody.union(*(taint.columns for taint in given)),
        opaque=frozenset[str]().union(*(taint.opaque | taint.latent for taint in given)),
        made=any(taint.made for taint in given),
        origin=(0, 0),
        rows=frozenset[int]().union(*(taint.rows for taint in given)),
        links=frozenset[Link]().union(*(taint.links for taint in given)),
        through=words(taint.through for taint in given if taint.columns or taint.opaque),
    )


def tested(taints: Iterable[Taint]) -> Taint:
    """Return what a boolean or a count over these carries."""
    whole = computed(taints)
    return replace(whole, sources=Nobody, tested=whole.sources, made=False, is_told=True)


def merged(left: Taint, right: Taint) -> Taint:
    """Return what a value that is one or the other carries."""
    opaque = left.opaque | right.opaque
    if left.latent != right.latent:  # one of them is cast to the other's type
        opaque |= left.latent | right.latent
    return Taint(
        left.sources | right.sources,
        left.plain if left.plain == right.plain else None,
        left.tested | right.tested,
        opaque,
        made=left.made or right.made,
        is_told=left.is_told and right.is_told,
        latent=left.latent & right.latent,
        rows=left.rows | right.rows,
        links=left.links | right.links,
        through=words([left.through, right.through]),
    )


def touched_by(taint: Taint, columns: frozenset[ColumnId]) -> Taint:
    """Return the value after what decided about it has become a part of it."""
    if not columns or columns <= taint.sources:
        return taint
    return replace(taint, sources=taint.sources | columns, plain=None, origin=None, fields=None)


@dataclass(frozen=True, slots=True)
class Write:
    """A value that a statement stores or sends. ``target`` None: no column that is known."""

    what: str
    value: Taint
    target: ColumnId | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What one statement reads, shows and passes on.

    ``outputs``: None = not known one by one. ``used``: columns that anything but a plain output
    looked at. ``reached``: every column in sight. ``opaque``: code that nobody has read and that
    may run; ``sizes``: columns that decide how many rows there are otherwise than by a predicate;
    ``links``: comparisons across rows. ``watched``: columns of the system's that show others'
    values, with their names: masked for whoever has a mask here.
    ``inspects``: functions and relations that show what no lineage covers. ``forbidden``: "" or
    what it is that only an identity without masks may run (DO, CREATE FUNCTION …). ``names``:
    relations that a definition or utility names. ``speaks``: its errors may say values of rows
    that it does not name (COMMIT checks constraints). ``defines``: code in it runs later or in
    a way that no output shows. ``changes``: it may write. ``calls``: functions of users run.
    ``unknown``: "" or why nothing is known. ``depends``: what it was read from, to be asked again;
    ``is_bound``: where the target's RowDescription alone would not show a change of that.
    ``prepares`` / ``declares``: under which name its outputs can be asked for later (EXECUTE,
    FETCH). ``copy``: how COPY … TO STDOUT writes.
    """

    outputs: tuple[Named, ...] | None = ()
    used: frozenset[ColumnId] = frozenset()
    reached: frozenset[ColumnId] = frozenset()
    opaque: frozenset[str] = frozenset()
    writes: tuple[Write, ...] = ()
    inspects: frozenset[str] = frozenset()
    names: frozenset[int] = frozenset()
    forbidden: str = ""
    unknown: str = ""
    prepares: str | None = None
    declares: str | None = None
    relations: frozenset[int] = field(default_factory=frozenset)
    depends: frozenset[Dependency] = frozenset()
    is_bound: bool = False
    copy: CopyOptions | None = None
    sizes: frozenset[ColumnId] = frozenset()
    links: frozenset[Link] = frozenset()
    watched: Mapping[ColumnId, str] = field(default_factory=dict)
    speaks: bool = False
    defines: bool = False
    changes: bool = False
    calls: bool = False
