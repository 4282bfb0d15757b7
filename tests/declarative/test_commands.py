"""The shell commands of the store: what they print, their exit codes, and no secret twice."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.store import accounts, snapshots, workers
from appliance.store.database import Store, open_store
from appliance.store.workers import Beat
from tests.declarative.example import ENVIRON, FILE
from tests.harness.polling import eventually
from tests.harness.shell import Done, gatepost


@dataclass
class Shell:
    """Run ``gatepost`` on a data directory of its own."""

    place: Path

    @property
    def data(self) -> Path:
        return self.place / "data"

    def run(self, *words: str, more: Mapping[str, str] | None = None) -> Done:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GATEPOST_")}
        environ |= {"GATEPOST_DATA_DIR": str(self.data), **(more or {})}
        return gatepost(environ, *words)

    def ok(self, *words: str, more: Mapping[str, str] | None = None) -> str:
        done = self.run(*words, more=more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, code: int, *words: str, more: Mapping[str, str] | None = None) -> str:
        done = self.run(*words, more=more)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert all(line.startswith("gatepost: ") for line in done.stderr.splitlines())
        return done.stderr

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.data / 'gatepost.db'}")

    def write(self, text: str) -> str:
        path = self.place / "gatepost.yml"
        path.write_text(text)
        return str(path)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def filled(shell: Shell) -> Shell:
    """A shell whose store has the contract's example."""
    shell.ok("apply", shell.write(FILE), more=ENVIRON)
    return shell


def test_apply_prints_what_changed_and_export_reads_back(filled: Shell) -> None:
    file = filled.write(filled.ok("export"))
    assert filled.ok("apply", file, "--prune") == "nothing to change\n"
    changed = filled.write(FILE.replace("revenue", "sales"))
    dry = filled.ok("apply", changed, "--dry-run", more=ENVIRON)
    assert dry.splitlines()[0] == "would change identity ci-nightly: purpose"
    assert filled.ok("apply", changed, more=ENVIRON) == "change identity ci-nightly: purpose\n"


def test_apply_reads_standard_input(shell: Shell) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "apply", "-"],
        env={**os.environ, "GATEPOST_DATA_DIR": str(shell.data)},
        input="groups: [{name: dba}]",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "create group dba\n")


def test_apply_names_every_wrong_place_on_a_line_of_its_own(shell: Shell) -> None:
    errors = shell.fails(2, "apply", shell.write("groups:\n  - {nme: dba}\nx: 1\n"))
    assert [line.split(": ")[:3] for line in errors.splitlines()] == [
        ["gatepost", "gatepost.yml:2", "groups[0]"],
        ["gatepost", "gatepost.yml:2", "groups[0].nme"],
        ["gatepost", "gatepost.yml:3", "x"],
    ]
    assert not shell.data.exists(), "a wrong file does not even make a store"
    assert "No such file" in shell.fails(2, "apply", "nowhere.yml")


def test_apply_waits_for_live_workers_and_names_those_that_are_late(filled: Shell) -> None:
    with _worker(filled, lambda _store: 1):
        done = filled.run("apply", filled.write("groups: [{name: late}]"))
    assert done.returncode == 0
    assert "after 5 s these workers had not taken it over yet: host/proxy-1" in done.stderr
    with _worker(filled, snapshots.version):
        done = filled.run("apply", filled.write("groups: [{name: quick}]"))
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def _worker(shell: Shell, version: Callable[[Store], int]) -> Iterator[None]:
    """Beat as a worker does, saying that it has ``version(store)``."""
    store, stop = shell.store(), threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            workers.beat(store, datetime.now(UTC), Beat("host/proxy-1", 1, version(store), 0))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        eventually(lambda: workers.live(store, datetime.now(UTC)))
        yield
    finally:
        stop.set()
        thread.join()
        store.close()


def test_a_missing_store_is_unreachable_and_not_created_by_looking(shell: Shell) -> None:
    for words in (("export",), ("identity", "list"), ("credential", "list"), ("target", "list")):
        assert "there is no store at" in shell.fails(3, *words)
    assert not shell.data.exists()


def test_a_dead_postgresql_store_exits_3(shell: Shell) -> None:
    url = {"GATEPOST_STORE_URL": "postgresql://g:hush-hush@127.0.0.1:1/none"}
    message = shell.fails(3, "identity", "list", more=url)
    assert "did not answer" in message
    assert "hush" not in message


