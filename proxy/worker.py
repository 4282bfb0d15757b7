"""One proxy process: what its sessions share, and how it accepts and lets go of clients."""

from __future__ import annotations

import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import gevent
import structlog

from appliance import sealing, targets, tls
from appliance.clock import Clock
from appliance.config import Config
from appliance.entities import Limits, Snapshot, Target
from appliance.errors import StoreUnavailable
from appliance.hours import closed_rules
from appliance.identity.login import Refused, renew
from appliance.identity.scram import KeyCache
from appliance.masking.mask_set import MaskRules
from appliance.masking.texts import MaskSets
from appliance.policy.engine import Policy
from appliance.policy.rules import Rulebook
from appliance.policy.subject import Subject
from appliance.recording.journal import Journal
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from appliance.sql.planner import Planner
from appliance.store import catalogs as stored_catalogs
from appliance.store import snapshots
from appliance.store.database import Store
from appliance.targets.estimate import Estimator
from proxy import mask_building
from proxy.arrival import is_in
from proxy.cache import Room
from proxy.cancel import CancelBus, CancelKeys, bus_directory
from proxy.catalogs import Catalogs
from proxy.connection import Connection
from proxy.decision import Need, Precedents
from proxy.holding import Holding
from proxy.last_words import LastWords
from proxy.login import Login
from proxy.refusal import Refusal
from proxy.session import Gate
from proxy.throttle import Throttle

log = structlog.get_logger("proxy")

_SCRATCH_BYTES = 256 << 10
_ACCEPTS_PER_TURN = 64
_ACCEPT_PAUSE_S = 0.2  # where there are no descriptors left: trying on would be all that it does
_PRECEDENTS = 4096
_CACHE_BYTES = 64 << 20  # of decisions remembered, all sessions together
T = TypeVar("T")


