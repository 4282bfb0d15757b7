"""Looks at a bound statement before it runs: does it still mean what was decided about its masks?

What a statement computes has no origin in its RowDescription, so that alone would not show that a
view or a function has changed since the catalog was read. Once a statement is bound, the target's
locks keep what it uses as it is. So it is bound and described, the target is asked whether all
that the plan rests on still stands, and only then it runs; else the catalog is read anew, and
where the plan is another one by then, a poison follows (8-wire-facts.md F).

A Query goes as Parse / Bind / Describe, and its Execute by ``guard``. Of a script nothing can be
bound: it is asked right before. Whatever else a masked session executes is described first: from
its answer the plan of the rows is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from appliance.masking.standing import question, stands
from appliance.masking.texts import is_touched
from appliance.masking.values import Dependency, MaskPlan
from appliance.recording.recorder import State
from appliance.sql.catalog_pins import qualified
from appliance.sql.dependencies import Kind as Rests
from proxy import copy_masking, counting, deciding, guard, refusal
from proxy.commands import Prepare, Wait, Work
from proxy.deciding import FLUSH, FORWARD, SYNC, WAIT
from proxy.decision import Decision, Need
from proxy.expected import note_executed
from proxy.inflight import InFlight, Kind
from proxy.masked_results import dialect_of, disagrees
from proxy.own import exchange
from proxy.refusal import Refusal
from proxy.statement_kinds import BOUND, ROWLESS
from proxy.wire import codes, frontend

if TYPE_CHECKING:
    from proxy.session import Session
    from proxy.statements import Portal

_IDLE: Final = ord("I")
_SNAPSHOT: Final = "snapshot "  # begins an answer of names alone
# An open cursor keeps the meaning of its names.
_NAMES: Final = frozenset({Rests.NAME, Rests.PATH})
_STEPS: Final = (Kind.PARSE, Kind.BIND, Kind.EXECUTE, Kind.CLOSE, Kind.CLOSE)


@dataclass(slots=True)
class Check:
    """One statement that is looked at. ``portal``: the client's and its name at the target.

    ``is_script``: nothing of it is bound, it goes as it came. ``row``: the step that brings the
    answer to the question.
    """

    raw: bytes
    portal: Portal | None = None
    name: bytes = b""
    is_script: bool = False
    depends: tuple[Dependency, ...] = ()
    steps: list[InFlight] = field(default_factory=list)
    row: InFlight | None = None
    description: bytes | None = None
    is_answered: bool = False
    is_elsewhere: bool = False  # another connection is asked, or was
    elsewhere: bytes | None = None  # what it said
    is_looking: bool = False  # the catalog is read anew

    def described(self, message: bytes) -> None:
        self.description = message


def waits(session: Session, item: InFlight, decision: Decision) -> bool:
    """Return whether a Query must wait: what is looked at is alone on its way."""
    if not decision.must_check or item.refusal is not None or not session.queue:
        return False
    session.wait_for_answers()
    return True


def query(session: Session, item: InFlight, raw: bytes, decision: Decision) -> bytes | None:
    """Look at a Query, which is alone in flight, and run it."""
    session.queue.pop()
    limit = counting.limit_above(session, decision) if decision.row_limits else None
    check = Check(raw, is_script=not _can_be_bound(session, decision))
    run = guard.begin(session, item, decision, limit)
    if not check.is_script:
        session.unsynced = True  # what is asked meanwhile must not end its transaction
        form = 1 if session.cursors.is_binary(decision.lineage) else 0
        session.to_upstream += (
            frontend.Parse(b"", raw).encode(),
            frontend.Bind(b"", b"", result_formats=(form,)).encode(),
            frontend.Describe(codes.PORTAL, b"").encode(),
        )
        check.steps += (session.own(Kind.PARSE), session.own(Kind.BIND))
    return _ask(session, run, check)


def _can_be_bound(session: Session, decision: Decision) -> bool:
    """Return whether a Query can go as Parse, Bind, Execute and do the same."""
    if not decision.is_single:
        return False
    statement = decision.facts.statements[0]
    if statement.copy == "in" or statement.kind not in BOUND:
        return False
    # Behind what was asked before it, the target would take it for one of a transaction block.
    return statement.kind != "DeclareCursorStmt" or session.status != _IDLE


def execute(
    session: Session, item: InFlight, raw: bytes, decision: Decision, name: bytes
) -> bytes | None:
    """Look at what an Execute would run, as far as that is needed; ``name``: as it was sent."""
    portal = item.portal
    is_guarded = portal is not None and portal.row_limit is not None
    if decision.must_check or is_guarded:
        run = guard.begin(session, item, decision, None)
        session.to_upstream.append(frontend.Describe(codes.PORTAL, name).encode())
        return _ask(session, run, Check(raw, portal, name))
    if any(statement.kind not in ROWLESS for statement in decision.facts.statements):
        session.to_upstream.append(frontend.Describe(codes.PORTAL, name).encode())
        describe = session.own(Kind.DESCRIBE)
        describe.on_description = partial(_planned, session, item)
        describe.ahead_of = item
    session.queue.push(item)
    return FORWARD


def _planned(session: Session, item: InFlight, message: bytes) -> None:
    if session.planner is not None:
        item.plan = session.planner.plan(item, message)


def _ask(session: Session, run: guard.Run, check: Check) -> bytes | None:
    """Send the questions behind what is bound, and wait for their answers."""
    mask = run.decision.mask
    check.depends = () if mask is None or not mask.must_check else mask.depends
    kinds = {statement.kind for statement in run.decision.facts.statements}
    if not run.is_query and not kinds <= BOUND:
        check.depends = ()
    if _fetches(run.decision):
        check.depends = tuple(one for one in check.depends if one.kind not in _NAMES)
    if not check.is_script:
        describe = session.own(Kind.DESCRIBE)
        describe.on_description = check.described
        check.steps.append(describe)
        if mask is not None and mask.copy is not None:
            check.steps += copy_masking.describe(session, run.item, check.raw, mask)
    if check.depends:
        session.to_upstream.append(exchange(_question(check), synced=check.is_script))
        asked = [session.own(kind) for kind in _STEPS]
        check.row = asked[2]
        check.steps += asked
        if check.is_script:
            check.steps.append(session.own(Kind.SYNC))
    run.on_look = partial(_look, session, run, check)
    if not check.steps:
        check.is_answered = True
        session.wait = Wait.NOTHING
        return _look(session, run, check)
    if not check.depends:
        session.to_upstream.append(FLUSH)
    check.steps[-1].on_done = partial(_answered, session, run, check)
    session.wait = Wait.EXCHANGE
    return WAIT


def _question(check: Check) -> str:
    """Return the question; of names alone where the transaction has a snapshot of its own.

    There the session would see the catalog as it was, and the target plans by the one of now. What
    a name stands for is looked up as planning does, though.
    """
    names, _ = _apart(check.depends)
    return qualified(
        f"""SELECT CASE WHEN pg_catalog.current_setting('transaction_isolation') = ANY (
          ARRAY['read committed', 'read uncommitted']) THEN ({question(check.depends)})
          ELSE pg_catalog.concat('{_SNAPSHOT}', ({question(names)})) END"""
    )


def _apart(
    depends: tuple[Dependency, ...],
) -> tuple[tuple[Dependency, ...], tuple[Dependency, ...]]:
    """Return what only the session itself can say, and what every connection can."""
    names = tuple(one for one in depends if one.kind in _NAMES)
    return names, tuple(one for one in depends if one.kind not in _NAMES)


def _stands(session: Session, check: Check) -> bool | None:
    """Return whether all stands that the plan rests on; None = somebody else is being asked."""
    answer = (check.row.row if check.row else None) or b""
    if not answer.startswith(_SNAPSHOT.encode()):
        return stands(answer, check.depends)
    names, rest = _apart(check.depends)
    if not stands(answer[len(_SNAPSHOT) :], names):
        return False
    if check.is_elsewhere or not rest:
        return not rest or stands(check.elsewhere, rest)
    check.is_elsewhere = True

    def ask() -> None:
        if session.elsewhere is not None:
            check.elsewhere = session.elsewhere(question(rest))

    session.wait = Wait.TASK
    session.commands.append(Work(ask))
    return None


def _answered(session: Session, run: guard.Run, check: Check) -> None:
    """Go on with the client's message: all is answered, or something has failed."""
    sqlstate = next((step.sqlstate for step in check.steps if step.sqlstate), "")
    failed = session.skipping or bool(sqlstate)
    if not failed or check.is_script:
        check.is_answered = True
        session.resume()
        return
    item = run.item
    if run.is_query:
        session.skipping = session.unsynced = False
        for seq in item.records:
            session.outcome(seq, State.FAILED, item, sqlstate=sqlstate)
        note_executed(session, item)
        if item.undo is not None:
            item.undo()
        session.queue.push(item)
        session.to_upstream.append(SYNC)
        run.on_look = None
        run.is_over = True
        session.wait = Wait.DRAIN
        return
    if sqlstate and (item.portal is None or not item.portal.is_done):
        for seq in item.records:
            session.outcome(seq, State.FAILED, item, sqlstate=sqlstate)
        if item.portal is not None:
            item.portal.is_done = True
    if item.undo is not None:
        item.undo()
    session.guard.run = None
    session.resume()


