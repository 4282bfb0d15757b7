"""``gatepost serve``: what it refuses to start on, what it leaves for others, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from appliance.config import Listen
from appliance.errors import Unreachable
from appliance.listening import bind, port_of
from tests.harness.polling import eventually


@contextmanager
def serving(folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "serve"],
        env={
            "PATH": os.environ["PATH"],
            "GATEPOST_DATA_DIR": str(folder),
            "GATEPOST_PROXY_LISTEN": "127.0.0.1:0",
            "GATEPOST_WEB_LISTEN": "127.0.0.1:0",
            "GATEPOST_WORKERS": "1",
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=(folder / "serve.log").open("ab"),
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def run(folder: Path, **environ: str) -> tuple[int, str]:
    """Start ``serve`` where it must refuse; return its exit code and what it said."""
    with serving(folder, **environ) as process:
        code = process.wait(60)
    return code, (folder / "serve.log").read_text()


def said(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read what it prints before it supervises: the first word of each line, and the rest."""
    assert process.stdout is not None
    lines: dict[str, str] = {}
    for line in process.stdout:
        word, _, rest = line.partition(" ")
        lines[word] = rest.strip()
        if word == "set":
            break
    return lines


def page_answers(port: int) -> bool:
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        page.request("GET", "/healthz")
        return page.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        page.close()


def children_of(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def test_it_serves_says_where_and_drains(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(tmp_path, GATEPOST_DATA_DIR=str(data)) as process:
        lines = said(process)
        assert "/setup/" in lines["set"]
        gateway = int(lines["gateway"].split()[0].rpartition(":")[2])
        page = int(lines["page"].rpartition(":")[2].rstrip(")"))
        eventually(lambda: page_answers(page), timeout=30)
        with socket.create_connection(("127.0.0.1", gateway), timeout=5):
            pass
        left = json.loads((data / "run" / "serve.json").read_text())
        assert left["pid"] == process.pid and left["port"] == gateway
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not (data / "run" / "serve.json").exists()
    for path in (data, data / "master.key", data / "gatepost.db"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_password_that_only_serve_has_opens_sessions(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.yml"
    file.write_text("identities: [{name: ci, kind: ci, credentials: [{password_env: CI_PW}]}]")
    subprocess.run(
        [sys.executable, "-m", "appliance", "apply", str(file)],
        env={"PATH": os.environ["PATH"], "GATEPOST_DATA_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    with serving(tmp_path, CI_PW="only serve knows") as process:
        port = int(said(process)["gateway"].split()[0].rpartition(":")[2])

        def answer(password: str) -> str:
            place = f"host=127.0.0.1 port={port} dbname=shop user=ci connect_timeout=5"
            with pytest.raises(psycopg.OperationalError) as refused:
                psycopg.connect(place, password=password)
            return str(refused.value)

        eventually(lambda: "reach" in answer("only serve knows"), timeout=30)
        assert "reach" not in answer("something else")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GATEPOST_DATA_DIR", os.devnull + "/data", "cannot write in"),
        ("GATEPOST_APPLY", "nowhere.yml", "cannot read nowhere.yml: No such file"),
    ],
)
def test_a_path_that_cannot_be_used_names_its_variable(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    code, error = run(tmp_path, **{name: value})
    assert (code, error.count("\n")) == (2, 1), error
    assert error.startswith(f"gatepost: {name}: {says}")


def test_a_second_one_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        said(process)
        before = (tmp_path / "serve.log").read_text()
        code, text = run(tmp_path)
        assert code == 1
        assert f"process {process.pid}" in text.removeprefix(before)
        assert process.poll() is None


def test_a_taken_port_is_one_line_and_exit_3(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = run(tmp_path, GATEPOST_PROXY_LISTEN=f"127.0.0.1:{port}")
    assert code == 3
    assert text.splitlines() == [
        f"gatepost: port {port} is already taken"
        " (end what listens there, or set GATEPOST_PROXY_LISTEN to another HOST:PORT)"
    ]


def test_a_store_that_does_not_answer_is_exit_3(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    code, text = run(
        tmp_path, GATEPOST_STORE_URL=f"postgresql://u:secret@127.0.0.1:{port}/gatepost"
    )
    assert code == 3
    assert f"127.0.0.1:{port}" in text and "secret" not in text


def test_a_file_to_apply_that_is_wrong_starts_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "gatepost.yml"
    wrong.write_text("targets:\n  - name: shop\n    hots: db\n")
    code, text = run(tmp_path, GATEPOST_APPLY=str(wrong))
    assert code != 0
    assert "gatepost.yml:3" in text and "hots" in text
    assert not (tmp_path / "run" / "serve.json").exists()


def test_killed_outright_it_takes_its_children_along_and_starts_again(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        lines = said(process)
        page = int(lines["page"].rpartition(":")[2].rstrip(")"))
        eventually(lambda: page_answers(page), timeout=30)
        children = children_of(process.pid)
        assert len(children) == 4
        process.kill()
        process.wait()
        eventually(lambda: not any(map(is_alive, children)), timeout=30)
    listen = f"127.0.0.1:{page}"
    with serving(tmp_path, GATEPOST_WEB_LISTEN=listen) as process:
        said(process)
        eventually(lambda: page_answers(page), timeout=30)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_port_that_becomes_free_is_waited_for_after_a_crash() -> None:
    with bind("X", Listen("127.0.0.1", 0)) as first:
        port = port_of(first)
        with pytest.raises(Unreachable, match="already taken"):
            bind("X", Listen("127.0.0.1", port), patience_s=0.3)
    with bind("X", Listen("127.0.0.1", port), patience_s=5) as second:
        assert port_of(second) == port


def test_a_host_that_is_not_ours_is_said_so() -> None:
    with pytest.raises(Unreachable, match="GATEPOST_PROXY_LISTEN"):
        bind("GATEPOST_PROXY_LISTEN", Listen("192.0.2.7", 0))
