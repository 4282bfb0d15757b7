"""A session as its page shows it: one chapter of statements on a timeline, the whole as bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from appliance.recording.replay import Tick, Timeline, timeline
from appliance.store import session_replay
from appliance.store.database import Store
from appliance.store.session_replay import Bar, StatementLine
from appliance.store.sessions import SessionRecord

CHAPTER = 200  # statements on one page
LINE_CHARACTERS = 600
BARS = 200
STATE_WORDS = {
    "done": "ran",
    "failed": "failed",
    "refused": "refused",
    "held": "held",
    "withdrawn": "withdrawn",
    "sent": "unknown",
}
_MARK_OF = {"done": "ran", "failed": "failed", "held": "held", "refused": "refused"}
_WIDTH, _HEIGHT = 1000, 30
_ORDER = ("ran", "unknown", "failed", "held", "refused")  # later ones are drawn over earlier ones
_TALL = frozenset({"failed", "held", "refused"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement with its place in time. ``offset_s`` is since the session's start."""

    line: StatementLine
    tick: Tick
    offset_s: float

    @property
    def mark(self) -> str:
        """Return the colour: withdrawn and sent statements are grey, nobody knows of a run."""
        return _MARK_OF.get(self.line.state, "unknown")


@dataclass(frozen=True, slots=True)
class Replay:
    """One chapter of a session. ``last_seq``: the number of the session's last statement."""

    session: SessionRecord
    entries: tuple[Entry, ...]
    timeline: Timeline
    chapter: int
    chapters: int
    last_seq: int
    bars: tuple[Bar, ...]

    @property
    def is_last(self) -> bool:
        return self.chapter == self.chapters

    @property
    def slowest_s(self) -> float:
        return max((entry.tick.duration_s for entry in self.entries), default=0.0)


@dataclass(frozen=True, slots=True)
class _Span:
    """What a timeline is laid over: the time of one chapter."""

    started_at: datetime
    ended_at: datetime | None


def chapter_of(seq: int) -> int:
    """Return the chapter in which a statement stands."""
    return (max(1, seq) - 1) // CHAPTER + 1


def load(store: Store, session: SessionRecord, chapter: int) -> Replay:
    """Return a chapter; one beyond the end is the last."""
    last = session_replay.last_seq(store, session.id)
    chapters = chapter_of(last)
    chapter = min(max(1, chapter), chapters)
    first = (chapter - 1) * CHAPTER + 1
    lines = session_replay.chapter(store, session.id, first, CHAPTER, LINE_CHARACTERS)
    began = session.started_at
    if chapter > 1:
        began = session_replay.ended_before(store, session.id, first) or began
    ended = session.ended_at
    if chapter < chapters:
        ended = session_replay.begun_after(store, session.id, first + CHAPTER - 1) or ended
    shown = timeline(_Span(began, ended), lines)
    entries = tuple(
        Entry(line, tick, (line.at - session.started_at).total_seconds())
        for line, tick in zip(lines, shown.ticks, strict=True)
    )
    bars = session_replay.overview(store, session.id, last, BARS) if chapters > 1 else ()
    return Replay(session, entries, shown, chapter, chapters, last, bars)


def scrubber(replay: Replay) -> Markup:
    """Return the ticks of a chapter as SVG: one per statement, coloured by what became of it."""
    length = max(replay.timeline.play_length_s, 0.001)
    ranked = sorted(replay.entries, key=lambda entry: _ORDER.index(entry.mark))
    parts = []
    for entry in ranked:
        mark, seq = entry.mark, entry.line.seq
        height = _HEIGHT if mark in _TALL else _HEIGHT * 0.6
        width = min(max(entry.tick.duration_s / length * _WIDTH, 3.0), 60.0)
        at = min(entry.tick.play_s / length * (_WIDTH - 3), _WIDTH - width)
        title = f"#{seq} {state_word(entry.line.state)}"
        parts.append(
            Markup(
                '<rect class="{}" data-tick="{}" x="{}" y="{}" width="{}" height="{}">'
                "<title>{}</title></rect>"
            ).format(
                mark,
                seq,
                f"{at:.1f}",
                f"{_HEIGHT - height:.1f}",
                f"{width:.1f}",
                f"{height:.1f}",
                title,
            )
        )
    words = f"{len(replay.entries)} statements on a timeline: " + ", ".join(
        f"{count} {word}" for word, count in _counts(replay) if count
    )
    return Markup(
        '<svg class="ticks" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(_WIDTH, _HEIGHT, words, Markup("").join(parts))


def overview(replay: Replay, address: Callable[[int], str]) -> Markup:
    """Return a long session as bars, each a link to its first statement."""
    step = _WIDTH / max(1, len(replay.bars))
    parts = []
    for index, bar in enumerate(replay.bars):
        mark = _MARK_OF.get(bar.state, "unknown")
        here = " here" if chapter_of(bar.first) == replay.chapter else ""
        parts.append(
            Markup(
                '<a href="{}" tabindex="-1" aria-label="{}"><rect class="{}{}" x="{}" y="0"'
                ' width="{}" height="{}"></rect></a>'
            ).format(
                address(bar.first),
                f"#{bar.first} to #{bar.first + bar.count - 1}: " + state_word(bar.state),
                mark,
                here,
                f"{index * step:.2f}",
                f"{step:.2f}",
                _HEIGHT,
            )
        )
    return Markup(
        '<svg class="ticks whole" viewBox="0 0 {} {}" preserveAspectRatio="none" role="group"'
        ' aria-label="All {} statements">{}</svg>'
    ).format(_WIDTH, _HEIGHT, f"{replay.last_seq:,}", Markup("").join(parts))


def duration_bar(seconds: float, slowest_s: float) -> Markup:
    """Return how long a statement took beside the slowest of its chapter."""
    share = seconds / slowest_s * 100 if slowest_s > 0 else 0
    return Markup(
        '<svg class="took" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rest" width="100" height="4"></rect><rect width="{}" height="4"></rect></svg>'
    ).format(f"{max(share, 1.5 if seconds else 0):.1f}")


def state_word(state: str) -> str:
    """Return what became of a statement, in a word for people."""
    return STATE_WORDS.get(state, state)


def clock_text(seconds: float) -> str:
    """Return an offset as people read a clock: 0:03, 12:40, 1:02:05."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _counts(replay: Replay) -> list[tuple[str, int]]:
    words = [state_word(entry.line.state) for entry in replay.entries]
    return [(word, words.count(word)) for word in dict.fromkeys(STATE_WORDS.values())]
