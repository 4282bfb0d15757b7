"""Any bytes from a client or from a target: a session may end by them, a worker never."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.store import targets
from appliance.store.targets import TargetSpec
from tests.e2e import raw
from tests.e2e.raw import ErrorCame, RawClient
from tests.harness.gateway import ADMIN, ANA, CI, Gateway

FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LETTERS = "QPBEDCSHdcfFXpZRTKNAtnsIVWGv"


@pytest.fixture(scope="module")
def bystander(shared_gateway: Gateway) -> Iterator[psycopg.Connection[Any]]:
    """A session that lives through it all."""
    with shared_gateway.connect(ANA) as connection:
        yield connection


def check(gateway: Gateway, bystander: psycopg.Connection[Any]) -> None:
    assert gateway.processes[1].poll() is None
    assert bystander.execute("SELECT 1").fetchone() == (1,)
    log = gateway.log()
    assert "Traceback" not in log, log[-3000:]


# -- clients -----------------------------------------------------------------------------------

names = st.sampled_from(["", "s", "t", "gw:own"])
texts = st.sampled_from(
    [
        "SELECT 1",
        "SELECT generate_series(1, 3)",
        "SELECT 1/0",
        "SELECT $1::text",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "COPY (SELECT 1) TO STDOUT",
        "COPY sink FROM STDIN",
        "PREPARE s AS SELECT 1",
        "EXECUTE s",
        "DEALLOCATE ALL",
        "SET search_path = pg_catalog",
        "SET LOCAL search_path = public",
        "SELECT set_config('search_path', 'public, pg_temp', true)",
        "SELECT 1; SELECT 2",
        "SELECT 1; SELECT 1/0; SELECT 2",
        "BEGIN; SELECT 1",
        "COPY sink FROM STDIN; SELECT 2",
        "CREATE TEMP TABLE made (n int)",
        "INSERT INTO made SELECT generate_series(1, 3) RETURNING n",
        "SELECT * FROM made",
        "DROP TABLE made",
        "DECLARE t CURSOR FOR SELECT generate_series(1, 5)",
        "FETCH 2 FROM t",
        "DO $$ BEGIN PERFORM 1; END $$",
        "ROLLBACK TO a",
        "nonsense",
        "",
    ]
)
valid = st.one_of(
    texts.map(raw.query),
    st.builds(raw.parse, texts, names),
    st.builds(raw.bind, names, names),
    st.builds(raw.execute, names, st.integers(0, 3)),
    st.builds(raw.describe, st.sampled_from("SP"), names),
    st.builds(lambda kind, name: raw.frame("C", f"{kind}{name}\0".encode()),
              st.sampled_from("SP"), names),
    st.just(raw.SYNC),
    st.just(raw.FLUSH),
    st.just(raw.frame("d", b"1\n")),
    st.just(raw.frame("c")),
    st.just(raw.frame("f", b"no\0")),
    st.just(raw.frame("F", struct.pack("!Ihhh", 2026, 0, 0, 0))),
)  # fmt: skip
strange = st.one_of(
    st.builds(raw.frame, st.sampled_from(LETTERS), st.binary(max_size=40)),
    st.builds(
        lambda kind, length, body: kind.encode() + struct.pack("!i", length) + body,
        st.sampled_from(LETTERS),
        st.integers(-(2**31), 2**31 - 1),
        st.binary(max_size=40),
    ),
    st.binary(min_size=1, max_size=40),
)


def end(client: RawClient) -> None:
    """Half-close and read what is left: the gateway must end it too."""
    with suppress(OSError):
        client.sock.shutdown(socket.SHUT_WR)
    client.rest()


@FUZZ
@given(first=st.binary(max_size=200))
def test_any_first_bytes_leave_the_worker_alive(
    shared_gateway: Gateway, bystander: psycopg.Connection[Any], first: bytes
) -> None:
    with RawClient(shared_gateway.port, first, timeout_s=20) as client:
        end(client)
    check(shared_gateway, bystander)


@FUZZ
@given(reply=st.one_of(strange, st.builds(raw.frame, st.just("p"), st.binary(max_size=200))))
def test_any_bytes_in_the_login_leave_the_worker_alive(
    shared_gateway: Gateway, bystander: psycopg.Connection[Any], reply: bytes
) -> None:
    with RawClient(shared_gateway.port, timeout_s=40) as client:
        client.startup(user="nobody@example.com", database="shop")
        assert client.message() is not None
        with suppress(OSError):
            client.send(reply)
        end(client)
    check(shared_gateway, bystander)


@pytest.fixture(scope="module", params=["with no rule", "with a rule on a table"])
def ruled(request: pytest.FixtureRequest, shared_gateway: Gateway) -> Gateway:
    """With a rule on a table the gateway asks the session and its catalog things of its own."""
    if "table" in request.param:
        shared_gateway.rule("secrets", "block", tables=("public.secrets",))
    return shared_gateway


@FUZZ
@given(messages=st.lists(valid, min_size=1, max_size=12))
def test_valid_messages_in_any_order_are_answered_as_the_server_would(
    ruled: Gateway, bystander: psycopg.Connection[Any], messages: list[bytes]
) -> None:
    """The same bytes to the gateway and to the server itself: the same answers."""
    if any(message[:1] == b"F" for message in messages):
        return  # fast-path calls are refused
    ending = (raw.frame("c"), raw.SYNC, raw.SYNC, raw.query("ROLLBACK"), raw.query(LAST))
    stream = b"".join([*messages, *ending])
    found = []
    for port, user, password, database in (
        (ruled.port, CI, ruled.passwords[CI], "shop"),
        direct(ruled),
    ):
        with RawClient(port, timeout_s=5) as client:
            client.log_in(user, password, database=database)
            client.ask("CREATE TEMP TABLE sink (n int)")
            with suppress(OSError):
                client.send(stream)
            found.append(answers_of(client))
    ours, theirs = found
    for answers in found:  # who lost the thread is told so, in one message or in two
        if VIOLATION in answers:
            del answers[answers.index(VIOLATION) + 1 :]
    if REFUSED in ours:  # what EXECUTE of an unknown name does cannot be known
        assert ours[-1] == theirs[-1]
    else:
        assert ours == theirs
    check(ruled, bystander)


def direct(gateway: Gateway) -> tuple[int, str, str, str]:
    database = gateway.database
    return database.server.port, database.owner.name, database.owner.password, database.name


END = "the end of the stream"
LAST = f"SELECT '{END}'"
VIOLATION, REFUSED = ("E", "08P01"), ("E", "42501")


def answers_of(client: RawClient) -> list[tuple[str, object]]:
    """Return what came up to the end: values, tags, SQLSTATEs, transaction states."""
    found: list[tuple[str, object]] = []
    ended = False
    while not ended and (message := client.message()) is not None:
        if message.kind == "E":
            found.append(("E", message.fields["C"]))
        elif message.kind not in "NSA":
            found.append((message.kind, message.body))
        ended = message.kind == "Z" and END.encode() in b"".join(
            body for kind, body in found[-4:] if kind == "D" and isinstance(body, bytes)
        )
    return found


@FUZZ
@given(
    messages=st.lists(st.one_of(valid, valid, strange), min_size=1, max_size=10),
    cut=st.integers(0, 30),
)
def test_any_bytes_in_a_session_leave_the_worker_alive(
    shared_gateway: Gateway, bystander: psycopg.Connection[Any], messages: list[bytes], cut: int
) -> None:
    stream = b"".join(messages)
    with RawClient(shared_gateway.port, timeout_s=20) as client:
        client.log_in(CI, shared_gateway.passwords[CI])
        with suppress(OSError):
            client.send(stream[: len(stream) - cut])
        end(client)
    check(shared_gateway, bystander)


# -- targets -----------------------------------------------------------------------------------


class FakeTarget:
    """Something on a port that is no PostgreSQL: says what it is told to, whoever asks."""

    def __init__(self) -> None:
        self.login = b""
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._speak, args=(sock,), daemon=True).start()

    def _speak(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.settimeout(20)
            if sock.recv(65536)[4:8] == raw.SSL_REQUEST[4:8]:
                sock.sendall(b"N")
                sock.recv(65536)
            sock.sendall(self.login)
            if self.login.endswith(READY):
                sock.recv(65536)
                sock.sendall(self.answer)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass


READY = b"Z\0\0\0\5I"
WELCOME = (
    raw.frame("R", struct.pack("!i", 0))
    + raw.frame("S", b"server_version\x0018.0\0")
    + raw.frame("S", b"client_encoding\0UTF8\0")
    + raw.frame("K", struct.pack("!II", 4711, 1))
    + READY
)
answers = st.lists(
    st.one_of(
        strange,
        st.sampled_from(
            [
                READY,
                raw.frame("C", b"SELECT 1\0"),
                raw.frame("T", struct.pack("!h", 0)),
                raw.frame("D", struct.pack("!h", 0)),
                raw.frame("E", b"SERROR\0C42601\0Mno\0\0"),
                raw.frame("1"),
                raw.frame("2"),
                raw.frame("G", b"\0\0\0"),
                raw.frame("H", b"\0\0\0"),
            ]
        ),
    ),
    max_size=8,
).map(b"".join)


@pytest.fixture(scope="module")
def fake(shared_gateway: Gateway) -> Iterator[FakeTarget]:
    """A target called "fake" that speaks nonsense."""
    target, now = FakeTarget(), datetime.now(UTC)
    spec = TargetSpec("fake", "127.0.0.1", "fake", target.port)
    targets.create(shared_gateway.store, ADMIN, now, spec)
    targets.put_role(
        shared_gateway.store, ADMIN, now, "fake", "r", sealer=shared_gateway.sealer, secret="secret"
    )
    shared_gateway.grant(f"identity:{CI}", "r", "fake")
    shared_gateway.settle()
    yield target
    target.close()


@FUZZ
@given(said=st.one_of(answers, st.binary(max_size=100)))
def test_any_bytes_of_a_target_in_its_login_leave_the_worker_alive(
    shared_gateway: Gateway, bystander: psycopg.Connection[Any], fake: FakeTarget, said: bytes
) -> None:
    fake.login = said
    with RawClient(shared_gateway.port, timeout_s=40) as client:
        with suppress(ErrorCame):
            client.log_in(CI, shared_gateway.passwords[CI], database="fake")
        end(client)
    check(shared_gateway, bystander)


@FUZZ
@given(said=answers, question=valid)
def test_any_bytes_of_a_target_in_a_session_leave_the_worker_alive(
    shared_gateway: Gateway, bystander: psycopg.Connection[Any], fake: FakeTarget, said: bytes,
    question: bytes,
) -> None:  # fmt: skip
    fake.login, fake.answer = WELCOME, said
    with RawClient(shared_gateway.port, timeout_s=40) as client:
        with suppress(ErrorCame):
            client.log_in(CI, shared_gateway.passwords[CI], database="fake")
            with suppress(OSError):
                client.send(question)
        end(client)
    check(shared_gateway, bystander)
