"""``gatepost demo`` as somebody runs it: the check, the printed lines, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from appliance.embedded import free_port, installation

_DEFAULT_PORT = 6432
_LINE = re.compile(r'psql "(host=[^"]*)"\s+password (\S+)')


def offset() -> int:
    """Return a --port-offset whose two ports were free a moment ago."""
    return max(free_port() - _DEFAULT_PORT, 10_000) % 50_000


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "TMPDIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary directory of the demo's own, which the embedded server's account can enter.

    Not below pytest's, which each run of pytest on this machine closes to all others again.
    """
    with tempfile.TemporaryDirectory(
        prefix="gatepost-demo-test-", ignore_cleanup_errors=True
    ) as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "demo", "--port-offset", str(offset()), *arguments],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def left_behind(folder: Path) -> list[str]:
    """Return what is still in the temporary directory, but for the programs' cache."""
    return [
        str(path.relative_to(folder))
        for path in folder.glob("gatepost-*")
        if path.is_dir()
        and not path.name.startswith("gatepost-postgresql-")
        and any(path.iterdir())
    ]


@pytest.mark.timeout(300)
def test_the_check_walks_the_main_job_and_leaves_nothing(folder: Path) -> None:
    with demo(folder, "--check") as process:
        said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said
    assert "FAIL" not in said
    assert said.count("\nok ") >= 22
    assert not left_behind(folder)


@pytest.mark.timeout(300)
def test_the_printed_lines_connect_and_ctrl_c_removes_everything(folder: Path) -> None:
    with demo(folder) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C ends it" in line:
                break
        lines = _LINE.findall(said)
        assert {"ana@example.com", "ci-nightly"} <= {dsn.rpartition("user=")[2] for dsn, _ in lines}
        for dsn, password in lines:
            with psycopg.connect(dsn, password=password, sslmode="require") as connection:
                connection.execute("SELECT count(*) FROM customers")
            shown = subprocess.run(
                [installation().program("psql"), "-X", "-At", "-c", "SELECT 41 + 1", dsn],
                env={"PGPASSWORD": password},
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
            assert shown.stdout == "42\n", shown.stderr
        for path in (os.environ["PATH"], str(folder)):  # with a psql of the system's, and with none
            opened = subprocess.run(
                [
                    *(sys.executable, "-m", "appliance", "psql", "ana@example.com", "shop"),
                    *("-At", "-c", "SELECT 'opened'"),
                ],
                env=environment(folder) | {"PATH": path, "PSQLRC": os.devnull},
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
            assert (opened.returncode, opened.stdout) == (0, "opened\n"), opened.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not left_behind(folder)


@pytest.mark.timeout(300)
def test_a_demo_that_was_killed_is_cleaned_up_by_the_next(folder: Path) -> None:
    with demo(folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "gateway and the page" in line:
                break
        process.kill()
        process.wait()
    assert left_behind(folder)
    with demo(folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "gateway and the page" in line:
                break
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert not left_behind(folder)


def test_a_directory_to_keep_must_be_new(folder: Path) -> None:
    (folder / "old").mkdir()
    (folder / "old" / "file").touch()
    with demo(folder, "--keep", str(folder / "old")) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "not empty" in said
    assert (folder / "old" / "file").exists()
