"""A WHERE that holds for every row is none, however it is written."""

from __future__ import annotations

import pytest

from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve

SESSION = NameContext(("pg_catalog", "public"), "app_ro", frozenset())


@pytest.mark.parametrize(
    ("where", "is_none"),
    [
        ("id = 1", False),
        ("id = 1 AND 1 = 1", False),
        ("1 = 1 AND (total > 0 OR status = 'x')", False),
        ("id = 1 OR 1 = 0", False),  # what ORMs write for an empty list
        ("id = 1 OR false", False),
        ("id = $1 OR status = $2", False),
        ("NOT (id = 1)", False),
        ("NOT (id = 1 OR status = 'x')", False),
        ("NOT id = id", False),
        ("id IN (1, 2) AND NOT false", False),
        ("id = customer_id", False),
        ("id = 1 OR 1 = 1", True),
        ("id = 1 OR true", True),
        ("id = 1 OR (status = 'x' OR NOT 1 = 0)", True),
        ("id = 1 OR $1", True),
        ("id = 1 OR 'a' = 'a'", True),
        ("id = 1 OR EXISTS (SELECT 1)", True),
        ("id = id", True),
        ("orders.id <= orders.id", True),
        ("id = id AND true", True),
        ("id = 1 OR status = status", True),
        ("NOT (id = 1 AND false)", True),
        ("NOT NOT (id = 1 OR true)", True),
        ("NOT " * 60 + "(id = 1 AND true)", True),
    ],
)
def test_what_restricts_nothing_is_no_where(
    parser: Parser, catalog: Catalog, where: str, is_none: bool
) -> None:
    for sql in (f"DELETE FROM orders WHERE {where}", f"UPDATE orders SET total = 0 WHERE {where}"):
        (statement,) = resolve(parser.parse(sql), catalog, SESSION).statements
        (found,) = [
            effect.without_where
            for effect in statement.effects
            if effect.object == "public.orders" and effect.cls in ("delete", "update")
        ]
        assert found is is_none, sql


@pytest.mark.parametrize(
    ("merge", "cls", "is_none"),
    [
        ("ON o.id = c.id WHEN MATCHED THEN DELETE", "delete", False),
        ("ON o.id = c.id WHEN NOT MATCHED BY SOURCE THEN DELETE", "delete", True),
        (
            "ON o.id = c.id WHEN NOT MATCHED BY SOURCE AND o.status = 'x' THEN DELETE",
            "delete",
            False,
        ),
        ("ON true WHEN MATCHED AND c.id = 1 THEN DELETE", "delete", True),
        ("ON true WHEN MATCHED AND o.id = 1 THEN DELETE", "delete", False),
        (
            "ON true WHEN MATCHED AND o.id = 1 THEN UPDATE SET total = 0 WHEN MATCHED THEN DELETE",
            "delete",
            True,
        ),
        (
            "ON true WHEN MATCHED AND o.id = 1 THEN UPDATE SET total = 0 WHEN MATCHED THEN DELETE",
            "update",
            False,
        ),
        ("ON o.id = o.id WHEN MATCHED THEN UPDATE SET total = 0", "update", True),
    ],
)
def test_each_action_of_a_merge_is_judged_by_its_own_condition(
    parser: Parser, catalog: Catalog, merge: str, cls: str, is_none: bool
) -> None:
    sql = f"MERGE INTO orders o USING customers c {merge}"
    (statement,) = resolve(parser.parse(sql), catalog, SESSION).statements
    (found,) = [e.without_where for e in statement.effects if e.cls == cls]
    assert found is is_none


def test_where_constants_decide_a_text_speaks_for_itself_alone(parser: Parser) -> None:
    for where, is_sensitive in (
        ("id = 1 OR 1 = 0", True),
        ("id = 1 AND 2 = 2", True),
        ("id = 1 AND total = 2", False),
        ("id = 1 OR true", False),
        ("id = 1", False),
    ):
        parsed = parser.parse(f"DELETE FROM orders WHERE {where}")
        assert parsed.literal_sensitive is is_sensitive, where
