"""Texts with equal skeletons have equal facts, and the skeleton is careful."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from appliance.sql.skeleton import skeleton
from tests.sql.rows import PATH

LITERALS = st.one_of(
    st.integers(0, 10**25).map(str),
    st.text(max_size=12).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.sampled_from(["''", "'--'", "'/*'", "';'", "'\"'", "'$1'", "'a''b'", "'orders'", "'\\'"]),
)
PIECES = st.sampled_from(
    """SELECT|FROM|WHERE|orders|customers|"orders"|"Card Holders"|id|total|a.b|.|,|(|)|=|<|>|+|-|*|/
    |::int|::regclass|AND|OR|IN|LIMIT|DELETE FROM|UPDATE|SET|INSERT INTO|VALUES|USING|lower(|now()
    |$1|$$|$a$|E|N|U&|x|--|/*|*/|;|?|||%|[|]|INTERVAL|AS|"|'|set_config(|nextval(|UNION|é|_1|1.5|1e3
    |JOIN|ON|true|NULL|CURRENT OF c|RETURNING|EXISTS (SELECT|opaque(|WITH x AS (""".replace(
        "\n", ""
    ).split("|")
)
GLUE = st.sampled_from(["", " ", "\n", "  "])
WORLD = NameContext(PATH, "app_ro", frozenset())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Draw two texts that are alike but for their literals."""
    one, two = [], []
    for _ in range(draw(st.integers(1, 14))):
        if draw(st.booleans()):
            one.append(draw(LITERALS))
            two.append(draw(LITERALS))
        else:
            piece = draw(PIECES)
            one.append(piece)
            two.append(piece)
        glue = draw(GLUE)
        one.append(glue)
        two.append(glue)
    return "".join(one), "".join(two)


@st.composite
def sensible_pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Draw two statements that mostly parse."""
    shape = draw(
        st.sampled_from(
            [
                "SELECT id FROM orders WHERE id = {}",
                "SELECT {}, lower({}) FROM customers LIMIT {}",
                "UPDATE orders SET total = {}, status = {} WHERE id IN ({}, {})",
                "DELETE FROM orders WHERE {} = {}",
                'DELETE FROM "orders" WHERE EXISTS (SELECT {} FROM customers WHERE id = {})',
                "INSERT INTO orders (id, status) VALUES ({}, {}), ({}, {})",
                "SELECT opaque({}) FROM v_orders ORDER BY {}",
                "SELECT date {}, {}::regclass",
                "SELECT set_config({}, {}, false)",
                "SELECT query_to_xml({}, true, true, {})",
                "SELECT {} {}",
                "SELECT {}\n{}",
                "SELECT {}x, {} y FROM orders a{}",
            ]
        )
    )
    holes = shape.count("{}")
    values = st.lists(LITERALS, min_size=holes, max_size=holes)
    return shape.format(*draw(values)), shape.format(*draw(values))


def facts_agree(parser: Parser, catalog: Catalog, one: str, two: str) -> None:
    bare = skeleton(one)
    if bare is None or bare != skeleton(two):
        return
    first, second = parser.parse(one), parser.parse(two)
    if first.literal_sensitive or any(s.unknown for s in first.statements):
        return  # such facts are kept for their own text only
    if any(s.unknown for s in second.statements):
        return  # the server takes a number or a string only here: it refuses this text
    assert resolve(first, catalog, WORLD) == resolve(second, catalog, WORLD)


@settings(max_examples=600, deadline=None)
@given(texts=pairs())
def test_equal_skeletons_of_random_pieces_have_equal_facts(
    parser: Parser, catalog: Catalog, texts: tuple[str, str]
) -> None:
    facts_agree(parser, catalog, *texts)


@settings(max_examples=400, deadline=None)
@given(texts=sensible_pairs())
def test_equal_skeletons_of_statements_have_equal_facts(
    parser: Parser, catalog: Catalog, texts: tuple[str, str]
) -> None:
    facts_agree(parser, catalog, *texts)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'a\\'",
        "SELECT E'a'",
        "SELECT U&'a'",
        "SELECT x'ff'",
        "SELECT $$a$$",
        "SELECT $a$x$a$",
        "SELECT a$1",
        "SELECT 1 -- x",
        "SELECT /* x */ 1",
        "SELECT 1; SELECT 2",
        "SELECT 'open",
        'SELECT "open',
        'SELECT "a""b"',
        'SELECT "a b"',
        "SELECT \"a'b\", 'c\"d'",
        'SELECT U&"a"',
        "SELECT a ? 'b'",
        "SELECT é",
        "SELECT\u00a01",
        "SELECT '\0'",
        "SELECT '\ud800'",
        "SELECT '" + "x" * 5000 + "'",
    ],
)
def test_what_is_not_plain_has_no_skeleton(text: str) -> None:
    assert skeleton(text) is None


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("SELECT a FROM t WHERE id = 1", "SELECT a FROM t WHERE id = 22"),
        ("UPDATE t SET a = 'x' WHERE b = 1;", "UPDATE t SET a = 'it''s' WHERE b = 2;"),
        ("INSERT INTO \"T\" VALUES (1, 'a')", 'INSERT INTO "T" VALUES (7, \'é -- /* $1 "\')'),
        ("SELECT a[1], b->'k' FROM t", "SELECT a[2], b->'l' FROM t"),
    ],
)
def test_statements_that_differ_in_literals_share_a_skeleton(one: str, two: str) -> None:
    assert skeleton(one) is not None
    assert skeleton(one) == skeleton(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("SELECT a FROM t1", "SELECT a FROM t2"),
        ("SELECT $1", "SELECT $2"),
        ('SELECT "a1"', 'SELECT "a2"'),
        ("SELECT 1.5", "SELECT 1.6"),
        ("SELECT a FROM t", "SELECT a  FROM t"),
    ],
)
def test_what_differs_in_more_than_literals_does_not(one: str, two: str) -> None:
    assert skeleton(one) != skeleton(two)


def test_calls_that_look_at_literals_are_never_shared(parser: Parser) -> None:
    for text in (
        "SELECT set_config('a', 'b', false)",
        "SELECT pg_catalog.query_to_xml('SELECT 1', true, true, '')",
        "SELECT setval('counter', 5)",
        "SELECT ts_stat('SELECT 1')",
        "COPY t TO '/x'",
        "SET a = 'b'",
        "ALTER ROLE a PASSWORD 'x'",
        "DO 'x'",
        "EXPLAIN SELECT 1",
        "SELECT nextval('s')",
        "SELECT 's'::regclass",
        "SELECT dblink('x', 'y')",
    ):
        assert parser.parse(text).literal_sensitive, text
    for text in ("SELECT 1", "DELETE FROM t WHERE a = 'x'", "SELECT '1'::int"):
        assert not parser.parse(text).literal_sensitive, text
