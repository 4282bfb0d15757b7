"""The holds of one worker: asks humans through the store, waits for them, ends what is over.

Exactly one wins: approve and deny in the store, timeout, cancel, leaving, kill and shutdown here
all go through the same compare-and-swap; what comes back counts. Only where nothing may run
whatever the store says (the session ends) is it not waited for: it is told when it answers.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import gevent
import structlog
from gevent.event import AsyncResult

from appliance.approvals.requests import RequestState, Settlement
from appliance.errors import GatepostError, JournalUnavailable, NotFound, StoreUnavailable
from appliance.recording.recorder import State
from appliance.store import approvals
from appliance.store.approval_room import NoRoom
from proxy import asking, hold_words
from proxy.asking import Asking
from proxy.deciding import unrecorded
from proxy.holds import Hold, Stage
from proxy.refusal import Refusal
from proxy.upstream import send_cancel
from proxy.wire.notices import notice_response

if TYPE_CHECKING:
    from proxy.connection import Connection
    from proxy.worker import Worker

log = structlog.get_logger("proxy")

_EVERY_S: Final = 0.2
_STORE_ANSWER_S: Final = 3.0  # what takes longer is tried again behind the client's back
_OWED_EVERY: Final = 10  # turns
_LAST_WORDS_S: Final = 3.0


class Holding:
    """Runs while something is held; costs nothing else."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: dict[int, tuple[Connection, Hold]] = {}
        self._owed: dict[int, RequestState] = {}  # what the store could not be told yet
        self._busy: set[gevent.Greenlet[..., None]] = set()
        self._poller: gevent.Greenlet[..., None] | None = None

    # -- asking --------------------------------------------------------------------------------

    def open(self, connection: Connection, hold: Hold) -> None:
        """Ask about a statement that was just recorded as held."""
        self._spawn(self._open, connection, hold)

    def _open(self, connection: Connection, hold: Hold) -> None:
        try:
            refusal = self._ask(connection, hold)
        except StoreUnavailable:
            refusal = hold_words.store_away()
        except Exception:  # a client that waits has to get an answer, and the answer is no
            log.exception("nobody could be asked", session=connection.id)
            refusal = hold_words.store_away()
        if refusal is not None and hold.is_open:
            hold.ended(refusal)
            connection.hold_is_over(hold)

    def _ask(self, connection: Connection, hold: Hold) -> Refusal | None:
        """Ask; returns why nobody can be, None = somebody was, or it is over already."""
        worker = self._worker
        if self._journal_failed(hold.position):
            return unrecorded()
        if worker.gate.store_lost:
            return hold_words.store_away()
        found = asking.asking(worker, connection, hold, worker.clock.now())
        if not found.names:
            return hold_words.nobody_can(found.verdict)
        hold.may_still = partial(asking.why_not, worker, connection)
        estimate = worker.run_blocking(asking.estimate, worker, connection, hold)
        now = worker.clock.now()
        statement = found.statement(worker, connection, hold, estimate, now)
        hold.expires_at = statement.expires_at
        try:
            settlement = worker.run_blocking(approvals.ask, worker.store, now, statement)
        except NoRoom as error:
            return hold_words.no_room(error)
        self._asked(connection, hold, found, settlement)
        return None

    def _asked(
        self, connection: Connection, hold: Hold, found: Asking, settlement: Settlement
    ) -> None:
        number, waits = settlement.id, settlement.state is RequestState.WAITING
        if not hold.is_open or not connection.is_live:  # it ended while the store was asked
            if waits and not found.is_retry:
                self._swap(number, connection.held_as, connection)
            return
        url = self._worker.config.public_url
        if not waits:
            hold.settled(settlement)
            connection.hold_is_over(hold)
        elif found.terms.retry_s is not None:
            hold.settlement = settlement
            retry_s = found.terms.retry_s
            hold.ended(hold_words.try_again(number, found.verdict, found.names, retry_s, url))
            connection.hold_is_over(hold)
        else:
            hold.settlement = settlement
            hold.stage = Stage.WAITING
            self._waiting[number] = (connection, hold)
            self._poll()
            if hold.cancel_wanted:
                self.cancel(connection, hold)
            else:
                connection.tell(self._notice(hold, found, number))

    def _notice(self, hold: Hold, found: Asking, number: int) -> bytes:
        words = hold_words.notice(
            number,
            found.verdict,
            found.names,
            hold.expires_at or self._worker.clock.now(),
            found.seconds,
            self._worker.config.public_url,
            in_transaction=hold.in_transaction,
        )
        return notice_response(words.message, words.detail, words.hint)

    def _journal_failed(self, position: int) -> bool:
        """Wait until a record is on disk; returns whether it never will be."""
        done: AsyncResult[bool] = AsyncResult()

        def on_disk(failure: JournalUnavailable | None) -> None:
            self._worker.call_soon(lambda: done.set(failure is not None))

        self._worker.journal.when_durable(position, on_disk)
        return done.get() is not False

    # -- waiting -------------------------------------------------------------------------------

    def _poll(self) -> None:
        if self._poller is None or self._poller.dead:
            self._poller = gevent.spawn(self._run)

    def _run(self) -> None:
        turn = 0
        while self._waiting or self._owed:
            gevent.sleep(_EVERY_S)
            turn += 1
            try:
                self._look()
                if self._owed and turn % _OWED_EVERY == 0:
                    self._pay()
            except GatepostError as error:
                log.warning("requests cannot be looked at", error=str(error))
            except Exception:  # all that wait depend on this loop
                log.exception("requests cannot be looked at")
            for connection, hold in list(self._waiting.values()):
                self._look_at(connection, hold)

    def _look(self) -> None:
        """Ask the store once for all that is held here."""
        ids = list(self._waiting)
        if not ids:
            return
        found = self._worker.run_blocking(approvals.outcomes, self._worker.store, ids)
        if any(one.state is RequestState.APPROVED for one in found.values()):
            self._worker.catch_up()  # the yes is checked by the newest rights and rules
        for number in ids:
            settlement = found.get(number, Settlement(number, RequestState.WITHDRAWN))
            if settlement.state is not RequestState.WAITING:
                self._settled(settlement)

    def _look_at(self, connection: Connection, hold: Hold) -> None:
        """End what is over by itself: its time, or its client, of which nothing is read now."""
        if hold.expires_at is not None and hold.expires_at <= self._worker.clock.now():
            hold.expires_at = None
            self._spawn(self._end, connection, hold, RequestState.TIMEOUT)
        elif not connection.client.is_reading and has_hung_up(connection.client.fileno()):
            connection.close("client left")

    def _settled(self, settlement: Settlement) -> None:
        """Tell a session what won, once."""
        found = self._waiting.pop(settlement.id, None)
        if found is None:
            return
        connection, hold = found
        hold.settled(settlement)
        connection.hold_is_over(hold)

    def cancel(self, connection: Connection, hold: Hold) -> gevent.Greenlet[..., None]:
        """Carry out the client's cancel of what is held; returns the greenlet that does it."""
        return self._spawn(self._cancel, connection, hold)

    def _cancel(self, connection: Connection, hold: Hold) -> None:
        if hold.stage in (Stage.LOOKING, Stage.ASKING):
            hold.cancel_wanted = True  # done as soon as there is something to cancel
            return
        if hold.is_open:
            self._end(connection, hold, RequestState.CANCELLED)
        if hold.stage in (Stage.APPROVED, Stage.RELEASED):
            if connection.session.hold is hold:
                hold.cancel_after = True  # the yes was first: it is for what runs then
            elif connection.is_live:
                send_cancel(connection.upstream)

    def _end(self, connection: Connection, hold: Hold, state: RequestState) -> None:
        """End a request; whoever won, the session is told."""
        if hold.is_open and hold.settlement is not None:
            self._settled(self._swap(hold.settlement.id, state, connection))

    def _swap(self, number: int, state: RequestState, connection: Connection) -> Settlement:
        """Settle a request, as far as the store can be told; returns what won."""
        worker = self._worker
        by = connection.admission.identity.name if state is RequestState.CANCELLED else ""
        try:
            with gevent.Timeout(_STORE_ANSWER_S, StoreUnavailable("the store is too slow")):
                return worker.run_blocking(
                    approvals.settle, worker.store, worker.clock.now(), number, state, by
                )
        except NotFound:
            pass
        except GatepostError as error:
            log.warning("a request cannot be ended", request=number, error=str(error))
            self._owe(number, state)
        return Settlement(number, state, by, "gateway")

    def _owe(self, number: int, state: RequestState) -> None:
        self._owed[number] = state
        self._poll()

    def _pay(self) -> None:
        worker = self._worker
        for number, state in list(self._owed.items()):
            with suppress(NotFound):  # it never came to be
                worker.run_blocking(
                    approvals.settle, worker.store, worker.clock.now(), number, state
                )
            del self._owed[number]

    # -- sessions that end ---------------------------------------------------------------------

    def bury(self, connection: Connection, hold: Hold, state: RequestState, reason: str) -> None:
        """Withdraw what an ended session held, then finish its record with what won.

        Nothing of it runs any more, whatever that is.
        """
        was_open = hold.is_open
        if hold.settlement is not None:
            self._waiting.pop(hold.settlement.id, None)
        if was_open:
            hold.ended(hold_words.cancelled(), State.WITHDRAWN)
        self._spawn(self._bury, connection, hold, state, reason, was_open)

    def _bury(
        self, connection: Connection, hold: Hold, state: RequestState, reason: str, was_open: bool
    ) -> None:
        settlement = hold.settlement
        try:
            if was_open and settlement is not None:
                hold.settlement = self._swap(settlement.id, state, connection)
        finally:
            human = hold.human_decision()
            for seq in hold.records:
                connection.session.recorder.outcome(seq, State.WITHDRAWN, decision=human)
            connection.session.recorder.end(reason)

    def close(self) -> None:
        """Let what ended come to an end in the store and the record too, for a moment."""
        gevent.joinall(list(self._busy), timeout=_LAST_WORDS_S)
        if self._poller is not None:
            self._poller.kill()

    def _spawn(
        self, function: Callable[..., None], *arguments: object
    ) -> gevent.Greenlet[..., None]:
        greenlet: gevent.Greenlet[..., None] = gevent.spawn(function, *arguments)
        self._busy.add(greenlet)
        greenlet.link(self._busy.discard)
        return greenlet


def has_hung_up(fd: int) -> bool:
    """Return whether a peer has closed its side, also while what it sent is not read."""
    poll = select.poll()
    poll.register(fd, getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
