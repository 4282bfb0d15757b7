"""Scripts of many statements: each is an entry, and nobody else pays for it."""

from __future__ import annotations

import threading

from tests.harness.gateway import ANA, Gateway
from tests.harness.polling import eventually

STATEMENTS = 5_000


def test_a_script_of_thousands_is_recorded_statement_by_statement_in_little_room(
    gateway: Gateway,
) -> None:
    with gateway.connect() as connection:
        connection.execute("; ".join(f"SELECT {n}" for n in range(STATEMENTS)))
    rows = gateway.statements("SELECT")
    assert [row["text"].strip() for row in rows] == [f"SELECT {n}" for n in range(STATEMENTS)]
    assert {row["state"] for row in rows} == {"done"}
    assert {row["tag"] for row in rows} == {"SELECT 1"}
    files = gateway.config.journal_dir.rglob("*.seg")
    written = sum(file.stat().st_blocks * 512 for file in files)
    assert written < 100 << 20, "a record must not repeat what stands in the others"


def test_thousands_of_pipelined_statements_leave_others_their_turn(gateway: Gateway) -> None:
    answers = 0
    stop = threading.Event()

    def bystand() -> None:
        nonlocal answers
        with gateway.connect(ANA) as connection:
            while not stop.is_set():
                connection.execute("SELECT 1")
                answers += 1

    other = threading.Thread(target=bystand)
    other.start()
    try:
        eventually(lambda: answers > 0)
        before = answers
        with gateway.connect() as connection, connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(STATEMENTS)]
        assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(STATEMENTS)]
        assert answers > before + 5
    finally:
        stop.set()
        other.join(30)
    assert len(gateway.statements("$1::int")) == STATEMENTS
