"""Patterns of tables, columns and functions, folded as SQL folds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.patterns import BadPattern, Match, column_pattern, name_pattern
from appliance.sql.facts import Name

YES, MAYBE, NO = Match.YES, Match.MAYBE, Match.NO


@pytest.mark.parametrize(
    ("pattern", "name", "match"),
    [
        ("public.orders", Name("public", "orders"), YES),
        ("public.orders", Name("app", "orders"), NO),
        ("public.orders", Name("public", "orders2"), NO),
        ("orders", Name("public", "orders"), YES),
        ("orders", Name("app", "orders"), YES),
        ("orders", Name("app", "customers"), NO),
        ("PUBLIC.Orders", Name("public", "orders"), YES),
        ("public.Orders", Name("public", "Orders"), NO),
        ('public."Orders"', Name("public", "Orders"), YES),
        ('public."Orders"', Name("public", "orders"), NO),
        ('"My Schema"."a.b"', Name("My Schema", "a.b"), YES),
        ('"say ""hi"""', Name("x", 'say "hi"'), YES),
        ("public.*", Name("public", "orders"), YES),
        ("public.*", Name("app", "orders"), NO),
        ("*.orders", Name("app", "orders"), YES),
        ("*", Name("pg_catalog", "pg_class"), YES),
        ("*.*", Name("pg_catalog", "pg_class"), YES),
        ("app_*.pay*ments", Name("app_eu", "pay_old_ments"), YES),
        ("app_*.pay*ments", Name("app", "payments"), NO),
        ("pay.c?rds", Name("pay", "cards"), NO),
        ("pay.c[a]rds", Name("pay", "cards"), NO),
        ("pay.c.*", Name("pay", "x"), "bad"),
        ("straße.GRÖSSE", Name("straße", "grÖsse"), YES),
        ("a" * 70, Name("public", "a" * 63), YES),
        ('"line\nbreak*"', Name("public", "line\nbreak\nmore"), YES),
        ("pg_temp.t", Name("pg_temp_7", "t"), YES),
        ("public.t", Name("pg_temp_7", "t"), NO),
        ("t", Name("pg_temp_7", "t"), YES),
        ("pg_temporary.t", Name("pg_temp_7", "t"), NO),
        ("public.pg_read_file()", Name("public", "pg_read_file"), YES),
        # An unresolved name may be a view of anything.
        ("public.orders", Name(None, "orders"), MAYBE),
        ("public.orders", Name(None, "v"), MAYBE),
        ("orders", Name(None, "orders"), YES),
        ("orders", Name(None, "v"), MAYBE),
        ("*", Name(None, "v"), YES),
    ],
)
def test_a_pattern_names_what_sql_would_name(pattern: str, name: Name, match: object) -> None:
    if match == "bad":
        with pytest.raises(BadPattern):
            name_pattern(pattern)
        return
    assert name_pattern(pattern).match(name) is match


@pytest.mark.parametrize(
    ("pattern", "table", "column", "match"),
    [
        ("public.customers.ssn", Name("public", "customers"), "ssn", YES),
        ("public.customers.ssn", Name("public", "customers"), "name", NO),
        ("public.customers.ssn", Name("app", "customers"), "ssn", NO),
        ("customers.ssn", Name("app", "customers"), "ssn", YES),
        ("ssn", Name("app", "anything"), "ssn", YES),
        ("*.*.ssn", Name("app", "anything"), "ssn", YES),
        ("customers.*", Name("app", "customers"), "ssn", YES),
        ("customers.*", Name("app", "customers"), None, YES),
        ("customers.ssn", Name("app", "customers"), None, MAYBE),
        ("customers.ssn", Name("app", "orders"), None, NO),
        ("customers.ssn", Name(None, "v"), "ssn", MAYBE),
        ('public.customers."SSN"', Name("public", "customers"), "SSN", YES),
        ("public.customers.SSN", Name("public", "customers"), "SSN", NO),
    ],
)
def test_a_column_pattern_needs_table_and_column(
    pattern: str, table: Name, column: str | None, match: Match
) -> None:
    assert column_pattern(pattern).match(table, column) is match


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", '"', '"a', '"a"b', '""', "a.b.c", " "]
)
def test_a_pattern_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadPattern) as raised:
        name_pattern(text)
    assert "pattern" in str(raised.value)


def test_a_column_has_three_parts_at_most() -> None:
    with pytest.raises(BadPattern, match="more than 3 parts"):
        column_pattern("a.b.c.d")


@given(st.text())
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        pattern = name_pattern(text)
    except BadPattern:
        return
    assert pattern.match(Name("public", "orders")) in (YES, NO)


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(NAMES, NAMES)
def test_a_quoted_name_matches_itself(schema: str, name: str) -> None:
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
    if schema.startswith("pg_temp"):
        return
    assert name_pattern(quoted).match(Name(schema, name)) is YES