class Worker:
    """Owns the listening socket, the snapshot, the journal and all sessions of one process."""

    def __init__(
        self, config: Config, store: Store, clock: Clock, listener: socket.socket, number: int
    ) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self.number = number
        self.name = f"{socket.gethostname()}/proxy-{number}"
        self.sealer = sealing.Sealer(sealing.load_master_key(config))
        self.masking_key = sealing.masking_key(config)
        self.snapshot: Snapshot = snapshots.load(store, clock.now())
        self.tls = tls.server_tls(config, clock.now())
        self.journal = Journal.create(
            config.journal_dir, f"proxy-{number}", clock, sealing.load_signing_key(config)
        )
        self.planner = Planner()
        self.parser = Parser(self.planner)
        self.catalogs = Catalogs(self._load_catalog, self._follow_catalog)
        self.gate = Gate()
        self.holding = Holding(self)
        self.estimator = Estimator()
        self.throttle = Throttle()
        self.scram_keys: KeyCache = {}
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.sessions: dict[str, Connection] = {}
        self.cancel_keys: CancelKeys[Connection] = CancelKeys()
        self.is_draining = False
        self._by_identity: Counter[str] = Counter()
        self._by_source: Counter[str] = Counter()
        self._logins: set[Login] = set()
        self._logging_in: Counter[str] = Counter()  # by the address that they come from
        self._closed = closed_rules(self.snapshot, clock.now())
        self._rulebook = Rulebook(self.snapshot, self._closed, config.public_url)
        self._precedents: dict[Subject, Precedents] = {}
        self._room = Room(_CACHE_BYTES)
        self._listener = listener
        loop = gevent.get_hub().loop
        self._accepting = loop.io(listener.fileno(), 1)
        self._soon: deque[Callable[[], None]] = deque()
        self._soon_lock = threading.Lock()
        self._wake = loop.async_()
        self._wake.start(self._run_soon)
        self._bus = CancelBus(
            bus_directory(config.run_dir), f"proxy-{number}", self._cancel_from_other
        )

    # -- accepting -----------------------------------------------------------------------------

    def start_accepting(self) -> None:
        self._accepting.start(self._accept)

    def stop_accepting(self) -> None:
        self._accepting.stop()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of descriptors: leave the queue to the others, a while
                log.error("a connection cannot be accepted", why=error.strerror)
                self._accepting.stop()
                gevent.spawn_later(_ACCEPT_PAUSE_S, self._accept_again)
                return
            host, port = (address[0], address[1]) if address else ("127.0.0.1", 0)
            if self._is_crowded(host):
                sock.close()
                continue
            self._logging_in[host] += 1  # here: a turn accepts many before one of them runs
            self.spawn(self._login, sock, host, port)

    def _accept_again(self) -> None:
        if not self.is_draining:
            self.start_accepting()

    def _is_crowded(self, host: str) -> bool:
        """Return whether so many are logging in, from there or at all, that one more is too much.

        A balancer in front is as many sources as it has clients.
        """
        limits = self.limits
        if len(self._logins) >= self._share(limits.connections):
            return True
        if self._logging_in[host] < self._share(limits.connections_per_source):
            return False
        return not is_in(host.partition("%")[0], self.config.proxy_protocol_from)

    def _login(self, sock: socket.socket, host: str, port: int) -> None:
        login = Login(self, sock, host.partition("%")[0], port)
        self._logins.add(login)
        try:
            login.run()
        finally:
            self._logins.discard(login)
            self._logging_in[host] -= 1
            if not self._logging_in[host]:
                del self._logging_in[host]

    # -- limits --------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        return self.snapshot.settings.limits

    def _share(self, limit: int) -> int:
        """Return this process's part of a limit that is meant for all of them."""
        return -(-limit // self.config.workers)

    def has_too_many(self, identity: str) -> str:
        """Return what to say when an identity's limit is reached, "" = it is not.

        Only to who has proved to be it: others would learn that the name exists.
        """
        limit = self._share(self.limits.connections_per_identity)
        reached = self._by_identity[identity] >= limit
        return f'too many connections of "{identity}"' if reached else ""

    def limits_reached(self, source: str) -> str:
        """Return which connection limit is reached for anybody from there, "" = none."""
        limits = self.limits
        if len(self.sessions) >= self._share(limits.connections):
            return "too many connections on this gateway"
        if self._by_source[source] >= self._share(limits.connections_per_source):
            return "too many connections from your address"
        return ""

    def why_no_logins(self) -> tuple[str, str, str] | None:
        """Return SQLSTATE, message and hint when nobody can log in now."""
        if self.is_draining:
            return "57P03", "gatepost: the gateway is shutting down", "Connect again in a moment."
        if self.gate.store_lost:
            return (
                "57P03",
                "gatepost: the gateway's store does not answer, so nobody can log in now",
                "It comes back by itself; tell who runs this gateway if it does not.",
            )
        return None

    # -- sessions ------------------------------------------------------------------------------

    def remember(self, connection: Connection) -> None:
        self.sessions[connection.id] = connection
        self.cancel_keys.put(connection.process_id, connection.cancel_key, connection)
        self._by_identity[connection.admission.identity.name] += 1
        self._by_source[connection.source] += 1

    def forget(self, connection: Connection) -> None:
        if self.sessions.pop(connection.id, None) is None:
            return
        self.cancel_keys.drop(connection.process_id, connection.cancel_key)
        for counter, key in (
            (self._by_identity, connection.admission.identity.name),
            (self._by_source, connection.source),
        ):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]

    def cancel(self, process_id: int, key: bytes) -> None:
        """Carry out a client's CancelRequest, here or in the worker that has the session."""
        connection = self.cancel_keys.get(process_id, key)
        if connection is None:
            self._bus.ask_others(process_id, key)
        else:
            connection.cancel().join(5)

    def _cancel_from_other(self, process_id: int, key: bytes) -> None:
        connection = self.cancel_keys.get(process_id, key)
        if connection is not None:
            connection.cancel()

    # -- deciding ------------------------------------------------------------------------------

    def precedents(self, subject: Subject) -> Precedents:
        """Return the policy of a subject by the newest snapshot, with what it decided so far."""
        found = self._precedents.get(subject)
        if found is None:
            if len(self._precedents) >= _PRECEDENTS:
                self._precedents.clear()
            policy = Policy(self.snapshot, subject, self._rulebook)
            names_matter = policy.depends_on_objects or any(
                # ... for the role that acts, or for what is temporary and what is not
                rule.roles or ("ddl" in rule.commands) != ("temp_ddl" in rule.commands)
                for rule in self.snapshot.rules
                if rule.enabled
            )
            make = partial(Policy, self.snapshot, subject, self._rulebook)
            masking = MaskRules.of(
                self.snapshot, subject.identity, subject.target, subject.database
            )
            names_matter = names_matter or masking is not None
            found = Precedents(policy, names_matter, make, self._room, masking)
            self._precedents[subject] = found
        return found

    def catch_up(self) -> None:
        """Decide by what is stored now; waits (call it in a greenlet). Raises StoreUnavailable."""
        version = self.run_blocking(snapshots.version, self.store)
        if version != self.snapshot.version:
            snapshot = self.run_blocking(snapshots.load, self.store, self.clock.now())
            connections = list(self.sessions.values())
            mask_building.of_snapshot(connections, self.catalogs, snapshot, self.run_blocking)
            self.adopt(snapshot)

    def adopt(self, snapshot: Snapshot) -> None:
        """Decide by a newer snapshot from now on; sessions that it does not allow end."""
        self.snapshot = snapshot
        now = self.clock.now()
        self._closed = closed_rules(snapshot, now)
        self._rulebook = Rulebook(snapshot, self._closed, self.config.public_url)
        self._precedents.clear()
        for connection in list(self.sessions.values()):
            outcome = renew(snapshot, connection.admission, now)
            if isinstance(outcome, Refused):
                connection.end(LastWords.of(outcome))
            else:
                connection.admission = outcome
                connection.ends_at = outcome.ends_at
                connection.session.fastpath = outcome.grant.fastpath
                connection.session.judge.policy_changed()

    def keep_hours(self) -> None:
        """Decide by the rules whose hours it is; what is judged from now on is judged by them."""
        closed = closed_rules(self.snapshot, self.clock.now())
        if closed == self._closed:
            return
        self._closed = closed
        self._rulebook = Rulebook(self.snapshot, closed, self.config.public_url)
        self._precedents.clear()
        for connection in list(self.sessions.values()):
            connection.session.judge.policy_changed()

    def prepare(self, connection: Connection, need: Need, raw: bytes) -> None:
        """Do, in a greenlet, what a decision needs before it can be made."""
        if need is Need.PARSE:
            self.run_blocking(connection.session.judge.decide_slowly, raw)
        elif need is Need.CATALOG:
            admission = connection.admission
            newest = connection.session.judge.wants_newest
            self.catalogs.refresh(admission.target, admission.database, is_patient=newest)

    def _load_catalog(self, target: Target, database: str) -> Catalog:
        """Read a target's catalog as its catalog role; blocking."""
        reader = target.reader
        if reader is None:
            raise AssertionError("a target without roles has no sessions")
        secret = targets.open_secret(reader, target.id, self.sealer)
        catalog = targets.load_catalog(target, database, secret)
        data = catalog.to_json()
        try:
            stored_catalogs.put(self.store, self.clock.now(), target.name, database, data)
        except StoreUnavailable:  # sessions outlive that for a while
            log.warning("a target's catalog could not be stored", target=target.name)
        return catalog

    def _follow_catalog(self, target: Target, database: str, catalog: Catalog) -> MaskSets:
        """Adopt what masking rules have found in a catalog that was just stored; waits."""
        with suppress(StoreUnavailable):
            self.catch_up()
        connections = list(self.sessions.values())
        build = mask_building.of_catalog(connections, target, database, catalog)
        return self.run_blocking(build)

    # -- the loop ------------------------------------------------------------------------------

    def spawn(self, function: Callable[..., Any], *args: Any) -> gevent.Greenlet[..., Any]:
        """Run something that waits beside the callbacks."""
        return gevent.spawn(function, *args)

    def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that blocks in the thread pool; waits in the calling greenlet."""

        def run() -> tuple[T | None, BaseException | None]:
            try:
                return function(*args), None
            except BaseException as error:  # raised again below: the pool would print it
                return None, error

        result, error = gevent.get_hub().threadpool.apply(run)
        if error is not None:
            raise error
        return cast(T, result)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run something on the loop; may be called from any thread."""
        with self._soon_lock:
            self._soon.append(function)
        self._wake.send()

    def _run_soon(self) -> None:
        while True:
            with self._soon_lock:
                if not self._soon:
                    return
                function = self._soon.popleft()
            try:
                function()
            except Exception:  # those behind it in the queue have to run
                log.exception("a callback failed")

    def close(self) -> None:
        """End what is left; the journal is closed last."""
        self.stop_accepting()
        for connection in list(self.sessions.values()):
            connection.close("gateway shut down", gently=True)
        self.holding.close()
        self._bus.close()
        self.planner.close()
        self.journal.close()


def store_refusal() -> Refusal:
    """Return what statements get when the store has been away for longer than its grace."""
    return Refusal(
        "57P03",
        "gatepost: the gateway's store has been away too long, so nothing may run",
        "It comes back by itself; tell who runs this gateway if it does not.",
    )
