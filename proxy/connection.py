"""Drives one established session: two sockets, readiness callbacks, and the pure session between.

No greenlet waits here: a callback receives, lets the session look, and sends (7-hot-path.md).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import gevent
import structlog

from appliance.approvals.requests import RequestState
from appliance.errors import JournalUnavailable, ProtocolError
from appliance.identity.login import Admission
from appliance.policy.subject import Subject
from proxy import last_words
from proxy.commands import AwaitDisk, Finish, OpenHold, PassCancel, Prepare, Wait, Work, Yield
from proxy.decision import Need, Precedents
from proxy.endpoint import EOF, WOULD_BLOCK, Endpoint
from proxy.holds import Hold
from proxy.last_words import LastWords
from proxy.session import Session
from proxy.upstream import Upstream, send_cancel

if TYPE_CHECKING:
    from proxy.worker import Worker

log = structlog.get_logger("proxy")

_TAIL_LIMIT = 256 << 10  # bytes of the client's that wait for a decision before reading stops
_HELD_TAIL_LIMIT = 1 << 20  # ... and while a human is asked: that its end is seen
_LINGER_S = 10.0  # how long the last words to a client may take
_TURNS = 8  # receives per readiness while TLS still holds decrypted bytes


class Connection:
    """A client and its target. ``close`` may be called from anywhere, more than once."""

    def __init__(
        self,
        worker: Worker,
        client: Endpoint,
        upstream: Upstream,
        session: Session,
        admission: Admission,
        cancel_key: bytes,
        source: str,
    ) -> None:
        self.worker = worker
        self.client = client
        self.upstream = upstream
        self.target = upstream.endpoint
        self.session = session
        self.admission = admission
        self.cancel_key = cancel_key
        self.source = source
        self.ends_at: datetime | None = admission.ends_at
        self.is_closed = False
        self._last_reason = ""  # the client has said goodbye: why it ends when the target closes
        self._is_ending = False  # the client still gets its last words
        self.held_as = RequestState.WITHDRAWN  # how a request of its own ends with it

    @property
    def id(self) -> str:
        return self.session.recorder.session

    def precedents(self, acting_role: str) -> Precedents:
        """Return the policy for the session as it is now, acting as this role."""
        acting = "" if acting_role == self.admission.role.name else acting_role
        return self.worker.precedents(Subject.of(self.admission, acting))

    @property
    def is_live(self) -> bool:
        return not (self.is_closed or self._is_ending)

    @property
    def process_id(self) -> int:
        return self.upstream.process_id

    def start(self) -> None:
        """Take over from the login's greenlet."""
        self.client.watch(self._client_readable, self._client_writable)
        self.target.watch(self._target_readable, self._target_writable)
        self.client.start_reading()
        self.target.start_reading()
        if self.session.target_tail:  # what came with the last bytes of the handshakes
            self._run(self.session.upstream_data, memoryview(b""))
        if self.session.tail and not self.is_closed:
            self._run(self.session.client_data, memoryview(b""))
        if not self.is_closed and self.client.has_buffered:
            self._client_readable()
        if not self.is_closed and self.target.has_buffered:
            self._target_readable()

    def _run(self, take: Callable[[memoryview], None], view: memoryview) -> None:
        try:
            take(view)
            self._flush()
        except ProtocolError as error:
            self._broken(error)
        except OSError:
            self.close("connection lost")

    # -- readiness -----------------------------------------------------------------------------

    def _client_readable(self) -> None:
        scratch = self.worker.scratch
        try:
            for _ in range(_TURNS):
                size = self.client.recv_into(scratch)
                if size == WOULD_BLOCK:
                    return
                if size == EOF:
                    self.close("client left")
                    return
                self.session.client_data(scratch[:size])
                self._flush()
                if self.is_closed or not (self.client.is_reading and self.client.has_buffered):
                    return
            gevent.get_hub().loop.run_callback(self._again, self.client)
        except ProtocolError as error:
            self._broken(error)
        except OSError:
            self.close("client connection lost")
        except Exception:  # the session ends, the worker and its other sessions go on
            self._crashed()

    def _target_readable(self) -> None:
        scratch = self.worker.scratch
        try:
            for _ in range(_TURNS):
                size = self.target.recv_into(scratch)
                if size == WOULD_BLOCK:
                    return
                if size == EOF:
                    self._target_left()
                    return
                self.session.upstream_data(scratch[:size])
                self._flush()
                if self.session.has_more and not self.is_closed:
                    self._more_from_target()
                    return
                if self.is_closed or not (self.target.is_reading and self.target.has_buffered):
                    return
            gevent.get_hub().loop.run_callback(self._again, self.target)
        except ProtocolError as error:
            self._broken(error)
        except OSError:
            self._target_left()
        except Exception:  # as in _client_readable
            self._crashed()

    def _more_from_target(self) -> None:
        """Let others have their turn before the rest of what the target sent at once."""
        self.target.stop_reading()
        gevent.get_hub().loop.run_callback(self._next_turn)

    def _next_turn(self) -> None:
        if not self.is_live:
            return
        if self.client.pending:
            return  # goes on when the client has taken it
        self._run(self.session.upstream_data, memoryview(b""))
        if self.is_closed:
            return
        if self.session.has_more:
            self._more_from_target()
        elif not self.client.pending:
            self.target.start_reading()
            self._catch_up(self.target)

    def _again(self, endpoint: Endpoint) -> None:
        """Go on with what TLS holds, after other sessions had their turn."""
        if not self.is_closed and endpoint.is_reading:
            self._client_readable() if endpoint is self.client else self._target_readable()

    def _client_writable(self) -> None:
        try:
            if self.client.send_pending():
                if self._is_ending:
                    self._drop()
                elif self.session.has_more:
                    self._next_turn()
                else:
                    self.target.start_reading()
                    self._catch_up(self.target)
        except OSError:
            self.close("client connection lost")

    def _target_writable(self) -> None:
        try:
            if self.target.send_pending():
                self._pace()
                self._catch_up(self.client)
        except OSError:
            self._target_left()

    def _catch_up(self, endpoint: Endpoint) -> None:
        if endpoint.has_buffered:
            gevent.get_hub().loop.run_callback(self._again, endpoint)

    def _flush(self) -> None:
        """Send what the session left, then do what it asks for."""
        session = self.session
        if session.to_upstream:
            buffers, session.to_upstream = session.to_upstream, []
            self.target.send(buffers)
        if session.to_client:
            buffers, session.to_client = session.to_client, []
            try:
                self.client.send(buffers)
            except OSError:
                self.close("client connection lost")
                return
            if self.client.pending:
                self.target.stop_reading()
        if session.outcomes:
            session.write_outcomes()
        if session.commands:
            self._obey()
        if not self.is_closed:
            self._pace()

    def _pace(self) -> None:
        """Read the client only while what it sends has somewhere to go."""
        session = self.session
        limit = _HELD_TAIL_LIMIT if session.hold is not None else _TAIL_LIMIT
        if self.target.pending or (session.is_waiting and len(session.tail) > limit):
            self.client.stop_reading()
        elif not (self.client.is_reading or self._is_ending or self._last_reason):
            self.client.start_reading()
            self._catch_up(self.client)

    def _obey(self) -> None:
        commands, self.session.commands = self.session.commands, []
        for command in commands:
            match command:
                case Prepare(need, raw):
                    self.worker.spawn(self._prepare, need, raw)
                case AwaitDisk(position):
                    self.worker.journal.when_durable(position, self._on_disk)
                case Work(run):
                    self.worker.spawn(self._work, run)
                case OpenHold(hold):
                    self.worker.holding.open(self, hold)
                case PassCancel():
                    self.worker.spawn(send_cancel, self.upstream)
                case Yield():
                    gevent.get_hub().loop.run_callback(self.go_on)
                case Finish(reason):
                    self._finish(reason)

    def _prepare(self, need: Need, raw: bytes) -> None:
        """Do off the loop what a decision needs, then let the session look again."""
        try:
            self.worker.prepare(self, need, raw)
        except Exception:  # the session decides without it: what is unknown is refused
            log.exception("a decision could not be prepared", session=self.id)
        self.go_on()

    def _work(self, run: Callable[[], None]) -> None:
        try:
            self.worker.run_blocking(run)
        except Exception:  # the session ends, the worker and its other sessions go on
            log.exception("work off the loop failed", session=self.id)
            self._say_and_close(last_words.internal_error())
        self.go_on()

    def tell(self, message: bytes) -> None:
        """Send the client a message of the gateway's own, between two of the target's."""
        if self.is_live:
            self.session.to_client.append(message)
            self._run(self.session.upstream_data, memoryview(b""))

    def hold_is_over(self, hold: Hold) -> None:
        """Let the session go on with what it held: approved, or ended."""
        if self.session.hold is hold and self.session.wait is Wait.HOLD:
            self.go_on()

    def go_on(self) -> None:
        """Let the session look at the client's next message again."""
        if not self.is_live:
            return
        try:
            self.session.resume()
            self._flush()
        except ProtocolError as error:
            self._broken(error)
        except OSError:
            self._target_left()
        except Exception:  # as in _client_readable
            self._crashed()

    def _on_disk(self, failure: JournalUnavailable | None) -> None:
        """Called from the journal's thread."""

        def on_loop() -> None:
            self.session.ready_failed = failure is not None
            self.go_on()

        self.worker.call_soon(on_loop)

    # -- endings -------------------------------------------------------------------------------

    def _finish(self, reason: str) -> None:
        """Close; what still runs ends first: the target closes once it has come to Terminate."""
        if self.session.queue or self.target.pending:
            self._last_reason = reason
            self.client.stop_reading()
        else:
            self.close(reason)

    def cancel(self) -> gevent.Greenlet[..., None]:
        """Carry out a CancelRequest: on what is held, else on the target; returns its greenlet."""
        hold = self.session.hold
        if hold is not None:
            return self.worker.holding.cancel(self, hold)
        return self.worker.spawn(send_cancel, self.upstream)

    def end(self, words: LastWords, held_as: RequestState = RequestState.KILLED) -> None:
        """End the session with a FATAL of ours; what runs on the target is cancelled first.

        ``held_as``: how a request for what it holds ends.
        """
        if not self.is_live:
            return
        self.held_as = held_as
        hold = self.session.hold
        waits = self.session.is_waiting and not (hold is not None and hold.is_open)
        if self.session.queue or waits:
            self.worker.spawn(self._cancel_and_end, words)
        else:
            self._say_and_close(words)

    def _cancel_and_end(self, words: LastWords) -> None:
        send_cancel(self.upstream)
        if not self.is_closed:
            self._say_and_close(words)

    def _say_and_close(self, words: LastWords) -> None:
        session = self.session
        # In the middle of a message the client would take our error for its rest.
        if not session.pass_from_target:
            session.end_with(words.sqlstate, words.message, words.hint)
            try:
                self.client.send(session.to_client)
            except OSError:
                self.client.pending.clear()
            session.to_client = []
        self.close(words.reason, gently=True)

    def _broken(self, error: ProtocolError) -> None:
        if error.peer != "client":
            log.error("the target broke the protocol", session=self.id, error=error.message)
        self._say_and_close(last_words.of_error(error))

    def _crashed(self) -> None:
        log.exception("a session failed inside the gateway", session=self.id)
        self._say_and_close(last_words.internal_error())

    def _target_left(self) -> None:
        if not self.is_live:
            return
        if self._last_reason or self.session.saw_fatal:
            self.close(self._last_reason or "ended by the target", gently=True)
            return
        self._say_and_close(last_words.target_left(self.admission.target.name))

    def close(self, reason: str, *, gently: bool = False) -> None:
        """Close both sides and record the end; ``gently`` lets the client read what is queued."""
        if not self.is_live:
            return
        self.target.close()
        self.session.write_outcomes()
        hold = self.session.hold
        if hold is not None and hold.records:
            self.worker.holding.bury(self, hold, self.held_as, reason)
        else:
            self.session.recorder.end(reason)
        self.worker.forget(self)
        if gently and self.client.pending:
            self._is_ending = True
            self.client.stop_reading()
            gevent.get_hub().loop.run_callback(self._linger)
        else:
            self._drop()

    def _linger(self) -> None:
        gevent.spawn_later(_LINGER_S, self._drop)

    def _drop(self) -> None:
        self.is_closed = True
        self.client.close()
