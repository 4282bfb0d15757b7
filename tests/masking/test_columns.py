"""Patterns of masking rules: three parts, nothing folded, spaces and quoted dots."""

from __future__ import annotations

import pytest

from appliance.masking.columns import mask_pattern
from appliance.policy.patterns import BadPattern


@pytest.mark.parametrize(
    ("text", "name", "is_meant"),
    [
        ("public.customers.ssn", ("public", "customers", "ssn"), True),
        ("public.customers.ssn", ("public", "customers", "SSN"), False),
        ("public.Customers.ssn", ("public", "customers", "ssn"), False),
        ("public.Card Holders.Card No", ("public", "Card Holders", "Card No"), True),
        ("*.*.ssn", ("hr", "people", "ssn"), True),
        ("*.*.ssn", ("hr", "people", "ssn_hash"), False),
        ("*.*.*ssn*", ("hr", "people", "the_ssn_hash"), True),
        ("hr_*.*.*", ("hr_no", "people", "anything at all"), True),
        ("hr_*.*.*", ("hrno", "people", "x"), False),
        ('public."a.b".c', ("public", "a.b", "c"), True),
        ('public."say ""hi""".c', ("public", 'say "hi"', "c"), True),
        ("public . t . c", ("public", "t", "c"), True),
        ('public.t." c"', ("public", "t", " c"), True),
        ("public.t." + "x" * 70, ("public", "t", "x" * 63), True),
        ("public.t.[a-z]?", ("public", "t", "b"), False),
        ("public.t.[a-z]?", ("public", "t", "[a-z]?"), True),
    ],
)
def test_a_pattern_means_what_it_says(
    text: str, name: tuple[str, str, str], is_meant: bool
) -> None:
    pattern = mask_pattern(text)
    schema, table, column = name
    assert (pattern.on(schema, table) and pattern.column.holds(column)) is is_meant


@pytest.mark.parametrize(
    "text", ["", "ssn", "t.ssn", "a.b.c.d", "a..c", ".b.c", "a.b.", 'a.b."c', 'a."b"x.c', 'a."".c']
)
def test_what_is_no_three_parts_is_refused(text: str) -> None:
    with pytest.raises(BadPattern):
        mask_pattern(text)
