"""Random queries over the shop: what is hidden stays so, all else is as it comes straight."""

from __future__ import annotations

import os

from tests.e2e.masked.attack import Attack
from tests.e2e.masked.lab import Lab
from tests.e2e.masked.random_queries import Generator, Query
from tests.e2e.masked.transcript import Transcript
from tests.e2e.masked.wire import Player, TapedClient

SEED = int(os.environ.get("MASKING_SEED", "1"))
QUERIES = int(os.environ.get("MASKING_QUERIES", "300"))


def test_random_queries_show_nothing_hidden_and_everything_else(masking_lab: Lab) -> None:
    lab, generator = masking_lab, Generator(SEED)
    wrong, exact = [], 0
    clients = []
    for straight in (False, True):
        client = TapedClient(lab.door(Attack("random", "simple", "masked"), straight=straight))
        client.enter({})
        clients.append(client)
    for number in range(QUERIES):
        query = generator.query()
        by = "binary" if number % 3 == 0 else "simple"
        ours, theirs = (play(client, query.sql, by) for client in clients)
        assert not theirs.errors, f"{query.sql}: {theirs.errors}"
        what = ours.finding(lab.canaries)
        if not query.compares:
            exact += 1
            what = what or difference(query, ours, theirs)
        if what:
            wrong.append(f"{number} {query.sql}\n    {what}")
    for client in clients:
        client.sock.close()
    assert not wrong, "\n".join(wrong)
    assert exact > QUERIES // 5


def play(client: TapedClient, sql: str, by: str) -> Transcript:
    start = len(client.tape)
    Player(client, lambda _: []).statement(sql, by)
    return Transcript(bytes(client.tape[start:]))


def difference(query: Query, ours: Transcript, theirs: Transcript) -> str:
    """Return where something differs that nothing hidden is in."""
    if ours.errors:
        return str(ours.errors)
    if len(ours.rows) != len(theirs.rows):
        return f"{len(ours.rows)} rows instead of {len(theirs.rows)}"
    for mine, straight in zip(ours.rows, theirs.rows, strict=True):
        for output, a, b in zip(query.outputs, mine, straight, strict=True):
            if not output.hidden and a != b:
                return f"{output.sql}: {a!r} instead of {b!r}"
    return ""
