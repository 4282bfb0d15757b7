"""What a verdict costs: ``python -m bench.verdict``. One thread, best of rounds, us a decision."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import click

from appliance.entities import (
    Identity,
    IdentityKind,
    MaskingRule,
    PolicyRule,
    ProfileMode,
    Settings,
    Snapshot,
    SslMode,
    Target,
    UpstreamRole,
)
from appliance.masking.mask_set import MaskRules
from appliance.masking.values import Method
from appliance.policy.engine import Policy
from appliance.policy.subject import Subject
from appliance.sql.catalog import Catalog, SessionState
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from proxy.cache import Room
from proxy.decision import CatalogBox, Decision, Precedents
from proxy.judge import Judge

_CATALOG = Catalog.from_json(
    b'{"version": 180000, "schemas": ["public"], "relations": '
    b'[[16385, "public", "accounts", "r", 0, [[1, "aid", "int4"], [2, "abalance", "int4"]]],'
    b' [16386, "public", "people", "r", 0, [[1, "id", "int4"], [2, "card", "text"]]]]}'
)
_CARDS = MaskingRule(0, "cards", "shop", ("public.people.card",), Method.PARTIAL)
_STATE = SessionState(("pg_catalog", "public"), "app", "app", "UTF8", True, frozenset(), {})
_NAMES = NameContext(("pg_catalog", "public"), "app", frozenset())
_TEXT = "SELECT abalance FROM accounts WHERE aid = "
_JOIN = (
    "SELECT p.card, upper(p.card), count(*) FROM people p JOIN accounts a ON a.aid = p.id"
    " GROUP BY p.card HAVING count(*) > "
)
_WRITE = "UPDATE accounts SET abalance = abalance + 1 WHERE aid = "


def main_rules() -> tuple[PolicyRule, ...]:
    """Return twenty rules as a company has them: most are about others."""
    rules = [
        PolicyRule(f"no-{number}", "block", commands=("ddl",), tables=(f"public.t{number}",))
        for number in range(10)
    ]
    rules += [
        PolicyRule(f"from-{number}", "block", sources=(f"10.{number}.0.0/16",))
        for number in range(6)
    ]
    rules += [
        PolicyRule("bulk", "approve", commands=("update", "delete"), without_where=True),
        PolicyRule("many", "approve", commands=("update", "delete"), rows_over=1000),
        PolicyRule("far-too-many", "block", commands=("update", "delete"), rows_over=100_000),
        PolicyRule("exports", "approve", commands=("select",), rows_over=50_000),
    ]
    return tuple(rules)


def judge_of(*rules: PolicyRule, profile: bool = False, masked: bool = False) -> Judge:
    """Return a judge as a session has one.

    ``profile``: all that is measured is signed. ``masked``: people.card is.
    """
    identity = Identity(1, "ci-nightly", IdentityKind.CI)
    signed = frozenset[str]()
    if profile:
        identity = replace(identity, profile=ProfileMode.ENFORCE)
        texts = (f"{text}{rest}" for text in (_TEXT, _WRITE) for rest in ("1", _unseen(1)))
        facts = (resolve(Parser().parse(text), _CATALOG, _NAMES) for text in texts)
        signed = frozenset(one.statements[0].fingerprint for one in facts)
    roles = (UpstreamRole("app"),)
    target = Target(1, "shop", "h", 5432, "shop", SslMode.PREFER, "", roles, "")
    snapshot = Snapshot(
        version=1,
        settings=Settings(),
        targets={"shop": target},
        identities={identity.name: identity},
        groups={},
        grants=(),
        rules=rules,
        profiles={identity.name: signed},
        masking=(_CARDS,) if masked else (),
    )
    subject = Subject(
        identity, target, "shop", "app", None, frozenset({"app"}), "psql", "192.0.2.7"
    )
    make = partial(Policy, snapshot, subject)
    policy = make()
    masking = MaskRules.of(snapshot, identity, target, "shop")
    depends = policy.depends_on_objects or masking is not None
    precedents = Precedents(policy, depends, make, Room(64 << 20), masking)
    box = CatalogBox(_CATALOG, generation=1, is_stale=False)
    judge = Judge(Parser(), lambda _role: precedents, box, {}, "app")
    judge.names_are(_STATE)
    return judge


@click.command()
@click.option("--times", default=20_000, show_default=True, help="Decisions in each round.")
@click.option("--rounds", default=5, show_default=True, help="The best one counts.")
def main(times: int, rounds: int) -> None:
    """Measure a text seen before, one that differs in a literal, and one never seen."""
    rules = main_rules()
    ways: tuple[tuple[str, Callable[[], Judge]], ...] = (
        ("no rules", judge_of),
        ("20 rules", lambda: judge_of(*rules)),
        ("20 rules, profile", lambda: judge_of(*rules, profile=True)),
        ("20 rules, masks elsewhere", lambda: judge_of(*rules, masked=True)),
    )
    masked = (("20 rules, masked", ways[-1][1]),)
    print("| us a decision | text seen | another literal | never seen |")
    print("|---|---:|---:|---:|")
    for what, text in (("select", _TEXT), ("update", _WRITE), ("join and group", _JOIN)):
        for name, make in masked if text is _JOIN else ways:
            seen = [f"{text}1".encode()] * times
            literals = [f"{text}{number}".encode() for number in range(times)]
            shapes = [f"{text}{_unseen(number)}".encode() for number in range(2000)]
            figures = (
                _best(rounds, make, seen, times),
                _best(rounds, make, literals, times),
                _best(rounds, make, shapes, len(shapes)),
            )
            row = " | ".join(f"{figure:.1f}" for figure in figures)
            print(f"| {what}, {name} | {row} |")


def _unseen(number: int) -> str:
    """Return what makes a text one that is parsed: a comment is looked at by the grammar only."""
    return f"{number} AND 1 = 1 -- {number}"


def _best(rounds: int, make: Callable[[], Judge], texts: list[bytes], times: int) -> float:
    return min(_round(make(), texts) for _ in range(rounds)) / times * 1e6


def _round(judge: Judge, texts: list[bytes]) -> float:
    first = judge.decide(texts[0])
    if not isinstance(first, Decision) or not first.verdict.is_allow:
        raise AssertionError(f"what is measured is not allowed: {first}")
    decide = judge.decide
    began = time.perf_counter()
    for text in texts:
        decide(text)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
