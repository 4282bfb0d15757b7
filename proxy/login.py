"""One client's way in, in a greenlet: its arrival, proof, grant, target, then the session."""

from __future__ import annotations

import socket
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING

import gevent
import structlog

from appliance import targets
from appliance.entities import Durability, ProfileMode
from appliance.errors import GatepostError, JournalUnavailable, ProtocolError
from appliance.identity import login as logins
from appliance.identity.login import Admission, LoginRequest, Refused
from appliance.identity.scram import mock_verifier
from appliance.masking.texts import TextMasks
from appliance.policy.subject import Subject
from appliance.policy.verdict import Verdict
from appliance.policy.wording import PROFILE, refusal_text
from appliance.recording.recorder import SessionRecorder, SessionStart, new_session_id
from appliance.sql.resolve import setting_facts
from proxy import asking, mask_building, startup, startup_settings
from proxy.arrival import Arrival, Left, is_in
from proxy.client_auth import AuthFailed, AwaitOutside, LoginWay, Proved, scram_way
from proxy.connection import Connection
from proxy.cursors import PreparedLineages
from proxy.encodings import codec_of
from proxy.endpoint import Endpoint, keep_alive
from proxy.hello import hello
from proxy.holds import Doer
from proxy.judge import Judge
from proxy.masking import Masking
from proxy.prepared_facts import PreparedFacts
from proxy.session import Session
from proxy.upstream import Unreached, Upstream, connect
from proxy.wire import authentication, codes, framing
from proxy.wire.notices import error_response

if TYPE_CHECKING:
    from proxy.worker import Worker

log = structlog.get_logger("proxy")