def _look(session: Session, run: guard.Run, check: Check) -> bytes | None:
    """Let it run, refuse it, or look anew; returns what is to happen with the client's message."""
    if not check.is_answered:
        session.wait = Wait.EXCHANGE
        return WAIT
    if check.is_looking:
        decision = session.decide(check.raw)
        if decision is None:
            return WAIT
        no = session.refuses(decision, run.item.released_rule)
        if no is None and not _is_same(decision, run.decision):
            no = _changed()
        return _settled(session, run, check, no)
    still = not check.depends or _stands(session, check)
    if still is None:
        return WAIT
    if not still:
        if _fetches(run.decision) or (check.is_elsewhere and session.judge.has_own_ddl):
            return _refuse(session, run, check, _changed())
        return _look_anew(session, check)
    return _settled(session, run, check, None)


def _settled(session: Session, run: guard.Run, check: Check, no: Refusal | None) -> bytes | None:
    """Let what still means what was decided run, unless its result is not the one expected."""
    mask = run.decision.mask
    if no is not None:
        return _refuse(session, run, check, no)
    if mask is not None and mask.copy is None and disagrees(mask, check.description):
        session.judge.distrust()
        return _refuse(session, run, check, _changed())
    if mask is not None and mask.copy is not None and is_touched(mask):
        why = copy_masking.why_not(mask.copy, dialect_of(session))
        if why:
            hint = "Leave out that option, or select the rows instead of copying them."
            return _refuse(session, run, check, Refusal("42501", f"gatepost: {why}", hint).armed())
    return _go(session, run, check)


