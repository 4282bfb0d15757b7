"""The parent restarts what ends, drains in order, and takes its children along when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.supervisor import describe_exit
from tests.harness.polling import eventually

# A child that notes what happens to it, one word a line, and ends on SIGTERM or without parent.
CHILD = """
    import os, select, signal, sys, time
    log = open(sys.argv[1], "a", buffering=1)
    read, write = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(write, b"x"))
    log.write(f"started {os.getpid()}\\n")
    ready, _, _ = select.select([read, int(os.environ["GATEPOST_PARENT_FD"])], [], [])
    log.write("asked\\n" if read in ready else "orphaned\\n")
    os.utime(sys.argv[1], ns=(time.time_ns(),) * 2)  # finer than the file system's own clock
"""
STUBBORN = """
    import os, select, signal, sys
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(sys.argv[1], "a") as log:
        log.write("started 0\\n")
    select.select([int(os.environ["GATEPOST_PARENT_FD"])], [], [])
"""
PARENT = """
    import sys
    from appliance.supervisor import ChildSpec, Phase, Supervisor
    serving, recording, folder, drain_s = sys.argv[1:]
    def child(name, code, phase):
        return ChildSpec(name, (sys.executable, "-c", code, f"{folder}/{name}"), phase=phase)
    sys.exit(Supervisor(
        [child("serving", serving, Phase.SERVING), child("recording", recording, Phase.RECORDING)],
        drain_s=float(drain_s), recording_s=5,
    ).run())
"""


@contextmanager
def supervised(
    folder: Path, serving: str = CHILD, drain_s: float = 10
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(PARENT)),
            *(textwrap.dedent(serving), textwrap.dedent(CHILD), str(folder), str(drain_s)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        eventually(lambda: pids(folder, "serving") and pids(folder, "recording"))
        yield process
    finally:
        process.kill()
        process.communicate()


def said(folder: Path, name: str) -> list[str]:
    file = folder / name
    return file.read_text().split("\n")[:-1] if file.exists() else []


def pids(folder: Path, name: str) -> list[int]:
    return [int(line.split()[1]) for line in said(folder, name) if line.startswith("started")]


def test_a_killed_child_is_started_again_and_the_other_left_alone(tmp_path: Path) -> None:
    with supervised(tmp_path) as parent:
        (first,) = pids(tmp_path, "serving")
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(pids(tmp_path, "serving")) == 2)
        assert len(pids(tmp_path, "recording")) == 1
        parent.terminate()
        assert parent.wait(20) == 0


def test_it_drains_what_serves_before_what_records(tmp_path: Path) -> None:
    with supervised(tmp_path) as parent:
        parent.send_signal(signal.SIGINT)
        assert parent.wait(20) == 0
    assert said(tmp_path, "serving")[-1] == "asked"
    assert said(tmp_path, "recording")[-1] == "asked"
    times = [(tmp_path / name).stat().st_mtime_ns for name in ("serving", "recording")]
    assert times[0] < times[1]


def test_a_child_that_will_not_end_is_killed_after_the_grace(tmp_path: Path) -> None:
    with supervised(tmp_path, serving=STUBBORN, drain_s=0.3) as parent:
        parent.terminate()
        assert parent.wait(20) == 1
        assert parent.stdout is not None
        assert "did not end in time" in parent.stdout.read()


def test_a_second_signal_ends_the_waiting(tmp_path: Path) -> None:
    with supervised(tmp_path, serving=STUBBORN, drain_s=120) as parent:
        parent.terminate()
        assert parent.stdout is not None
        for line in parent.stdout:
            if "draining" in line:
                break
        parent.send_signal(signal.SIGINT)
        assert parent.wait(20) == 1


def test_children_learn_that_the_parent_was_killed(tmp_path: Path) -> None:
    with supervised(tmp_path) as parent:
        parent.kill()
        for name in ("serving", "recording"):
            eventually(lambda name=name: said(tmp_path, name)[-1] == "orphaned")


def test_an_exit_is_described_in_words() -> None:
    assert describe_exit(3) == "exit 3"
    assert describe_exit(-9) == "SIGKILL"