def test_a_credential_is_shown_once_and_listed_without_its_secret(filled: Shell) -> None:
    issued = json.loads(
        filled.ok("credential", "issue", "ana@example.com", "--expires", "90d", "--json")
    )
    assert issued["id"] == "c-2"
    assert len(issued["secret"]) == 32
    listed = filled.ok("credential", "list", "--json")
    assert issued["secret"] not in listed
    assert [(c["id"], c["identity"], c["state"]) for c in json.loads(listed)] == [
        ("c-2", "ana@example.com", "live"),
        ("c-1", "ci-nightly", "live"),
    ]
    rotated = filled.ok("credential", "rotate", "ana@example.com", "--overlap", "24h")
    assert rotated.splitlines()[0].startswith("c-3 of ana@example.com, expires ")
    assert "ending" in filled.ok("credential", "list", "ana@example.com", "--all")
    assert "revoked c-1" in filled.ok("credential", "revoke", "ci-nightly", "--reason", "leaked")
    assert "c-1 was revoked before" in filled.fails(1, "credential", "revoke", "c-1")
    assert "has 0 live credentials" in filled.fails(1, "credential", "rotate", "ci-nightly")
    assert filled.ok("credential", "list", "ci-nightly").startswith("There is no credential")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, ("credential", "issue", "nobody")),
        (2, ("credential", "issue", "ana@example.com", "--expires", "soon")),
        (2, ("credential", "issue", "ana@example.com", "--expires", "2020-01-01")),
        (2, ("credential", "issue", "ana@example.com", "--password-env", "NOT_SET")),
        (2, ("credential", "rotate", "c-1", "--overlap", "99d")),
        (1, ("credential", "rotate", "c-99")),
        (1, ("identity", "show", "nobody")),
        (2, ("identity", "create", "x", "--kind", "robot")),
        (2, ("identity", "create", "a b", "--kind", "ci")),
        (1, ("identity", "create", "ANA@example.com", "--kind", "human")),
        (1, ("identity", "suspend", "nobody")),
        (1, ("target", "check", "nowhere")),
        (1, ("target", "check", "shop", "--role", "nobody")),
        (2, ("credential", "list", "--everything")),
        (1, ("admin", "reset", "ana@example.com")),
        (2, ("admin", "create", "ana@example.com", "--password-env", "NOT_SET")),
    ],
)
def test_what_cannot_be_says_so_in_one_line(
    filled: Shell, code: int, words: tuple[str, ...]
) -> None:
    assert len(filled.fails(code, *words).splitlines()) == 1


def test_identities_are_listed_shown_suspended_and_retired(filled: Shell) -> None:
    shown = filled.ok("identity", "show", "ci-nightly")
    assert "owner            ana@example.com" in shown
    assert "grant            shop as app_rw (identity:ci-nightly)" in shown
    found = json.loads(filled.ok("identity", "show", "ci-nightly", "--json"))
    assert found["credentials"][0]["id"] == "c-1"
    assert "verifier" not in str(found)
    created = filled.ok("identity", "create", "bot-1", "--kind", "bot", "--expires", "2099-01-31")
    assert "next: gatepost credential issue bot-1" in created
    assert filled.ok("identity", "suspend", "bot-1") == "bot-1 is suspended\n"
    assert filled.ok("identity", "suspend", "bot-1") == "bot-1 is suspended already\n"
    assert filled.ok("identity", "resume", "bot-1") == "bot-1 is active\n"
    assert filled.ok("identity", "retire", "bot-1") == "bot-1 is retired\n"
    listed = json.loads(filled.ok("identity", "list", "--kind", "bot", "--json"))
    assert [(i["name"], i["status"]) for i in listed] == [("bot-1", "retired")]


def test_an_admin_is_made_reset_and_listed(shell: Shell) -> None:
    made = shell.ok("admin", "create", "root@example.com")
    password = made.split("password ")[1].strip()
    store = shell.store()
    now = datetime.now(UTC)
    assert accounts.check(store, now, "root@example.com", password) is not None
    given = {"PW": "correct horse battery"}
    again = shell.ok("admin", "reset", "root@example.com", "--password-env", "PW", more=given)
    assert given["PW"] not in again
    assert accounts.check(store, now, "root@example.com", password) is None
    assert accounts.check(store, now, "root@example.com", given["PW"]) is not None
    assert "root@example.com" in shell.ok("admin", "list")
    store.close()


def test_a_target_that_does_not_answer_exits_3_and_says_why(filled: Shell) -> None:
    filled.ok(
        "apply",
        filled.write(FILE.replace("database: shop\n", "database: shop\n    port: 1\n", 1)),
        more=ENVIRON,
    )
    done = filled.run("target", "check", "shop", "--json", more=ENVIRON)
    assert done.returncode == 3
    steps = json.loads(done.stdout)["steps"]
    assert steps[-1]["ok"] is False
    assert "ro-secret" not in done.stdout + done.stderr
    assert [t["name"] for t in json.loads(filled.ok("target", "list", "--json"))] == ["shop"]


