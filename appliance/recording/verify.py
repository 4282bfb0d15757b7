"""``audit verify``: is the record what was written? Walks all journals and the store's tables."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.recording.journal_files import appliance_id, nothing_removed
from appliance.recording.reading import journals_in
from appliance.recording.verify_chain import ChainWalk, Witness
from appliance.recording.verify_rows import RowCheck, TextCheck
from appliance.store import record_checks, recordings
from appliance.store.database import Store
from appliance.store.recordings import JournalState


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written. ``where``: a place in a journal, or a row."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at and found. ``problems``: the first of each journal and table, in order.

    ``unindexed``: records that the store does not have yet. ``elsewhere``: journals of other
    appliances, which only they can walk. ``head_at``: where the witnessed head lies, "" = nowhere.
    """

    journals: int
    records: int
    heads: int
    unindexed: int
    problems: tuple[Problem, ...]
    elsewhere: tuple[str, ...] = ()
    head_at: str = ""
    latest_head: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not self.problems


@dataclass(slots=True)
class _Findings:
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    records: int = 0
    heads: int = 0
    unindexed: int = 0
    partial: bool = False  # some of the record is not here, so rows may be unexplained


def verify(
    directory: Path,
    store: Store,
    head: str | None = None,
    *,
    public_key: bytes | None = None,
) -> Report:
    """Check every record against the chain, every signed head, every row against its record.

    ``head``: a chain hash (hex) that somebody kept: it must lie on a chain. ``public_key``: whose
    signatures count; None takes each journal's own word for it. Raises ``StoreUnavailable``.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a copy that only can be read: nobody removes anything there
            stack.enter_context(nothing_removed(directory))
        return _verify(directory, store, head, public_key)


def _verify(directory: Path, store: Store, head: str | None, public_key: bytes | None) -> Report:
    found = _Findings()
    here = appliance_id(directory) if directory.is_dir() else ""
    witness = Witness(bytes.fromhex(head) if head else None)
    paths = {path.name: path for path in journals_in(directory)}
    with store.reading(consistent=True):
        states = {state.name: state for state in recordings.journal_states(store)}
        texts = TextCheck()
        for name in _order(set(paths) | set(states)):
            state, path = states.get(name), paths.get(name)
            if path is None:
                assert state is not None  # noqa: S101 - it is in one of both
                _missing(found, state, is_shared=not store.is_sqlite, here=here)
                continue
            rows = RowCheck(store, name, state, texts)
            walk = ChainWalk(path, state, witness, public_key, rows.feed)
            problem = walk.run()
            if problem is not None:
                found.problems.append(Problem(*problem))
            else:
                found.problems += [Problem(*row) for row in rows.finish(walk.was_cut)]
            if rows.begun is not None:
                found.keys[rows.begun.key_id] = rows.begun.key
            found.records += walk.records
            found.heads += walk.heads
            found.unindexed += walk.unindexed
            found.partial |= walk.was_cut or problem is not None
            found.notes += walk.notes
        found.partial |= bool(found.elsewhere)
        _check_all(found, store, set(paths) | set(states), texts)
    for place in witness.missing(set(paths), skip=set(found.elsewhere)):
        found.problems.append(Problem(*place))
    if head and not witness.found_at:
        found.problems.append(Problem(f"head {head}", "lies on no chain of this appliance"))
    return Report(
        journals=len(paths),
        records=found.records,
        heads=found.heads,
        unindexed=found.unindexed,
        problems=tuple(found.problems),
        elsewhere=tuple(found.elsewhere),
        head_at=witness.found_at,
        latest_head=witness.latest_head,
        notes=tuple(found.notes),
    )


def _order(names: set[str]) -> list[str]:
    """Return the indexers' journals first, latest first: they vouch for what was before them."""
    own = sorted((name for name in names if name.startswith("indexer-")), reverse=True)
    return own + sorted(names - set(own))


def _missing(found: _Findings, state: JournalState, *, is_shared: bool, here: str) -> None:
    if is_shared and state.appliance and state.appliance != here:
        found.elsewhere.append(state.name)
        return
    found.partial = True
    found.problems.append(Problem(state.name, "the journal is registered, but its files are gone"))


def _check_all(found: _Findings, store: Store, journals: set[str], texts: TextCheck) -> None:
    """Look for rows that belong to no journal."""
    for where, what in record_checks.strays(store, journals):
        found.problems.append(Problem(where, what))
    stored = record_checks.signing_keys(store)
    for key_id in sorted(stored.keys() | found.keys):
        if stored.get(key_id) != found.keys.get(key_id) and not (
            found.partial and key_id not in found.keys
        ):
            found.problems.append(Problem(f"signing_key {key_id}", "is not what journals say"))
    for where, what in texts.compare(store, complete=not found.partial):
        found.problems.append(Problem(where, what))
