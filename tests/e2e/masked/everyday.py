"""Everyday statements through the gateway beside the same straight on the target: what differs.

A file of tests/fixtures/masking/everyday-*.yaml has ``statements``, played in order in one session
(text, [text, parameters…] or {run, masked, varies}), or ``commands`` for psql.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.masked.attack import FOLDER, Attack
from tests.e2e.masked.lab import VALUES, Lab
from tests.e2e.masked.transcript import Transcript
from tests.e2e.masked.wire import Door, Player, TapedClient
from tests.e2e.programs import run

_ANYBODY = Attack("everyday", "simple", "masked")
_MARK = "-=* end of {} *=-"


@dataclass(frozen=True, slots=True)
class Everyday:
    """One statement. ``masked``, ``varies``: names of its output columns."""

    text: str
    parameters: tuple[str | None, ...] = ()
    masked: frozenset[str] = frozenset()
    varies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a RowDescription. A table made in the session has an OID of its own."""

    name: str
    table: int = field(compare=False)
    attnum: int
    type_oid: int
    typmod: int


@dataclass(slots=True)
class Differences:
    """What a file's statements did otherwise than they should, by statement."""

    total: int = 0
    found: dict[str, str] = field(default_factory=dict)
    leaks: dict[str, str] = field(default_factory=dict)
    # (type, typmod) -> values that came instead of masked ones.
    replacements: dict[tuple[int, int], set[str]] = field(default_factory=dict)


def files() -> list[Path]:
    return sorted(FOLDER.glob("everyday-*.yaml"))


def read(path: Path) -> list[Everyday]:
    """Return the statements of a file; psql's commands too."""
    content = yaml.safe_load(path.read_text())
    return [_everyday(one) for one in content.get("statements", content.get("commands"))]


def compare(lab: Lab, path: Path) -> Differences:
    """Play a file both ways."""
    those = read(path)
    differences = Differences(len(those))
    doors = lab.door(_ANYBODY, straight=False), lab.door(_ANYBODY, straight=True)
    if "commands" in yaml.safe_load(path.read_text()):
        _compare_psql(lab, those, doors, differences)
    else:
        _compare_statements(lab, those, doors, differences)
    return differences


def _everyday(given: Any) -> Everyday:
    if isinstance(given, str):
        return Everyday(given)
    if isinstance(given, list):
        return Everyday(given[0], tuple(given[1:]))
    return Everyday(
        given["run"],
        masked=frozenset(given.get("masked", ())),
        varies=frozenset(given.get("varies", ())),
    )


# -- statements --------------------------------------------------------------------------------


def _compare_statements(
    lab: Lab, those: Sequence[Everyday], doors: tuple[Door, Door], differences: Differences
) -> None:
    masked = _masked_columns(lab)
    clients = [TapedClient(door) for door in doors]
    for client in clients:
        client.enter({})
    for number, one in enumerate(those, 1):
        ours, theirs = (_play(client, one) for client in clients)
        title = f"{number}: {' '.join(one.text.split())[:110]}"
        leak = ours.finding(lab.canaries)
        if leak:
            differences.leaks[title] = leak
        what = _difference(lab, one, ours, theirs, masked, differences)
        if what:
            differences.found[title] = what
    for client in clients:
        client.sock.close()
    for (oid, typmod), values in differences.replacements.items():
        type_name = f"format_type({oid}, {typmod})"
        wrong = lab.database.run(
            f"SELECT v, {type_name} FROM unnest({_array(values)}) v"
            f" WHERE NOT pg_input_is_valid(v, {type_name})"
        )
        for value, name in wrong:
            differences.found[f"a replacement of type {name}"] = f"not valid: {value}"


def _play(client: TapedClient, one: Everyday) -> Transcript:
    start = len(client.tape)
    player = Player(client, lambda _: [])
    if one.parameters:
        player.messages(
            (
                ["parse", "", one.text],
                ["bind_values", "", "", one.parameters],
                ["describe", "P", ""],
                ["execute", ""],
                "sync",
            )
        )
    else:
        player.statement(one.text, "simple")
    return Transcript(bytes(client.tape[start:]))