def test_migrate_says_what_it_did(shell: Shell) -> None:
    shell.ok("migrate")
    assert shell.ok("migrate") == "the store is up to date\n"
    listed = json.loads(shell.ok("migrate", "--list", "--json"))
    assert listed[0]["name"] == "0001_initial"


def test_a_backup_replaces_no_file_unasked_and_comes_back_private(filled: Shell) -> None:
    file = filled.place / "backup.tar.gz"
    file.write_text("mine")
    assert "--force" in filled.fails(1, "backup", str(file))
    assert file.read_text() == "mine"
    (filled.data / "journal" / "proxy-1").mkdir(parents=True)
    (filled.data / "journal" / "proxy-1").chmod(0o755)
    filled.ok("backup", "--force", str(file))
    filled.ok("restore", "--replace", str(file))
    for folder in (filled.data / "journal", filled.data / "journal" / "proxy-1"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_backup_comes_back_without_the_master_key_and_without_sign_ins(filled: Shell) -> None:
    (filled.data / "journal" / "proxy-1").mkdir(parents=True)
    (filled.data / "journal" / "proxy-1" / "000001.seg").write_bytes(b"segment")
    file = filled.place / "backup.tar.gz"
    filled.ok("backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = (filled.data / "master.key").read_text().strip()
    with tarfile.open(file) as tar:
        names = tar.getnames()
        held = b"".join(tar.extractfile(m).read() for m in tar if m.isfile())  # type: ignore[union-attr]
    assert names[:2] == ["manifest.json", "gatepost.db"]
    assert "journal/proxy-1/000001.seg" in names
    assert key.encode() not in held
    assert bytes.fromhex(key) not in held
    filled.ok("identity", "create", "later", "--kind", "bot")
    assert "give --replace" in filled.fails(1, "restore", str(file))
    restored = filled.run("restore", str(file), "--replace")
    assert restored.returncode == 0, restored.stderr
    assert "does not open" not in restored.stderr
    names_now = [i["name"] for i in json.loads(filled.ok("identity", "list", "--json"))]
    assert names_now == ["ana@example.com", "bo@example.com", "ci-nightly"]
    aside = [p.name for p in filled.data.iterdir() if ".before-restore-" in p.name]
    assert len(aside) == 2, "the store and the journals that were there"
    assert (filled.data / "journal" / "proxy-1" / "000001.seg").read_bytes() == b"segment"
    assert stat.S_IMODE((filled.data / "gatepost.db").stat().st_mode) == 0o600


def test_a_restore_under_another_master_key_says_so(filled: Shell, tmp_path: Path) -> None:
    file = filled.place / "backup.tar.gz"
    filled.ok("backup", str(file))
    other = Shell(tmp_path / "other")
    other.place.mkdir()
    done = other.run("restore", str(file))
    assert done.returncode == 0, done.stderr
    assert "this master key does not open the secrets" in done.stderr


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x1f\x8b\x08\x00"])
def test_a_file_that_is_no_backup_restores_nothing(shell: Shell, content: bytes) -> None:
    file = shell.place / "backup.tar.gz"
    file.write_bytes(content)
    assert "is no whole backup" in shell.fails(1, "restore", str(file))
    assert not (shell.data / "gatepost.db").exists()


def test_a_backup_under_writes_is_a_whole_store(filled: Shell) -> None:
    stop = threading.Event()
    store = filled.store()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            workers.beat(store, datetime.now(UTC), Beat(f"w{number}", 1, 1, 0))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: workers.live(store, datetime.now(UTC)))
        file = filled.place / "backup.tar.gz"
        filled.ok("backup", str(file))
    finally:
        stop.set()
        thread.join()
        store.close()
    with tarfile.open(file) as tar:
        tar.extract("gatepost.db", filled.place / "out", filter="data")
    with sqlite3.connect(filled.place / "out" / "gatepost.db") as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert found.execute("SELECT COUNT(*) FROM identity").fetchone() == (3,)


def test_a_postgresql_store_is_left_to_its_own_tools(shell: Shell) -> None:
    url = {"GATEPOST_STORE_URL": "postgresql://g@127.0.0.1:1/none"}
    assert "pg_dump" in shell.fails(1, "backup", str(shell.place / "b"), more=url)
    (shell.place / "b").write_bytes(b"")
    assert "pg_dump" in shell.fails(1, "restore", str(shell.place / "b"), more=url)
