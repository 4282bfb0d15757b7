"""A session as a timeline: when what ran, at its original pace, long gaps shortened (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

LONGEST_GAP_S = 2.0


class ReplaySession(Protocol):
    """What a timeline needs to know of a session; ``ended_at`` None while it is live."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def ended_at(self) -> datetime | None: ...


class ReplayStatement(Protocol):
    """What a timeline needs to know of a statement; ``state`` as in the contract."""

    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def verdict(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def duration_ms(self) -> float | None: ...


class Mark(StrEnum):
    """The colour of a tick: what became of the statement."""

    RAN = "ran"
    FAILED = "failed"
    HELD = "held"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # handed over, outcome unknown; or withdrawn: it never ran


_MARKS = {
    "done": Mark.RAN,
    "failed": Mark.FAILED,
    "refused": Mark.REFUSED,
    "held": Mark.HELD,
}


@dataclass(frozen=True, slots=True)
class Tick:
    """One statement on the timeline.

    ``offset_s``: since the session's start, as it was; ``play_s``: when a replay shows it.
    ``idle_s``: how long nothing ran before it, when that is shortened, else 0.
    """

    seq: int
    mark: Mark
    offset_s: float
    play_s: float
    duration_s: float
    idle_s: float

    @property
    def idle_text(self) -> str:
        """Return "18 min idle", or "" when the gap is as it was."""
        return f"{describe_seconds(self.idle_s)} idle" if self.idle_s else ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Ticks in order. ``errors``, ``holds``, ``refusals``: numbers of statements to jump to."""

    ticks: tuple[Tick, ...]
    length_s: float
    play_length_s: float
    errors: tuple[int, ...]
    holds: tuple[int, ...]
    refusals: tuple[int, ...]

    def tick_at(self, play_s: float) -> Tick | None:
        """Return the last tick shown by then."""
        shown = [tick for tick in self.ticks if tick.play_s <= play_s]
        return shown[-1] if shown else None


def timeline(
    session: ReplaySession,
    statements: Iterable[ReplayStatement],
    *,
    speed: float = 1.0,
    longest_gap_s: float = LONGEST_GAP_S,
) -> Timeline:
    """Lay a session's statements out in time; ``speed`` 2 plays twice as fast.

    A gap is the time in which nothing ran; what is over ``longest_gap_s`` of it is left out.
    """
    if speed <= 0:
        raise ValueError("speed must be over 0")
    ticks: list[Tick] = []
    free_at = 0.0  # when the last statement so far had ended
    cut_s = 0.0  # how much was left out so far
    offset_s = 0.0
    holds = []
    for statement in sorted(statements, key=lambda one: one.seq):
        # A clock that was set back must not turn the order round.
        offset_s = max((statement.at - session.started_at).total_seconds(), offset_s)
        gap_s = max(offset_s - free_at, 0.0)
        shortened = gap_s > longest_gap_s
        cut_s += gap_s - longest_gap_s if shortened else 0.0
        duration_s = (statement.duration_ms or 0.0) / 1000
        mark = _MARKS.get(statement.state, Mark.UNKNOWN)
        ticks.append(
            Tick(
                seq=statement.seq,
                mark=mark,
                offset_s=offset_s,
                play_s=(offset_s - cut_s) / speed,
                duration_s=duration_s,
                idle_s=gap_s if shortened else 0.0,
            )
        )
        if statement.verdict == "hold" or mark is Mark.HELD:
            holds.append(statement.seq)
        free_at = max(free_at, offset_s + duration_s)
    end_s = free_at
    if session.ended_at is not None:
        end_s = max(end_s, (session.ended_at - session.started_at).total_seconds())
    last_gap_s = end_s - free_at
    cut_s += max(last_gap_s - longest_gap_s, 0.0)
    return Timeline(
        ticks=tuple(ticks),
        length_s=end_s,
        play_length_s=(end_s - cut_s) / speed,
        errors=tuple(tick.seq for tick in ticks if tick.mark is Mark.FAILED),
        holds=tuple(holds),
        refusals=tuple(tick.seq for tick in ticks if tick.mark is Mark.REFUSED),
    )


def describe_seconds(seconds: float) -> str:
    """Return a length of time as people say it: ``850 ms``, ``3.2 s``, ``18 min``, ``2.5 h``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h".replace(".0 h", " h")
