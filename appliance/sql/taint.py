"""Where a value comes from: the columns it shows, is computed from, or was decided by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from appliance.sql.copy_options import CopyOptions
from appliance.sql.dependencies import Dependency

ColumnId = tuple[int, int]  # table OID, attribute number


@dataclass(frozen=True, slots=True)
class Taint:
    """What one value carries.

    ``sources``: columns whose values it shows or is computed from. ``plain``: the one column that
    it is, unchanged. ``tested``: columns that only a predicate or a count looked at: it is clean
    of them while nothing else is computed from it. ``opaque``: code that nobody has read and whose
    output this holds. ``origin``: what RowDescription must say; None = anything.
    ``made``: it stands for no stored value (VALUES, a function in FROM), so a predicate in whose
    reach it is can turn it into one. ``fields``: of a whole row, its columns.
    """

    sources: frozenset[ColumnId] = frozenset()
    plain: ColumnId | None = None
    tested: frozenset[ColumnId] = frozenset()
    opaque: frozenset[str] = frozenset()
    origin: ColumnId | None = None
    made: bool = False
    is_told: bool = False  # a boolean or a count
    fields: tuple[tuple[str, Taint], ...] | None = None

    @property
    def columns(self) -> frozenset[ColumnId]:
        """Return every column that had a part in it."""
        return self.sources | self.tested


CLEAN = Taint()
CONSTANT = Taint(origin=(0, 0))
Named = tuple[str, Taint]


def computed(taints: Iterable[Taint]) -> Taint:
    """Return what something computed from these carries: also what they were decided by."""
    sources: set[ColumnId] = set()
    opaque: set[str] = set()
    made = False
    for taint in taints:
        sources |= taint.sources
        sources |= taint.tested
        opaque |= taint.opaque
        made = made or taint.made
    return Taint(frozenset(sources), opaque=frozenset(opaque), made=made, origin=(0, 0))


def tested(taints: Iterable[Taint]) -> Taint:
    """Return what a boolean or a count over these carries."""
    whole = computed(taints)
    return Taint(tested=whole.sources, opaque=whole.opaque, origin=(0, 0), is_told=True)


def merged(left: Taint, right: Taint) -> Taint:
    """Return what a value that is one or the other carries."""
    return Taint(
        left.sources | right.sources,
        left.plain if left.plain == right.plain else None,
        left.tested | right.tested,
        left.opaque | right.opaque,
        made=left.made or right.made,
        is_told=left.is_told and right.is_told,
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
    looked at. ``reached``: every column in sight. ``inspects``: functions and relations that show
    what no lineage covers. ``forbidden``: "" or what it is that only an identity without masks may
    run (DO, CREATE FUNCTION …). ``names``: relations that a definition or utility names.
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
