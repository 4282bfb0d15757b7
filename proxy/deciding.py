"""Decide and record one message before it goes on, or ask for what a decision needs."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from appliance.errors import JournalUnavailable, ProtocolError
from appliance.policy.slips import slip_of
from appliance.policy.wording import refusal_text
from appliance.recording.recorder import State
from appliance.sql.catalog import CATALOG_SQL, STATE_SQL, Catalog, SessionState
from proxy.commands import Wait, Work
from proxy.decision import Decision, Need
from proxy.inflight import InFlight, Kind
from proxy.own import exchange
from proxy.refusal import Refusal
from proxy.statements import Prepared

if TYPE_CHECKING:
    from proxy.session import Session

FLUSH: Final = b"H\0\0\0\4"
SYNC: Final = b"S\0\0\0\4"

MANY: Final = 64  # statements of a script: more are recorded off the loop

# What a handler returns instead of replacement bytes.
FORWARD: Final = None
WAIT: Final = b"wait"  # compared by identity: leave the message where it is, look again later


def refusal_of(decision: Decision) -> Refusal:
    """Return what the client is told about a verdict that is not allow."""
    return as_the_target_would(decision) or Refusal("42501", *refusal_text(decision.verdict))


def as_the_target_would(decision: Decision) -> Refusal | None:
    """Return the target's own error for a text that nothing is wrong with but a slip of the pen."""
    if decision.slip is not None:
        return decision.slip
    slip = slip_of(decision.verdict, decision.facts)
    return Refusal(slip.sqlstate, slip.message, slip.hint) if slip else None


def unrecorded() -> Refusal:
    return Refusal(
        "57P03",
        "gatepost: the journal cannot take the record of this statement, so it was not run",
        "Nothing is wrong with the statement: the gateway's disk is. Try again later.",
    ).armed()


def disk_failed(session: Session) -> bool:
    """Return, once, whether the disk refused the record that the client waited for."""
    failed, session.ready_failed = session.ready_failed, False
    return failed


def decided(session: Session, raw: bytes, kind: Kind) -> tuple[Decision, InFlight] | None:
    """Decide and refuse or prepare the entry of a message; None = wait."""
    decision = session.decide(raw)
    if decision is None:
        return None
    item = InFlight(kind, started=time.monotonic())
    item.decision = decision
    item.refusal = session.refuses(decision)
    return decision, item


def record(session: Session, raw: bytes, item: InFlight, decision: Decision) -> bool:
    """Journal a Query; returns False when the client must wait for the disk."""
    if session.ready_records is not None:
        item.records, session.ready_records = session.ready_records, None
        if disk_failed(session):
            item.refusal = unrecorded()
        return True
    state = State.SENT if item.refusal is None else State.REFUSED
    if len(decision.parts) > MANY:
        session.wait = Wait.TASK
        session.commands.append(Work(partial(session.record_ahead, raw, decision, state)))
        return False
    try:
        item.records = session.record(raw, decision, (), state)
    except JournalUnavailable:
        item.refusal = unrecorded()
        return True
    return item.refusal is not None or not session.waits_for_disk(decision, item.records)


def not_in_copy(session: Session) -> None:
    if session.queue.copy_in:
        raise ProtocolError("client", "a new statement came in the middle of COPY FROM STDIN")


def not_certain(session: Session, *names: bytes) -> bool:
    """Return whether a message must wait: what it names may not be what it seems."""
    if session.queue and (session.barrier or any(map(session.is_uncertain, names))):
        session.wait_for_answers()
        return True
    return False


def sync_first(session: Session) -> bytes:
    """End the un-synced batch before a Query: behind it PostgreSQL 18 can lose rows.

    (8-wire-facts.md A.) When the batch has failed, the target skips the Query too, and so do we.
    """
    if session.queue:
        session.wait_for_answers()
    else:
        session.to_upstream.append(SYNC)
        session.own(Kind.SYNC)
        session.unsynced = False
        session.wait = Wait.DRAIN
    return WAIT


def note_sql_prepare(session: Session, raw: bytes, item: InFlight, decision: Decision) -> None:
    """PREPARE makes what Bind and EXECUTE can name: one namespace for both.

    When it fails, a lone one has changed nothing. In a script nobody knows how far it came: then
    its names stand for nothing known, which is the strictest.
    """
    names = [s.prepares.encode() for s in decision.facts.statements if s.prepares is not None]
    if not names:
        return
    statements = session.statements
    before = {name: statements.get(name) for name in names} if decision.is_single else {}
    for name in names:
        statements[name] = Prepared(raw, decision, is_sql=True)

    def undo() -> None:
        for name in names:
            old = before.get(name)
            if old is None:
                statements.pop(name, None)
            else:
                statements[name] = old

    item.undo = undo


def ask_session(session: Session, need: Need) -> None:
    """Put an exchange of the gateway's own on the target connection; its answers are swallowed.

    Named messages, so that the client's unnamed statement and portal stay; closed with a Sync
    only where the client is synced, so that no transaction ends by it.
    """
    synced = not session.unsynced
    sql = STATE_SQL if need is Need.STATE else CATALOG_SQL

    def done(row: bytes | None) -> None:
        judge = session.judge
        if need is Need.STATE:
            if row:
                judge.names_are(SessionState.from_json(row))
        elif row:
            judge.overlay_is(Catalog.from_json(row))
        if not row and not session.skipping:
            judge.got_no_answer()
        session.resume()

    session.to_upstream.append(exchange(sql, synced=synced))
    session.own(Kind.PARSE)
    session.own(Kind.BIND)
    execute = session.own(Kind.EXECUTE)
    session.own(Kind.CLOSE)
    last = session.own(Kind.CLOSE)
    if synced:
        last = session.own(Kind.SYNC)
    last.on_done = lambda: done(execute.row)


def forget_deallocated(session: Session, head: InFlight, tag: str) -> None:
    """Drop what was deallocated, else the names of a long session would pile up."""
    statements = session.statements
    if tag != "DEALLOCATE":
        unnamed = statements.get(b"")
        statements.clear()
        if unnamed is not None:
            statements[b""] = unnamed
    elif head.decision is not None and head.at < len(head.decision.facts.statements):
        name = head.decision.facts.statements[head.at].deallocates
        statements.pop((name or "").encode("utf-8", "surrogateescape"), None)
