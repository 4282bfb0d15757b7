"""Drives one established session: two sockets, readiness callbacks, and the pure session between.

No greenlet waits here: a callback receives, lets the session look, and sends (7-hot-path.md).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import gevent
import structlog

from appliance.errors import JournalUnavailable, ProtocolError
from appliance.identity.login import Admission
from appliance.policy.subject import Subject
from proxy.commands import AwaitDisk, Finish, Prepare, Work, Yield
from proxy.decision import Need, Precedents
from proxy.endpoint import EOF, WOULD_BLOCK, Endpoint
from proxy.session import Session
from proxy.upstream import Upstream, send_cancel

if TYPE_CHECKING:
    from proxy.worker import Worker

log = structlog.get_logger("proxy")

_TAIL_LIMIT = 256 << 10  # bytes of the client's that wait for a decision before reading stops
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

    @property
    def id(self) -> str:
        return self.session.recorder.session

    def precedents(self, acting_role: str) -> Precedents:
        """Return the policy for the session as it is now, acting as this role."""
        acting = "" if acting_role == self.admission.role.name else acting_role
        return self.worker.precedents(Subject.of(self.admission, acting))

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
        except Exception:  # as above
            self._crashed()

    def _more_from_target(self) -> None:
        """Let others have their turn before the rest of what the target sent at once."""
        self.target.stop_reading()
        gevent.get_hub().loop.run_callback(self._next_turn)

    def _next_turn(self) -> None:
        if self.is_closed or self._is_ending:
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
        if self.target.pending or (session.is_waiting and len(session.tail) > _TAIL_LIMIT):
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
                case Yield():
                    gevent.get_hub().loop.run_callback(self.go_on)
                case Finish(reason):
                    self._finish(reason)

    def _prepare(self, need: Need, raw: bytes) -> None:
        """Do off the loop what a decision needs, then let the session look again."""
        try:
            self.worker.prepare(self, need, raw)
        except Exception:
            log.exception("a decision could not be prepared", session=self.id)
        self.go_on()

    def _work(self, run: Callable[[], None]) -> None:
        try:
            self.worker.run_blocking(run)
        except Exception:
            log.exception("work off the loop failed", session=self.id)
            self._say_and_close(
                "XX000",
                "gatepost: an internal error ended this session",
                "Connect again; the gateway's log has the details.",
                "internal error",
            )
        self.go_on()

    def go_on(self) -> None:
        """Let the session look at the client's next message again."""
        if self.is_closed or self._is_ending:
            return
        try:
            self.session.resume()
            self._flush()
        except ProtocolError as error:
            self._broken(error)
        except OSError:
            self._target_left()
        except Exception:
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
        """Pass a CancelRequest on to the target; returns the greenlet that does it."""
        return self.worker.spawn(send_cancel, self.upstream)

    def end(self, sqlstate: str, message: str, hint: str, reason: str) -> None:
        """End the session with a FATAL of ours; what runs on the target is cancelled first."""
        if self.is_closed or self._is_ending:
            return
        if self.session.queue or self.session.is_waiting:
            self.worker.spawn(self._cancel_and_end, sqlstate, message, hint, reason)
        else:
            self._say_and_close(sqlstate, message, hint, reason)

    def _cancel_and_end(self, sqlstate: str, message: str, hint: str, reason: str) -> None:
        send_cancel(self.upstream)
        if not self.is_closed:
            self._say_and_close(sqlstate, message, hint, reason)

    def _say_and_close(self, sqlstate: str, message: str, hint: str, reason: str) -> None:
        session = self.session
        # In the middle of a message the client would take our error for its rest.
        if not session.pass_from_target:
            session.end_with(sqlstate, message, hint)
            try:
                self.client.send(session.to_client)
            except OSError:
                self.client.pending.clear()
            session.to_client = []
        self.close(reason, gently=True)

    def _broken(self, error: ProtocolError) -> None:
        if error.peer == "client":
            self._say_and_close(
                "08P01",
                f"gatepost: protocol violation: {error.message}",
                "The client and the gateway do not understand each other; connect again.",
                "protocol violation by the client",
            )
        else:
            log.error("the target broke the protocol", session=self.id, error=error.message)
            self._say_and_close(
                "08006",
                "gatepost: the target sent something unexpected; the session was ended",
                "Connect again; if it repeats, tell who runs this gateway.",
                "protocol violation by the target",
            )

    def _crashed(self) -> None:
        log.exception("a session failed inside the gateway", session=self.id)
        self._say_and_close(
            "XX000",
            "gatepost: an internal error ended this session",
            "Connect again; the gateway's log has the details.",
            "internal error",
        )

    def _target_left(self) -> None:
        if self.is_closed or self._is_ending:
            return
        if self._last_reason or self.session.saw_fatal:
            self.close(self._last_reason or "ended by the target", gently=True)
            return
        name = self.admission.target.name
        self._say_and_close(
            "08006",
            f"gatepost: the target {name} closed the connection",
            "It may be restarting: connect again in a moment.",
            "target connection lost",
        )

    def close(self, reason: str, *, gently: bool = False) -> None:
        """Close both sides and record the end; ``gently`` lets the client read what is queued."""
        if self.is_closed or self._is_ending:
            return
        self.target.close()
        self.session.write_outcomes()
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
