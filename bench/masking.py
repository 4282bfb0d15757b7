"""What masking costs: ``python -m bench.masking``. Row by row, and through the gateway."""

from __future__ import annotations

import os
import statistics
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import psycopg

from appliance.embedded import PostgresServer, ServerOptions, installation, temporary_directory
from appliance.masking.copy_rows import CopyMasker, copy_masker
from appliance.masking.maskers import Masker, masker
from appliance.masking.rows import IMPLEMENTATION, RowMasker
from appliance.masking.rows_python import PythonRowMasker
from appliance.masking.values import ColumnMask, Method
from appliance.sql.copy_options import CopyOptions
from bench.ways import DATABASE, USER, Way, gatepost, prepare

_KEY = b"k" * 32
_ROWS_AT_ONCE = 5_000
_COLUMNS = 4  # number, text, the masked text, date
_TABLE = """
CREATE TABLE people AS SELECT i AS id, 'Person number ' || i AS name,
  lpad((4111000000000000 + i)::text, 16, '0') AS card, date '1950-01-01' + i % 20000 AS born
FROM generate_series(1, {rows}) AS g(i)
"""
_SELECT = "SELECT id, name, card, born FROM people"
_STATEMENTS = {
    "SELECT": _SELECT,
    "COPY TO STDOUT": f"COPY ({_SELECT}) TO STDOUT",
    "COPY TO STDOUT (FORMAT csv)": f"COPY ({_SELECT}) TO STDOUT (FORMAT csv)",
}
_METHODS = (Method.REDACT, Method.PARTIAL, Method.EMAIL, Method.HASH)


