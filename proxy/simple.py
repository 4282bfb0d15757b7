"""The client's messages outside of the extended protocol: Query, COPY, fast path, the end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from appliance.errors import ProtocolError
from appliance.policy.verdict import Action
from proxy import counting, guard, held, held_extended, masked_run, refusal
from proxy.commands import Finish
from proxy.deciding import (
    FORWARD,
    WAIT,
    decided,
    not_in_copy,
    note_sql_prepare,
    record,
    sync_first,
)
from proxy.decision import Decision
from proxy.holds import Asked
from proxy.inflight import InFlight, Kind
from proxy.refusal import Refusal
from proxy.wire import bindings

if TYPE_CHECKING:
    from proxy.session import Session

# What is called by the fast path (large objects, by drivers), by OID: the same in all versions.
_KNOWN = {
    715: "lo_create",
    764: "lo_import",
    765: "lo_export",
    767: "lo_import",
    952: "lo_open",
    953: "lo_close",
    954: "loread",
    955: "lowrite",
    956: "lo_lseek",
    957: "lo_creat",
    958: "lo_tell",
    964: "lo_unlink",
    1004: "lo_truncate",
    3170: "lo_lseek64",
    3171: "lo_tell64",
    3172: "lo_truncate64",
    3457: "lo_from_bytea",
    3458: "lo_get",
    3459: "lo_get",
    3460: "lo_put",
    2078: "set_config",  # by its name a built-in rule knows it
}
_BY_GRANT = "are not allowed by the grant"


def query(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    if session.guard.run is not None:
        return guard.over(session)
    not_in_copy(session)
    if session.barrier and session.queue:
        session.wait_for_answers()
        return WAIT
    if session.unsynced:
        return sync_first(session)
    raw = _text(view, pos + 5, end)
    found = decided(session, raw, Kind.QUERY)
    if found is None:
        return WAIT
    decision, item = found
    if decision.row_limits:
        counted = guard.counted_query(session, item, raw, decision)
        if counted is None:
            return WAIT
        decision = counted
    if masked_run.waits(session, item, decision) or not held.record(session, raw, item, decision):
        return WAIT
    session.queue.push(item)
    session.statements.pop(b"", None)
    if item.refusal is not None:
        counting.dealt_with(session)
        return refusal.query(item.refusal)
    note_sql_prepare(session, raw, item, decision)
    session.cursors.goes(item, raw, decision)
    session.barrier = session.barrier or decision.barrier
    if decision.must_check or decision.row_limits:
        run = masked_run.query if decision.must_check else guard.run_query
        return run(session, item, raw, decision)
    return FORWARD


def _text(view: memoryview, start: int, end: int) -> bytes:
    if end <= start or view[end - 1] != 0:
        raise ProtocolError("client", "a Query that does not end in NUL")
    return bytes(view[start : end - 1])


def copy_data(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    return FORWARD


def copy_end(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    session.queue.push(InFlight(Kind.COPY_END))
    return FORWARD


def function_call(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    not_in_copy(session)
    if session.unsynced or session.queue:
        if session.unsynced:
            return sync_first(session)
        session.wait_for_answers()
        return WAIT
    if end - pos < 9:
        raise ProtocolError("client", "FunctionCall of a wrong length")
    oid = struct.unpack_from("!I", view, pos + 5)[0]
    known = _KNOWN.get(oid)
    # Another one by a name that nothing has: what it would do is unknown.
    text = f"SELECT pg_catalog.{known}()" if known else f"CALL pg_catalog.function_{oid}()"
    raw = f"{text} /* fast-path function call */".encode()
    found = decided(session, raw, Kind.FUNCTION)
    if found is None:
        return WAIT
    decision, item = found
    if session.fastpath and session.judge.masking is None:
        asked = _asked(session, view, pos, end, raw)
        is_recorded = held.record(session, raw, item, decision, asked)
    else:  # nobody is asked: an approval is no grant
        is_recorded = _refuse_fastpath(session, raw, item, decision)
    if not is_recorded:
        return WAIT
    session.queue.push(item)
    if item.refusal is not None:
        return refusal.query(item.refusal)
    session.barrier = True
    return FORWARD


def _asked(session: Session, view: memoryview, pos: int, end: int, raw: bytes) -> Asked:
    """Return what a FunctionCall asks for; its arguments come as a Bind's parameters do."""
    bound = bytes(view[pos + 9 : end])
    parameters = bindings.bind_parameters(bound, 0, held_extended.RECORDED, (), session.judge.codec)
    return Asked(raw, raw, parameters, bound)


def _refuse_fastpath(session: Session, raw: bytes, item: InFlight, decision: Decision) -> bool:
    if session.hold is not None:
        held.overtaken(session)
    if item.refusal is None or decision.verdict.action is Action.HOLD:
        why = "are not open to who has masked columns" if session.fastpath else _BY_GRANT
        hint = "Call the function with SELECT."
        if not session.fastpath:
            hint = "Call the function with SELECT, or ask for `fastpath: true` in the grant."
        item.refusal = Refusal("42501", f"gatepost: fast-path function calls {why}", hint).armed()
    return record(session, raw, item, decision)


def terminate(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    session.commands.append(Finish("client ended"))
    return FORWARD


def password(session: Session, view: memoryview, pos: int, end: int) -> bytes | None:
    raise ProtocolError("client", "an authentication message came after the login")
