"""Statements of a machine as the gateway records them, in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.recorder import SessionRecorder, SessionStart, State, new_session_id
from appliance.recording.signing import Signer
from appliance.sql.facts import Effect, EffectClass, Name
from appliance.store.database import Store

ORDERS = Effect(EffectClass.SELECT, Name("public", "orders"))
ALLOW = Verdict(
    Action.ALLOW, "default", "", decisions=(EffectDecision(ORDERS, Action.ALLOW, "default"),)
)
OUTSIDE = Verdict(
    Action.BLOCK,
    "profile",
    "not signed for ci-nightly",
    decisions=(EffectDecision(ORDERS, Action.BLOCK, "profile"),),
)
BEGIN = Verdict(
    Action.ALLOW,
    "default",
    "",
    decisions=(EffectDecision(Effect(EffectClass.TRANSACTION), Action.ALLOW, "default"),),
)
# For what does not depend on the kind of store: a fresh PostgreSQL for each test takes its time.
ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
COUNT, SUM, DROP = "00000000000000c0", "00000000000000c1", "00000000000000c2"


@dataclass(slots=True)
class Recorder:
    """Records sessions and takes them into a store."""

    store: Store
    clock: ManualClock
    journal: Journal
    indexer: Indexer
    sessions: list[str] = field(default_factory=list)

    def ran(
        self,
        *statements: tuple[str, str],
        identity: str = "ci-nightly",
        verdict: Verdict = ALLOW,
        rows: int = 1,
        take_in: bool = True,
        **session: object,
    ) -> str:
        """Record (text, fingerprint) pairs as one session; return its id."""
        common: dict[str, object] = {
            "session": new_session_id(self.clock),
            "identity": identity,
            "identity_kind": "human" if "@" in identity else "ci",
            "credential": None,
            "target": "shop",
            "database": "shop",
            "role": "app_ro",
            "source": "10.2.0.7",
            "application_name": "ci-export",
        }
        recorder = SessionRecorder(self.journal, SessionStart(**common | session))  # type: ignore[arg-type]
        for text, mark in statements:
            state = State.SENT if verdict.is_allow else State.REFUSED
            seq = recorder.statement(text, (), verdict, state, fingerprint=mark)
            if verdict.is_allow:
                recorder.outcome(seq, State.DONE, tag=f"SELECT {rows}", rows=rows)
        recorder.end("client left")
        if take_in:
            self.take_in()
        self.sessions.append(recorder.session)
        return recorder.session

    def refused(self, *statements: tuple[str, str], identity: str = "ci-nightly") -> str:
        """Record statements that the identity's profile refused."""
        return self.ran(*statements, identity=identity, verdict=OUTSIDE)

    def take_in(self) -> None:
        while self.indexer.step():
            pass


def recorder_in(store: Store, folder: Path, clock: ManualClock) -> Recorder:
    """Return a recorder whose journal is in ``folder``."""
    signer = Signer.from_master_key(b"m" * 32)
    directory = folder / "journal"
    journal = Journal.create(directory, "proxy-1", clock, signer, segment_bytes=64 << 10)
    return Recorder(store, clock, journal, Indexer(store, directory, clock, None))