@dataclass(frozen=True, slots=True)
class Run:
    """``cpu_s``: user and system time of the way's processes."""

    rows_per_s: float
    cpu_s: float


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Of the table.")
@click.option("--rounds", default=5, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--pure", is_flag=True, help="Only the row paths by themselves.")
def main(rows: int, rounds: int, pure: bool) -> None:
    """Mask one text column of four."""
    click.echo(row_paths(rounds))
    if not pure:
        click.echo("\n" + through_the_gateway(rows, rounds))


def row_paths(rounds: int) -> str:
    """Return a table of what one row costs, best of the rounds."""
    lines = [
        "| one text column of four masked, us a row | redact | partial | email | hash |",
        "|---|---:|---:|---:|---:|",
    ]
    found = {method: _masker(method) for method in _METHODS}
    data_rows = b"".join(map(_data_row, range(_ROWS_AT_ONCE)))
    copied = b"".join(map(_copied_row, range(_ROWS_AT_ONCE)))
    makers: list[tuple[str, Callable[[Sequence[Masker | None]], Any], bytes]] = [
        ("rows, plain Python", PythonRowMasker, data_rows),
        ("COPY in text, plain Python", _copy_in_python, copied),
    ]
    if IMPLEMENTATION == "compiled":
        makers.insert(1, ("rows, compiled", RowMasker, data_rows))
        makers.append(("COPY in text, compiled", _copy, copied))
    for label, make, data in makers:
        times = [_best_us(make, one, data, rounds) for one in found.values()]
        lines.append(f"| {label} | {' | '.join(f'{us:.2f}' for us in times)} |")
    return "\n".join(lines)


def through_the_gateway(rows: int, rounds: int) -> str:
    """Return a table of rows a second and of the gateway's CPU time, medians of the rounds."""
    figures: dict[tuple[str, str], list[Run]] = defaultdict(list)
    masking: dict[str, object] = {
        "name": "cards", "target": DATABASE, "columns": ["public.people.card"], "method": "partial",
    }  # fmt: skip
    options = ServerOptions(settings={"shared_buffers": "256MB"})
    with PostgresServer(
        installation(18), temporary_directory("gatepost-bench-pg-"), options
    ) as server:
        password = prepare(server)
        direct = Way("direct", server.port, USER, password)
        with _connection(direct) as connection:
            connection.execute(_TABLE.format(rows=rows).encode())
            connection.execute("VACUUM ANALYZE people")
        with (
            gatepost(server, password, 1) as open_way,
            gatepost(server, password, 1, (masking,)) as masked_way,
        ):
            ways = {"direct": direct, "without masks": open_way, "one masked column": masked_way}
            _check(ways)
            for _ in range(rounds):
                for what, text in _STATEMENTS.items():
                    for name, way in ways.items():
                        figures[what, name].append(_drain(way, text, rows))
    return _table(figures, list(ways), rows, rounds)


def _table(
    figures: dict[tuple[str, str], list[Run]], names: list[str], rows: int, rounds: int
) -> str:
    lines = [
        f"{rows:,} rows of four columns, medians of {rounds} interleaved rounds; the client only "
        f"reads; row path: {IMPLEMENTATION}.",
        "",
        f"| rows/s | {' | '.join(names)} | masked / without | masked / direct "
        "| gateway's CPU s, without / masked |",
        f"|---|{'---:|' * (len(names) + 3)}",
    ]
    for what in _STATEMENTS:
        rates = [statistics.median(run.rows_per_s for run in figures[what, n]) for n in names]
        cpu = [statistics.median(run.cpu_s for run in figures[what, n]) for n in names[1:]]
        cells = " | ".join(f"{rate:,.0f}" for rate in rates)
        ratios = " | ".join(f"{rates[-1] / rate:.2f}" for rate in (rates[1], rates[0]))
        lines.append(f"| {what} | {cells} | {ratios} | {cpu[0]:.2f} / {cpu[1]:.2f} |")
    return "\n".join(lines)


def _check(ways: dict[str, Way]) -> None:
    """See that what is measured is masked, and only that."""
    for name, way in ways.items():
        with _connection(way) as connection:
            row = connection.execute("SELECT card FROM people WHERE id = 7").fetchone()
        shown = row[0] if row else ""
        if shown != ("************0007" if name == "one masked column" else "4111000000000007"):
            raise RuntimeError(f"{name}: the card is shown as {shown}")


def _drain(way: Way, text: str, rows: int) -> Run:
    """Run a statement and read its answer to the end, looking at nothing but its last bytes."""
    with _connection(way) as connection:
        socket = connection.pgconn.socket
        os.set_blocking(socket, True)
        raw = text.encode() + b"\0"
        spent, began = way.cpu_s(), time.perf_counter()
        os.write(socket, b"Q" + struct.pack("!i", len(raw) + 4) + raw)
        tail = b""
        while not tail.endswith(b"Z\0\0\0\5I"):
            piece = os.read(socket, 1 << 18)
            if not piece:
                raise RuntimeError(f"{way.name} closed the connection")
            tail = (tail + piece)[-64:]
        run = Run(rows / (time.perf_counter() - began), way.cpu_s() - spent)
        if b" %d\0" % rows not in tail:
            raise RuntimeError(f"{way.name} said {tail!r}")
        connection.pgconn.finish()  # libpq knows nothing of what was read
        return run


def _connection(way: Way) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host="127.0.0.1", port=way.port, user=way.user, password=way.password, dbname=DATABASE,
        sslmode="disable", autocommit=True,
    )  # fmt: skip


def _masker(method: Method) -> Masker:
    return masker(ColumnMask("cards", method, "public.people.card"), 25, None, 0, _KEY)


def _values(number: int) -> list[bytes]:
    return [b"%d" % number, b"Person number %d" % number, b"4111000000000007", b"1974-05-06"]


def _data_row(number: int) -> bytes:
    values = _values(number)
    body = struct.pack("!H", _COLUMNS)
    body += b"".join(struct.pack("!i", len(value)) + value for value in values)
    return b"D" + struct.pack("!i", len(body) + 4) + body


def _copied_row(number: int) -> bytes:
    row = b"\t".join(_values(number)) + b"\n"
    return b"d" + struct.pack("!i", len(row) + 4) + row


def _copy(maskers: Sequence[Masker | None]) -> CopyMasker:
    return copy_masker(CopyOptions(), maskers)


def _copy_in_python(maskers: Sequence[Masker | None]) -> CopyMasker:
    return copy_masker(CopyOptions(), maskers, is_compiled=False)


def _best_us(
    make: Callable[[Sequence[Masker | None]], Any], one: Masker, data: bytes, rounds: int
) -> float:
    best = float("inf")
    for _ in range(rounds):
        rewriter = make([None, None, one, None])
        began = time.perf_counter()
        rewriter.rows(memoryview(data), 0, len(data))
        best = min(best, time.perf_counter() - began)
    return best / _ROWS_AT_ONCE * 1e6


if __name__ == "__main__":
    main()