class Login:
    """The login of one client. ``run`` returns when the session has begun, or nothing is left."""

    def __init__(self, worker: Worker, sock: socket.socket, peer: str, port: int) -> None:
        keep_alive(sock)
        self._worker = worker
        self._client = Endpoint(sock)
        self._arrival = Arrival(self._client, peer, port)
        self._messages = framing.MessageBuffer(framing.login_rules())

    def run(self) -> None:
        """Log the client in; closes the connection unless a session took it over."""
        taken = False
        seconds = self._worker.limits.login_time_s
        try:
            with gevent.Timeout(seconds, TimeoutError()):
                taken = self._run()
        except startup.StartupRefused as refused:
            self._write(refused.reply)
        except (Left, TimeoutError, OSError, ssl.SSLError):
            pass  # left, too slow, or told why: nothing to say any more
        except ProtocolError as error:
            self._write(error_response("FATAL", "08P01", f"gatepost: {error.message}"))
        except Exception:  # one login ends, the worker goes on
            log.exception("a login failed inside the gateway")
            self._fatal("XX000", "gatepost: an internal error ended the login", "Try again.")
        finally:
            if not taken:
                self._client.close()

    def _run(self) -> bool:
        arrival, worker = self._arrival, self._worker
        arrival.read_proxy_header(worker.config.proxy_protocol_from)
        received = arrival.first_packets(worker.tls.context)
        if isinstance(received, startup.Cancel):
            worker.cancel(received.process_id, received.secret_key)
            return False
        if received.negotiate:
            self._client.write(received.negotiate)
        self._messages.feed(received.rest)
        request = logins.parse_startup(received.parameters, arrival.source, self._client.is_tls)
        if isinstance(request, Refused):
            self._fatal(request.sqlstate, request.message, request.hint)
            return False
        return self._session(request, received)

    # -- proof ---------------------------------------------------------------------------------

    def _session(self, request: LoginRequest, received: startup.StartupReceived) -> bool:
        worker = self._worker
        unavailable = worker.why_no_logins()
        if unavailable is not None:
            self._fatal(*unavailable)
            return False
        source = self._arrival.source
        if not self._client.is_tls and not is_in(source, worker.config.plaintext_from):
            self._note(request, "no TLS", "28000")
            self._fatal(
                "28000",
                "gatepost: logins from your address need TLS",
                "Add sslmode=require to the connection string.",
            )
            return False
        if self._is_busy(request, worker.limits_reached(source)):
            return False
        admission = self._prove(request)
        self._client.write(authentication.authentication_ok())
        if isinstance(admission, Refused):
            self._refuse(request, admission)
            return False
        if self._is_busy(request, worker.has_too_many(admission.identity.name)):
            return False
        return self._open(admission, received)

    def _is_busy(self, request: LoginRequest, why: str) -> bool:
        """Turn the client away if there is a reason why."""
        if why:
            self._note(request, why, "53300")
            self._fatal("53300", f"gatepost: {why}", "Close what is not used, or try again later.")
        return bool(why)

    def _prove(self, request: LoginRequest) -> Admission | Refused:
        """Return the admission, or why not; raises Left when the proof failed."""
        worker = self._worker
        now = worker.clock.now()
        keys = (f"source {self._arrival.source}", f"identity {request.user}")
        gevent.sleep(worker.throttle.delay_s(keys, time.monotonic()))
        way = logins.choose_way(worker.snapshot, request, now)
        if isinstance(way, Refused):
            self._refuse(request, way)
            raise Left
        verifiers = [credential.verifier for credential in way.credentials]
        if not verifiers:
            verifiers = [mock_verifier(worker.sealer.login_secret, request.user)]
        binding = worker.tls.binding if self._client.is_tls else None
        try:
            proved = self._drive(scram_way(request.user, verifiers, binding))
        except AuthFailed as failed:
            worker.throttle.failed(keys, time.monotonic())
            fault = logins.authentication_failed(worker.snapshot, request, now)
            is_proof = failed.sqlstate == fault.sqlstate
            self._note(request, fault.reason if is_proof else failed.reason, failed.sqlstate)
            hint = fault.hint if is_proof else ""
            self._fatal(failed.sqlstate, failed.message, hint, failed.detail)
            raise Left from None
        if not way.credentials:  # a mock verifier lets nobody pass; if it did, that is the end
            raise Left
        worker.throttle.succeeded(keys)
        if proved.last:
            self._client.write(proved.last)
        credential = way.credentials[proved.credential_index]
        return logins.admit(worker.snapshot, request, credential.id, worker.clock.now())

    def _drive(self, way: LoginWay) -> Proved:
        """Carry the messages of one way of logging in."""
        try:
            step = next(way)
            while True:
                if isinstance(step, AwaitOutside):
                    raise AssertionError(f"no way waits for {step.event} yet")
                self._client.write(step)
                step = way.send(self._password_message())
        except StopIteration as done:
            proved: Proved = done.value
            return proved

    def _password_message(self) -> bytes:
        while (message := self._messages.next()) is None:
            data = self._client.read()
            if not data:
                raise Left
            self._messages.feed(data)
        kind, body = message
        if kind != codes.PASSWORD:
            raise ProtocolError("client", "expected a password message during the login")
        return body

    # -- the target ----------------------------------------------------------------------------

    def _open(self, admission: Admission, received: startup.StartupReceived) -> bool:
        worker, request = self._worker, admission.request
        refused = self._judge_settings(admission) or self._judge_replication(admission)
        if refused is not None:
            self._refuse(request, refused)
            return False
        try:
            secret = worker.run_blocking(
                targets.open_secret, admission.role, admission.target.id, worker.sealer
            )
        except GatepostError as error:
            log.error("an upstream secret does not open", target=admission.target.name)
            self._note(request, error.message, "08006")
            self._fatal("08006", f"gatepost: {error.message}", "Ask an admin of Gatepost.")
            return False
        upstream = connect(
            admission.target,
            admission.upstream_startup(),
            secret,
            worker.scram_keys,
            is_masked=worker.precedents(Subject.of(admission)).masking is not None,
        )
        if isinstance(upstream, Unreached):
            self._note(request, f"target: {upstream.message}", upstream.sqlstate)
            self._fatal(upstream.sqlstate, upstream.message, upstream.hint, upstream.detail)
            return False
        self._know_masks(admission)
        try:
            connection = self._begin(admission, upstream, received)
        except JournalUnavailable:
            upstream.endpoint.close()
            self._fatal(
                "57P03",
                "gatepost: the journal cannot be written, so no session may begin",
                "Tell who runs this gateway: its disk may be full.",
            )
            return False
        except BaseException:
            upstream.endpoint.close()
            raise
        connection.start()
        return True

    def _know_masks(self, admission: Admission) -> None:
        """Have the catalog read that masks are looked for in, so that the first statement runs."""
        worker = self._worker
        rules = worker.precedents(Subject.of(admission)).masking
        if rules is None:
            return
        box = worker.catalogs.box(admission.target, admission.database)
        if box.catalog is None:
            worker.catalogs.refresh(admission.target, admission.database)
        mask_building.ensure(box, (rules,), worker.run_blocking)

    def _judge_replication(self, admission: Admission) -> Refused | None:
        """Refuse what would be sent the write-ahead log, in which nothing can be masked."""
        request = admission.request
        if not request.replication or (
            self._worker.precedents(Subject.of(admission)).masking is None
        ):
            return None
        return Refused(
            "28000",
            "gatepost: replication would show columns that are masked for you",
            "Ask an admin of Gatepost to exempt you from the masking rules of this target.",
            "replication by an identity with masks",
        )

    def _judge_settings(self, admission: Admission) -> Refused | None:
        """Judge every start-up parameter as the SET that it is, before the target is reached."""
        precedents = self._worker.precedents(Subject.of(admission))
        for name, value in admission.request.settings:
            if name.lower() == "client_encoding" and not codec_of(value):
                return Refused(
                    "42501",
                    f"gatepost: client_encoding {value[:40]} cannot be read safely",
                    "Use client_encoding=UTF8 (PGCLIENTENCODING=UTF8).",
                    f"unsafe client_encoding {value[:40]}",
                )
            verdict = precedents.policy.decide(setting_facts(name, value))
            if not verdict.is_allow:
                if verdict.rule == PROFILE:
                    self._ask_owner(admission, name, value, verdict)
                message, hint = refusal_text(verdict)
                return Refused("42501", message, hint, f"start-up parameter {name}: {verdict.rule}")
        return None

    def _ask_owner(self, admission: Admission, name: str, value: str, verdict: Verdict) -> None:
        """Record the setting that a profile refused, as a statement: that asks to extend it."""
        try:
            start = self._start_of(admission)
            startup_settings.record_refused(self._worker.journal, start, name, value, verdict)
        except JournalUnavailable:
            log.error("a refused setting could not be recorded")

    def _start_of(self, admission: Admission) -> SessionStart:
        worker, request = self._worker, admission.request
        return SessionStart(
            session=new_session_id(worker.clock),
            identity=admission.identity.name,
            identity_id=admission.identity.id,
            identity_kind=admission.identity.kind,
            credential=admission.credential.id,
            target=admission.target.name,
            target_id=admission.target.id,
            database=admission.database,
            role=admission.role.name,
            source=self._arrival.source,
            source_port=self._arrival.port,
            application_name=request.application_name,
            tls=self._arrival.tls,
            peer=self._arrival.via,
            grant=admission.grant.id,
            reason=request.reason,
            policy_version=worker.snapshot.version,
            durability=admission.target.durability or worker.snapshot.settings.durability,
            parameters=request.parameters,
            demo=admission.identity.demo,
        )

    def _begin(
        self, admission: Admission, upstream: Upstream, received: startup.StartupReceived
    ) -> Connection:
        worker, ready = self._worker, upstream.ready
        start = self._start_of(admission)
        recorder = SessionRecorder(worker.journal, start)
        if admission.identity.profile is not ProfileMode.OFF:
            policy = worker.precedents(Subject.of(admission)).policy
            startup_settings.record(recorder, admission.request.settings, policy)
        session = Session(
            recorder,
            worker.gate,
            dict(ready.parameters),
            fastpath=admission.grant.fastpath,
            is_durable=start.durability is Durability.DURABLE,
            message_limit=worker.snapshot.settings.limits.message_bytes,
        )
        key = worker.cancel_keys.issue(
            ready.process_id, is_long=received.version > codes.PROTOCOL_3_0
        )
        connection = Connection(
            worker, self._client, upstream, session, admission, key, self._arrival.source
        )
        session.guard.ask = partial(asking.rows_of, worker, connection)
        session.elsewhere = partial(asking.elsewhere, worker, connection)
        session.doer = Doer(
            admission.identity.name,
            admission.credential.id,
            # not another server that gets its name: a second try may come after a change
            f"{admission.target.name} {admission.target.host}:{admission.target.port}",
            admission.database,
            admission.role.name,
        )
        session.judge = Judge(
            worker.parser,
            connection.precedents,
            worker.catalogs.box(admission.target, admission.database),
            PreparedFacts(session),
            admission.role.name,
            TextMasks(PreparedLineages(session), session.cursors),
        )
        session.planner = Masking(session, worker.masking_key)
        session.judge.tell = session.follow_rules
        session.judge.policy_changed()
        session.judge.encoding_is(ready.parameters.get("client_encoding", "UTF8"))
        rest = self._messages.rest
        asked = admission.request.settings
        greeting = hello(ready, key, session, asked, admission.role.name)
        try:
            self._client.write(greeting)
        except OSError:
            recorder.end("client left during the login")
            raise
        worker.remember(connection)
        session.tail += rest
        session.target_tail += upstream.rest
        return connection

    # -- saying no -----------------------------------------------------------------------------

    def _refuse(self, request: LoginRequest, refused: Refused) -> None:
        self._note(request, refused.reason, refused.sqlstate)
        self._fatal(refused.sqlstate, refused.message, refused.hint)

    def _note(self, request: LoginRequest, reason: str, sqlstate: str) -> None:
        """Record a login that led to nothing; without a journal the answer is no all the same."""
        try:
            self._worker.journal.login(
                request.user[:200],
                request.target[:200],
                self._arrival.source,
                source_port=self._arrival.port,
                reason=reason,
                sqlstate=sqlstate,
                application_name=request.application_name[:200],
                tls=self._arrival.tls,
                peer=self._arrival.via,
            )
        except JournalUnavailable:
            log.error("a refused login could not be recorded")

    def _fatal(self, sqlstate: str, message: str, hint: str = "", detail: str = "") -> None:
        self._write(error_response("FATAL", sqlstate, message, detail, hint))

    def _write(self, data: bytes) -> None:
        try:
            self._client.write(data)
        except OSError:
            return  # it left: nobody to tell
