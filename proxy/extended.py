"""The client's messages of the extended protocol: Parse, Bind, Execute and what goes with them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from appliance.errors import JournalUnavailable, ProtocolError
from appliance.masking.texts import with_mask
from appliance.policy.verdict import Action
from appliance.recording.recorder import State
from proxy import counting, guard, held, held_extended, hold_words, masked_run, refusal
from proxy.deciding import (
    FORWARD,
    WAIT,
    decided,
    disk_failed,
    not_certain,
    not_in_copy,
    note_sql_prepare,
    unrecorded,
)
from proxy.decision import Decision
from proxy.inflight import InFlight, Kind
from proxy.refusal import Refusal
from proxy.statements import Portal, Prepared
from proxy.wire import bindings, frontend

if TYPE_CHECKING:
    from proxy.session import Session

_HEADER = struct.Struct("!i")
LARGE: Final = 64 << 10  # bytes: a larger Bind is recorded in part, and streamed
_PORTAL = b"\0portal "  # before its name where statements are named too
_UNKNOWN_STATEMENT = b"EXECUTE gatepost_unknown_statement"


def parse(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    not_in_copy(session)
    body = bytes(view[pos + 5 : end])
    name_end = body.find(b"\0")
    text_end = body.find(b"\0", name_end + 1)
    if name_end < 0 or text_end < 0:
        raise ProtocolError("client", "Parse without its two strings")
    sent_name, raw = body[:name_end], body[name_end + 1 : text_end]
    name = session.key(sent_name)
    if not_certain(session, name) if name else not_certain(session):
        return WAIT
    found = decided(session, raw, Kind.PARSE)
    if found is None:
        return WAIT
    decision, item = found
    types = _types(body, text_end + 1)
    is_asked = decision.row_limits or held.is_held(session, decision)
    if is_asked and session.gate.closed is None:
        if held_extended.parse_waits(session, view, pos, end, name, raw, types, decision):
            return WAIT
        item.refusal = None  # it runs nothing: its Bind is what waits
    item.prepared = Prepared(raw, decision, types)
    before = session.statements.get(name)
    session.statements[name] = item.prepared
    session.touching[name] = session.batch
    item.undo = _restore(session, name, before, item.prepared)
    session.unsynced = True
    if item.refusal is not None:
        try:
            item.records = session.record(raw, decision, (), State.REFUSED)
        except JournalUnavailable:
            item.refusal = unrecorded()
        session.queue.push(item)
        session.skipping = True  # as the target will: nothing up to the next Sync is looked at
        return refusal.parse(item.refusal, sent_name)
    session.queue.push(item)
    return FORWARD


def _types(body: bytes, offset: int) -> tuple[int, ...]:
    """Return the parameter types that a Parse gives. Raises ProtocolError."""
    try:
        (count,) = struct.unpack_from("!H", body, offset)
        return struct.unpack_from(f"!{count}I", body, offset + 2)
    except struct.error:
        raise ProtocolError("client", "Parse with fewer parameter types than it says") from None


def _restore(
    session: Session, name: bytes, before: Prepared | None, now: Prepared | None
) -> Callable[[], None]:
    """Return what puts the statement map back when the target did not take the message.

    A failing unnamed Parse has destroyed the unnamed statement; a failing named one keeps the old.
    """

    def undo() -> None:
        if session.statements.get(name) is not now:
            return  # a later batch has made the unnamed one anew
        if before is None or not name:
            session.statements.pop(name, None)
        else:
            session.statements[name] = before

    return undo


def bind(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    not_in_copy(session)
    body = bytes(view[pos + 5 : end])
    portal_name, statement_name, offset = frontend.bind_names(body)
    portal_name, statement_name = session.key(portal_name), session.key(statement_name)
    portal_key = _PORTAL + portal_name
    if not_certain(session, statement_name, *((portal_key,) if portal_name else ())):
        return WAIT
    prepared = session.statements.get(statement_name)
    raw = prepared.raw if prepared is not None else _UNKNOWN_STATEMENT
    decision = session.decide(raw)  # again: policy, search_path or catalog may have changed
    if decision is None:
        return WAIT
    item = InFlight(Kind.BIND, started=time.monotonic())
    item.refusal = session.refuses(decision)
    by_sql = prepared is None or prepared.is_sql
    text = b'EXECUTE "' + statement_name.replace(b'"', b'""') + b'"' if by_sql else raw
    types = prepared.oids if prepared is not None else ()
    shown_types = prepared.types if prepared is not None else ()
    if item.refusal is not None and prepared is None:
        item.refusal = _does_not_exist(statement_name)
    elif session.hold is not None or decision.row_limits or held.is_held(session, decision):
        asked = held_extended.asked_at_bind(session, body, offset, raw, text, types, shown_types)
        settled = held_extended.settled_bind(session, view, pos, end, item, decision, asked)
        if settled is None:
            return WAIT
        decision = settled
    if not item.records and not _record_bind(
        session, item, decision, body, offset, text, shown_types
    ):
        return WAIT
    session.queue.push(item)
    session.unsynced = True
    if item.refusal is not None:
        counting.dealt_with(session)
        session.skipping = True
        return refusal.bind(item.refusal)
    bound = prepared or Prepared(raw, decision)
    bound.decision = decision
    bound.is_recorded = True
    portal = item.portal = Portal(bound, item.records[0], session.judge.policy)
    portal.released_rule, portal.released = item.released_rule, item.released
    portal.checked_at = item.started
    if session.judge.masking is not None:
        portal.masks = session.judge.masks
        session.cursors.bound(portal_name)
    counting.bound(session, portal, decision)
    before = session.portals.get(portal_name) if portal_name else None
    session.portals[portal_name] = portal
    session.touching[portal_key] = session.batch
    item.undo = _restore_portal(session, portal_name, before, portal)
    return FORWARD


def _record_bind(
    session: Session,
    item: InFlight,
    decision: Decision,
    body: bytes,
    offset: int,
    text: bytes,
    types: tuple[int, ...],
) -> bool:
    """Journal a Bind that was not held; returns False when the client must wait for the disk."""
    ready, session.ready_records = session.ready_records, None
    if ready is not None:
        item.records = ready
        if disk_failed(session):
            item.refusal = unrecorded()
        return True
    state = State.SENT if item.refusal is None else State.REFUSED
    codec = session.judge.codec
    parameters = bindings.bind_parameters(body, offset, held_extended.RECORDED, types, codec)
    try:
        item.records = session.record(text, decision, parameters, state, whole=True)
    except JournalUnavailable:
        item.refusal = unrecorded()
    return item.refusal is not None or not session.waits_for_disk(decision, item.records)


def _restore_portal(
    session: Session, name: bytes, before: Portal | None, now: Portal
) -> Callable[[], None]:
    """Return what puts the map of portals back when the target did not take the Bind."""

    def undo() -> None:
        if session.portals.get(name) is not now:
            return
        if before is None:
            del session.portals[name]
        else:
            session.portals[name] = before

    return undo


def _does_not_exist(statement: bytes) -> Refusal:
    """Return what PostgreSQL says: drivers prepare again on it. Nothing runs all the same."""
    name = statement.decode("utf-8", "replace")
    what = f'prepared statement "{name}"' if name else "unnamed prepared statement"
    return Refusal("26000", f"{what} does not exist").armed()


def execute(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    if session.guard.run is not None:
        return guard.over(session)
    not_in_copy(session)
    body = bytes(view[pos + 5 : end])
    name_end = body.find(b"\0")
    if name_end < 0 or len(body) != name_end + 5:
        raise ProtocolError("client", "Execute of a wrong length")
    name = session.key(body[:name_end])
    if not_certain(session, _PORTAL + name):
        return WAIT
    portal = session.portals.get(name)
    item = InFlight(Kind.EXECUTE, started=time.monotonic())
    item.max_rows = _HEADER.unpack_from(body, name_end + 1)[0]
    found = _of_cursor(session, name, item) if portal is None else _of_portal(session, portal, item)
    if found is None:
        return WAIT
    raw, decision = found
    item.decision = decision
    item.portal = portal
    session.unsynced = True
    if item.refusal is not None:
        session.queue.push(item)
        session.skipping = True
        return refusal.execute(item.refusal)
    session.barrier = session.barrier or decision.barrier
    note_sql_prepare(session, raw, item, decision)
    if session.judge.masking is not None:
        session.cursors.goes(item, raw, decision)
        return masked_run.execute(session, item, raw, decision, body[:name_end])
    session.queue.push(item)
    if portal is not None and portal.row_limit is not None:
        return guard.run_execute(session, item, portal, body[:name_end])
    return FORWARD


def _of_cursor(session: Session, name: bytes, item: InFlight) -> tuple[bytes, Decision] | None:
    """Decide on a cursor that SQL declared; None = wait. What it reads was decided at DECLARE."""
    shown = name or b"(unnamed)"  # SQL has no way to name that one
    raw = b'FETCH ALL FROM "' + shown.replace(b'"', b'""') + b'"'
    decision = session.decide(raw)
    if decision is None:
        return None
    item.refusal = _refuses(session, decision)
    state = State.SENT if item.refusal is None else State.REFUSED
    try:
        item.records = session.record(raw, decision, (), state)[:1]
    except JournalUnavailable:
        item.refusal = unrecorded()
    return raw, decision


def _of_portal(session: Session, portal: Portal, item: InFlight) -> tuple[bytes, Decision] | None:
    """Decide again on what was bound; None = wait. What it means was settled at its Bind."""
    if portal.released is not None and not held_extended.looked_again(session, portal, item):
        return None
    raw, decision = portal.prepared.raw, portal.decision
    policy = session.judge.policy
    if session.judge.masks is not portal.masks:
        decision = portal.decision = session.judge.masked_again(decision)
        portal.masks = session.judge.masks
    if portal.policy is not policy:
        decision = counting.judged_again(policy, portal, decision)
        decision = replace(decision, verdict=with_mask(decision.verdict, decision.mask))
    item.refusal = item.refusal or _refuses(session, decision, portal.released_rule)
    item.records = (portal.seq,)
    if item.refusal is not None:
        with suppress(JournalUnavailable):
            item.records = session.record(raw, decision, (), State.REFUSED)[:1]
    elif portal.row_limit is not None and session.queue:
        session.wait_for_answers()  # what is guarded is alone on its way
        return None
    return raw, decision


def _refuses(session: Session, decision: Decision, released_rule: str = "") -> Refusal | None:
    """Return the refusal of an Execute: what is to be held by now was bound before."""
    found = session.refuses(decision, released_rule)
    if found is not None and decision.verdict.action is Action.HOLD:
        return (session.gate.closed or hold_words.run_again()).armed()
    return found


def describe(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    not_in_copy(session)
    item = InFlight(Kind.DESCRIBE)
    name = session.key(bytes(view[pos + 6 : end - 1]))
    if end - pos > 6 and view[pos + 5] == ord("S"):
        item.prepared = session.statements.get(name)
    else:
        item.portal = session.portals.get(name)
    session.unsynced = True
    session.queue.push(item)
    return FORWARD


def close(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    item = InFlight(Kind.CLOSE)
    if end - pos < 7:
        raise ProtocolError("client", "Close of a wrong length")
    not_in_copy(session)
    name = session.key(bytes(view[pos + 6 : end - 1]))
    is_statement = view[pos + 5] == ord("S")
    key = name if is_statement else _PORTAL + name
    if not_certain(session, key):
        return WAIT
    session.touching[key] = session.batch
    if is_statement:
        before = session.statements.pop(name, None)
        if before is not None:
            item.undo = _restore(session, name, before, None)
    else:
        session.portals.pop(name, None)
    session.unsynced = True
    session.queue.push(item)
    return FORWARD


def sync(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    if session.hold is not None:
        held.overtaken(session)
    session.skipping = session.unsynced = False
    session.batch += 1
    session.queue.push(InFlight(Kind.SYNC))
    return FORWARD


def flush(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    return FORWARD
