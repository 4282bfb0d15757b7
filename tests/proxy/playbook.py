"""A session without sockets, for tests that read as transcripts: who sends what, what comes out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import orjson

from appliance.clock import SystemClock
from appliance.entities import (
    Identity,
    IdentityKind,
    PolicyRule,
    Settings,
    Snapshot,
    SslMode,
    Target,
    UpstreamRole,
)
from appliance.policy.engine import Policy
from appliance.policy.subject import Subject
from appliance.recording.journal import Journal
from appliance.recording.reading import JournalReader
from appliance.recording.recorder import SessionRecorder, SessionStart, new_session_id
from appliance.recording.records import Kind as RecordKind
from appliance.recording.signing import Signer
from appliance.sql.catalog import Catalog, SessionState
from appliance.sql.parser import Parser
from proxy.cache import Room
from proxy.decision import CatalogBox, Precedents
from proxy.holds import Doer
from proxy.judge import Judge
from proxy.prepared_facts import PreparedFacts
from proxy.session import Gate, Session
from proxy.wire import backend, codes, frontend
from proxy.wire.framing import MessageBuffer, client_rules, upstream_rules
from proxy.wire.notices import error_response

IDLE, OPEN, FAILED = (backend.ReadyForQuery(ord(status)) for status in "ITE")
STATE = SessionState(("pg_catalog", "public"), "app", "app", "UTF8", True, frozenset(), {})
_CATALOG = Catalog.from_json(b'{"schemas": ["pg_catalog", "public"], "version": 180004}')
STATE_ROW = orjson.dumps(
    {
        "path": ["pg_catalog", "public"],
        "search_path": "public",
        "current_user": "app",
        "session_user": "app",
        "client_encoding": "UTF8",
        "standard_conforming_strings": "on",
        "temp": [],
    }
)

_journals: list[Journal] = []  # of the plays of this test: each has a thread, and files


def close_journals() -> None:
    """Let go of what the plays so far hold."""
    while _journals:
        _journals.pop().close()


class Play:
    """One session. ``client`` and ``target`` send; ``upstream()`` and ``received()`` look."""

    def __init__(
        self,
        directory: Path,
        *rules: PolicyRule,
        knows_names: bool = True,
        **options: Any,
    ) -> None:
        clock = SystemClock()
        signer = Signer.from_master_key(b"k" * 32)
        self.journal = Journal.create(directory, "play", clock, signer, segment_bytes=1 << 18)
        _journals.append(self.journal)
        start = SessionStart(
            session=new_session_id(clock),
            identity="ci-nightly",
            identity_kind="ci",
            credential=1,
            target="shop",
            database="shop",
            role="app",
            source="192.0.2.7:4711",
        )
        target = Target(
            1, "shop", "h", 5432, "shop", SslMode.PREFER, "", (UpstreamRole("app"),), ""
        )
        identity = Identity(1, "ci-nightly", IdentityKind.CI)
        snapshot = Snapshot(
            1, Settings(), {"shop": target}, {identity.name: identity}, {}, (), rules
        )
        subject = Subject(
            identity, target, "shop", "app", None, frozenset({"app"}), "psql", "192.0.2.7"
        )
        policy = Policy(snapshot, subject)
        precedents = Precedents(
            policy,
            policy.depends_on_objects,
            partial(Policy, snapshot, subject),
            Room(1 << 20),
        )
        self.gate = Gate()
        recorder = SessionRecorder(self.journal, start)
        self.session = Session(recorder, self.gate, {}, **options)
        self.session.judge = Judge(
            Parser(),
            lambda _role: precedents,
            CatalogBox(_CATALOG, generation=1, is_stale=False),
            PreparedFacts(self.session),
            "app",
        )
        self.session.doer = Doer(identity.name, 1, "shop", "shop", "app")
        if knows_names:
            self.session.judge.names_are(STATE)
        self._up = MessageBuffer(client_rules())
        self._down = MessageBuffer(upstream_rules())

    def client(self, *messages: Any) -> Play:
        """Let the client send messages (values or bytes)."""
        self.session.client_data(memoryview(_bytes(messages)))
        return self

    def target(self, *messages: Any) -> Play:
        """Let the target send messages (values or bytes)."""
        self.session.upstream_data(memoryview(_bytes(messages)))
        self.session.write_outcomes()
        return self

    def upstream(self) -> list[Any]:
        """Return what the target got since the last look."""
        return self._parsed(self._up, self.session.to_upstream, frontend.parse)

    def received(self) -> list[Any]:
        """Return what the client got since the last look."""
        return self._parsed(self._down, self.session.to_client, backend.parse)

    def records(self) -> list[tuple[Any, ...]]:
        """Return (text, last state) of every recorded statement, in order."""
        texts: dict[int, str] = {}
        known: dict[str, str] = {}
        states: dict[int, str] = {}
        for body in self.bodies():
            if "sha" in body:
                known.setdefault(body["sha"], body.get("text", ""))
                texts[body["seq"]] = known[body["sha"]]
            if "state" in body:
                states[body["seq"]] = body["state"]
        return [(texts[seq], states[seq]) for seq in texts]

    def bodies(self) -> list[dict[str, Any]]:
        """Return the bodies of all statement and outcome records."""
        with JournalReader(self.journal.path) as reader:
            return [
                orjson.loads(record.body)
                for record in reader.records()
                if record.kind in (RecordKind.STATEMENT, RecordKind.OUTCOME)
            ]

    def answer_exchange(self, row: bytes = STATE_ROW, *, synced: bool = True) -> Play:
        """Let the target answer the exchange of the gateway's own that it was just sent."""
        sent = self.upstream()
        closing = sent[5].kind
        assert [message.kind for message in sent] == [*list(b"PBECC"), closing]
        assert closing == (codes.SYNC if synced else codes.FLUSH)
        answers: list[Any] = [
            backend.PARSE_COMPLETE,
            backend.BIND_COMPLETE,
            backend.DataRow((row,)),
            backend.CommandComplete(b"SELECT 1"),
            backend.CLOSE_COMPLETE,
            backend.CLOSE_COMPLETE,
        ]
        return self.target(*answers, *([IDLE] if synced else []))

    @staticmethod
    def _parsed(buffer: MessageBuffer, parts: list[Any], parse: Any) -> list[Any]:
        buffer.feed(b"".join(parts))
        parts.clear()
        found = []
        while (message := buffer.next()) is not None:
            found.append(parse(*message))
        return found


def query(text: str) -> frontend.Query:
    return frontend.Query(text.encode())


def parse(text: str, name: bytes = b"") -> frontend.Parse:
    return frontend.Parse(name, text.encode())


def bind(*parameters: bytes | None, statement: bytes = b"", portal: bytes = b"") -> frontend.Bind:
    return frontend.Bind(portal, statement, (), parameters)


def execute(portal: bytes = b"", rows: int = 0) -> frontend.Execute:
    return frontend.Execute(portal, rows)


def done(tag: str) -> backend.CommandComplete:
    return backend.CommandComplete(tag.encode())


def error(sqlstate: str, message: str = "no") -> bytes:
    return error_response("ERROR", sqlstate, message)


def poisoned(play: Play) -> bytes:
    """Return the error that the target gives for the poison in flight."""
    head = play.session.queue.head
    assert head is not None and head.refusal is not None
    return error("42601", f"syntax error at or near \"'{head.refusal.nonce}'\"")


def _bytes(messages: tuple[Any, ...]) -> bytes:
    return b"".join(m if isinstance(m, bytes) else m.encode() for m in messages)