def _fetches(decision: Decision) -> bool:
    return any(statement.kind == "FetchStmt" for statement in decision.facts.statements)


def _look_anew(session: Session, check: Check) -> bytes:
    """Have names and catalog read again; what is bound keeps them as they are meanwhile."""
    check.is_looking = True
    judge = session.judge
    judge.distrust()
    if judge.has_own_ddl:
        session.wait = Wait.EXCHANGE
        deciding.ask_session(session, Need.OVERLAY)
    else:
        judge.wants_newest = True
        session.wait = Wait.TASK
        session.commands.append(Prepare(Need.CATALOG, check.raw))
    return WAIT


def _is_same(now: Decision, before: Decision) -> bool:
    """Return whether a statement may show the same as when it was decided on."""
    if now.facts.statements != before.facts.statements:
        return False
    return _essence(now.mask) == _essence(before.mask)


def _essence(mask: MaskPlan | None) -> MaskPlan:
    return MaskPlan(()) if mask is None else replace(mask, depends=(), must_check=False)


def _changed() -> Refusal:
    return Refusal(
        "40001",
        "gatepost: definitions that decide about masked columns changed meanwhile",
        "Run it again.",
    ).armed()


def _go(session: Session, run: guard.Run, check: Check) -> bytes | None:
    """Run what was looked at, by the masks of now."""
    item = run.item
    if check.is_script:
        session.guard.run = None
        session.queue.push(item)
        return FORWARD
    if check.description is not None:
        _planned(session, item, check.description)
    if run.is_query:
        if check.description is not None:
            shown = check.description
            plan = item.plan
            session.to_client.append(shown if plan is None else plan.description(shown))
        session.queue.push(item)
        return guard.execute_query(session, run)
    session.guard.run = None
    session.queue.push(item)
    if check.portal is not None and check.portal.row_limit is not None:
        return guard.run_execute(session, item, check.portal, check.name)
    return FORWARD


def _refuse(session: Session, run: guard.Run, check: Check, no: Refusal) -> bytes:
    """Let it fail in the transaction in which it is bound."""
    item = run.item
    item.refusal, item.is_noted = no, True
    for seq in item.records:
        session.outcome(seq, State.REFUSED, item, sqlstate=no.sqlstate)
    session.queue.push(item)
    run.on_look = None
    if check.is_script:
        session.guard.run = None
        return refusal.query(no)
    if run.is_query:
        session.unsynced = False
        session.to_upstream += (refusal.execute(no), SYNC)
        run.is_over = True
        session.wait = Wait.DRAIN
        return WAIT
    if item.portal is not None:
        item.portal.is_done = True
    session.guard.run = None
    session.skipping = True
    return refusal.execute(no)
