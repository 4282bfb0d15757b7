"""Runs one statement so that it can be taken back when it touches more rows than a rule allows.

Planners err. So the statement goes to the target without the Sync that would commit it, its tag is
read, and above the limit a poison follows: the implicit or open transaction fails as after any
error. Meanwhile all messages behind it wait, so it is alone in flight, and what the target answers
is looked at by ``ANSWERS`` instead of ``replies.TABLE``.

A Query goes as Parse, Bind, Execute with the unnamed names, which a Query would destroy anyway. A
SELECT is asked for as many rows as it may have, then for one more, which never leaves the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from appliance.policy.verdict import Action
from appliance.recording.recorder import State
from proxy import counting, refusal, replies
from proxy.commands import Wait
from proxy.deciding import FLUSH, SYNC, WAIT
from proxy.decision import Decision
from proxy.expected import DROP, FORWARD
from proxy.holds import Asked
from proxy.inflight import InFlight, Kind
from proxy.refusal import Refusal
from proxy.wire import backend, codes, frontend

if TYPE_CHECKING:
    from proxy.session import Session
    from proxy.statements import Portal

_MOST: Final = 2**31 - 1  # rows that an Execute can ask for


@dataclass(slots=True)
class Run:
    """One guarded statement. ``portal``: as the target has its name.

    ``limit``: None = any number of rows: it is here to be looked at before it runs, by ``on_look``.
    ``passed``: rows that earlier Executes of the portal gave out.
    ``most``: rows its Execute asks for, 0 = all. ``asked_most``: what the client's own asked for.
    ``held_back``: the CommandComplete of a Query, which the client gets once it is committed.
    """

    item: InFlight
    decision: Decision
    limit: int | None
    key: bytes
    portal: bytes = b""
    passed: int = 0
    most: int = 0
    asked_most: int = 0
    is_probing: bool = False  # one more row is asked for: there must be none
    is_synced: bool = False  # of a Query: the end was asked for
    is_over: bool = False  # the client's message has been answered
    held_back: bytes = b""
    tag: str = ""
    rows: int | None = None
    on_look: Callable[[], bytes | None] | None = None

    @property
    def is_query(self) -> bool:
        return self.item.kind is Kind.QUERY

    @property
    def left(self) -> int:
        """Return how many rows may still go."""
        return _MOST + 1 if self.limit is None else max(self.limit - self.passed, 0)

    @property
    def selects(self) -> bool:
        return self.decision.facts.statements[0].kind == "SelectStmt"


def counted_query(
    session: Session, item: InFlight, raw: bytes, decision: Decision
) -> Decision | None:
    """Return the decision on a Query by the rows it would touch; None = the client must wait."""
    if session.gate.closed is not None:
        return decision
    if session.queue:
        session.wait_for_answers()
        return None
    if session.failed:  # nothing of it runs
        return replace(decision, row_limits=())
    found = counting.with_rows(session, decision, Asked(raw, raw))
    if found is not None:
        item.decision = found
        item.refusal = session.refuses(found)
    return found


def run_query(session: Session, item: InFlight, raw: bytes, decision: Decision) -> bytes | None:
    """Send a Query, which is in flight, as the extended messages that do the same, and wait.

    Where no limit is above what was decided, it goes as it came.
    """
    limit = counting.limit_above(session, decision)
    if limit is None:
        counting.dealt_with(session)
        return FORWARD
    run = begin(session, item, decision, limit)
    session.table = ANSWERS
    out = session.to_upstream
    out.append(frontend.Parse(b"", raw).encode())
    out.append(frontend.Bind(b"", b"").encode())
    if run.selects:
        out.append(frontend.Describe(codes.PORTAL, b"").encode())
    _execute(session, run)
    return WAIT


def execute_query(session: Session, run: Run) -> bytes:
    """Run a Query, which is in flight, that is bound already; wait for its end."""
    session.unsynced = False
    session.table = ANSWERS
    session.wait = Wait.EXCHANGE
    run.on_look = None
    if run.limit is None:
        session.to_upstream.append(frontend.Execute(b"", 0).encode())
        _sync(session, run)
    else:
        _execute(session, run)
    return WAIT


def run_execute(session: Session, item: InFlight, portal: Portal, name: bytes) -> bytes:
    """Send an Execute, which is in flight; wait for its tag. ``name``: as the client sent it."""
    run = begin(session, item, portal.decision, portal.row_limit or 0)
    session.table = ANSWERS
    run.portal, run.key, run.asked_most = name, portal.row_key, item.max_rows
    run.passed = portal.rows
    _execute(session, run)
    return WAIT


def over(session: Session) -> bytes | None:
    """Answer the handler that finds its message again: it was sent, and is answered or will be."""
    run = session.guard.run
    if run is not None and run.on_look is not None:
        return run.on_look()
    if run is None or not run.is_over:
        session.wait = Wait.EXCHANGE
        return WAIT
    session.guard.run = None
    return DROP


def begin(session: Session, item: InFlight, decision: Decision, limit: int | None) -> Run:
    """Keep what is to run, alone, until it is over."""
    asking = session.guard.counting
    run = Run(item, decision, limit, asking.key if asking else b"")
    counting.dealt_with(session)
    session.guard.run = run
    session.wait = Wait.EXCHANGE
    return run


def _execute(session: Session, run: Run) -> None:
    run.most = run.asked_most
    is_bounded = run.limit is not None and run.left <= _MOST
    if is_bounded and run.selects and not 0 < run.asked_most <= run.left:
        run.most = run.left
        if run.left == 0:
            _probe(session, run)
            return
    session.to_upstream += (frontend.Execute(run.portal, run.most).encode(), FLUSH)


def _probe(session: Session, run: Run) -> None:
    """Ask for one row more than may leave; it is the gateway's own and goes nowhere."""
    _stand_in(session, run)
    session.to_upstream += (frontend.Execute(run.portal, 1).encode(), FLUSH)