def _difference(
    lab: Lab,
    one: Everyday,
    ours: Transcript,
    theirs: Transcript,
    masked: set[tuple[int, int]],
    differences: Differences,
) -> str:
    told = _unlike_told(ours, theirs)
    if told:
        return told
    other = lab.control.name.encode(), lab.database.name.encode()
    for index, column in enumerate(columns_of(ours)):
        pairs = [
            (a[index], b[index])
            for a, b in zip(ours.rows, theirs.rows, strict=True)
            if index < len(a)
        ]
        hides = (
            (column.table, column.attnum) in masked
            or column.name in one.masked
            or any(b and lab.canaries.find(b) for _, b in pairs)
        )
        if hides:
            if any(b for _, b in pairs) and all(a == b for a, b in pairs):
                return f"{column.name} is not masked"
            kept = differences.replacements.setdefault((column.type_oid, column.typmod), set())
            kept.update(a.decode() for a, _ in pairs if a is not None)
        elif column.name not in one.varies:
            for a, b in pairs:
                if a != (b and b.replace(*other)):
                    return f"{column.name}: {a!r} instead of {b!r}"[:300]
    return ""


def _unlike_told(ours: Transcript, theirs: Transcript) -> str:
    """Return what differs but for values: errors, tags, columns, copied data, number of rows."""
    for what, told in (
        ("errors", lambda seen: [(e.get("C"), e.get("M")) for e in seen.errors]),
        ("tags", lambda seen: [m.body for m in seen.messages if m.kind == "C"]),
        ("copied", lambda seen: [m.body for m in seen.messages if m.kind == "d"]),
        ("columns", columns_of),
        ("rows", lambda seen: len(seen.rows)),
    ):
        mine, straight = told(ours), told(theirs)
        if mine != straight:
            return f"{what} {mine} instead of {straight}"
    return ""


def columns_of(seen: Transcript) -> list[Column]:
    """Return the columns of the last RowDescription."""
    described = [message.body for message in seen.messages if message.kind == "T"]
    return list(_columns(described[-1])) if described else []


def _columns(body: bytes) -> Iterator[Column]:
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", at)
        table, attnum, oid, _, typmod, _ = struct.unpack_from("!ihihih", body, end + 1)
        yield Column(body[at:end].decode(), table, attnum, oid, typmod)
        at = end + 19


def _masked_columns(lab: Lab) -> set[tuple[int, int]]:
    """Return (OID, attribute number) of what the rules hide, of children and generated ones too."""
    names = [name for rule in VALUES["masked"] for name in rule["columns"]]
    rows = lab.database.run(
        "WITH RECURSIVE named AS (SELECT a.attrelid, a.attname FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE concat_ws('.', nspname, relname, attname) = ANY ({_array(names)})"
        " UNION ALL SELECT a.attrelid, a.attname FROM pg_attribute a"
        " WHERE (attrelid, attname) = ('customers'::regclass, 'ssn_tag')"
        " UNION SELECT i.inhrelid, attname FROM named JOIN pg_inherits i ON i.inhparent = attrelid)"
        " SELECT attrelid::int, a.attnum::int FROM named JOIN pg_attribute a"
        " USING (attrelid, attname)"
    )
    return {(int(str(oid)), int(str(attnum))) for oid, attnum in rows}


def _array(values: Any) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"ARRAY[{quoted}]::text[]"


# -- psql --------------------------------------------------------------------------------------


def _compare_psql(
    lab: Lab, those: Sequence[Everyday], doors: tuple[Door, Door], differences: Differences
) -> None:
    ours, theirs = (_blocks(lab, those, door) for door in doors)
    for one, mine, straight in zip_longest(those, ours, theirs, fillvalue=""):
        title = one.text if isinstance(one, Everyday) else "?"
        found = lab.canaries.find(mine.encode())
        if found:
            differences.leaks[title] = str(found)
        if mine != straight:
            lines = zip_longest(mine.splitlines(), straight.splitlines())
            pair = next((a, b) for a, b in lines if a != b)
            differences.found[title] = f"{pair[0]!r} instead of {pair[1]!r}"


def _blocks(lab: Lab, those: Sequence[Everyday], door: Door) -> list[str]:
    """Return what psql printed for each command, errors too."""
    script = "".join(
        f"{one.text}\n\\echo {_MARK.format(number)}\n\\warn {_MARK.format(number)}\n"
        for number, one in enumerate(those)
    )
    where = {
        "PGHOST": door.host,
        "PGPORT": str(door.port),
        "PGUSER": door.user,
        "PGPASSWORD": door.password,
        "PGDATABASE": door.database,
        "PGSSLMODE": "disable",
    }
    done = run(lab.programs, "psql", where=where, stdin=script)
    mark = re.compile(_MARK.format(r"\d+").replace("*", r"\*") + "\n")
    outs, errors = mark.split(done.out), mark.split(done.err)
    return [
        (out + error).replace(lab.control.name, lab.database.name)
        for out, error in zip_longest(outs, errors, fillvalue="")
    ]
