"""One client's session after login, without sockets: bytes in, bytes and commands out.

Decide -> record -> act: a statement is framed (``requests``), judged (``judge``), journaled, and
only then handed to the target; the answers find their statement again (``replies``). Nothing here
waits: what takes time is asked for in ``commands`` and the client's further messages stay in
``tail`` until ``resume`` is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from appliance.entities import Durability
from appliance.errors import JournalUnavailable
from appliance.masking.mask_set import MaskRules
from appliance.policy.verdict import Action
from appliance.recording.recorder import Decision as HumanDecision
from appliance.recording.recorder import Parameter, SessionRecorder, State
from proxy import deciding, recorded_text, replies, requests
from proxy.commands import AwaitDisk, Command, Prepare, Wait
from proxy.counting import RowGuard
from proxy.cursors import Cursors
from proxy.decision import Decision, Need
from proxy.encodings import key_of
from proxy.holds import Doer, Hold
from proxy.inflight import InFlight, Kind, Queue
from proxy.judge import Judge
from proxy.refusal import Refusal
from proxy.results import Buffer, ResultPlanner
from proxy.scrubbing import Screen
from proxy.statements import Portal, Prepared
from proxy.wire import backend


@dataclass(slots=True)
class Gate:
    """What the worker tells all its sessions.

    ``store_lost``: no logins. ``closed``: every further statement is refused so.
    """

    store_lost: bool = False
    closed: Refusal | None = None


class Session:
    """The state of one session; ``requests`` and ``replies`` hold what each message does to it."""

    __slots__ = (
        "barrier",
        "batch",
        "commands",
        "cursors",
        "doer",
        "elsewhere",
        "failed",
        "fastpath",
        "gate",
        "guard",
        "has_more",
        "hold",
        "is_durable",
        "judge",
        "message_limit",
        "outcomes",
        "parameters",
        "pass_from_client",
        "pass_from_client_dropped",
        "pass_from_target",
        "planner",
        "portals",
        "queue",
        "ready_failed",
        "ready_records",
        "recorder",
        "saw_fatal",
        "screen",
        "skipping",
        "statements",
        "status",
        "table",
        "tail",
        "tail_needs",
        "target_tail",
        "target_tail_needs",
        "to_client",
        "to_upstream",
        "touching",
        "transaction_began",
        "unsynced",
        "wait",
    )

    def __init__(
        self,
        recorder: SessionRecorder,
        gate: Gate,
        parameters: dict[str, str],
        *,
        fastpath: bool = False,
        is_durable: bool = False,
        planner: ResultPlanner | None = None,
        message_limit: int = 1 << 30,
    ) -> None:
        self.recorder = recorder
        self.gate = gate
        self.parameters = parameters  # what the target reported by ParameterStatus
        self.planner = planner  # None: every result passes as it is
        self.fastpath = fastpath
        self.is_durable = is_durable  # every record must be on disk first, not only some
        self.message_limit = message_limit
        self.judge: Judge
        self.doer: Doer
        self.hold: Hold | None = None  # of the message at the head of ``tail``
        self.queue = Queue()
        self.guard = RowGuard()
        self.table = replies.TABLE  # what an answer means; another one while a run is guarded
        self.statements: dict[bytes, Prepared] = {}
        self.portals: dict[bytes, Portal] = {}
        self.status = ord("I")  # of the last ReadyForQuery
        self.transaction_began = 0.0  # monotonic
        self.failed = False  # in a failed transaction, as far as the answers say
        self.skipping = False  # the target ignores everything up to the next Sync
        self.unsynced = False  # extended messages without their Sync: a transaction may be open
        self.barrier = False  # what is in flight may change what the next text means
        self.saw_fatal = False
        self.screen = Screen()
        self.cursors = Cursors(self)
        # Asks the target on another connection; blocking, given by the shell.
        self.elsewhere: Callable[[str], bytes | None] | None = None
        self.batch = 0  # how many Syncs the client sent
        self.touching: dict[bytes, int] = {}  # names -> the batch that last touched them
        self.wait = Wait.NOTHING
        self.ready_records: tuple[int, ...] | None = None  # recorded, waiting for the disk
        self.ready_failed = False  # ... which did not take them
        self.tail = bytearray()
        self.tail_needs = 5  # bytes until it is worth looking again
        self.target_tail = bytearray()
        self.target_tail_needs = 5
        self.has_more = False  # the target's messages in ``target_tail`` wait for another turn
        self.pass_from_client = 0  # bytes of a large message that only pass through
        self.pass_from_client_dropped = False
        self.pass_from_target = 0
        self.to_client: list[Buffer] = []
        self.to_upstream: list[Buffer] = []
        self.commands: list[Command] = []
        self.outcomes: list[Callable[[], None]] = []

    # -- bytes in ------------------------------------------------------------------------------

    def client_data(self, view: memoryview) -> None:
        """Take bytes from the client; raises ProtocolError("client")."""
        if self.wait is not Wait.NOTHING:
            self.tail += view
        elif self.tail:
            self.tail += view
            if len(self.tail) >= self.tail_needs:
                self._scan_tail()
        else:
            used = requests.scan(self, view)
            if used < len(view):
                self.tail += view[used:]

    def upstream_data(self, view: memoryview) -> None:
        """Take bytes from the target; raises ProtocolError("upstream").

        ``has_more`` says afterwards that messages are left for another turn: call again, with b"".
        """
        if self.target_tail:
            self.target_tail += view
            if len(self.target_tail) < self.target_tail_needs:
                return
            data, self.target_tail = self.target_tail, bytearray()
            used = replies.scan(self, memoryview(data))
            self.target_tail += memoryview(data)[used:]
        else:
            used = replies.scan(self, view)
            if used < len(view):
                self.target_tail += view[used:]
        if not self.queue:
            self.barrier = False
            if self.touching:
                self.touching.clear()
            if self.wait is Wait.DRAIN:
                self.resume()
        elif self.wait is Wait.DRAIN and self.queue.copy_in:
            self.resume()  # only the client can end the copy: look at what it wants instead

    def resume(self) -> None:
        """Go on with the client's messages: what was waited for is there."""
        self.wait = Wait.NOTHING
        self._scan_tail()

    def _scan_tail(self) -> None:
        if self.tail:
            data, self.tail = self.tail, bytearray()
            used = requests.scan(self, memoryview(data))
            self.tail += memoryview(data)[used:]

    def follow_rules(self, rules: MaskRules | None) -> None:
        """Mask by these rules from now on; what is on its way was sent by those of before."""
        if self.screen.rules is None:
            for item in self.queue:
                item.is_planned = True
        self.screen.follow(rules)

    def write_outcomes(self) -> None:
        """Journal the outcomes that came with what was just sent: off the client's waiting."""
        if self.outcomes:
            outcomes, self.outcomes = self.outcomes, []
            for write in outcomes:
                write()

    # -- deciding and recording ----------------------------------------------------------------

    def decide(self, raw: bytes) -> Decision | None:
        """Return the decision, or None when the client has to wait for one."""
        decision = self.judge.decide(raw, can_ask=not self.failed)
        if isinstance(decision, Decision):
            return decision
        if decision is Need.STATE or decision is Need.OVERLAY:
            self.wait = Wait.EXCHANGE
            deciding.ask_session(self, decision)
        else:
            self.wait = Wait.TASK
            self.commands.append(Prepare(decision, raw))
        return None

    def refuses(self, decision: Decision, released_rule: str = "") -> Refusal | None:
        """Return the refusal that a decision or the gate asks for, with a nonce of its own.

        ``released_rule``: whose hold an approval has ended. Else a hold is refused here too: what
        waits is taken out by ``held``.
        """
        if self.gate.closed is not None:
            return self.gate.closed.armed()
        verdict = decision.verdict
        if verdict.is_allow:
            return None
        if released_rule and verdict.action is Action.HOLD and verdict.rule == released_rule:
            return None
        return deciding.refusal_of(decision).armed()

    def record(
        self,
        raw: bytes,
        decision: Decision,
        parameters: Sequence[Parameter],
        state: State = State.SENT,
        *,
        whole: bool = False,
        request_hash: str = "",
    ) -> tuple[int, ...]:
        """Journal a message's statements; returns their numbers. Raises JournalUnavailable.

        ``whole``: the text stands for one of the decision's statements, and is one record.
        ``request_hash``: of what is held; such records are always durable.
        """
        text = recorded_text.text_of(self.judge, raw, decision)
        statements = decision.facts.statements
        verdict = decision.verdict
        durability = Durability.DURABLE if decision.durable or request_hash else None
        write = partial(self.recorder.statement, durability=durability, request_hash=request_hash)
        for statement in statements:
            if statement.executes is not None:
                self._record_prepared(statement.executes)
        if len(statements) <= 1 or whole:
            mark = statements[0].fingerprint if statements else ""
            return (write(text, parameters, verdict, state, fingerprint=mark),)
        script = raw.decode(self.judge.codec, "replace")  # offsets are of what was sent
        return tuple(
            write(
                recorded_text.part_of(self.judge, script[s.start : s.end], decision),
                parameters,
                part,
                state,
                fingerprint=s.fingerprint,
            )
            for s, part in zip(statements, decision.parts, strict=True)
        )

    def record_ahead(self, raw: bytes, decision: Decision, state: State) -> None:
        """Record a long script off the loop; the client waits until it is looked at again."""
        try:
            self.ready_records = self.record(raw, decision, (), state)
        except JournalUnavailable:
            self.ready_records, self.ready_failed = (), True

    def _record_prepared(self, name: str) -> None:
        """Journal the text that a Parse gave to the name which an EXECUTE uses."""
        prepared = self.statements.get(name.encode("utf-8", "surrogateescape"))
        if prepared is None or prepared.is_recorded:
            return
        prepared.is_recorded = True
        recorder = self.recorder
        text = recorded_text.text_of(self.judge, prepared.raw, prepared.decision)
        verdict = prepared.decision.verdict
        seq = recorder.statement(text, (), verdict, State.SENT)
        self.outcomes.append(lambda: recorder.outcome(seq, State.DONE, tag="PREPARE"))

    # -- names of statements and portals -------------------------------------------------------

    def key(self, name: bytes) -> bytes:
        """Return a name as it is kept here: the target has it in its own encoding."""
        return key_of(name, self.judge.codec)

    def is_uncertain(self, name: bytes) -> bool:
        """Return whether an earlier batch, not answered yet, decides what a name stands for.

        Within one batch there is no doubt: where the earlier message fails, the later is skipped.
        """
        return self.touching.get(name, self.batch) != self.batch

    def waits_for_disk(self, decision: Decision, records: tuple[int, ...]) -> bool:
        """Return whether the records must reach the disk first; then the client waits."""
        if not (decision.durable or self.is_durable) or self.ready_records is not None:
            return False
        self.ready_records = records
        self.wait = Wait.TASK
        self.commands.append(AwaitDisk(self.recorder.position))
        return True

    def wait_for_answers(self) -> None:
        """Let the client wait until all in flight is answered; has the target answer now."""
        self.wait = Wait.DRAIN
        if self.unsynced:
            self.to_upstream.append(deciding.FLUSH)

    def outcome(
        self,
        seq: int,
        state: State,
        item: InFlight,
        *,
        tag: str = "",
        rows: int | None = None,
        sqlstate: str = "",
        decision: HumanDecision | None = None,
    ) -> None:
        """Note how a statement ended; it is journaled right after the client has its answer."""
        duration_ms = (time.monotonic() - item.started) * 1000 if item.started else 0.0
        bytes_out = item.bytes_out
        masked = recorded_text.masked(self.judge, item) if item.plan or self.is_masked else ()
        recorder = self.recorder
        self.outcomes.append(
            lambda: recorder.outcome(
                seq,
                state,
                tag=tag,
                rows=rows,
                duration_ms=duration_ms,
                sqlstate=sqlstate,
                bytes_out=bytes_out,
                masked=masked,
                decision=decision,
            )
        )

    # -- what the shell asks -------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Return whether nothing runs and no transaction is open."""
        return not self.queue and self.status == ord("I") and self.wait is Wait.NOTHING

    @property
    def is_held(self) -> bool:
        """Return whether a human is asked about the client's next message."""
        return self.hold is not None and self.hold.is_open

    @property
    def is_masked(self) -> bool:
        """Return whether a masking rule bites the identity here."""
        return self.judge.masking is not None

    @property
    def is_waiting(self) -> bool:
        """Return whether the client's messages pile up: the shell bounds how many."""
        return self.wait is not Wait.NOTHING

    def end_with(self, sqlstate: str, message: str, hint: str = "") -> None:
        """Tell the client why the session ends, as PostgreSQL would: FATAL."""
        self.to_client.append(backend.error_response("FATAL", sqlstate, message, hint=hint))

    def own(self, kind: Kind, on_done: Callable[[], None] | None = None) -> InFlight:
        """Push a message of the gateway's own."""
        item = InFlight(kind, own=True)
        item.on_done = on_done
        self.queue.push(item)
        return item
