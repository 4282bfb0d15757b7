"""Takes a message that a human must decide on from one step to the next: record, ask, release.

A handler that finds such a verdict calls ``settle`` each time it looks at its message. What takes
time is asked for in commands; the message stays at the head of the client's, so all behind it
waits in order.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from appliance.approvals.deed import deed_of
from appliance.errors import JournalUnavailable
from appliance.policy.verdict import Action
from appliance.recording.recorder import State
from proxy import deciding, hold_words
from proxy.commands import AwaitDisk, OpenHold, PassCancel, Prepare, Wait, Work
from proxy.decision import Decision, Need
from proxy.holds import Asked, Hold, Meaning, Stage
from proxy.inflight import InFlight, Kind
from proxy.refusal import Refusal

if TYPE_CHECKING:
    from proxy.session import Session

LARGEST: Final = 1 << 20  # bytes of a text, or of a Bind, that can wait for somebody to look at it
_IDLE = ord("I")


def is_held(session: Session, decision: Decision) -> bool:
    """Return whether a human has to decide: not where the target itself would only say no."""
    return (
        session.gate.closed is None
        and decision.verdict.action is Action.HOLD
        and deciding.as_the_target_would(decision) is None
    )


def record(
    session: Session,
    raw: bytes,
    item: InFlight,
    decision: Decision,
    asked: Asked | None = None,
) -> bool:
    """Journal a Query or FunctionCall, held where the verdict says so; False = it must wait."""
    if session.hold is not None or is_held(session, decision):
        if not settle(session, item, decision, asked or Asked(raw, raw)):
            return False
        if item.records:
            return True
    return deciding.record(session, raw, item, decision)


def settle(session: Session, item: InFlight, decision: Decision, asked: Asked) -> bool:
    """Take a held message one step further; returns False when the client must wait.

    Afterwards ``item`` has its records, and a refusal where it must not run. Without records it
    is not held (any more): what the decision says counts.
    """
    if session.hold is not None and not session.hold.is_for(asked):
        overtaken(session)  # it waits no longer where something else has to
    hold = session.hold
    if hold is None:
        if not is_held(session, decision):
            return True
        if session.queue:
            session.wait_for_answers()
            return False
        no = _cannot_wait(session, decision, asked)
        if no is not None:
            item.refusal = no
            return True
        hold = session.hold = Hold(asked)
    if hold.stage is Stage.LOOKING:
        return _open(session, hold, item, decision, asked)
    if hold.is_open:
        session.wait = Wait.HOLD
        return False
    if hold.stage is Stage.APPROVED and not _release(session, hold, decision, asked):
        return False
    if hold.stage is Stage.RELEASED:
        _look_once_more(session, hold, decision, asked)
    _let_go(session, hold, item, decision)
    return True


def _cannot_wait(session: Session, decision: Decision, asked: Asked) -> Refusal | None:
    """Return the no to what nobody is asked about, None = somebody is."""
    if session.failed:
        return hold_words.in_failed_transaction(is_script=not decision.is_single)
    if len(asked.raw) > LARGEST:
        return hold_words.too_large(LARGEST).armed()
    return None


def _let_go(session: Session, hold: Hold, item: InFlight, decision: Decision) -> None:
    """Give the message what the hold came to: it runs, or it is refused."""
    session.hold = None
    item.records = hold.records
    item.refusal = None
    if hold.stage is Stage.ENDED:
        refused = hold.refusal or deciding.unrecorded()
        item.refusal = refused.armed()
        item.is_noted = True
        _note(session, hold, item, hold.state, refused.sqlstate)
        return
    item.released_rule = decision.verdict.rule
    item.released = hold
    if hold.cancel_after:
        session.commands.append(PassCancel())


def overtaken(session: Session) -> None:
    """Forget a hold whose message the target has skipped, after an error before it."""
    hold, session.hold = session.hold, None
    if hold is not None and hold.records:
        _note(session, hold, InFlight(Kind.BIND), State.WITHDRAWN, "")


def _note(session: Session, hold: Hold, item: InFlight, state: State, sqlstate: str) -> None:
    human = hold.human_decision()
    for seq in hold.records:
        session.outcome(seq, state, item, sqlstate=sqlstate, decision=human)


# -- before anybody is asked ---------------------------------------------------------------------


def _open(session: Session, hold: Hold, item: InFlight, decision: Decision, asked: Asked) -> bool:
    """Find out what it means right now, record it as held, and have somebody asked."""
    if hold.cancel_wanted or not is_held(session, decision):
        session.hold = None
        if hold.cancel_wanted:
            item.refusal = hold_words.cancelled().armed()
        return True
    if _looks(session, hold):
        return False
    if not hold.records:
        hold.decision = decision
        hold.meaning = _meaning(session, decision, asked)
        if len(decision.parts) > deciding.MANY:
            session.wait = Wait.TASK
            session.commands.append(Work(partial(_write, session, hold, decision, asked)))
            return False
        _write(session, hold, decision, asked)
    if hold.stage is Stage.ENDED:  # the journal did not take it
        session.hold = None
        item.refusal = deciding.unrecorded()
        return True
    hold.in_transaction = session.status != _IDLE or session.unsynced
    if session.status != _IDLE:
        hold.transaction_s = time.monotonic() - session.transaction_began
    hold.stage = Stage.ASKING
    session.wait = Wait.HOLD
    session.commands.append(OpenHold(hold))
    return False


def _write(session: Session, hold: Hold, decision: Decision, asked: Asked) -> None:
    """Journal what is held; a long script off the loop."""
    deed = hold.meaning.deed.request_hash if hold.meaning else ""
    try:
        hold.records = session.record(
            asked.shown,
            decision,
            asked.parameters,
            State.HELD,
            whole=asked.is_bind,
            request_hash=deed,
        )
        hold.position = session.recorder.position
    except JournalUnavailable:
        hold.ended(deciding.unrecorded())


def _looks(session: Session, hold: Hold) -> bool:
    """Have the next thing read anew on which the meaning of names depends, if one is left."""
    if not hold.looks:
        return False
    need = hold.looks.pop(0)
    if need is Need.CATALOG and not session.judge.has_own_ddl:
        session.judge.wants_newest = True
        session.wait = Wait.TASK
        session.commands.append(Prepare(need, hold.asked.raw))
    else:
        session.wait = Wait.EXCHANGE
        deciding.ask_session(session, Need.OVERLAY if need is Need.CATALOG else need)
    return True


def _meaning(session: Session, decision: Decision, asked: Asked) -> Meaning:
    judge, doer = session.judge, session.doer
    search_path, acting_role = judge.search_path, judge.acting_role
    prepared = {
        name.decode("utf-8", "surrogateescape"): one.raw for name, one in session.statements.items()
    }
    deed = deed_of(
        asked.raw,
        asked.bound,
        doer.identity,
        doer.credential_id,
        session.recorder.session,
        doer.target,
        doer.database,
        doer.role,
        search_path,
        decision.facts,
        judge.catalog,
        prepared,
        acting_role=acting_role,
        parameter_types=asked.types,
        temp_views=judge.temp_views,
    )
    return Meaning(deed, decision.facts, search_path, acting_role)


# -- after the yes -------------------------------------------------------------------------------


def _release(session: Session, hold: Hold, decision: Decision, asked: Asked) -> bool:
    """Check all again and record that it runs; returns False when the client must wait."""
    if session.gate.closed is None and _looks(session, hold):
        return False
    refusal = _why_not(session, hold, decision, asked)
    if refusal is not None:
        hold.ended(refusal)
        return True
    human = hold.human_decision()
    try:
        for seq in hold.records:
            if human is not None:
                session.recorder.sent(seq, human)
    except JournalUnavailable:
        hold.ended(deciding.unrecorded())
        return True
    hold.stage = Stage.RELEASED
    session.wait = Wait.TASK
    session.commands.append(AwaitDisk(session.recorder.position))
    return False


def _look_once_more(session: Session, hold: Hold, decision: Decision, asked: Asked) -> None:
    """See whether anything changed while the disk took the record."""
    if deciding.disk_failed(session):
        hold.ended(deciding.unrecorded())
        return
    refusal = _why_not(session, hold, decision, asked)
    if refusal is not None:
        hold.ended(refusal)


def why_not_as_approved(session: Session, hold: Hold, raw: bytes) -> str | None:
    """Return why what was approved and bound means something else by now; None = wait."""
    if _looks(session, hold):
        return None
    decision = session.decide(raw)
    return None if decision is None else hold.why_changed(_meaning(session, decision, hold.asked))


def _why_not(session: Session, hold: Hold, decision: Decision, asked: Asked) -> Refusal | None:
    """Return why what was approved may not run now, None = it may."""
    if session.gate.closed is not None:
        return session.gate.closed
    settlement, verdict = hold.settlement, decision.verdict
    if settlement is None or hold.may_still is None:
        return hold_words.changed(settlement, "nobody has approved it")
    if verdict.action is Action.BLOCK:
        return hold_words.blocked(verdict)
    why = hold.why_changed(_meaning(session, decision, asked))
    if why:
        return hold_words.changed(settlement, why)
    if verdict.action is Action.HOLD:
        why = hold.may_still(verdict, settlement.by)
        if why:
            return hold_words.no_longer(settlement, why)
    return None
