"""The console script: one line on stderr for every error, and the contract's exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def gatepost(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "GATEPOST_DATA_DIR": str(folder / "data"),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("serve", "--nonsense"), ("psql", "ana@example.com")]
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = gatepost(*arguments, folder=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("gatepost: ")


def test_an_unknown_command_points_to_the_help(tmp_path: Path) -> None:
    done = gatepost("nonsense", folder=tmp_path)
    assert done.returncode == 2
    assert "gatepost --help" in done.stderr


def test_help_lists_the_commands_that_exist_and_only_those(tmp_path: Path) -> None:
    done = gatepost("--help", folder=tmp_path)
    assert done.returncode == 0
    for name in ("serve", "demo", "psql"):
        assert f"  {name} " in done.stdout
    assert "approval" not in done.stdout or (Path("appliance/cli/approval.py")).exists()


def test_a_bad_setting_names_its_variable_and_starts_nothing(tmp_path: Path) -> None:
    done = gatepost("serve", folder=tmp_path, GATEPOST_PROXY_LISTEN="nowhere")
    assert done.returncode == 2
    assert "GATEPOST_PROXY_LISTEN" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_psql_without_a_gateway_says_how_to_start_one(tmp_path: Path) -> None:
    done = gatepost("psql", "ana@example.com", "shop", folder=tmp_path)
    assert done.returncode == 1
    assert "gatepost serve" in done.stderr and "gatepost demo" in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "appliance", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == ""
