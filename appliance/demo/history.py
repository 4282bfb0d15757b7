"""Six weeks in the life of the demo's identities: planned as values, then really executed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from appliance.clock import OffsetClock
from appliance.demo.deciding import Deciders, Decision
from appliance.demo.process import Serve
from appliance.demo.sample import TARGET, Sample
from appliance.errors import GatepostError

DAYS = 42
_SEED = 20260


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, and how long its author thought before it; ``decision``: it is held."""

    after_s: float
    text: str
    parameters: tuple[object, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One session of one identity."""

    at: datetime
    identity: str
    application_name: str
    steps: tuple[Step, ...]


def plan(until: datetime) -> list[Visit]:
    """Return the visits of the ``DAYS`` before ``until``, in order; the same for each call."""
    chance = random.Random(_SEED)  # noqa: S311 - a story, not a secret
    first = until.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    visits: list[Visit] = []
    for number in range(DAYS + 1):
        day = first + timedelta(days=number)
        visits += _machines(day, number, chance)
        if day.weekday() < 5:
            visits += _people(day, number, chance)
    # Nothing reaches into the present: the real clock goes on from there.
    last = until - timedelta(minutes=30)
    return sorted((visit for visit in visits if visit.at < last), key=lambda visit: visit.at)


def execute(
    visits: list[Visit],
    serve: Serve,
    sample: Sample,
    clock: OffsetClock,
    deciders: Deciders,
    settled: Callable[[], None],
) -> int:
    """Run the visits through the gateway, the clock moved along; return how many were refused.

    A refusal, or a no of an approver, is part of the story. Any other error is not, and is
    raised. ``settled`` returns when the gateway has noticed that the client left: only then may
    the clock move on.
    """
    refused = 0
    for visit in visits:
        clock.shift_to(max(visit.at, clock.now()))
        password = sample.identities[visit.identity]
        dsn = serve.dsn(visit.identity, password, TARGET, visit.application_name)
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            for step in visit.steps:
                clock.shift_to(clock.now() + timedelta(seconds=step.after_s))
                try:
                    if step.decision is None:
                        _run(connection, step)
                    else:
                        _run_held(connection, visit.identity, step, step.decision, deciders)
                except psycopg.errors.InsufficientPrivilege:
                    refused += 1
        settled()
    return refused


def _run_held(
    connection: psycopg.Connection[tuple[object, ...]],
    identity: str,
    step: Step,
    decision: Decision,
    deciders: Deciders,
) -> None:
    with ThreadPoolExecutor(1) as waiting:
        held = waiting.submit(_run, connection, step)
        try:
            deciders.decide(identity, decision)
        except GatepostError:
            connection.cancel()
            raise
        held.result()


def _run(connection: psycopg.Connection[tuple[object, ...]], step: Step) -> None:
    with connection.cursor() as cursor:
        if step.text.startswith("COPY"):
            with cursor.copy(step.text.encode()) as rows:
                for _ in rows:
                    pass
        else:
            cursor.execute(step.text.encode(), step.parameters or None)


def _machines(day: datetime, number: int, chance: random.Random) -> Iterator[Visit]:
    nightly = day + timedelta(hours=2, minutes=10, seconds=chance.uniform(-90, 90))
    yield Visit(nightly, "ci-nightly", f"ci-pipeline-{4100 + number}", _nightly(number))
    for hour in (9,) if day.weekday() >= 5 else (9, 15):
        at = day + timedelta(hours=hour, minutes=chance.uniform(0, 50))
        yield Visit(at, "billing-service", "billing-worker", _billing(chance))
    if day.weekday() == 0:
        at = day + timedelta(hours=6, seconds=chance.uniform(0, 20))
        yield Visit(at, "report-bot", "report-bot", _weekly_report())
    if day.weekday() < 5:
        at = day + timedelta(hours=11, minutes=chance.uniform(0, 180))
        yield Visit(at, "support-agent", "support-agent-2", _support(number, chance))
    if number < 6:  # and then never again: it will show as stale
        at = day + timedelta(hours=4, minutes=30)
        yield Visit(at, "legacy-export", "psql", _legacy())


def _people(day: datetime, number: int, chance: random.Random) -> Iterator[Visit]:
    for hour in chance.sample((8, 9, 10, 13, 14, 15), k=chance.choice((1, 2))):
        at = day + timedelta(hours=hour, minutes=chance.uniform(0, 59))
        yield Visit(at, "ana@example.com", "psql", _analysis(chance))
    if number in _BULK:
        yield Visit(day + timedelta(hours=11, minutes=20), "ana@example.com", "psql", _BULK[number])
    if chance.random() < 0.5:
        at = day + timedelta(hours=16, minutes=chance.uniform(0, 50))
        yield Visit(at, "bo@example.com", "DBeaver 25.2", _maintenance(chance))


def _nightly(number: int) -> tuple[Step, ...]:
    steps = [
        Step(0.2, "BEGIN"),
        Step(0.1, "SELECT day, revenue FROM revenue_by_day WHERE day = current_date - 1"),
        Step(
            1.4,
            "INSERT INTO reporting.nightly_revenue (day, revenue)"
            " SELECT day, revenue FROM revenue_by_day WHERE day = current_date - %s::int"
            " ON CONFLICT (day) DO UPDATE SET revenue = excluded.revenue, computed_at = now()",
            (number + 1,),
        ),
        Step(0.1, "COMMIT"),
    ]
    if number in (17, 31):  # somebody put a migration into the wrong pipeline
        steps.append(Step(0.3, "ALTER TABLE orders ADD COLUMN exported_at timestamptz"))
    return tuple(steps)


def _billing(chance: random.Random) -> tuple[Step, ...]:
    orders = [chance.randint(1, 6000) for _ in range(3)]
    steps = [Step(0.1, "SELECT id FROM orders WHERE status = 'new' ORDER BY ordered_at LIMIT 20")]
    for order in orders:
        steps.append(
            Step(
                chance.uniform(0.2, 3),
                "UPDATE orders SET status = 'paid' WHERE id = %s AND status = 'new'",
                (order,),
            )
        )
    return tuple(steps)


def _weekly_report() -> tuple[Step, ...]:
    return (
        Step(
            0.5,
            "SELECT p.category, sum(i.quantity) AS sold, sum(i.quantity * i.unit_price) AS revenue"
            " FROM order_items i JOIN products p ON p.id = i.product_id"
            " JOIN orders o ON o.id = i.order_id"
            " WHERE o.ordered_at > now() - interval '7 days' GROUP BY 1 ORDER BY 3 DESC",
        ),
    )


def _support(number: int, chance: random.Random) -> tuple[Step, ...]:
    customer = chance.randint(1, 1200)
    steps = [
        Step(0.4, "SELECT id, name, city FROM customers WHERE id = %s", (customer,)),
        Step(
            chance.uniform(1, 5),
            "SELECT id, status, ordered_at FROM orders WHERE customer_id = %s"
            " ORDER BY ordered_at DESC LIMIT 5",
            (customer,),
        ),
    ]
    if number % 9 == 4:  # it tries what it was told not to
        steps.append(
            Step(2.0, "SELECT name, card_number FROM customers WHERE id = %s", (customer,))
        )
    return tuple(steps)


def _legacy() -> tuple[Step, ...]:
    return (Step(0.3, "COPY (SELECT id, sku, stock FROM products WHERE active) TO STDOUT"),)


def _analysis(chance: random.Random) -> tuple[Step, ...]:
    questions = (
        "SELECT country, count(*) FROM customers GROUP BY country ORDER BY 2 DESC",
        "SELECT date_trunc('week', ordered_at) AS week, count(*) FROM orders GROUP BY 1 ORDER BY 1",
        "SELECT status, count(*) FROM orders WHERE ordered_at > now() - interval '30 days'"
        " GROUP BY status",
        "SELECT * FROM customer_overview ORDER BY orders DESC LIMIT 20",
        "SELECT method, round(avg(amount), 2) FROM payments GROUP BY method",
        "SELECT p.name, sum(i.quantity) FROM order_items i JOIN products p ON p.id = i.product_id"
        " GROUP BY p.name ORDER BY 2 DESC LIMIT 10",
        "SELECT customer_revenue(42)",
        "EXPLAIN SELECT * FROM payments WHERE paid_at > now() - interval '1 day'",
    )
    chosen = chance.sample(questions, k=chance.randint(2, 4))
    return tuple(Step(chance.uniform(4, 140), text) for text in chosen)


def _maintenance(chance: random.Random) -> tuple[Step, ...]:
    order = chance.randint(1, 6000)
    steps = [
        Step(3.0, "SELECT * FROM orders WHERE id = %s", (order,)),
        Step(chance.uniform(8, 60), "BEGIN"),
        Step(
            chance.uniform(4, 20),
            "UPDATE orders SET status = 'cancelled' WHERE id = %s AND status = 'new'",
            (order,),
        ),
        Step(chance.uniform(2, 9), chance.choice(("COMMIT", "ROLLBACK"))),
    ]
    if chance.random() < 0.2:
        said = Decision("cy@example.com", True, "it is computed anew tonight", 75.0)
        steps.append(Step(12.0, "DELETE FROM reporting.nightly_revenue", (), said))
    return tuple(steps)


def _bulk(text: str, approve: bool, reason: str, after_s: float) -> tuple[Step, ...]:
    decision = Decision("bo@example.com", approve, reason, after_s)
    return (
        Step(20.0, "SELECT category, count(*), avg(price) FROM products GROUP BY category"),
        Step(45.0, text, (), decision),
    )


_RAISE = "UPDATE products SET price = round(price * 1.02, 2)"
# Writes without a WHERE, by the number of the day: a day of these falls on a weekend at times.
_BULK = {
    8: _bulk(_RAISE, True, "price list 4, agreed with sales", 140.0),
    9: _bulk(_RAISE, False, "that was done yesterday", 35.0),
    20: _bulk("UPDATE products SET stock = 0", False, "which warehouse? Add a WHERE", 50.0),
    21: _bulk("DELETE FROM reporting.nightly_revenue", True, "recomputed tonight", 210.0),
    36: _bulk("UPDATE products SET active = true", False, "some were withdrawn on purpose", 95.0),
    37: _bulk(_RAISE, True, "price list 5, agreed with sales", 60.0),
    41: _bulk("UPDATE products SET stock = 0", False, "as before: add a WHERE", 25.0),
}
