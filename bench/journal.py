"""What recording costs: ``python -m bench.journal``. CPU time of one thread, best of rounds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from appliance.clock import SystemClock
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.recording.recorder import SessionRecorder, SessionStart, State, new_session_id
from appliance.recording.records import Kind
from appliance.recording.signing import Signer
from appliance.recording.verify import verify
from appliance.sql.facts import Effect, EffectClass, Name
from appliance.store.database import open_store
from appliance.store.migrate import migrate

_EFFECT = Effect(EffectClass.SELECT, Name("public", "orders"))
_VERDICT = Verdict(
    Action.ALLOW,
    "default",
    "no rule stops it",
    decisions=(EffectDecision(_EFFECT, Action.ALLOW, "default"),),
)
_BODY = b'{"event":"bench","pad":"%s"}' % (b"." * 160)


@click.command()
@click.option("--records", default=100_000, show_default=True, help="In each round.")
@click.option("--rounds", default=5, show_default=True, help="The best one counts.")
@click.option("--store", "store_url", default="", help="Default: SQLite in the same directory.")
@click.option("--directory", default="", help="Where to write; default: the temporary directory.")
def main(records: int, rounds: int, store_url: str, directory: str) -> None:
    """Measure appending, recording statements, indexing and verifying."""
    with tempfile.TemporaryDirectory(dir=directory or None) as name:
        place, clock = Path(name), SystemClock()
        signer = Signer.from_master_key(bytes(32))
        journal = Journal.create(place / "journal", "bench", clock, signer)
        recorder = SessionRecorder(journal, _start(clock))
        _say("append()", records, rounds, lambda n: _append(journal, n))
        _say("statement(), text seen", records, rounds, lambda n: _statements(recorder, n, 1))
        _say("statement(), 1,000 texts", records, rounds, lambda n: _statements(recorder, n, 1000))
        _say("outcome()", records, rounds, lambda n: _outcomes(recorder, n))
        recorder.end("done")
        journal.close()
        store = open_store(store_url or f"sqlite:///{place / 'gatepost.db'}")
        migrate(store)
        _index(place, clock, signer, store_url, records)
        store.close()


def _index(place: Path, clock: SystemClock, signer: Signer, url: str, records: int) -> None:
    """Index and verify sessions as real ones are: statement and outcome in turn."""
    directory = place / "sessions"
    journal = Journal.create(directory, "bench", clock, signer)
    for _ in range(50):
        recorder = SessionRecorder(journal, _start(clock))
        for number in range(records // 100):
            seq = recorder.statement(f"select {number % 500}", ("7",), _VERDICT, State.SENT)
            recorder.outcome(seq, State.DONE, "SELECT 1", 1, 0.4, bytes_out=60)
        recorder.end("done")
    journal.close()
    store = open_store(url or f"sqlite:///{place / 'gatepost.db'}")
    indexer = Indexer(store, directory, clock)
    began, taken = time.thread_time(), 0
    while count := indexer.step():
        taken += count
    indexer.close()
    _rate("indexed", taken, time.thread_time() - began)
    began = time.thread_time()
    report = verify(directory, store, public_key=signer.public_key)
    _rate("verified", report.records, time.thread_time() - began)
    store.close()


def _start(clock: SystemClock) -> SessionStart:
    return SessionStart(
        session=new_session_id(clock), identity="bench", identity_kind="service", credential=1,
        target="shop", database="shop", role="app_ro", source="127.0.0.1",
    )  # fmt: skip


def _append(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.append(Kind.EVENT, _BODY)


def _statements(recorder: SessionRecorder, count: int, texts: int) -> None:
    made = [f"select {number} as number" for number in range(texts)]
    for number in range(count):
        recorder.statement(made[number % texts], (), _VERDICT, State.SENT)


def _outcomes(recorder: SessionRecorder, count: int) -> None:
    for _ in range(count):
        recorder.outcome(1, State.DONE, "SELECT 1", 1, 0.4, bytes_out=60)


def _say(name: str, count: int, rounds: int, run: Callable[[int], None]) -> None:
    costs = []
    for _ in range(rounds):
        began = time.thread_time()
        run(count)
        costs.append((time.thread_time() - began) / count)
    click.echo(f"{name:28} {min(costs) * 1e6:6.2f} us   {1 / min(costs):9,.0f} a second")


def _rate(name: str, count: int, seconds: float) -> None:
    click.echo(f"{name:28} {seconds / count * 1e6:6.2f} us   {count / seconds:9,.0f} a second")


if __name__ == "__main__":
    main()
