"""How many rows a statement would touch: asked, or remembered, where a rule wants to know.

A handler whose decision has ``row_limits`` calls ``with_rows`` each time it looks at its message,
and decides by what comes back. What was asked is kept until the message is dealt with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from appliance.approvals.requests import Estimate
from appliance.policy.verdict import Action
from appliance.targets.estimate import PLANNER_SAYS
from proxy import deciding
from proxy.cache import TwoGenerations
from proxy.commands import Wait, Work
from proxy.decision import Decision, Need
from proxy.holds import Asked
from proxy.refusal import Refusal

if TYPE_CHECKING:
    from appliance.policy.engine import Policy
    from proxy.guard import Run
    from proxy.session import Session
    from proxy.statements import Portal

_REMEMBERED: Final = 64  # statements
# A program runs the same statements all day. Where so many in a row stayed far below all limits,
# the next one runs without asking, guarded: asking takes longer than most statements.
_IN_A_ROW: Final = 3
_FAR: Final = 10  # times more rows
# Slips of the pen: found before anything is planned, by names and text alone. Nobody needs to
# approve them: the client reads them as the target says them. Not 42P01: a text may name what
# only the session has.
_SLIPS: Final = frozenset(
    ("22P02", "42501", "42601", "42702", "42703", "42803", "42804", "42846", "42883", "42P02")
)
_NOBODY = Estimate(None, "the planner was not asked")


@dataclass(frozen=True, slots=True)
class RowsQuestion:
    """One statement as the target's planner is asked about it."""

    asked: Asked
    decision: Decision
    search_path: tuple[str, ...] | None
    acting_role: str
    codec: str


@dataclass(slots=True)
class Counting:
    """The message that is being dealt with. ``estimate`` None: not asked yet."""

    key: bytes
    estimate: Estimate | None = None
    has_looked: bool = False  # the session was asked for its search_path


@dataclass(slots=True)
class RowGuard:
    """What a session knows of rows. ``run``: the guarded statement that is on the target now.

    ``ask``: blocking, given by the shell. ``touched``: what exactly this statement with these
    parameters turned out to touch. ``usual``: by fingerprint, how many runs in a row stayed within
    their limit, and the most rows that one of them touched.
    """

    ask: Callable[[RowsQuestion], Estimate] | None = None
    run: Run | None = None
    counting: Counting | None = None
    touched: TwoGenerations[bytes, int] = field(default_factory=lambda: TwoGenerations(_REMEMBERED))
    usual: TwoGenerations[str, tuple[int, int]] = field(
        default_factory=lambda: TwoGenerations(_REMEMBERED)
    )

    def stayed_within(self, decision: Decision, rows: int) -> None:
        """Take note of a guarded run that touched no more rows than it may."""
        mark = decision.facts.statements[0].fingerprint
        times, most = self.usual.get(mark) or (0, 0)
        self.usual.put(mark, (times + 1, max(most, rows)))

    def went_over(self, decision: Decision, key: bytes, rows: int) -> None:
        """Take note of one that was taken back: the same is not tried again."""
        self.touched.put(key, rows)
        self.usual.put(decision.facts.statements[0].fingerprint, (0, 0))


def with_rows(session: Session, decision: Decision, asked: Asked) -> Decision | None:
    """Return the decision by the rows that it would touch; None = the client must wait."""
    guard = session.guard
    key = key_of(asked)
    if guard.counting is None or guard.counting.key != key:
        guard.counting = Counting(key, _known(guard, decision, key))
    counting = guard.counting
    if counting.estimate is None:
        judge = session.judge
        if judge.search_path is None and not counting.has_looked:
            counting.has_looked = True
            session.wait = Wait.EXCHANGE
            deciding.ask_session(session, Need.STATE)
            return None
        question = RowsQuestion(asked, decision, judge.search_path, judge.acting_role, judge.codec)
        session.wait = Wait.TASK
        session.commands.append(Work(partial(_ask, guard, counting, question)))
        return None
    found = counting.estimate
    verdict = session.judge.policy.decide(decision.facts, found.rows, found.why)
    slip = None
    if found.sqlstate in _SLIPS and not (verdict.is_allow or session.judge.has_own_ddl):
        hint = f"gatepost: the planner was asked because of rule {verdict.rule}."
        slip = Refusal(found.sqlstate, found.why.removeprefix(PLANNER_SAYS), hint)
    return replace(decision, verdict=verdict, slip=slip)


def key_of(asked: Asked) -> bytes:
    """Return what tells a statement with its parameters from others in the same session."""
    sizes = f"{len(asked.raw)} {asked.types} ".encode()
    return blake2b(sizes + asked.raw + asked.bound, digest_size=16).digest()


def estimate_of(session: Session, asked: Asked) -> Estimate | None:
    """Return what is known already of the message that is being dealt with."""
    counting = session.guard.counting
    if counting is None or counting.key != key_of(asked):
        return None
    return counting.estimate


def limit_above(session: Session, decision: Decision) -> int | None:
    """Return the number of rows above which a run is not what was decided, None = there is none.

    What was held on an unknown number of rows was approved for any.
    """
    counting = session.guard.counting
    if counting is None or counting.estimate is None or counting.estimate.rows is None:
        return None
    if decision.verdict.action is Action.BLOCK:
        return None
    rows = counting.estimate.rows
    return next((limit for limit in decision.row_limits if limit >= rows), None)


def bound(session: Session, portal: Portal, decision: Decision) -> None:
    """Keep with a portal what its Executes must know."""
    counting = session.guard.counting
    if counting is None:
        return
    portal.row_limit = limit_above(session, decision)
    portal.row_key = counting.key
    portal.known_rows = counting.estimate.rows if counting.estimate else None
    dealt_with(session)


def judged_again(policy: Policy, portal: Portal, decision: Decision) -> Decision:
    """Return the decision on a portal by a newer policy; nobody is asked between Bind and Execute.

    What was not counted at its Bind, since no rule asked, counts as too many.
    """
    facts = decision.facts
    limits = policy.row_limits(facts)
    rows = portal.known_rows if portal.row_key else None
    verdict = policy.decide(facts, rows if limits else 0)
    decision = replace(decision, verdict=verdict, row_limits=limits)
    if rows is not None:
        portal.row_limit = next((limit for limit in limits if limit >= rows), None)
    return decision


def dealt_with(session: Session) -> None:
    """Forget what was asked about a message that has been forwarded or refused."""
    session.guard.counting = None


def _known(guard: RowGuard, decision: Decision, key: bytes) -> Estimate | None:
    """Return what needs not be asked: the number itself, or one that is far below all limits."""
    touched = guard.touched.get(key)
    if touched is not None:
        return Estimate(touched)
    times, most = guard.usual.get(decision.facts.statements[0].fingerprint) or (0, 0)
    if times >= _IN_A_ROW and most * _FAR <= decision.row_limits[0]:
        return Estimate(most)
    return None


def _ask(guard: RowGuard, counting: Counting, question: RowsQuestion) -> None:
    """Ask the target's planner; off the loop."""
    counting.estimate = guard.ask(question) if guard.ask is not None else _NOBODY
