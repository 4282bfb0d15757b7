"""One process among several that all want to end the same approval requests.

``python -m tests.store.racing URL JOB FIRST LAST`` says "ready", waits for a line, and prints what
each of its threads was told, as JSON. A test starts several, and runs one in its own process.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

import orjson

from appliance.approvals.requests import RequestState, Settlement
from appliance.errors import Conflict, StoreUnavailable
from appliance.store import approvals
from appliance.store.database import Store, open_store
from tests.store.approving import AS_BO, AS_CY, machine
from tests.store.conftest import NOW

LATER = NOW + timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Told:
    """What one contender was told of one request; ``won``: it was the one who decided."""

    id: int
    state: str
    by: str
    via: str
    won: bool = False


def _decide(store: Store, request_id: int, approve: bool) -> Told:
    by = AS_BO if approve else AS_CY
    try:
        made = approvals.decide(store, by, LATER, request_id, approve=approve, reason="race")
        return Told(made.id, made.state.value, made.decided_by, made.decided_via, True)
    except Conflict:
        return _told(approvals.outcomes(store, [request_id])[request_id])


def _settle(state: RequestState) -> Callable[[Store, int], Told]:
    return lambda store, number: _told(approvals.settle(store, LATER, number, state, by=state))


def _insisting(act: Callable[[Store, int], Told], store: Store, number: int) -> Told:
    """Try until the store answers: SQLite lets nobody in for seconds when so many want to."""
    while True:
        try:
            return act(store, number)
        except StoreUnavailable:  # then nothing was changed
            continue


def _told(settlement: Settlement) -> Told:
    return Told(settlement.id, settlement.state.value, settlement.by, settlement.via)


# Each is one thread of each process, and tries every request.
ENDINGS: tuple[Callable[[Store, int], Told], ...] = (
    lambda store, number: _decide(store, number, True),
    lambda store, number: _decide(store, number, False),
    _settle(RequestState.TIMEOUT),
    _settle(RequestState.CANCELLED),
)
ASKERS = 4


def _ask(store: Store, number: int) -> Told:
    return _told(approvals.ask(store, LATER, machine(retry_s=900 if number < 0 else None)))


def run(url: str, job: str, first: int, last: int, start: Callable[[], None]) -> list[Told]:
    """Let every contender of this process try every number; return what they were told."""
    store = open_store(url)
    contenders = ENDINGS if job == "end" else (_ask,) * ASKERS
    barrier = threading.Barrier(len(contenders))
    ready = threading.Event()
    told: list[Told] = []
    failures: list[BaseException] = []

    def contend(turn: int) -> None:
        ready.wait()
        try:
            for number in range(first, last):
                barrier.wait()  # all at once; whoever is let in first does another thing each time
                act = contenders[(turn + number) % len(contenders)]
                told.append(_insisting(act, store, number))
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=contend, args=(turn,)) for turn in range(len(contenders))]
    for thread in threads:
        thread.start()
    start()
    ready.set()
    for thread in threads:
        thread.join()
    store.close()
    if failures:
        raise failures[0]
    return told


def race(url: str, job: str, first: int, last: int, processes: int = 2) -> list[Told]:
    """Run the job in this process and in others at once; return what all were told."""
    command = [sys.executable, "-m", "tests.store.racing", url, job, str(first), str(last)]
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:

        def start() -> None:
            for other in others:
                assert other.stdout is not None and other.stdout.readline() == "ready\n"
            for other in others:
                assert other.stdin is not None
                other.stdin.write("go\n")
                other.stdin.flush()

        told = run(url, job, first, last, start)
        for other in others:
            output, _ = other.communicate(timeout=120)
            assert other.returncode == 0
            told += [Told(**one) for one in orjson.loads(output)]
        return told
    finally:
        for other in others:
            other.kill()
            other.wait()


def _wait_for_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    found = run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), _wait_for_go)
    print(orjson.dumps([asdict(one) for one in found]).decode())