def _stand_in(session: Session, run: Run) -> None:
    run.is_probing = True
    session.queue.pop()
    session.own(Kind.EXECUTE)


# -- what the target answers ---------------------------------------------------------------------


def _run(session: Session) -> Run:
    """Return the run with its own message at the head of the queue again."""
    run = session.guard.run
    if run is None:
        raise AssertionError("nothing is guarded")
    if run.is_probing:
        run.is_probing = False
        session.queue.pop()
        session.queue.push(run.item)
    return run


def _swallow(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    """ParseComplete, BindComplete, NoData, CloseComplete of messages that no client sent."""
    return DROP


def _described(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    was_probing = session.guard.run is not None and session.guard.run.is_probing
    run = _run(session)
    result = replies.TABLE[codes.ROW_DESCRIPTION](session, view, pos, end)
    if was_probing:
        _stand_in(session, run)
    return result


def _complete(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    was_probing = session.guard.run is not None and session.guard.run.is_probing
    run = _run(session)
    tag, rows = backend.command_tag(view[pos + 5 : end])
    message = bytes(view[pos:end])
    if was_probing:  # not one row more
        tag, rows = f"SELECT {run.left}", run.left
        message = backend.CommandComplete(tag.encode()).encode()
    if run.limit is not None:
        if rows is None:  # no tag of what is guarded: nobody has counted
            rows = run.left + 1
        if rows > run.left:
            return _take_back(session, run, tag, rows)
        session.guard.stayed_within(run.decision, rows)
    run.tag, run.rows = tag, rows
    if run.is_query:
        run.held_back = message
        _sync(session, run)
        return DROP
    replies.TABLE[codes.COMMAND_COMPLETE](session, memoryview(message), 0, len(message))
    _finish(session, run)
    return message


def _suspended(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    was_probing = session.guard.run is not None and session.guard.run.is_probing
    run = _run(session)
    if was_probing:
        return _take_back(session, run, f"SELECT {run.left + 1}", run.left + 1)
    if run.most == run.asked_most:  # the client's own bound, within the limit
        result = replies.TABLE[codes.PORTAL_SUSPENDED](session, view, pos, end)
        _finish(session, run)
        return result
    _probe(session, run)
    return DROP


def _take_back(session: Session, run: Run, tag: str, rows: int) -> bytes:
    """Let the transaction fail, and remember the number for the next time."""
    rows += run.passed
    run.tag, run.rows = tag, rows
    session.guard.went_over(run.decision, run.key, rows)
    session.judge.finished(run.decision)  # it ran, as far as names go
    run.item.refusal = taken_back(session, run, rows).armed()
    run.item.is_noted = True
    session.to_upstream.append(refusal.execute(run.item.refusal))
    if run.is_query:
        _sync(session, run)
    return DROP


def taken_back(session: Session, run: Run, rows: int) -> Refusal:
    """Return what the client reads about a statement that was rolled back."""
    verdict = session.judge.policy.decide(run.decision.facts, rows)
    did, so = f"touched {rows:,} rows", "rolled back"
    if run.selects:
        did, so = f"would return more than {run.limit or 0:,} rows", "stopped"
    allows = f'rule "{verdict.rule}" allows {run.limit or 0:,}'
    if verdict.action is Action.HOLD:
        hint = f"Run it again as it is: then {verdict.hint[:1].lower()}{verdict.hint[1:]}"
        return Refusal("42501", f"gatepost: {did}, {allows} without approval: {so}", hint)
    return Refusal("42501", f"gatepost: {did}, {allows}: {so}", verdict.hint)


def _sync(session: Session, run: Run) -> None:
    """End a Query's transaction; its unnamed statement and portal go, as after any Query."""
    if run.is_synced:
        return
    run.is_synced = True
    session.to_upstream += (
        frontend.Close(codes.PORTAL, b"").encode(),
        frontend.Close(codes.STATEMENT, b"").encode(),
        SYNC,
    )


def _error(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    run = _run(session)
    item = run.item
    run.held_back = b""  # it was not committed
    is_ours = item.refusal is not None and refusal.matches(item.refusal, bytes(view[pos + 5 : end]))
    if is_ours:
        for seq in item.records:
            session.outcome(seq, State.FAILED, item, tag=run.tag, rows=run.rows, sqlstate="42501")
        if item.portal is not None:
            item.portal.is_done = True
    result = replies.TABLE[codes.ERROR_RESPONSE](session, view, pos, end)
    if run.is_query:
        _sync(session, run)
    else:
        _finish(session, run)
        session.guard.run = None  # the client's Execute is skipped now, like all up to its Sync
    return result


def _ready(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    run = _run(session)
    if run.held_back:
        for seq in run.item.records:
            session.outcome(seq, State.DONE, run.item, tag=run.tag, rows=run.rows)
    replies.TABLE[codes.READY_FOR_QUERY](session, view, pos, end)
    _finish(session, run)
    return run.held_back + bytes(view[pos:end]) if run.held_back else FORWARD


def _finish(session: Session, run: Run) -> None:
    """Go on with the client's next message once this one's answer is on its way."""
    run.is_over = True
    session.table = replies.TABLE
    if session.wait is Wait.EXCHANGE:
        session.wait = Wait.DRAIN  # looked at again when these bytes have been scanned


ANSWERS: Final = {
    **replies.TABLE,
    codes.PARSE_COMPLETE: _swallow,
    codes.BIND_COMPLETE: _swallow,
    codes.CLOSE_COMPLETE: _swallow,
    codes.NO_DATA: _swallow,
    codes.ROW_DESCRIPTION: _described,
    codes.COMMAND_COMPLETE: _complete,
    codes.PORTAL_SUSPENDED: _suspended,
    codes.ERROR_RESPONSE: _error,
    codes.READY_FOR_QUERY: _ready,
}
